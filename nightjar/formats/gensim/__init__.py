"""Interchange with gensim, in both directions.

::

    exporting.py        from a published embeddings artifact to a gensim model or its files
    importing.py        from a gensim model to a published embeddings artifact
    gensim_content.py   the content of a gensim model, checked, in our order
    hyperparameters.py  under our names and gensim's

Words and their counts, every matrix, and the hyper-parameters are carried over exactly.
docs/interchange.md lists what is not.
"""

from nightjar.formats.gensim.exporting import load_gensim, save_gensim, to_gensim
from nightjar.formats.gensim.importing import from_gensim

__all__ = ["from_gensim", "load_gensim", "save_gensim", "to_gensim"]
