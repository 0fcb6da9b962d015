"""The floor beside words that moved: how far another seed alone moves words of each frequency.

``nightjar noise MODEL --seeds 3`` measures it. The measurement is an artifact, which holds for
versions with the same settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.drift.alignment import Doubles
from nightjar.errors import StoreError
from nightjar.explorer.catalogue import Version
from nightjar.promotion.measured_noise import N_WORDS, running_words, training_of
from nightjar.store import Artifact, Store, schemas

TABLE = "floor_bands"
"""The table of a noise artifact: one row for each band of frequency."""


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

    It holds while the text has grown or shrunk by less than the share ``max_growth``. Of several
    the one with the most similar amount of text.
    """
    found = [
        noise
        for noise in _measurements(store)
        if noise.manifest.identity["config"]["model"] == version.model
    ]
    if not found:
        return None
    try:
        embeddings = store.open(store.ref(schemas.EMBEDDINGS, version.embeddings))
        training = training_of(store, embeddings)
    except StoreError:  # its vectors are no longer kept
        return None
    n_words = running_words(embeddings)
    fitting = []
    for noise in found:
        settings = dict(noise.manifest.identity["config"]["training"])
        growth = abs(n_words / max(1, settings.pop(N_WORDS)) - 1)
        if settings == training and (growth < max_growth or growth == 0):
            fitting.append((growth, noise.ref.version, noise))
    if not fitting:
        return None
    _, version_of_noise, chosen = min(fitting, key=lambda entry: entry[:2])
    bands = chosen.read(TABLE).sort_by("least_count")
    columns = {name: bands.column(name).to_numpy() for name in bands.column_names}
    return BandFloor(
        version_of_noise,
        columns["least_count"],
        columns["displacement"],
        columns["overlap"],
        columns["limit"],
    )


def _measurements(store: Store) -> list[Artifact]:
    """The noise artifacts that have a floor."""
    found = []
    for ref in store.versions(schemas.NOISE):
        try:
            noise = store.open(ref)
        except StoreError:  # 'nightjar verify' reports it
            continue
        if noise.has_table(TABLE) and noise.rows(TABLE):
            found.append(noise)
    return found
