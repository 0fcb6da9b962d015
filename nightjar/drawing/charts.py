"""Curves, bars and clouds of points as SVG, without a library.

A chart is 380 units wide, as a telephone shows it, and its text is that of the page around it, so
it stays readable at any width. Colours come from classes, so that the page decides between light
and dark; :func:`standalone` makes a file of its own of a chart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from nightjar.drawing.axes import Series, axis_range, tick_text, ticks
from nightjar.files.harmless_text import harmless, visible

PALETTE = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377",
    "#ee7733", "#009988", "#cc3311", "#7f7f7f",
)  # fmt: skip
"""Colours that colour-blind people can distinguish (Tol 2021)."""
_COLOURS = "".join(f".c{n}{{fill:{colour};stroke:{colour}}}" for n, colour in enumerate(PALETTE))
STYLE = (
    "svg.chart{font:11px system-ui,sans-serif;display:block;width:100%;height:auto}"
    "svg.chart text{fill:var(--ink,#24292f);stroke:none}"
    "svg.chart .title{font-size:12.5px;font-weight:600}"
    "svg.chart .quiet{fill:var(--quiet,#57606a)}"
    "svg.chart .grid{stroke:var(--line,#d0d7de);stroke-width:.6;fill:none}"
    "svg.chart .track{fill:var(--line,#d0d7de);stroke:none;opacity:.45}"
    "svg.chart .curve{fill:none;stroke-width:1.6}"
    "svg.chart .interval{fill:none;stroke-width:1.1;opacity:.75}"
    "svg.chart .hollow{fill:var(--ground,#fff);stroke-width:1.6}"
    "svg.chart .dashed{stroke-dasharray:3 3;opacity:.8}"
    "svg.chart .bar{stroke:none}" + _COLOURS
)
"""The rules that charts need, once in a page."""
WIDTH = 380
_HEIGHT = 236
_TOP, _RIGHT, _BOTTOM = 42, 12, 42
_CHARACTER = 6.1
_ROW, _LEGEND_ROW = 31, 17


@dataclass(frozen=True)
class Point:
    """A place on the axes, with an interval if ``low`` and ``high`` are known."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    said: str = ""
    """Shown to a mouse that rests on it."""
    is_marked: bool = False
    """Drawn as a large diamond."""
    is_hollow: bool = False


@dataclass(frozen=True)
class Curve:
    """Points of one colour, joined by a line unless ``is_line`` is false."""

    name: str
    points: Sequence[Point]
    colour: int = 0
    is_line: bool = True
    has_dots: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis: what it measures, in which unit; and texts instead of numbers, by place."""

    title: str
    names: Mapping[int, str] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    text: Callable[[float, float], str] = tick_text
    """Writes a tick, given the step between ticks."""


@dataclass(frozen=True)
class Bar:
    """A bar, or with an interval a dot in it."""

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    colour: int = 0


@dataclass(frozen=True)
class _Frame:
    """Where the axes are on the drawing."""

    left: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at_x(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + min(1.0, max(0.0, share)) * (WIDTH - _RIGHT - self.left)

    def at_y(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return _HEIGHT - _BOTTOM - min(1.0, max(0.0, share)) * (_HEIGHT - _BOTTOM - _TOP)

    def is_inside(self, value: float) -> bool:
        return self.y[0] <= value <= self.y[1]


def curve_chart(title: str, series: Sequence[Curve], x: Axis, y: Axis) -> str:
    """Curve over two axes. A value far from the others is an arrow at the edge.

    Without points it is an empty string.
    """
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    low, high = axis_range([_series(one.points) for one in series]) or (0.0, 1.0)
    y_range = (low if y.low is None else y.low, high if y.high is None else y.high)
    x_range = _x_range(x, points)
    y_ticks = ticks(*y_range)
    step = y_ticks[1] - y_ticks[0] if len(y_ticks) > 1 else 1.0
    texts = [y.text(tick, step) for tick in y_ticks]
    frame = _Frame(12 + _CHARACTER * max(map(len, texts)), x_range, y_range)
    legend, n_rows = _legend(series)
    return _svg(
        title,
        _HEIGHT + n_rows * _LEGEND_ROW,
        [
            f'<text class="quiet" x="8" y="34">{_short(y.title, 56)}</text>',
            *_y_axis(frame, y_ticks, texts),
            *_x_axis(frame, x),
            *(part for one in series for part in _drawn(frame, one)),
            *legend,
        ],
    )


def _series(points: Sequence[Point]) -> Series:
    known = [point for point in points if math.isfinite(point.y)]
    return Series.of(
        [point.y for point in known],
        [point.low for point in known],
        [point.high for point in known],
        [point.is_marked for point in known],
    )


def _x_range(axis: Axis, points: Sequence[Point]) -> tuple[float, float]:
    values = [point.x for point in points]
    low = min(values) if axis.low is None else axis.low
    high = max(values) if axis.high is None else axis.high
    if axis.names or low == high:
        return low - 0.5, high + 0.5
    return low, high


def _y_axis(frame: _Frame, places: Sequence[float], texts: Sequence[str]) -> Iterator[str]:
    for tick, text in zip(places, texts, strict=True):
        y = frame.at_y(tick)
        yield f'<path class="grid" d="M{frame.left:.1f} {y:.1f}H{WIDTH - _RIGHT}"/>'
        yield (
            f'<text class="quiet" x="{frame.left - 5:.1f}" y="{y + 4:.1f}" '
            f'text-anchor="end">{escape(text)}</text>'
        )


def _x_axis(frame: _Frame, axis: Axis) -> Iterator[str]:
    bottom = _HEIGHT - _BOTTOM
    yield f'<path class="grid" d="M{frame.left:.1f} {bottom}H{WIDTH - _RIGHT}"/>'
    for place, text in _x_ticks(frame, axis):
        x = frame.at_x(place)
        # What would stick out on the right ends there.
        is_last = x + _CHARACTER * len(text) / 2 > WIDTH - 4
        yield f'<path class="grid" d="M{x:.1f} {bottom}v4"/>'
        yield (
            f'<text class="quiet" x="{WIDTH - 4 if is_last else x:.1f}" y="{bottom + 16}" '
            f'text-anchor="{"end" if is_last else "middle"}">{_short(text, 14)}</text>'
        )
    middle = (frame.left + WIDTH - _RIGHT) / 2
    yield (
        f'<text class="quiet" x="{middle:.1f}" y="{bottom + 33}" '
        f'text-anchor="middle">{_short(axis.title, 56)}</text>'
    )


def _x_ticks(frame: _Frame, axis: Axis) -> list[tuple[float, str]]:
    """Ticks that do not touch each other."""
    if axis.names:
        widest = max(min(14, len(text)) for text in axis.names.values())
        room = max(1, int((WIDTH - _RIGHT - frame.left) / (_CHARACTER * (widest + 2))))
        places = sorted(axis.names)
        every = -(-len(places) // room)
        # The newest one is always named.
        return [(place, axis.names[place]) for place in places[::-1][::every][::-1]]
    found = ticks(*frame.x)
    step = found[1] - found[0] if len(found) > 1 else 1.0
    return [(tick, axis.text(tick, step)) for tick in found]


def _drawn(frame: _Frame, series: Curve) -> Iterator[str]:
    colour = f"c{series.colour % len(PALETTE)}"
    points = series.points
    if series.is_line and len(points) > 1:
        path = " ".join(f"{frame.at_x(point.x):.1f},{frame.at_y(point.y):.1f}" for point in points)
        dashed = "" if series.has_dots or len(points) > 2 else " dashed"
        yield f'<polyline class="{colour} curve{dashed}" points="{path}"/>'
    if not series.has_dots:
        return
    for point in points:
        yield from _dot(frame, point, colour, is_small=len(points) > 60)


def _dot(frame: _Frame, point: Point, colour: str, *, is_small: bool) -> Iterator[str]:
    x, y = frame.at_x(point.x), frame.at_y(point.y)
    if not frame.is_inside(point.y):
        end = 8 if point.y < frame.y[0] else -8
        yield (
            f'<path class="{colour}" d="M{x - 4:.1f} {y - end:.1f}h8l-4 {end}z">'
            f"{_said(point.said)}</path>"
        )
        return
    if point.low is not None and point.high is not None:
        low, high = frame.at_y(point.low), frame.at_y(point.high)
        yield (
            f'<path class="{colour} interval" d="M{x:.1f} {low:.1f}V{high:.1f}'
            f'M{x - 3:.1f} {low:.1f}h6M{x - 3:.1f} {high:.1f}h6"/>'
        )
    kind = f"{colour} hollow" if point.is_hollow else colour
    if point.is_marked:
        shape = f'<path class="{kind}" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"'
        yield f"{shape}>{_said(point.said)}</path>"
    else:
        radius = 1.7 if is_small else 3.2
        yield (
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">'
            f"{_said(point.said)}</circle>"
        )


def _legend(series: Sequence[Curve]) -> tuple[list[str], int]:
    """The names of several series, below the axes; and the number of their rows."""
    named = [one for one in series if one.name]
    if len(named) < 2:
        return [], 0
    parts, x, row = [], 10.0, 0
    for one in named:
        text = visible(one.name, 40)
        width = 24 + _CHARACTER * len(text)
        if x > 10 and x + width > WIDTH:
            x, row = 10.0, row + 1
        y = _HEIGHT + row * _LEGEND_ROW + 6
        colour = f"c{one.colour % len(PALETTE)}"
        parts.append(f'<circle class="{colour}" cx="{x:.1f}" cy="{y - 4}" r="4"/>')
        parts.append(f'<text x="{x + 8:.1f}" y="{y}">{escape(text)}</text>')
        x += width
    return parts, row + 1


def bar_chart(title: str, bars: Sequence[Bar], unit: str, most: float | None = None) -> str:
    """Horizontal bars below their names, the first on top, from 0 to ``most``.

    A bar with an interval is a dot on a line. Below 0 the axis begins with the least value. Without
    bars it is an empty string.
    """
    if not bars:
        return ""
    values = [end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None]
    low, high = min(0.0, *values), max(0.0, *values) if most is None else most
    high = high if high > low else low + 1.0

    def at(value: float) -> float:
        return 8 + (min(high, max(low, value)) - low) / (high - low) * (WIDTH - 16)

    parts = [f'<text class="quiet" x="8" y="34">{_short(unit, 56)}</text>']
    for row, bar in enumerate(bars):
        parts += _bar(bar, _TOP + row * _ROW, at)
    return _svg(title, _TOP + len(bars) * _ROW + 4, parts)


def _bar(bar: Bar, top: float, at: Callable[[float], float]) -> Iterator[str]:
    colour = f"c{bar.colour % len(PALETTE)}"
    text = visible(bar.text, 26)
    room = int((WIDTH - 24 - _CHARACTER * len(text)) / _CHARACTER)
    yield f'<text x="8" y="{top + 11}">{_short(bar.name, max(8, room))}</text>'
    yield (
        f'<text class="quiet" x="{WIDTH - 8}" y="{top + 11}" text-anchor="end">'
        f"{escape(text)}</text>"
    )
    middle = top + 20
    yield f'<rect class="track" x="8" y="{middle - 4}" width="{WIDTH - 16}" height="8" rx="2"/>'
    start, end = sorted((at(0.0), at(bar.value)))
    if bar.low is None or bar.high is None:
        size = f'x="{start:.1f}" y="{middle - 4}" width="{end - start:.1f}" height="8"'
        yield f'<rect class="{colour} bar" {size} rx="2"/>'
        return
    yield (
        f'<path class="{colour}" stroke-width="2.5" stroke-linecap="round" '
        f'd="M{at(bar.low):.1f} {middle}H{at(bar.high):.1f}"/>'
        f'<circle class="{colour}" cx="{at(bar.value):.1f}" cy="{middle}" r="4.5"/>'
    )


def standalone(chart: str) -> str:
    """A file of its own of a chart: with its colours, on white."""
    head, _, rest = chart.partition(">")
    namespace = '<svg xmlns="http://www.w3.org/2000/svg"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return f"{head.replace('<svg', namespace, 1)}><style>{STYLE}</style>{ground}{rest}\n"


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    name = escape(harmless(title), quote=True)
    return (
        f'<svg class="chart" role="img" aria-label="{name}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}">'
        f'<text class="title" x="8" y="17">{_short(title, 52)}</text>{"".join(parts)}</svg>'
    )


def _said(text: str) -> str:
    return f"<title>{escape(harmless(text))}</title>" if text else ""


def _short(text: str, longest: int) -> str:
    return escape(visible(text, longest)) if text else ""
