"""Interchange with gensim, both ways.

::

    exporting.py        a published embeddings artifact becomes a gensim model or its own files
    importing.py        a gensim model becomes a published embeddings artifact
    gensim_content.py   what is taken out of a gensim model, checked, in our order
    hyperparameters.py  by our names and by gensim's

What is carried over, value by value: the words and their counts, every matrix, and the
hyper-parameters. What is not: docs/interchange.md.
"""

from nightjar.formats.gensim.exporting import load_gensim, save_gensim, to_gensim
from nightjar.formats.gensim.importing import from_gensim

__all__ = ["from_gensim", "load_gensim", "save_gensim", "to_gensim"]
