"""Labels of points that do not overlap."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_LABELS = 60
_LINE = 1.4
"""Height of a label, by its font size."""
_NARROW, _USUAL, _CAPITAL, _WIDE, _SQUARE = 0.42, 0.64, 0.76, 0.98, 1.05
"""Widths of characters by the font size, at most, in the fonts that browsers take."""
_NARROW_SIGNS = frozenset("ijltfrI1.,:;'|!()[]{}/ ")
_WIDE_SIGNS = frozenset("mwMW@%&—…")
_GAP = 2.0
"""Pixels around a label."""

Window = tuple[float, float, float, float]
"""Least and greatest x, least and greatest y."""


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
    box: Window,
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


def labelled(
    texts: Sequence[str],
    points: NDArray[np.float32],
    box: Window,
    pixels: tuple[int, int],
    limit: int = MAX_LABELS,
) -> list[int]:
    """Indices of the texts to show above their points: in order, each that overlaps no earlier one.

    ``pixels`` is the width and height of the window on the screen.
    """
    return apart(label_boxes(texts, points, box, pixels, LabelStyle()), pixels, limit=limit)
