"""Groups of vectors that point the same way: spherical k-means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .nearest import row_lengths, unit_rows

_MAX_ROUNDS = 100


def cluster_rows(vectors: NDArray[np.float32], n_clusters: int, seed: int) -> NDArray[np.int64]:
    """The cluster of each row, numbered from 0 in the order in which they are met.

    Spherical k-means (Dhillon and Modha 2001) with k-means++ seeding (Arthur and
    Vassilvitskii 2007); the same seed gives the same clusters. ``n_clusters`` is at most the
    number of rows; fewer are found when rows repeat.
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
    """Rows drawn with chances in proportion to their distance from the ones before."""
    chosen = [int(generator.integers(len(units)))]
    distances = np.maximum(0.0, 1.0 - units @ units[chosen[0]]).astype(np.float64)
    for _ in range(1, n_clusters):
        total = distances.sum()
        if total <= 0:
            break  # every row repeats one that is chosen
        chosen.append(int(generator.choice(len(units), p=distances / total)))
        np.minimum(distances, np.maximum(0.0, 1.0 - units @ units[chosen[-1]]), out=distances)
    return units[chosen]
