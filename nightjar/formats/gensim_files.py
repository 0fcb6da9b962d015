"""gensim's own files: KeyedVectors, and FastTextKeyedVectors for models with n-grams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import KeyedVectors
from gensim.models.fasttext import FastTextKeyedVectors

from nightjar.errors import InputError
from nightjar.formats.content import (
    ExportedVectors,
    Ngrams,
    ReadVectors,
    as_float32,
    whole_counts,
)
from nightjar.formats.facebook import own_rows
from nightjar.wording import counted


def write_gensim(vectors: ExportedVectors, path: Path) -> None:
    """Write ``vectors.kv`` in the folder ``path``, for ``KeyedVectors.load(FILE, mmap="r")``.

    Large arrays are separate files in the folder. Memory: all vectors, and for n-grams all
    ``bucket`` rows.
    """
    path.mkdir()
    keyed = _keyed_vectors(vectors)
    keyed.save(str(path / "vectors.kv"))


def _keyed_vectors(vectors: ExportedVectors) -> KeyedVectors:
    ngrams, size = vectors.ngrams, vectors.vector_size
    if ngrams is None:
        keyed = KeyedVectors(size, count=len(vectors.tokens), dtype=np.float32)
    else:
        keyed = FastTextKeyedVectors(
            size,
            min_n=ngrams.min_n,
            max_n=ngrams.max_n,
            bucket=ngrams.bucket,
            count=len(vectors.tokens),
        )
        keyed.vectors_ngrams = np.zeros((ngrams.bucket, size), np.float32)
        keyed.vectors_ngrams[ngrams.buckets] = ngrams.vectors
    keyed.index_to_key = list(vectors.tokens)
    keyed.key_to_index = {token: row for row, token in enumerate(vectors.tokens)}
    keyed.vectors = np.ascontiguousarray(vectors.matrix, np.float32)
    keyed.expandos = {"count": np.array(vectors.counts, np.int64)}
    keyed.norms = None
    if ngrams is not None:
        # gensim saves only these, and computes the vectors when it loads them.
        keyed.vectors_vocab = np.concatenate(list(own_rows(vectors, special=None)))
        keyed.recalc_char_ngram_buckets()
    return keyed


def read_gensim(path: Path, limit: int | None = None) -> ReadVectors:
    """Read what gensim saved. It is a pickle, so its author is trusted. Raises InputError."""
    file = path / "vectors.kv" if path.is_dir() else path
    try:
        loaded: Any = KeyedVectors.load(str(file), mmap="r")
    except Exception as error:
        raise InputError(f"{file}: gensim cannot load it ({error}); save it again") from error
    keyed = getattr(loaded, "wv", loaded)
    if not isinstance(keyed, KeyedVectors):
        raise InputError(f"{file}: holds {type(loaded).__name__}, not KeyedVectors or a model")
    try:
        return _content(file, keyed, limit)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise InputError(
            f"{file}: its parts do not fit together ({error}); save it again with a current gensim"
        ) from error


def _content(file: Path, keyed: KeyedVectors, limit: int | None) -> ReadVectors:
    keys = list(keyed.index_to_key)
    strange = next((key for key in keys if not isinstance(key, str | int | np.integer)), None)
    if strange is not None:
        raise InputError(
            f"{file}: its key {strange!r} is of type {type(strange).__name__}; every key must be "
            f"text or a whole number"
        )
    matrix = np.asarray(keyed.vectors)
    counts = keyed.expandos.get("count")
    n_counts = len(keys) if counts is None else len(counts)
    if matrix.ndim != 2 or len(matrix) != len(keys) or n_counts != len(keys):
        raise InputError(
            f"{file}: has {counted(len(keys), 'word')}, {counted(n_counts, 'count')} and vectors "
            f"of shape {matrix.shape}; it was changed by hand: save it again"
        )
    return ReadVectors(
        [str(key) for key in keys[:limit]],
        as_float32(matrix[:limit]),
        None if counts is None else whole_counts(file, counts[:limit]),
        _ngrams(file, keyed),
    )


def _ngrams(file: Path, keyed: KeyedVectors) -> Ngrams | None:
    if not isinstance(keyed, FastTextKeyedVectors) or keyed.max_n < max(1, keyed.min_n):
        return None
    rows = np.asarray(keyed.vectors_ngrams)
    if rows.shape != (keyed.bucket, keyed.vector_size):
        raise InputError(
            f"{file}: declares {counted(keyed.bucket, 'n-gram')} of "
            f"{counted(keyed.vector_size, 'value')} and has rows of shape {rows.shape}; save it "
            f"again"
        )
    used = np.flatnonzero(rows.any(axis=1)).astype(np.int32)
    return Ngrams(max(1, keyed.min_n), keyed.max_n, len(rows), used, as_float32(rows[used]))
