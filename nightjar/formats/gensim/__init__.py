"""Interchange with gensim, both ways.

::

    exporting.py   a published embeddings artifact becomes a gensim model
    importing.py   a gensim model becomes a published embeddings artifact
    content.py     what is taken out of a gensim model, checked, in our order
    huffman.py     whether a gensim model's Huffman tree is one that our order gives
    settings.py    hyper-parameters by our names and by gensim's
    tables.py      matrices from and to Parquet, block by block
    files.py       gensim's own files, for the command line

What is carried over, value by value: the words and their counts, every matrix, and the
hyper-parameters. What is not: docs/interchange.md.
"""

from nightjar.formats.gensim.exporting import to_gensim
from nightjar.formats.gensim.importing import from_gensim
from nightjar.formats.gensim.pickled_files import load_gensim, save_gensim

__all__ = ["from_gensim", "load_gensim", "save_gensim", "to_gensim"]
