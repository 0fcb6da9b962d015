"""Reading and writing the vector files of other tools.

::

    content.py         the content of a file, as written and as read
    recognition.py     decompressing, and detecting a format by its content
    word2vec_files.py  word2vec text and binary, GloVe text
    facebook.py        fastText's .bin
    gensim_files.py    gensim's KeyedVectors; the only module here that imports it
    arrays.py          safetensors, NumPy
    vector_tables.py   Parquet, SQLite, the TensorBoard projector
    static.py          sentence-transformers' StaticEmbedding, Model2Vec, a spaCy pipeline
    registry.py        all of them by name
    embeddings.py      embeddings artifacts in memory
    model_files.py     the files of a model, from its embeddings artifact
    gensim/            complete gensim models, import and export

A format is a writer and a reader of the same name in :data:`FORMATS`. Both work on plain files: a
compressed file is first decompressed to a temporary file. Libraries of the extra ``formats`` are
imported where they are used. docs/formats.md says what each format keeps and loses.

A fault in a file is repaired and counted if the fix is certain (a wrong count in the header, a
truncated last row, a repeated word). Otherwise the file is rejected, with the place and what to do.
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
