"""The orthogonal map from the coordinates of one training into those of another.

Schönemann 1966; for word vectors Hamilton et al. 2016 (arXiv:1605.09096). For the estimate alone
the vectors are brought to unit length, centred and brought to unit length again (Artetxe et al.
2016), and words count by the square root of how often they occur. The map itself turns the vectors
as they are, so every cosine within a model stays what it was.

Where turned vectors are used as they are, that is the wrong estimate: nothing keeps their common
direction, which centring hides, and so the mean of a text's words, in its place. A classifier of
film reviews lost twelve points by it and two by the other estimate (docs/experiments.md): of unit
vectors that are not centred, by how often the words occur.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.model.lookup.nearest import unit_rows

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]

_BLOCK = 32_768


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of two matrices that belong to the same words: ``left_rows[i]`` and ``right_rows[i]``.

    Both matrices have the same number of columns, and may be memory-mapped.
    """

    left: Floats
    right: Floats
    left_rows: Rows
    right_rows: Rows

    def __len__(self) -> int:
        return len(self.left_rows)

    @property
    def vector_size(self) -> int:
        """The number of values of a vector."""
        return int(self.left.shape[1])

    def blocks(self) -> Iterator[tuple[slice, Doubles, Doubles]]:
        """Consecutive pairs, with their rows at unit length."""
        for first in range(0, len(self), _BLOCK):
            part = slice(first, first + _BLOCK)
            yield (
                part,
                _units(self.left[self.left_rows[part]]),
                _units(self.right[self.right_rows[part]]),
            )


@dataclass(frozen=True, eq=False)
class Alignment:
    """``left @ rotation`` is as near to ``right`` as an orthogonal map brings it."""

    rotation: Doubles
    """Shape (vector_size, vector_size)."""
    residual: float
    """Weighted mean cosine distance of the words that it was estimated from, as it took them."""
    n_words: int


def align(
    pairs: Pairs,
    counts: NDArray[np.int64],
    advance: Callable[[int], object] = lambda n_words: None,  # noqa: ARG005
    *,
    as_used: bool = False,
) -> Alignment:
    """Estimate the map from the left rows to the right ones.

    ``counts`` (n,) are the words' counts; ``advance`` hears how many words are done. ``as_used`` is
    for vectors that will be used as they are turned: they are not centred, and weighted by their
    counts. In memory: a block of rows. Raises ValueError without pairs.
    """
    if not len(pairs):
        raise ValueError("no pairs to align")
    weights = np.maximum(counts, 0).astype(np.float64)
    if not as_used:
        weights = np.sqrt(weights)
    if not weights.any():
        weights = np.ones(len(counts))
    weights /= weights.sum()
    centres = np.zeros((2, pairs.vector_size))
    for rows, left, right in () if as_used else pairs.blocks():
        centres[0] += weights[rows] @ left
        centres[1] += weights[rows] @ right
    products = np.zeros((pairs.vector_size, pairs.vector_size))
    for rows, left, right in pairs.blocks():
        ours, theirs = unit_rows(left - centres[0]), unit_rows(right - centres[1])
        products += (ours * weights[rows, np.newaxis]).T @ theirs
        advance(min(rows.stop, len(pairs)))
    first, scales, last = np.linalg.svd(products)
    return Alignment(first @ last, float(1.0 - scales.sum()), len(pairs))


def displacements(pairs: Pairs, rotation: Doubles) -> Doubles:
    """The cosine distance of each left row, turned, to its right one: 0 to 2, (n,)."""
    found = np.zeros(len(pairs))
    for rows, left, right in pairs.blocks():
        found[rows] = 1.0 - np.einsum("ij,ij->i", left @ rotation, right)
    return np.clip(found, 0.0, 2.0)


def _units(rows: Floats) -> Doubles:
    return unit_rows(rows.astype(np.float64))
