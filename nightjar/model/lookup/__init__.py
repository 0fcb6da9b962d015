"""Queries on a table of vectors: everything that a registered model answers.

A served model is a directory of plain files that are memory-mapped, so that opening one takes
milliseconds and processes share its memory (:mod:`.lookup_files`)::

    vectors.npy    float32 (n_tokens, vector_size)
    norms.npy      float32 (n_tokens,): length of each vector
    counts.npy     int64 (n_tokens,): how often the corpus had the token
    tokens.arrow   Arrow IPC file, one column ``token``
    hashes.npy, slots.npy    the hash table from token to row (:mod:`.token_index`)
    tokenizer.json the tokenizer's definition, if its settings are not enough
    phrases.json   the phrases to join, if any
    recommending.json, output_vectors.npy, near_*.npy, titles.arrow, new_items.arrow
                   for a model of items: what recommends (:mod:`.recommending`)
    settings.json  the model's name, the id of its space, how texts are cut
    lookup.json    sizes of all files

:mod:`.vector_table` opens it, :mod:`.nearest` finds the exact nearest rows of many queries at once,
and :mod:`.approximate` finds nearly all of them faster, from an index. For an unknown word,
:mod:`.token_index` suggests similar ones, and :mod:`.vector_table` composes a vector. A
:class:`VectorModel` (:mod:`.model`) answers queries about words and texts, :func:`answer`
(:mod:`.requests`) those that come over HTTP and through MLflow, within the limits of
:mod:`.request_limits`. :mod:`.packing` writes the files.

This package is copied into every registered model, beside :mod:`nightjar.model.tokenization`, and
is imported there under another name: it only imports the standard library, numpy and pyarrow, and
itself by relative imports. An approximate index needs usearch, imported when one is opened; some
tokenizers need a library, imported at the first text.
"""

from .approximate import ApproximateIndex
from .lookup_errors import QueryError, TableDamaged, UnknownWords
from .lookup_files import Rows, check_whole
from .model import Neighbor, OddOneOut, Reading, VectorModel
from .packing import ModelContent, NgramRows, copy_code, write_model
from .recommending import (
    Memory,
    NearItems,
    Recommendation,
    Recommender,
    RecommenderContent,
    RecommenderSettings,
    recommended,
)
from .request_limits import RequestLimits
from .requests import Parameters, answer
from .vector_table import VectorTable

__all__ = [
    "ApproximateIndex",
    "Memory",
    "ModelContent",
    "NearItems",
    "Neighbor",
    "NgramRows",
    "OddOneOut",
    "Parameters",
    "QueryError",
    "Reading",
    "Recommendation",
    "Recommender",
    "RecommenderContent",
    "RecommenderSettings",
    "RequestLimits",
    "Rows",
    "TableDamaged",
    "UnknownWords",
    "VectorModel",
    "VectorTable",
    "answer",
    "check_whole",
    "copy_code",
    "recommended",
    "write_model",
]
