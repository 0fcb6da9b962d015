"""Words whose vectors differ most between two versions.

:mod:`nightjar.drift.alignment` brings one version into the coordinates of the other; the cosine
distance that remains is how far a word moved. Its neighbours show whether the move is meaningful:
``overlap`` is the share of the ten nearest words that both versions have in common. Two trainings
of one text move words too, rare ones most: :mod:`.floors` says how far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nightjar.drift import Pairs, align, displacements
from nightjar.errors import InputError
from nightjar.explorer.floors import BandFloor
from nightjar.explorer.jobs import Report
from nightjar.model.lookup import VectorModel, VectorTable
from nightjar.wording import counted

N_LISTED = 100
N_DRAWN = 2_000
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
    floor_distance: float | None = None
    """How far another seed moves words of its frequency; None without a floor."""
    floor_overlap: float | None = None
    """The overlap that another seed leaves."""
    is_beyond: bool = False
    """Whether it moved farther than chance moves words of its frequency."""

    @property
    def excess(self) -> float:
        """Its distance above the floor."""
        return self.distance - (self.floor_distance or 0.0)


@dataclass(frozen=True, eq=False)
class Points:
    """Words to draw: those listed, and others evenly by frequency; all of shape (n,)."""

    tokens: tuple[str, ...]
    counts: NDArray[np.int64]
    """The smaller of both counts."""
    distances: NDArray[np.float64]
    are_beyond: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class MovedWords:
    """The words that moved most above their floor, farthest first, and what to compare with.

    Without a floor, those that moved most.
    """

    words: tuple[MovedWord, ...]
    n_shared: int
    median: float
    """Median distance over all shared words."""
    points: Points
    """The first are :attr:`words`."""
    floor: BandFloor | None
    n_beyond: int | None
    """How many of all shared words moved farther than chance; None without a floor."""


@dataclass(frozen=True, eq=False)
class _Shared:
    """Rows of the words that both tables have."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]


def moved_words(
    left: VectorModel,
    right: VectorModel,
    least: int,
    report: Report,
    floor: BandFloor | None = None,
    *,
    unit: str = "word",
) -> MovedWords:
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
    shared = _shared(left.table, right.table, least, report, unit)
    if len(shared.left) <= sizes[0]:
        raise InputError(
            f"{counted(len(shared.left), unit)} occur {counted(least, 'time')} or more in both "
            f"versions: an alignment of {counted(sizes[0], 'value')} needs more; choose a smaller "
            f"number of occurrences"
        )
    pairs = Pairs(left.table.vectors, right.table.vectors, shared.left, shared.right)
    counts = np.minimum(left.table.counts[shared.left], right.table.counts[shared.right])
    n_shared = counted(len(pairs), f"shared {unit}")
    alignment = align(pairs, counts, lambda n_done: report(f"aligned {n_done:,} of {n_shared}"))
    distances = displacements(pairs, alignment.rotation)
    excess, are_beyond = _above(distances, counts, floor)
    order = np.argsort(-excess, kind="stable")[:N_LISTED]
    report(f"comparing the neighbours of {counted(len(order), unit)}")
    listed = _Shared(shared.left[order], shared.right[order])
    words = _listed(left, right, listed, distances[order], floor)
    drawn = np.concatenate([order, _others(order, len(distances))])
    return MovedWords(
        tuple(
            replace(word, is_beyond=bool(are_beyond[place]))
            for word, place in zip(words, order.tolist(), strict=True)
        ),
        len(shared.left),
        float(np.median(distances)),
        Points(
            tuple(left.table.tokens_of(shared.left[drawn])),
            counts[drawn],
            distances[drawn],
            are_beyond[drawn],
        ),
        floor,
        None if floor is None else int(are_beyond.sum()),
    )


def _above(
    distances: NDArray[np.float64], counts: NDArray[np.int64], floor: BandFloor | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each word's distance above its floor, and whether that is beyond chance."""
    if floor is None:
        return distances, np.zeros(len(distances), bool)
    bands = floor.bands_of(counts)
    excess = distances - floor.displacement[bands]
    return excess, excess > floor.limit[bands]


def _others(listed: NDArray[np.int64], n_words: int) -> NDArray[np.int64]:
    """Places of words that are not listed, evenly by frequency."""
    some = np.unique(np.linspace(0, n_words - 1, min(n_words, N_DRAWN)).astype(np.int64))
    return np.setdiff1d(some, listed)


def _listed(
    left: VectorModel,
    right: VectorModel,
    shared: _Shared,
    distances: NDArray[np.float64],
    floor: BandFloor | None,
) -> list[MovedWord]:
    overlaps = _overlaps(left, right, shared.left, shared.right)
    found = []
    for place, token in enumerate(left.table.tokens_of(shared.left)):
        rows = int(shared.left[place]), int(shared.right[place])
        counts = int(left.table.counts[rows[0]]), int(right.table.counts[rows[1]])
        chance: tuple[float | None, float | None] = (None, None)
        if floor is not None:
            band = int(floor.bands_of(np.array([min(counts)]))[0])
            overlap = float(floor.overlap[band])
            chance = float(floor.displacement[band]), None if np.isnan(overlap) else overlap
        distance = float(distances[place])
        found.append(MovedWord(token, distance, overlaps[place], *rows, *counts, *chance))
    return found


def _shared(
    left: VectorTable, right: VectorTable, least: int, report: Report, unit: str
) -> _Shared:
    rows = np.flatnonzero((left.counts >= least) & (left.norms > 0))
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for first in range(0, len(rows), _BLOCK):
        part = rows[first : first + _BLOCK]
        others = right.rows(left.tokens_of(part))
        is_known = others >= 0
        others, part = others[is_known], part[is_known]
        is_frequent = (right.counts[others] >= least) & (right.norms[others] > 0)
        pairs.append((part[is_frequent], others[is_frequent]))
        report(f"looked up {first + len(part):,} of {counted(len(rows), unit)}")
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
