"""Scores by night with their intervals, champions, and the events of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from nightjar.drawing.charts import PALETTE
from nightjar.explorer.pages.elements import Component, Request, Screen, notice, table
from nightjar.files.harmless_text import plotly_text, visible
from nightjar.pipeline.history import History, Measurement
from nightjar.promotion import Event
from nightjar.wording import counted

_CHART_PIXELS = 260


def scores_page(request: Request) -> Component:
    """One figure per benchmark, then the events, newest first."""
    history = request.library.history()
    problems = [notice(problem) for problem in history.problems]
    if not history.measurements:
        return [*problems, notice("nothing has been evaluated yet", "hint")]
    models = list(dict.fromkeys(entry.judged.model for entry in history.measurements))
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
            "Scores are comparable where the covered items are the same.",
            className="quiet",
        ),
        html.Div(figures, className="charts"),
        html.H2("What happened"),
        _events(history.events),
    ]


def _figure(
    history: History, benchmark: str, models: Sequence[str], screen: Screen
) -> dict[str, Any]:
    traces = []
    for number, model in enumerate(models):
        found = [
            entry
            for entry in history.measurements
            if entry.judged.model == model
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
        "x": [entry.judged.time.isoformat() for entry in found],
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
            "symbol": ["star" if entry.has_been_champion else "circle" for entry in found],
            "size": [11 if entry.has_been_champion else 6 for entry in found],
        },
        "hoverinfo": "text",
        "hovertext": [_hover(entry) for entry in found],
    }


def _hover(entry: Measurement) -> str:
    score, judged = entry.score, entry.judged
    what = "not judged" if judged.version is None else f"v{judged.version} {judged.outcome}"
    trial = ", a trial" if judged.is_trial else ""
    interval = ""
    if score.ci_low is not None and score.ci_high is not None:
        interval = f" ({score.ci_low:.3f} to {score.ci_high:.3f})"
    lines = (
        f"{judged.model} {what}, night {judged.night}{trial}",
        f"{score.value:.4f}{interval}",
        f"{score.n_covered:,} of {counted(score.n_items, 'item')}",
        f"{judged.time:%Y-%m-%d %H:%M} UTC",
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
    """A number from the evidence of a decision."""
    value = event.evidence.get("decision", {}).get(name)
    return "-" if value is None else f"{value:.4f}"


def _events(events: Sequence[Event]) -> Component:
    if not events:
        return notice("nothing has been judged yet", "hint")
    rows = [
        [
            f"{event.time:%Y-%m-%d %H:%M}",
            "-" if event.night is None else str(event.night),
            visible(event.subject) + ("" if event.new is None else f" v{event.new.number}"),
            html.Span(event.kind.value, className=f"decision {event.kind.value}"),
            _number(event, "score"),
            _number(event, "champion_score"),
            visible(event.reason, 400),
            visible(event.actor),
        ]
        for event in reversed(events)
    ]
    head = ["time (UTC)", "night", "what", "event", "score", "champion's", "reason", "by"]
    return table(head, rows, numbers=(1, 4, 5))
