"""Ranges and ticks of axes.

One spoilt night does not flatten an axis. A value is spoilt when it lies far from the middle of its
own series, measured by how much the series varies and how wide its intervals are. A champion's
score never is, and where many values lie far out, they are no accident. Whoever draws marks the
spoilt ones at the border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_FAR = 6.0
"""So many standard deviations, estimated from the median, are far."""
_DEVIATION = 1.4826
"""The standard deviation of normal values in median absolute deviations."""
_LEAST_DEVIATION = 0.0125
"""As a share of the largest value: smaller differences cannot be seen on an axis."""
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

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        lows: Sequence[float | None],
        highs: Sequence[float | None],
        is_kept: Sequence[bool],
    ) -> Series:
        """From lists, in which None stands for no interval."""
        return cls(
            np.array(values, np.float64),
            np.array([v if low is None else low for low, v in zip(lows, values, strict=True)]),
            np.array([v if high is None else high for high, v in zip(highs, values, strict=True)]),
            np.array(is_kept, np.bool_),
        )


def spoilt(series: Series) -> NDArray[np.bool_]:
    """Which values lie so far out that they should not stretch the axis."""
    n_values = len(series.values)
    if n_values < _LEAST_VALUES:
        return np.zeros(n_values, np.bool_)
    away = np.abs(series.values - np.median(series.values))
    half_width = float(np.median(series.highs - series.lows)) / 2
    least = _LEAST_DEVIATION * float(np.abs(series.values).max())
    deviation = max(_DEVIATION * float(np.median(away)), half_width / 2, least)
    found: NDArray[np.bool_] = (away > _FAR * deviation) & ~series.is_kept
    is_accident = found.sum() <= max(1, int(_MAX_SPOILT * n_values))
    return found if is_accident else np.zeros(n_values, np.bool_)


def axis_range(all_series: Sequence[Series]) -> tuple[float, float] | None:
    """The lowest and highest value to show, with a margin; None without values."""
    lows, highs = [], []
    for series in all_series:
        is_shown = ~spoilt(series)
        lows += series.lows[is_shown].tolist()
        highs += series.highs[is_shown].tolist()
    if not lows:
        return None
    low, high = min(lows), max(highs)
    margin = _MARGIN * max(high - low, 0.02 * max(abs(low), abs(high)), 1e-9)
    return low - margin, high + margin


def ticks(low: float, high: float, n_ticks: int = 5) -> list[float]:
    """At most ``n_ticks`` round numbers from ``low`` to ``high``, ascending."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    size = 10.0 ** math.floor(math.log10(span / n_ticks))
    for step in (size * factor for factor in (*_STEPS, 20.0, 25.0, 50.0)):
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first + 1 <= n_ticks:
            return [number * step for number in range(first, last + 1)]
    return [low, high]


def tick_text(value: float, step: float) -> str:
    """``value`` with as many decimals as neighbours a ``step`` apart need."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit or step >= limit:
            scale = {"G": 1e9, "M": 1e6, "k": 1e3}[unit]
            return f"{value / scale:.4g} {unit}" if value else "0"
    decimals = 0 if step >= 1 else min(6, math.ceil(-math.log10(step) - 1e-9))
    if decimals and abs(step * 10**decimals - round(step * 10**decimals)) > 1e-6:
        decimals += 1
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text
