"""Files of vectors that other tools read and write: export, and reading back.

::

    content.py         what is written, and what is read
    recognition.py     decompressing, and telling a format by its content
    word2vec_files.py  word2vec text and binary, GloVe text
    facebook.py        fastText's .bin
    gensim_files.py    gensim's KeyedVectors; the only module here that imports it
    arrays.py          safetensors, NumPy
    vector_tables.py   Parquet, SQLite, the TensorBoard projector
    static.py          sentence-transformers' StaticEmbedding, Model2Vec, a spaCy pipeline
    registry.py        all of them by name
    embeddings.py      embeddings artifacts in memory
    model_files.py     a model's files, from its embeddings artifact
    gensim/            whole models of gensim, both ways

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
