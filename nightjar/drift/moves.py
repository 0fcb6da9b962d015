"""Each word's displacement between two trainings, and how many of its neighbours stay.

Displacement is the cosine distance after the alignment. Overlap is the share of the ten nearest
words that both trainings have in common (Wendlandt, Kummerfeld and Mihalcea 2018 call it
stability). Displacement says most about frequent words, overlap what users see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.drift.alignment import (
    Alignment,
    Doubles,
    Floats,
    Pairs,
    Rows,
    align,
    displacements,
)
from nightjar.formats.embeddings import Embeddings
from nightjar.model.lookup.nearest import Nearest, nearest_rows, row_lengths
from nightjar.store import Artifact
from nightjar.wording import counted

N_NEIGHBORS = 10
MAX_CANDIDATES = 50_000
"""Neighbours are looked for among so many of the most frequent words that both have."""
MAX_MEASURED = 5_000
"""So many words have their neighbours compared: the most frequent, and others evenly."""


@dataclass(frozen=True, eq=False)
class Moves:
    """The words that two trainings share, most frequent first."""

    tokens: pa.Array
    counts: NDArray[np.int64]
    """The smaller of both counts, (n,)."""
    displacement: Doubles
    """0 to 2, (n,)."""
    overlap: Doubles
    """0 to 1, (n,); NaN where it was not measured."""
    alignment: Alignment

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class Vectors:
    """The words of one training: ``matrix`` (n, vector_size) and ``counts`` (n,), both by row."""

    tokens: pa.Array
    matrix: Floats
    counts: NDArray[np.int64]

    @classmethod
    def read(cls, embeddings: Artifact) -> Vectors:
        """The vectors of an embeddings artifact, in memory."""
        found = Embeddings.from_artifact(embeddings)
        return cls(pa.array(found.tokens, pa.string()), found.matrix, found.counts)

    def neighbors(self, tokens: pa.Array) -> list[list[str]]:
        """The nearest words of some of its words, best first, among its most frequent ones."""
        candidates = self.matrix[:MAX_CANDIDATES]
        rows = np.asarray(pc.index_in(tokens, value_set=self.tokens)).astype(np.int64)
        answers = _nearest(candidates, self.matrix[rows], rows)
        return [self.tokens.take(pa.array(answer.rows)).to_pylist() for answer in answers]


def measure_moves(before: Vectors, after: Vectors) -> Moves:
    """Compare two trainings.

    In memory: a block of rows, and the rows whose neighbours are compared. Raises ValueError when
    the vector sizes differ or fewer words are shared than a vector has values.
    """
    left, right = _shared_rows(before, after)
    n_values = before.matrix.shape[1]
    if n_values != after.matrix.shape[1]:
        raise ValueError(f"vector sizes {n_values} and {after.matrix.shape[1]} differ")
    if len(left) <= n_values:
        shared = counted(len(left), "shared word")
        raise ValueError(f"{shared} cannot align a vector_size of {n_values}")
    counts = np.minimum(before.counts[left], after.counts[right])
    pairs = Pairs(before.matrix, after.matrix, left, right)
    alignment = align(pairs, counts)
    return Moves(
        before.tokens.take(pa.array(left)),
        counts,
        displacements(pairs, alignment.rotation),
        _overlaps(pairs),
        alignment,
    )


def _shared_rows(before: Vectors, after: Vectors) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the words that both have, by falling counts; none whose vector is zero."""
    places = pc.index_in(before.tokens, value_set=after.tokens)
    left = np.flatnonzero(np.asarray(pc.is_valid(places)))
    right = np.asarray(pc.drop_null(places)).astype(np.int64)
    are_there = before.matrix[left].any(axis=1) & after.matrix[right].any(axis=1)
    left, right = left[are_there], right[are_there]
    counts = np.minimum(before.counts[left], after.counts[right])
    order = np.argsort(-counts, kind="stable")
    return left[order], right[order]


def measured_places(n_words: int) -> NDArray[np.int64]:
    """The places of the words whose neighbours are compared: half are the most frequent ones."""
    if n_words <= MAX_MEASURED:
        return np.arange(n_words)
    n_first = MAX_MEASURED // 2
    others = np.linspace(n_first, n_words - 1, MAX_MEASURED - n_first).astype(np.int64)
    return np.concatenate([np.arange(n_first), others])


def _overlaps(pairs: Pairs) -> Doubles:
    found = np.full(len(pairs), np.nan)
    places = measured_places(len(pairs))
    sides = ((pairs.left, pairs.left_rows), (pairs.right, pairs.right_rows))
    sets = [_neighbors(matrix, rows, places) for matrix, rows in sides]
    found[places] = [len(a & b) / N_NEIGHBORS for a, b in zip(*sets, strict=True)]
    return found


def _neighbors(matrix: Floats, rows: Rows, places: NDArray[np.int64]) -> Sequence[set[int]]:
    """The neighbours, by place, of the words at ``places``; ``rows[place]`` is a word's row."""
    candidates = matrix[rows[:MAX_CANDIDATES]]
    return [set(one.rows.tolist()) for one in _nearest(candidates, matrix[rows[places]], places)]


def _nearest(candidates: Floats, queries: Floats, rows: NDArray[np.int64]) -> list[Nearest]:
    """The candidates nearest to each query, without itself: its row is in ``rows``."""
    excluded = [[row] if row < len(candidates) else [] for row in rows.tolist()]
    return nearest_rows(candidates, row_lengths(candidates), queries, N_NEIGHBORS, excluded)
