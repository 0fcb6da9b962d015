"""Approximate nearest rows: searches a graph of near rows instead of comparing all of them.

The graph is an HNSW index (Malkov and Yashunin 2018) in usearch's own file, memory-mapped, so
processes share it. It holds the rows in half precision and selects candidates, which are compared
with the query again in full precision. So similarities are exact, but an answer may be missing.
usearch is imported when an index is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lookup_errors import QueryError, TableDamaged
from .nearest import Nearest, row_lengths, unit_rows

Floats = NDArray[np.float32]

_VALUES_AT_ONCE = 16 * 1024 * 1024
"""Values of candidate rows in memory (64 MiB)."""


class ApproximateIndex:
    """An HNSW index over the rows of a matrix.

    ``index`` is a ``usearch.index.Index`` by inner product; ``rows[key]`` is the row of an entry;
    None if keys are rows.
    """

    def __init__(self, index: Any, rows: NDArray[np.int64] | None = None) -> None:
        self._index = index
        self._rows = rows
        # usearch numbers its search buffers by thread, from 0 in every call.
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls, path: Path, expansion_search: int, rows: NDArray[np.int64] | None = None
    ) -> ApproximateIndex:
        """Map the index at ``path``. Raises QueryError without usearch, TableDamaged.

        ``expansion_search`` is the number of candidates that a search keeps; the file does not
        store it.
        """
        try:
            from usearch.index import Index  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise QueryError(
                "an approximate index needs usearch: pip install 'nightjar[index]'; without "
                "approximate the answer is exact"
            ) from error
        try:
            index: Any = Index.restore(path, view=True, enable_key_lookups=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise TableDamaged(f"{path} cannot be read ({error})") from error
        if index is None:
            raise TableDamaged(f"{path} is missing or no index of usearch")
        index.expansion_search = expansion_search
        return cls(index, rows)

    def __len__(self) -> int:
        """Number of indexed rows."""
        return len(self._index)

    def nearest(
        self,
        matrix: Floats,
        lengths: Floats,
        queries: Floats,
        topn: int,
        excluded: Sequence[Sequence[int]] | None = None,
        least: float | None = None,
    ) -> list[Nearest]:
        """As :func:`.nearest_rows`, but without rows that the graph search misses.

        ``matrix`` and ``lengths`` are what the index was built from.
        """
        left_out = [list(rows) for rows in excluded] if excluded else [[] for _ in queries]
        wanted = min(topn + max(map(len, left_out), default=0), len(self))
        if not wanted or not len(queries):
            return [_nothing() for _ in queries]
        units = unit_rows(queries, row_lengths(queries))
        n_queries = max(1, _VALUES_AT_ONCE // (wanted * matrix.shape[1]))
        answers: list[Nearest] = []
        for first in range(0, len(units), n_queries):
            some = units[first : first + n_queries]
            rows, counts = self._candidates(some, wanted)
            scores = _similarities(matrix, lengths, some, rows)
            counts[~some.any(axis=1)] = 0  # zeros have no direction
            for q, n_found in enumerate(counts.tolist()):
                left = left_out[first + q]
                answers.append(_best(rows[q, :n_found], scores[q, :n_found], left, topn, least))
        return answers

    def _candidates(
        self, units: Floats, wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Candidate rows (n_queries, wanted), filled up with 0, and how many are valid."""
        with self._lock:
            found = self._index.search(units, wanted)
        if len(units) == 1:  # usearch answers a single query in another form
            counts = np.array([len(found.keys)])
            keys = np.zeros((1, wanted), np.int64)
            keys[0, : counts[0]] = found.keys
        else:
            counts = found.counts.astype(np.int64)
            is_found = np.arange(wanted) < counts[:, np.newaxis]
            keys = np.where(is_found, found.keys, 0).astype(np.int64)
        return (keys if self._rows is None else self._rows[keys]), counts


def _similarities(
    matrix: Floats, lengths: Floats, units: Floats, rows: NDArray[np.int64]
) -> Floats:
    candidates = unit_rows(matrix[rows.ravel()], lengths[rows.ravel()])
    scores: Floats = np.einsum("qd,qkd->qk", units, candidates.reshape(*rows.shape, -1))
    return np.clip(scores, -1, 1)


def _best(
    rows: NDArray[np.int64],
    scores: Floats,
    left_out: Sequence[int],
    topn: int,
    least: float | None,
) -> Nearest:
    is_kept = ~np.isin(rows, left_out)
    if least is not None:
        is_kept &= scores >= np.float32(least)
    rows, scores = rows[is_kept], scores[is_kept]
    order = np.lexsort((rows, -scores))[:topn]
    return Nearest(rows[order], scores[order])


def _nothing() -> Nearest:
    return Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32))
