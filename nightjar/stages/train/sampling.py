"""The noise distribution of negative sampling (Mikolov et al. 2013, section 2.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.random_bits import shuffle

NOISE_WORDS = 1 << 22
"""Noise words that are drawn ahead: 16 MiB."""


def draw_noise(
    counts: NDArray[np.int64],
    exponent: float,
    generator: np.random.Generator,
    n_draws: int = NOISE_WORDS,
) -> NDArray[np.int32]:
    """``n_draws`` words, each with a probability that goes with count ** exponent, shuffled.

    One of count 0 is never drawn. Systematic sampling: a word appears as often as expected,
    give or take one.
    """
    occurring = np.flatnonzero(counts)
    weights = np.zeros(len(counts))
    weights[occurring] = np.power(counts[occurring].astype(np.float64), exponent)
    ends = np.cumsum(weights / weights.sum()) * n_draws
    # The number of points i + u (u the same for all) below each word's end.
    n_until = np.clip(np.ceil(ends - generator.random()), 0, n_draws).astype(np.int64)
    n_until[occurring[-1] :] = n_draws
    noise = np.repeat(np.arange(len(counts), dtype=np.int32), np.diff(n_until, prepend=0))
    shuffle(noise, generator.integers(2**64, dtype=np.uint64))
    return noise
