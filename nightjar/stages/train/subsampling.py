"""Subsampling of frequent words (Mikolov et al. 2013, section 2.3); a plan asks for it, too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ALWAYS = 1 << 32


def keep_limits(counts: NDArray[np.int64], sample: float) -> NDArray[np.uint64]:
    """Of 2**32, how often a token of each word stays; all of them with ``sample`` 0.

    The probability is (sqrt(x) + 1) / x with x = count / (sample * all), as in word2vec.c.
    """
    if sample == 0:
        return np.full(len(counts), _ALWAYS, np.uint64)
    excess = np.maximum(counts, 1) / (sample * counts.sum())
    probabilities = np.minimum((np.sqrt(excess) + 1) / excess, 1.0)
    limits: NDArray[np.uint64] = (probabilities * _ALWAYS).astype(np.uint64)
    return limits
