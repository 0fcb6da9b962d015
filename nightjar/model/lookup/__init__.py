"""Questions to a table of vectors: what a registered model answers, and how fast.

A served model is a directory of plain files that are memory-mapped, so that opening one takes
milliseconds and processes share its memory (:mod:`.lookup_files`)::

    vectors.npy    float32 (n_tokens, vector_size)
    norms.npy      float32 (n_tokens,): length of each vector
    counts.npy     int64 (n_tokens,): how often the corpus had the token
    tokens.arrow   Arrow IPC file, one column ``token``
    hashes.npy, slots.npy    the hash table from token to row (:mod:`.token_index`)
    tokenizer.json what the tokenizer is made of, where its settings do not say it all
    phrases.json   which words become one token, where phrases are joined
    lookup.json    sizes of all of them

:mod:`.vector_table` opens it, :mod:`.nearest` finds the exact nearest rows of many queries at once,
:mod:`.approximate` nearly all of them faster, from an index that was built for them;
:mod:`.token_index` says what an unknown word may have meant, :mod:`.vector_table` a vector for it.
A :class:`VectorModel` (:mod:`.model`) answers about words and texts, :func:`answer`
(:mod:`.requests`) what comes over HTTP and through MLflow. :mod:`.packing` writes all of it.

This package travels with every registered model, beside :mod:`nightjar.model.tokenization`, and is
imported there under another name: it imports the standard library, numpy and pyarrow alone, and
itself relatively. An approximate index needs usearch, which is imported when one is opened, and
some tokenizers a library, which is imported at the first text.
"""

from .approximate import ApproximateIndex
from .lookup_errors import QueryError, TableDamaged, UnknownWords
from .lookup_files import Rows, check_whole
from .model import Neighbor, OddOneOut, VectorModel
from .packing import ModelContent, NgramRows, copy_code, write_model
from .requests import Parameters, answer
from .vector_table import VectorTable

__all__ = [
    "ApproximateIndex",
    "ModelContent",
    "Neighbor",
    "NgramRows",
    "OddOneOut",
    "Parameters",
    "QueryError",
    "Rows",
    "TableDamaged",
    "UnknownWords",
    "VectorModel",
    "VectorTable",
    "answer",
    "check_whole",
    "copy_code",
    "write_model",
]
