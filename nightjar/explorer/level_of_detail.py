"""One window of the map: its most frequent words as points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.explorer.view import Box

MAX_POINTS = 3_000
LABEL_CANDIDATES = 600
_BLOCK = 131_072


def bounds(positions: NDArray[np.float32]) -> Box:
    """The window that shows all words but the outermost 0.2 %, with a margin."""
    sample = positions[:: max(1, len(positions) // 20_000)]
    low = np.quantile(sample, 0.001, axis=0).astype(float)
    high = np.quantile(sample, 0.999, axis=0).astype(float)
    margin = np.maximum((high - low) * 0.04, 1e-6)
    (x0, y0), (x1, y1) = (low - margin).tolist(), (high + margin).tolist()
    return x0, x1, y0, y1


def rows_in(positions: NDArray[np.float32], box: Box, limit: int = MAX_POINTS) -> NDArray[np.int64]:
    """The first ``limit`` rows, by frequency, inside ``box``. Reads no more than needed."""
    x0, x1, y0, y1 = box
    found: list[NDArray[np.int64]] = []
    missing = limit
    for first in range(0, len(positions), _BLOCK):
        x, y = positions[first : first + _BLOCK].T
        inside = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))[:missing]
        found.append(inside + first)
        missing -= len(inside)
        if missing == 0:
            break
    return np.concatenate(found) if found else np.zeros(0, np.int64)
