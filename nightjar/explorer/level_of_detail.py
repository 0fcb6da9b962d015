"""One window of the map: its most frequent words as points, and labels that do not overlap."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.explorer.view import Box

MAX_POINTS = 3_000
MAX_LABELS = 60
LABEL_CANDIDATES = 600
_BLOCK = 131_072
_LINE = 1.4
"""Height of a label, by its font size."""
_NARROW, _USUAL, _CAPITAL, _WIDE, _SQUARE = 0.42, 0.64, 0.76, 0.98, 1.05
"""Widths of characters by the font size, at most, in the fonts that browsers take."""
_NARROW_SIGNS = frozenset("ijltfrI1.,:;'|!()[]{}/ ")
_WIDE_SIGNS = frozenset("mwMW@%&—…")
_GAP = 2.0
"""Pixels around a label."""


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


@dataclass(frozen=True)
class LabelStyle:
    """How labels stand at their points; the unit is a pixel."""

    font_size: float = 12
    is_bold: bool = False
    is_above: bool = True
    """Else below."""
    radius: float = 0
    """Of the mark that is drawn with the label, which stands beside it."""


def label_boxes(
    texts: Sequence[str],
    points: NDArray[np.float32],
    box: Box,
    pixels: tuple[int, int],
    style: LabelStyle,
) -> NDArray[np.float64]:
    """Left, right, lower and upper border of each label in pixels, shape (n_texts, 4).

    ``pixels`` is the width and height of the window on the screen.
    """
    x0, x1, y0, y1 = box
    scale = np.array([pixels[0] / (x1 - x0), pixels[1] / (y1 - y0)])
    x, y = ((np.asarray(points, np.float64).reshape(-1, 2) - (x0, y0)) * scale).T
    size = style.font_size * (1.1 if style.is_bold else 1.0)
    half = np.array([text_width(text) for text in texts], np.float64) * size / 2 + _GAP
    height = _LINE * style.font_size
    low = y + style.radius if style.is_above else y - style.radius - height
    return np.stack([x - half, x + half, low - _GAP, low + height + _GAP], axis=1)


def text_width(text: str) -> float:
    """The width of a text by its font size, rather more than less."""
    return sum(map(_sign_width, text))


def _sign_width(sign: str) -> float:
    if unicodedata.combining(sign):
        return 0.0
    if unicodedata.east_asian_width(sign) in "WF":
        return _SQUARE
    if sign in _NARROW_SIGNS:
        return _NARROW
    if sign in _WIDE_SIGNS:
        return _WIDE
    if not sign.isascii():
        return _CAPITAL if sign.islower() else _WIDE
    return _CAPITAL if sign.isupper() else _USUAL


def apart(
    boxes: NDArray[np.float64],
    pixels: tuple[int, int],
    taken: NDArray[np.float64] | None = None,
    limit: int = MAX_LABELS,
) -> list[int]:
    """Indices of the boxes to show: in order, each that overlaps no earlier one.

    Nor any of ``taken``, shape (n, 4); and each is inside of the window.
    """
    kept = np.zeros((0, 4)) if taken is None else taken
    chosen: list[int] = []
    for place, (left, right, low, high) in enumerate(boxes.tolist()):
        overlaps = (kept[:, 0] < right) & (left < kept[:, 1])
        overlaps &= (kept[:, 2] < high) & (low < kept[:, 3])
        is_inside = left >= 0 and right <= pixels[0] and low >= 0 and high <= pixels[1]
        if not is_inside or overlaps.any():
            continue
        kept = np.vstack([kept, boxes[place]])
        chosen.append(place)
        if len(chosen) == limit:
            break
    return chosen
