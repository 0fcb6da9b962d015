"""Percentile bootstrap over the units of a benchmark (Efron and Tibshirani 1993, chapter 13).

As many units as there are are drawn with replacement, ``samples`` times; the interval holds the
middle ``confidence`` of the resampled scores. A resample is a row of weights (how often each item
was drawn), so items are not copied and resamples not sorted.

A unit is an item, or where items share parts, a part. Each analogy consists of two pairs of words,
and the 19,544 questions of Google's set of only 550 pairs: the questions are far from independent.
There the pairs are drawn, and a question's weight is the product of those of its two pairs (Owen
2007, "The pigeonhole bootstrap", section 3). It errs on the safe side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.scoring.metrics import METRICS, MIN_ITEMS, score

Floats = NDArray[np.float64]
Units = NDArray[np.int64]
"""The units of each item, shape (n_items, 1 or 2), numbered from 0."""

_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class ScoreEstimate:
    """A score and its interval; None where they are not defined."""

    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None


@dataclass(frozen=True)
class Resampling:
    """The number of resamples, the width of the interval, and the seed of the draws."""

    samples: int
    confidence: float
    seed: int

    def generator(self, *names: str) -> np.random.Generator:
        """A separate random generator for each combination of ``names`` (benchmark, category).

        It depends only on the seed and the names: adding a benchmark does not change the interval
        of another.
        """
        digest = hashlib.sha256("\x00".join(names).encode()).digest()
        return np.random.default_rng([self.seed, *np.frombuffer(digest, "<u4").tolist()])

    def weights(self, units: Units, *names: str) -> Iterator[Floats]:
        """How often each item is drawn, in blocks of shape (resamples, n_items).

        The same names and units give the same draws: what is compared is drawn together.
        """
        generator = self.generator(*names)
        numbers, places = np.unique(units, return_inverse=True)
        places = places.reshape(units.shape)
        n_units = len(numbers)
        block = max(1, _BLOCK_BYTES // (8 * max(n_units, len(units))))
        for start in range(0, self.samples, block):
            size = min(block, self.samples - start)
            drawn = generator.integers(0, n_units, (size, n_units))
            drawn += np.arange(size)[:, np.newaxis] * n_units
            times = np.bincount(drawn.ravel(), minlength=size * n_units)
            times = times.reshape(size, n_units).astype(np.float64)
            yield np.multiply.reduce([times[:, column] for column in places.T])

    def estimate(
        self, metric: str, answers: Floats, gold: Floats, units: Units, *names: str
    ) -> ScoreEstimate:
        """A score with its percentile interval.

        There is no interval when fewer than three items are covered, when every answer is worth
        the same, or for a metric that is not resampled. A resample in which the metric is
        undefined is left out. Memory: about ten blocks of 4 MiB.
        """
        value = score(metric, answers, gold)
        measured = METRICS[metric]
        if value is None or len(answers) < MIN_ITEMS or not measured.is_resampled:
            return ScoreEstimate(value)
        blocks = [
            measured.measure(answers, gold, weights) for weights in self.weights(units, *names)
        ]
        resampled = np.concatenate(blocks)
        resampled = resampled[~np.isnan(resampled)]
        if len(resampled) == 0 or np.ptp(resampled) == 0:
            return ScoreEstimate(value)
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return ScoreEstimate(value, float(low), float(high))


def own_units(n_items: int) -> Units:
    """Each item is a unit of its own."""
    return np.arange(n_items)[:, np.newaxis]
