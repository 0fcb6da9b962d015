"""The floor beside words that moved: how far another seed alone moves words of each frequency.

``nightjar noise MODEL --seeds 3`` measures it. The measurement is an artifact, which holds for
versions with the same settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.drift import Floor
from nightjar.drift.alignment import Doubles
from nightjar.errors import StoreError
from nightjar.explorer.catalogue import Version
from nightjar.promotion import find_measurement
from nightjar.store import Artifact, Store, schemas


@dataclass(frozen=True, eq=False)
class BandFloor:
    """What chance does to words, by bands of ascending frequency; all of shape (n_bands,)."""

    noise: str
    """Version of the noise artifact."""
    least_counts: NDArray[np.int64]
    displacement: Doubles
    """Mean."""
    overlap: Doubles
    """Mean; NaN where it was not measured."""
    limit: Doubles
    """How far above the mean chance still moves a word."""

    def bands_of(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The band of each count; the first for those below it."""
        return np.maximum(np.searchsorted(self.least_counts, counts, side="right") - 1, 0)


def floor_for(store: Store, version: Version, max_growth: float) -> BandFloor | None:
    """The floor that was measured for the settings of ``version``; None when none was.

    See :func:`nightjar.promotion.find_measurement`; ``max_growth`` is the gate's.
    """
    try:
        embeddings = store.open(store.ref(schemas.EMBEDDINGS, version.embeddings))
    except StoreError:  # its vectors are no longer kept
        return None
    noise = find_measurement(store, version.model, embeddings, max_growth, _has_floor)
    floor = None if noise is None else Floor.read(noise)
    if noise is None or floor is None:
        return None
    bands = list(dict.fromkeys(floor.bands))  # one without words is its neighbour again
    return BandFloor(
        noise.ref.version,
        np.array([band.least_count for band in bands]),
        np.array([band.displacement for band in bands]),
        np.array([band.overlap for band in bands]),
        np.array([band.limit for band in bands]),
    )


def _has_floor(noise: Artifact) -> bool:
    return noise.has_table(schemas.FLOOR_BANDS)
