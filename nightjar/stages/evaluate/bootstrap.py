"""Percentile bootstrap over the items of a benchmark (Efron and Tibshirani 1993, chapter 13).

As many items as there are are drawn with replacement, ``samples`` times; the interval holds the
middle ``confidence`` of the resampled scores. A resample is a row of weights (how often each item
was drawn), so items are not copied and resamples not sorted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_ITEMS = 3
"""With fewer covered items, neither correlation nor interval is defined."""

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

    def interval(self, value: float, resampled: NDArray[np.float64]) -> ScoreEstimate:
        """``value`` with the percentile interval of ``resampled``."""
        if len(resampled) == 0:
            return ScoreEstimate(value)
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return ScoreEstimate(value, float(low), float(high))


@dataclass(frozen=True)
class Correlations:
    """Spearman's and Pearson's correlation of two scores of the same items."""

    spearman: ScoreEstimate
    pearson: ScoreEstimate


def estimate_accuracy(
    n_correct: int, n_items: int, resampling: Resampling, *names: str
) -> ScoreEstimate:
    """The share of correct items, with its interval.

    The number of correct items in a resample is binomial, so it is drawn directly. When all or none
    are correct, there is no variance to resample and no interval.
    """
    if n_items == 0:
        return ScoreEstimate(None)
    value = n_correct / n_items
    if n_items < MIN_ITEMS or n_correct in (0, n_items):
        return ScoreEstimate(value)
    draws = resampling.generator(*names).binomial(n_items, value, resampling.samples)
    return resampling.interval(value, draws / n_items)


def estimate_correlations(
    x: NDArray[np.float64], y: NDArray[np.float64], resampling: Resampling, *names: str
) -> Correlations:
    """Spearman's (average ranks for ties) and Pearson's correlation of ``x`` and ``y``.

    Both have shape (n_items,). A resample in which ``x`` or ``y`` is constant has no correlation
    and is left out of the interval. Memory: about ten blocks of 4 MiB.
    """
    n_items = len(x)
    if n_items < MIN_ITEMS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlations(ScoreEstimate(None), ScoreEstimate(None))
    x_groups, y_groups = _Groups.of(x), _Groups.of(y)
    value = _correlate(np.ones((1, n_items)), x, y, x_groups, y_groups)
    generator = resampling.generator(*names)
    blocks = [
        _correlate(weights, x, y, x_groups, y_groups)
        for weights in _resamples(generator, resampling.samples, n_items)
    ]
    resampled = np.concatenate(blocks, axis=1)
    return Correlations(
        spearman=resampling.interval(float(value[0, 0]), resampled[0]),
        pearson=resampling.interval(float(value[1, 0]), resampled[1]),
    )


@dataclass(frozen=True, eq=False)
class _Groups:
    """Items grouped by their value.

    ``order`` sorts the items, ``starts`` are the positions in it of the first item of each distinct
    value, and ``group_of`` is each item's group.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    group_of: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> _Groups:
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        is_start = np.concatenate([[True], ascending[1:] != ascending[:-1]])
        group_of = np.empty(len(values), np.int64)
        group_of[order] = np.cumsum(is_start) - 1
        return cls(order, np.flatnonzero(is_start), group_of)

    def sizes(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Total weight of each group, shape (resamples, groups)."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def ranks(self, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average rank, from 1, of each item among the items drawn."""
        group_ranks = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
        return group_ranks[:, self.group_of]


def _resamples(
    generator: np.random.Generator, samples: int, n_items: int
) -> Iterator[NDArray[np.float64]]:
    """Weights of the resamples, in blocks of shape (block size, n_items)."""
    block = max(1, _BLOCK_BYTES // (8 * n_items))
    for start in range(0, samples, block):
        size = min(block, samples - start)
        drawn = generator.integers(0, n_items, (size, n_items))
        drawn += np.arange(size)[:, np.newaxis] * n_items
        weights = np.bincount(drawn.ravel(), minlength=size * n_items)
        yield weights.reshape(size, n_items).astype(np.float64)


def _correlate(
    weights: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    x_groups: _Groups,
    y_groups: _Groups,
) -> NDArray[np.float64]:
    """Spearman's and Pearson's correlation of each resample that has one, shape (2, n)."""
    x_sizes, y_sizes = x_groups.sizes(weights), y_groups.sizes(weights)
    is_defined = ((x_sizes > 0).sum(axis=1) > 1) & ((y_sizes > 0).sum(axis=1) > 1)
    weights = weights[is_defined]
    x_ranks, y_ranks = x_groups.ranks(x_sizes[is_defined]), y_groups.ranks(y_sizes[is_defined])
    return np.stack([_pearson(weights, x_ranks, y_ranks), _pearson(weights, x, y)])


def _pearson(
    weights: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    n_items = weights.shape[1]
    x = x - (weights * x).sum(axis=1, keepdims=True) / n_items
    y = y - (weights * y).sum(axis=1, keepdims=True) / n_items
    covariance = (weights * x * y).sum(axis=1)
    scale = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    correlation: NDArray[np.float64] = np.clip(covariance / scale, -1.0, 1.0)
    return correlation
