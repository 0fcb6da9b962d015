"""The exact nearest rows of many queries, and clusters of rows by direction.

Computes a matrix product for a block of rows at a time. Only scores that beat the worst answer so
far are processed further, so selection costs one comparison per score instead of a partial sort.
Clustering is spherical k-means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
F = TypeVar("F", bound="np.floating[Any]")

_SCORES_AT_ONCE = 16 * 1024 * 1024
"""Scores in memory (64 MiB)."""
_MIN_BLOCK_ROWS = 1_024
_MAX_BLOCK_ROWS = 65_536
_QUERIES_AT_ONCE = 4_096
_FEW_QUERIES = 8
"""Up to this number, dividing scores by lengths is cheaper than dividing rows."""


@dataclass(frozen=True)
class Nearest:
    """The rows and cosine similarities of the answers to one query, best first."""

    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]


def row_lengths(matrix: Floats) -> Floats:
    """Euclidean length of each row, summed in float64, since squares of float32 may overflow."""
    lengths: Floats = _exact_lengths(matrix).astype(np.float32)
    return lengths


def _exact_lengths(matrix: NDArray[F]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    return lengths


def unit_rows(matrix: NDArray[F], lengths: Floats | None = None) -> NDArray[F]:
    """Rows divided by their lengths; zero rows and rows with NaN stay as they are.

    Without ``lengths`` they are computed, and division is in float64.
    """
    known = _exact_lengths(matrix) if lengths is None else lengths
    divisors = np.where(known > 0, known, known.dtype.type(1))
    units = np.empty_like(matrix)
    with np.errstate(invalid="ignore"):  # a row with an infinity becomes one with NaN
        np.divide(matrix, divisors[:, np.newaxis], out=units, casting="same_kind")
    return units


def nearest_rows(
    matrix: Floats,
    lengths: Floats,
    queries: Floats,
    topn: int,
    excluded: Sequence[Sequence[int]] | None = None,
    least: float | None = None,
) -> list[Nearest]:
    """The ``topn`` rows with the highest cosine similarity to each query.

    ``matrix`` (n_rows, d) with ``lengths`` (n_rows,); ``queries`` (n_queries, d), of any length.
    ``excluded[q]`` are rows that may not answer query q. With ``least`` only rows at least that
    similar count. Equal similarities are in row order. A zero query has no direction and no
    answers.
    """
    unit_queries = unit_rows(queries, row_lengths(queries))
    answers: list[Nearest] = []
    for first in range(0, len(queries), _QUERIES_AT_ONCE):
        part = slice(first, first + _QUERIES_AT_ONCE)
        best = _Best(len(unit_queries[part]), topn, least)
        left_out = None if excluded is None else excluded[part]
        _search(matrix, lengths, unit_queries[part], left_out, best)
        answers += best.answers()
    is_zero: list[bool] = np.logical_not(queries.any(axis=1)).tolist()
    nothing = Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32))
    return [nothing if zero else answer for zero, answer in zip(is_zero, answers, strict=True)]


def _search(
    matrix: Floats,
    lengths: Floats,
    unit_queries: Floats,
    excluded: Sequence[Sequence[int]] | None,
    best: _Best,
) -> None:
    n_queries = len(unit_queries)
    n_block = _SCORES_AT_ONCE // max(1, n_queries)
    n_block = min(max(n_block, _MIN_BLOCK_ROWS), _MAX_BLOCK_ROWS)
    pairs = _Pairs(excluded)
    for start in range(0, len(matrix), n_block):
        rows = slice(start, start + n_block)
        if n_queries <= _FEW_QUERIES:
            block = lengths[rows]
            scores = unit_queries @ matrix[rows].T
            scores /= np.where(block > 0, block, np.float32(1))
        else:
            scores = unit_queries @ unit_rows(matrix[rows], lengths[rows]).T
        pairs.hide(scores, start)
        best.meet(scores, start)


class _Pairs:
    """Queries and their excluded rows, flat."""

    def __init__(self, excluded: Sequence[Sequence[int]] | None) -> None:
        pairs = [(q, row) for q, rows in enumerate(excluded or ()) for row in rows]
        flat = np.array(pairs, np.int64).reshape(-1, 2)
        self._queries, self._rows = flat[:, 0], flat[:, 1]

    def hide(self, scores: Floats, start: int) -> None:
        """Set their scores below all others."""
        is_inside = (self._rows >= start) & (self._rows < start + scores.shape[1])
        scores[self._queries[is_inside], self._rows[is_inside] - start] = -np.inf


class _Best:
    """The best answers so far; rows are processed in ascending order."""

    def __init__(self, n_queries: int, topn: int, least: float | None) -> None:
        self._topn = topn
        # Just below the limit, since a score must be greater.
        floor = -2.0 if least is None else np.nextafter(np.float32(least), np.float32(-2))
        self._bounds = np.full(n_queries, floor, np.float32)
        self._queries = np.zeros(0, np.int64)
        self._rows = np.zeros(0, np.int64)
        self._scores = np.zeros(0, np.float32)

    def meet(self, scores: Floats, start: int) -> None:
        """Process the scores (n_queries, n_block) of the rows from ``start`` on."""
        if self._topn < scores.shape[1] and not self._rows.size:
            # In the first block everything beats the bound, so a partial sort selects.
            kth = np.partition(scores, -self._topn, axis=1)[:, -self._topn]
            queries, rows = np.nonzero(
                (scores >= kth[:, np.newaxis]) & (scores > self._bounds[:, np.newaxis])
            )
        else:
            queries, rows = np.nonzero(scores > self._bounds[:, np.newaxis])
        if not queries.size:
            return
        self._keep(queries, rows + start, scores[queries, rows])

    def _keep(self, queries: NDArray[np.int64], rows: NDArray[np.int64], scores: Floats) -> None:
        """Merge them into the best ``topn`` of each query."""
        queries = np.concatenate([self._queries, queries])
        rows = np.concatenate([self._rows, rows])
        scores = np.concatenate([self._scores, np.clip(scores, -1, 1)])
        order = np.lexsort((rows, -scores, queries))
        queries, rows, scores = queries[order], rows[order], scores[order]
        places = np.arange(len(queries)) - np.searchsorted(queries, queries)
        is_kept = places < self._topn
        self._queries, self._rows = queries[is_kept], rows[is_kept]
        self._scores = scores[is_kept]
        is_last = places == self._topn - 1
        self._bounds[queries[is_last]] = scores[is_last]

    def answers(self) -> list[Nearest]:
        """The answers of each query."""
        bounds = np.searchsorted(self._queries, np.arange(len(self._bounds) + 1))
        return [
            Nearest(self._rows[first:stop], self._scores[first:stop])
            for first, stop in pairwise(bounds.tolist())
        ]


_MAX_ROUNDS = 100


def cluster_rows(vectors: NDArray[np.float32], n_clusters: int, seed: int) -> NDArray[np.int64]:
    """The cluster of each row, numbered from 0 in order of first occurrence.

    Spherical k-means (Dhillon and Modha 2001) with k-means++ seeding (Arthur and Vassilvitskii
    2007); the same seed gives the same clusters. ``n_clusters`` is at most the number of rows;
    fewer are found when rows repeat.
    """
    units = unit_rows(vectors, row_lengths(vectors))
    centres = _first_centres(units, n_clusters, np.random.default_rng(seed))
    labels = np.full(len(units), -1)
    for _ in range(_MAX_ROUNDS):
        assigned = np.argmax(units @ centres.T, axis=1)
        if np.array_equal(assigned, labels):
            break
        labels = assigned
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, units)
        lengths = row_lengths(sums)
        centres = np.where(lengths[:, np.newaxis] > 0, unit_rows(sums, lengths), centres)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _first_centres(
    units: NDArray[np.float32], n_clusters: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Rows drawn with probability proportional to their distance from earlier ones."""
    chosen = [int(generator.integers(len(units)))]
    distances = np.maximum(0.0, 1.0 - units @ units[chosen[0]]).astype(np.float64)
    for _ in range(1, n_clusters):
        total = distances.sum()
        if total <= 0:
            break  # every row repeats a chosen one
        chosen.append(int(generator.choice(len(units), p=distances / total)))
        np.minimum(distances, np.maximum(0.0, 1.0 - units @ units[chosen[-1]]), out=distances)
    return units[chosen]
