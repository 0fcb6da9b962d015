"""The main scores with their confidence intervals, as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from nightjar.registry.summary import ModelSummary
from nightjar.scoring.scores import Score

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 640, 190, 70, 44, 34
_INK, _GRID, _MARK = "#24292f", "#d0d7de", "#0969da"


def score_plot(summary: ModelSummary) -> str:
    """One row per benchmark: a dot for the score, a bar for its interval, from 0 (or less) to 1."""
    rows = [(name, score) for name, score in summary.main.items() if score.value is not None]
    lows = [score.value if score.ci_low is None else score.ci_low for _, score in rows]
    low = min([0.0, *(value for value in lows if value is not None)])
    height = _TOP + _ROW * len(rows) + 34
    size = f'width="{_WIDTH}" height="{height}"'
    font = f'font-family="sans-serif" font-size="13" fill="{_INK}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        f'<rect {size} fill="white"/>',
        f'<text x="12" y="22" font-weight="bold">{escape(summary.request.registered_model)}</text>',
        *_axis(low, height),
    ]
    for place, (name, score) in enumerate(rows):
        parts += _row(name, score, low, _TOP + _ROW * place + _ROW // 2)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(value: float, low: float) -> float:
    return _LEFT + (value - low) / (1 - low) * (_WIDTH - _LEFT - _RIGHT)


def _axis(low: float, height: int) -> Iterator[str]:
    bottom = height - 30
    for tick in (low, 0.0, 0.25, 0.5, 0.75, 1.0) if low < -0.05 else (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _x(tick, min(low, 0.0))
        yield f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="{_GRID}"/>'
        yield f'<text x="{x:.1f}" y="{height - 12}" text-anchor="middle">{tick:.2f}</text>'


def _row(name: str, score: Score, low: float, y: int) -> Iterator[str]:
    value = score.value if score.value is not None else 0.0
    start = value if score.ci_low is None else score.ci_low
    end = value if score.ci_high is None else score.ci_high
    yield f'<text x="12" y="{y + 4}">{escape(name)} ({escape(score.metric)})</text>'
    yield (
        f'<path d="M{_x(start, low):.1f} {y}H{_x(end, low):.1f}" stroke="{_MARK}" '
        f'stroke-width="3" stroke-linecap="round"/>'
    )
    yield f'<circle cx="{_x(value, low):.1f}" cy="{y}" r="5" fill="{_MARK}"/>'
    yield f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 4}">{value:.3f}</text>'
