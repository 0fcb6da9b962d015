"""Scores by time with their intervals, champion moves, and what the gate decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from flows.explorer.history import History, Measurement, read_history
from flows.explorer.pages.parts import Component, Request, Screen, notice, table
from flows.explorer.text import plotly_text, visible
from nightjar.promotion import Event, EventKind

PALETTE = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377",
    "#ee7733", "#009988", "#cc3311", "#7f7f7f",
)  # fmt: skip
"""Told apart by the colour-blind (Tol 2021)."""
_CHART_PIXELS = 260


def scores_page(request: Request) -> Component:
    """One figure a benchmark, then the decisions, newest first."""
    history = read_history(request.library.loaded)
    problems = [notice(problem) for problem in history.problems]
    if not history.measurements:
        return [*problems, notice("nothing has been evaluated yet", "hint")]
    models = list(dict.fromkeys(entry.model for entry in history.measurements))
    figures = [
        html.Section(
            [
                html.H2(f"{visible(benchmark)}, {_metric(history, benchmark)}"),
                dcc.Graph(
                    figure=_figure(history, benchmark, models, request.screen),
                    config={"displayModeBar": False, "responsive": True},
                    className="chart",
                    style={"height": f"{_CHART_PIXELS}px"},
                ),
            ]
        )
        for benchmark in history.benchmarks
    ]
    return [
        *problems,
        html.H1("Scores"),
        html.P(
            "Bars are the confidence intervals; a star is a version that became champion. "
            "Scores compare where the covered items are the same.",
            className="quiet",
        ),
        html.Div(figures, className="charts"),
        html.H2("Decisions of the gate"),
        _decisions(history.decisions),
    ]


def _figure(
    history: History, benchmark: str, models: Sequence[str], screen: Screen
) -> dict[str, Any]:
    traces = []
    for number, model in enumerate(models):
        found = [
            entry
            for entry in history.measurements
            if entry.model == model
            and entry.score.benchmark == benchmark
            and entry.score.value is not None
        ]
        if found:
            traces.append(_trace(model, found, PALETTE[number % len(PALETTE)]))
    return {"data": traces, "layout": chart_layout(screen)}


def _metric(history: History, benchmark: str) -> str:
    return next(
        entry.score.metric for entry in history.measurements if entry.score.benchmark == benchmark
    )


def _trace(model: str, found: Sequence[Measurement], colour: str) -> dict[str, Any]:
    values = [entry.score.value or 0.0 for entry in found]
    highs = [entry.score.ci_high for entry in found]
    lows = [entry.score.ci_low for entry in found]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plotly_text(model),
        "x": [entry.time.isoformat() for entry in found],
        "y": values,
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [0 if h is None else h - v for h, v in zip(highs, values, strict=True)],
            "arrayminus": [
                0 if low is None else v - low for low, v in zip(lows, values, strict=True)
            ],
            "thickness": 1,
            "width": 3,
        },
        "line": {"color": colour, "width": 1.5},
        "marker": {
            "color": colour,
            "symbol": ["star" if _became_champion(entry) else "circle" for entry in found],
            "size": [11 if _became_champion(entry) else 6 for entry in found],
        },
        "hoverinfo": "text",
        "hovertext": [_hover(entry) for entry in found],
    }


def _became_champion(entry: Measurement) -> bool:
    return entry.decision is not None and entry.decision.kind is EventKind.PROMOTED


def _hover(entry: Measurement) -> str:
    score, decision = entry.score, entry.decision
    what = (
        "not judged"
        if decision is None or decision.new is None
        else f"v{decision.new.number} {decision.kind}"
    )
    interval = ""
    if score.ci_low is not None and score.ci_high is not None:
        interval = f" ({score.ci_low:.3f} to {score.ci_high:.3f})"
    lines = (
        f"{entry.model} {what}",
        f"{score.value:.4f}{interval}",
        f"{score.n_covered:,} of {score.n_items:,} items",
        f"{entry.time:%Y-%m-%d %H:%M} UTC",
    )
    return "<br>".join(map(plotly_text, lines))


def chart_layout(screen: Screen) -> dict[str, Any]:
    """Margins and colours that fit the page."""
    return {
        "margin": {"l": 48, "r": 12, "t": 8, "b": 36},
        "height": _CHART_PIXELS,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "#d8dade" if screen.is_dark else "#23272e", "size": 12},
        "legend": {"orientation": "h", "y": -0.22},
        "xaxis": {"gridcolor": _grid(screen), "zeroline": False, "nticks": 5},
        "yaxis": {"gridcolor": _grid(screen), "zeroline": False, "nticks": 6},
        "hovermode": "closest",
        "showlegend": True,
    }


def _grid(screen: Screen) -> str:
    return "#3a3f47" if screen.is_dark else "#e3e6ea"


def _number(event: Event, name: str) -> str:
    """A number that the decision rests on."""
    value = event.evidence.get("decision", {}).get(name)
    return "-" if value is None else f"{value:.4f}"


def _decisions(decisions: Sequence[Event]) -> Component:
    if not decisions:
        return notice("nothing has been judged yet", "hint")
    rows = [
        [
            f"{entry.time:%Y-%m-%d %H:%M}",
            f"{visible(entry.subject)} v{'-' if entry.new is None else entry.new.number}",
            html.Span(entry.kind, className=f"decision {entry.kind}"),
            _number(entry, "score"),
            _number(entry, "champion_score"),
            visible(entry.reason, 400),
            visible(entry.actor),
        ]
        for entry in reversed(decisions)
    ]
    head = ["time (UTC)", "version", "decision", "score", "champion's", "reason", "by"]
    return table(head, rows, numbers=(3, 4))
