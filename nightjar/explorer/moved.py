"""Words whose vectors differ most between two versions.

Two trainings of one corpus end in different coordinates. The shared words determine the
orthogonal matrix that brings the left vectors closest to the right ones (Schönemann 1966; for
word vectors Hamilton et al. 2016, arXiv:1605.09096); the cosine distance that remains is how far
a word moved. Its neighbours show whether the move is meaningful: ``overlap`` is the share of the
ten nearest words that both versions have in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.explorer.jobs import Report
from nightjar.model.lookup import VectorModel, VectorTable
from nightjar.wording import counted

N_LISTED = 100
N_NEIGHBOURS = 10
_BLOCK = 32_768

Floats = NDArray[np.float32]


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

    def blocks(self) -> Iterator[slice]:
        return (slice(first, first + _BLOCK) for first in range(0, len(self.left), _BLOCK))


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
    distances = _distances(left.table, right.table, shared, report)
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


def _distances(
    left: VectorTable, right: VectorTable, shared: _Shared, report: Report
) -> NDArray[np.float64]:
    """Cosine distance of each shared word after the alignment."""
    products = np.zeros((left.vector_size, right.vector_size))
    for part in shared.blocks():
        products += _units(left, shared.left[part]).T @ _units(right, shared.right[part])
        report(
            f"aligned {min(part.stop, len(shared.left)):,} of "
            f"{counted(len(shared.left), 'shared word')}"
        )
    first, _, last = np.linalg.svd(products)
    rotation = (first @ last).astype(np.float32)
    distances = np.zeros(len(shared.left))
    for part in shared.blocks():
        turned = _units(left, shared.left[part]) @ rotation
        cosines = np.einsum("ij,ij->i", turned, _units(right, shared.right[part]))
        distances[part] = 1.0 - np.clip(cosines, -1, 1)
    return distances


def _units(table: VectorTable, rows: NDArray[np.int64]) -> Floats:
    units: Floats = table.vectors[rows] / table.norms[rows][:, np.newaxis]
    return units


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
