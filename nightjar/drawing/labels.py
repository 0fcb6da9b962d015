"""Labels of points that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_LABELS = 60
_CHARACTER_PIXELS = 7.5
_LINE_PIXELS = 17.0

Window = tuple[float, float, float, float]
"""Least and greatest x, least and greatest y."""


def labelled(
    texts: Sequence[str],
    points: NDArray[np.float32],
    box: Window,
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
