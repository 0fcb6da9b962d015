"""Files of vectors that other tools read and write: export, and reading back.

::

    content.py       what is written, and what is read
    opening.py       decompressing, and telling a format by its content
    texts.py         word2vec text, GloVe text
    word2vec.py      word2vec binary
    facebook.py      fastText's .bin
    gensim_files.py  gensim's KeyedVectors; the only module here that imports it
    arrays.py        safetensors, NumPy
    tables.py        Parquet, SQLite, the TensorBoard projector
    spacy_files.py   a spaCy pipeline with vectors
    static.py        sentence-transformers' StaticEmbedding and Model2Vec, by
    hf_tokenizer.py  our tokenizer as one of Hugging Face's

A format is a writer and a reader of the same name in :data:`FORMATS`. Both see plain files: a
compressed one is decompressed beside the system's temporary files first. Libraries of the
extra ``formats`` are imported where they are used. What each keeps and loses: docs/formats.md.

What is wrong with a file is mended and counted where the right answer is certain (a header
that counts wrongly, a last row that was cut, a word that comes twice), and refused with the
place and what to do where it is not.
"""

from nightjar.formats.content import ExportedVectors, Ngrams, ReadVectors
from nightjar.formats.registry import FORMATS, Format, read_vectors, write_vectors

__all__ = [
    "FORMATS",
    "ExportedVectors",
    "Format",
    "Ngrams",
    "ReadVectors",
    "read_vectors",
    "write_vectors",
]
