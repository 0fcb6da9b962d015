"""One window of the map: its most frequent words as points, and labels that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nightjar.explorer.view import Box

MAX_POINTS = 3_000
MAX_LABELS = 60
LABEL_CANDIDATES = 600
_BLOCK = 131_072
_CHARACTER_PIXELS = 7.5
_LINE_PIXELS = 17.0


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


def labelled(
    texts: Sequence[str],
    points: NDArray[np.float32],
    box: Box,
    pixels: tuple[int, int],
    limit: int = MAX_LABELS,
) -> list[int]:
    """Indices of the texts to show: in order, each that overlaps no earlier one.

    ``pixels`` is the width and height of the window on the screen; labels are above their points.
    """
    x0, x1, y0, y1 = box
    scale = np.array([pixels[0] / (x1 - x0), pixels[1] / (y1 - y0)])
    centres = (np.asarray(points, np.float64) - (x0, y0)) * scale
    taken = np.zeros((limit, 4))
    chosen: list[int] = []
    for place, text in enumerate(texts):
        half = len(text) * _CHARACTER_PIXELS / 2
        x, y = centres[place]
        left, right, low, high = x - half, x + half, y, y + _LINE_PIXELS
        others = taken[: len(chosen)]
        overlaps = (others[:, 0] < right) & (left < others[:, 1])
        overlaps &= (others[:, 2] < high) & (low < others[:, 3])
        if left < 0 or right > pixels[0] or overlaps.any():
            continue
        taken[len(chosen)] = left, right, low, high
        chosen.append(place)
        if len(chosen) == limit:
            break
    return chosen
