"""Rates of decisions, with intervals over the seeds and the items drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 1_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """One decision, or one run of nights."""

    what: str
    """What is measured, as in ``false_blocks``."""
    setting: str
    model: str
    draw: int
    trainings: tuple[str, ...]
    """Those that were judged, each by its model and seed."""
    is_event: bool
    """Blocked, missed or stopped."""
    true_drop: float
    printed_drop: float
    difference: float
    """To the champion, on the items drawn."""
    error: float
    """The standard error of the difference that the gate computed."""


@dataclass(frozen=True)
class Rate:
    """The share of decisions, its interval, and how many there were."""

    value: float
    interval: tuple[float, float]
    n: int


def rate(rows: Sequence[Row], seed: int = 1) -> Rate:
    """The share of events among ``rows``.

    Decisions share trainings and items, so these are resampled and not the decisions: seeds within
    each model, draws of items within each model. A decision's weight is the product of how often
    its trainings and its items were drawn (Owen 2007, "The pigeonhole bootstrap"), which errs on
    the safe side. Without a single event (or with nothing else) the far bound is that of as many
    independent trials as trainings were judged (the rule of three).
    """
    events = np.array([row.is_event for row in rows], np.float64)
    value = float(events.mean())
    n_trainings = len({one for row in rows for one in row.trainings})
    if value in (0.0, 1.0):
        far = 1 - (1 - CONFIDENCE) ** (1 / n_trainings)
        return Rate(value, (0.0, far) if value == 0 else (1 - far, 1.0), len(rows))
    generator = np.random.default_rng(seed)
    trainings = _Units.of(one for row in rows for one in row.trainings)
    draws = _Units.of(f"{row.model} {row.draw}" for row in rows)
    places = trainings.places.reshape(len(rows), -1)
    shares = []
    for _ in range(RESAMPLES):
        weights = trainings.drawn(generator)[places].prod(axis=1)
        weights *= draws.drawn(generator)[draws.places]
        if weights.any():
            shares.append(float(weights @ events / weights.sum()))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(shares, [tail, 1 - tail])
    return Rate(value, (float(low), float(high)), len(rows))


@dataclass(frozen=True, eq=False)
class _Units:
    """What is drawn again: the units of each model among themselves."""

    places: NDArray[np.int64]
    """Of each name: its unit."""
    models: tuple[NDArray[np.int64], ...]
    """The units of each model."""

    @classmethod
    def of(cls, names: Iterable[str]) -> _Units:
        """From names of a model and a number, with a space between them."""
        found, places = np.unique(list(names), return_inverse=True)
        model_of = np.array([name.partition(" ")[0] for name in found.tolist()])
        models = tuple(np.flatnonzero(model_of == model) for model in np.unique(model_of))
        return cls(places.ravel(), models)

    def drawn(self, generator: np.random.Generator) -> Floats:
        """How often each unit is drawn."""
        times = np.zeros(sum(map(len, self.models)))
        for units in self.models:
            times += np.bincount(generator.choice(units, len(units)), minlength=len(times))
        return times
