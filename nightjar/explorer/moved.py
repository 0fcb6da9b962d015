"""Words whose vectors differ most between two versions.

:mod:`nightjar.drift.alignment` brings one version into the coordinates of the other; the cosine
distance that remains is how far a word moved. Its neighbours show whether the move is meaningful:
``overlap`` is the share of the ten nearest words that both versions have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.drift import Pairs, align, displacements
from nightjar.errors import InputError
from nightjar.explorer.jobs import Report
from nightjar.model.lookup import VectorModel, VectorTable
from nightjar.wording import counted

N_LISTED = 100
N_NEIGHBOURS = 10
_BLOCK = 32_768


@dataclass(frozen=True)
class MovedWord:
    """A word of both versions; rows are its ranks from 0."""

    token: str
    distance: float
    overlap: float
    left_row: int
    right_row: int
    left_count: int
    right_count: int


@dataclass(frozen=True)
class MovedWords:
    """The words that moved most, farthest first, and figures to compare them with."""

    words: tuple[MovedWord, ...]
    n_shared: int
    median: float
    """Median distance over all shared words."""


@dataclass(frozen=True, eq=False)
class _Shared:
    """Rows of the words that both tables have."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]


def moved_words(left: VectorModel, right: VectorModel, least: int, report: Report) -> MovedWords:
    """Find the words that moved most among those with at least ``least`` occurrences in both.

    Holds one block of vectors and a few numbers per shared word in memory. Raises InputError
    when the vector sizes differ or too few words are shared.
    """
    sizes = left.table.vector_size, right.table.vector_size
    if sizes[0] != sizes[1]:
        raise InputError(
            f"vectors of {sizes[0]} and of {counted(sizes[1], 'value')} cannot be aligned: choose "
            f"two versions with the same vector size"
        )
    shared = _shared(left.table, right.table, least, report)
    if len(shared.left) <= sizes[0]:
        raise InputError(
            f"{counted(len(shared.left), 'word')} occur {counted(least, 'time')} or more in both "
            f"versions: an alignment of {counted(sizes[0], 'value')} needs more; choose a smaller "
            f"number of occurrences"
        )
    pairs = Pairs(left.table.vectors, right.table.vectors, shared.left, shared.right)
    counts = np.minimum(left.table.counts[shared.left], right.table.counts[shared.right])
    n_shared = counted(len(pairs), "shared word")
    alignment = align(pairs, counts, lambda n_done: report(f"aligned {n_done:,} of {n_shared}"))
    distances = displacements(pairs, alignment.rotation)
    order = np.argsort(-distances, kind="stable")[:N_LISTED]
    report(f"comparing the neighbours of {counted(len(order), 'word')}")
    overlaps = _overlaps(left, right, shared.left[order], shared.right[order])
    tokens = left.table.tokens_of(shared.left[order])
    words = tuple(
        MovedWord(
            token=token,
            distance=float(distances[place]),
            overlap=overlap,
            left_row=int(shared.left[place]),
            right_row=int(shared.right[place]),
            left_count=int(left.table.counts[shared.left[place]]),
            right_count=int(right.table.counts[shared.right[place]]),
        )
        for token, place, overlap in zip(tokens, order.tolist(), overlaps, strict=True)
    )
    return MovedWords(words, len(shared.left), float(np.median(distances)))


def _shared(left: VectorTable, right: VectorTable, least: int, report: Report) -> _Shared:
    rows = np.flatnonzero((left.counts >= least) & (left.norms > 0))
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for first in range(0, len(rows), _BLOCK):
        part = rows[first : first + _BLOCK]
        others = right.rows(left.tokens_of(part))
        is_known = others >= 0
        others, part = others[is_known], part[is_known]
        is_frequent = (right.counts[others] >= least) & (right.norms[others] > 0)
        pairs.append((part[is_frequent], others[is_frequent]))
        report(f"looked up {first + len(part):,} of {counted(len(rows), 'word')}")
    none = np.zeros(0, np.int64)
    return _Shared(
        np.concatenate([none, *(pair[0] for pair in pairs)]),
        np.concatenate([none, *(pair[1] for pair in pairs)]),
    )


def _overlaps(
    left: VectorModel,
    right: VectorModel,
    left_rows: NDArray[np.int64],
    right_rows: NDArray[np.int64],
) -> list[float]:
    found = []
    for model, rows in ((left, left_rows), (right, right_rows)):
        queries = model.table.vectors[rows]
        answers = model.table.nearest(queries, N_NEIGHBOURS, [[row] for row in rows.tolist()])
        found.append([set(model.table.tokens_of(answer.rows)) for answer in answers])
    return [len(a & b) / N_NEIGHBOURS for a, b in zip(*found, strict=True)]
