"""Ranges and ticks of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_FENCE = 4.0
"""Quartile ranges beyond the quartiles from which a value is left out of the range."""
_LEAST_TO_JUDGE = 5


def robust_range(
    values: Sequence[float], intervals: Sequence[tuple[float, float]] = ()
) -> tuple[float, float]:
    """The range to show: of ``values`` and of their ``intervals``, with a margin.

    Of five and more, those that are far from the others are left out, so that one spoilt night does
    not flatten all the rest.
    """
    known = _near_each_other([value for value in values if math.isfinite(value)])
    if not known:
        return 0.0, 1.0
    low, high = known[0], known[-1]
    inside = [(a, b) for a, b in intervals if a <= high and b >= low]
    low = min([low, *_near_each_other([a for a, _ in inside])])
    high = max([high, *_near_each_other([b for _, b in inside])])
    margin = 0.06 * max(high - low, 0.02 * max(abs(low), abs(high)), 1e-9)
    return low - margin, high + margin


def _near_each_other(values: Sequence[float]) -> list[float]:
    """The sorted values without those far outside of the quartiles."""
    known = sorted(values)
    if len(known) < _LEAST_TO_JUDGE:
        return known
    first, third = known[len(known) // 4], known[-1 - len(known) // 4]
    reach = _FENCE * max(third - first, 0.02 * max(abs(first), abs(third)))
    return [value for value in known if first - reach <= value <= third + reach]


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
