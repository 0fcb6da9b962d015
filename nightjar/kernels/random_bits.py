"""Random numbers for kernels: a 64-bit linear congruential generator with its state as an argument.

Knuth's MMIX constants (The Art of Computer Programming, volume 2, 3.3.4); only the upper 32 bits
are used. Each draw takes one addition and one multiplication; subsampling and window sizes need no
better quality.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled

_MULTIPLIER = np.uint64(6364136223846793005)
_INCREMENT = np.uint64(1442695040888963407)
_UPPER = np.uint64(32)


@compiled()
def next_state(state: np.uint64) -> np.uint64:
    """The state after ``state``."""
    return np.uint64(state * _MULTIPLIER + _INCREMENT)


@compiled()
def bits(state: np.uint64) -> np.uint64:
    """The 32 random bits of a state."""
    return np.uint64(state >> _UPPER)


@compiled()
def below(state: np.uint64, bound: np.uint64) -> int:
    """A random number in 0..bound - 1 from a state; ``bound`` is below 2**32."""
    return int(np.int64((bits(state) * bound) >> _UPPER))


@compiled()
def shuffle(values: NDArray[np.int32], state: np.uint64) -> np.uint64:
    """Shuffle ``values`` in place (Fisher and Yates); returns the next state."""
    for last in range(values.shape[0] - 1, 0, -1):
        state = next_state(state)
        other = below(state, np.uint64(last + 1))
        values[last], values[other] = values[other], values[last]
    return state
