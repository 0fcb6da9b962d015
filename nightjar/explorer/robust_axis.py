"""The range of an axis that one spoilt night does not flatten.

A value is spoilt when it lies far from the middle of its own series, measured by how much the
series varies and how wide its intervals are. A champion's score never is, and where many values
lie far out, they are no accident. Whoever draws marks the spoilt ones at the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FAR = 6.0
"""So many standard deviations, estimated from the median, are far."""
_DEVIATION = 1.4826
"""The standard deviation of normal values in median absolute deviations."""
_LEAST_DEVIATION = 0.005
_MAX_SPOILT = 0.2
_MARGIN = 0.06
_LEAST_VALUES = 3

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """Values over nights, with their intervals; all of shape (n,)."""

    values: Doubles
    lows: Doubles
    """The value itself where there is no interval; likewise the highs."""
    highs: Doubles
    is_kept: NDArray[np.bool_]
    """Whether a value is in the range wherever it lies."""


def spoilt(series: Series) -> NDArray[np.bool_]:
    """Which values lie so far out that they should not stretch the axis."""
    n_values = len(series.values)
    if n_values < _LEAST_VALUES:
        return np.zeros(n_values, bool)
    middle = np.median(series.values)
    away = np.abs(series.values - middle)
    half_width = float(np.median(series.highs - series.lows)) / 2
    deviation = max(_DEVIATION * float(np.median(away)), half_width / 2, _LEAST_DEVIATION)
    found: NDArray[np.bool_] = (away > _FAR * deviation) & ~series.is_kept
    is_accident = found.sum() <= max(1, int(_MAX_SPOILT * n_values))
    return found if is_accident else np.zeros(n_values, bool)


def axis_range(all_series: Sequence[Series]) -> tuple[float, float] | None:
    """The lowest and highest value to show, with a margin; None without values."""
    lows = [series.lows[~spoilt(series)] for series in all_series]
    highs = [series.highs[~spoilt(series)] for series in all_series]
    if not sum(map(len, lows)):
        return None
    low, high = float(np.concatenate(lows).min()), float(np.concatenate(highs).max())
    margin = max((high - low) * _MARGIN, 1e-4)
    return low - margin, high + margin
