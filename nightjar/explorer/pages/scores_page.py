"""Scores by night with their intervals, champions, and the events of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import html

from nightjar.drawing.axes import Series, axis_range
from nightjar.drawing.charts import PALETTE
from nightjar.explorer.pages.elements import Component, Request, Screen, notice, table
from nightjar.explorer.pages.plotly_charts import chart, chart_layout
from nightjar.files.harmless_text import plotly_text, visible
from nightjar.pipeline.history import History, Measurement
from nightjar.promotion import Event
from nightjar.wording import counted


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
                chart(benchmark_figure(history, benchmark, models, request.screen)),
            ]
        )
        for benchmark in history.benchmarks
    ]
    return [
        *problems,
        html.H1("Scores"),
        html.P(
            "Bars are the confidence intervals; a star is a version that became champion; a "
            "triangle at the border is a score outside of the picture. "
            "Scores are comparable where the covered items are the same.",
            className="quiet",
        ),
        html.Div(figures, className="charts"),
        html.H2("What happened"),
        _events(history.events),
    ]


def benchmark_figure(
    history: History, benchmark: str, models: Sequence[str], screen: Screen
) -> dict[str, Any]:
    """Each model's scores by night; what is far out is marked at the border."""
    traces = []
    drawn: list[tuple[Sequence[Measurement], Series, str]] = []
    for number, model in enumerate(models):
        found = [
            entry
            for entry in history.measurements
            if entry.judged.model == model
            and entry.score.benchmark == benchmark
            and entry.score.value is not None
        ]
        if found:
            colour = PALETTE[number % len(PALETTE)]
            traces.append(_trace(model, found, colour))
            drawn.append((found, _series(found), colour))
    layout = chart_layout(screen)
    shown = axis_range([series for _, series, _ in drawn])
    if shown is not None:
        layout["yaxis"]["range"] = list(shown)
        for entries, series, colour in drawn:
            traces += _at_the_border(entries, series, shown, colour)
    return {"data": traces, "layout": layout}


def _series(found: Sequence[Measurement]) -> Series:
    scores = [entry.score for entry in found]
    return Series.of(
        [score.value or 0.0 for score in scores],
        [score.ci_low for score in scores],
        [score.ci_high for score in scores],
        [entry.has_been_champion for entry in found],
    )


def _at_the_border(
    found: Sequence[Measurement], series: Series, shown: tuple[float, float], colour: str
) -> list[dict[str, Any]]:
    """Marks, with their values, for what lies outside of the range."""
    low, high = shown
    are_out = np.flatnonzero((series.values < low) | (series.values > high)).tolist()
    if not are_out:
        return []
    are_below = [series.values[place] < low for place in are_out]
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "outside",
            "showlegend": False,
            "x": [found[place].judged.time.isoformat() for place in are_out],
            "y": [low if is_below else high for is_below in are_below],
            "cliponaxis": False,
            "marker": {
                "color": colour,
                "size": 11,
                "symbol": ["triangle-down" if below else "triangle-up" for below in are_below],
            },
            "text": [f"{series.values[place]:.3f}" for place in are_out],
            "textposition": [
                "top center" if is_below else "bottom center" for is_below in are_below
            ],
            "hoverinfo": "text",
            "hovertext": [_hover(found[place]) for place in are_out],
        }
    ]


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


def _number(event: Event, name: str) -> str:
    """A number from the evidence of a decision."""
    value = event.evidence.get("decision", {}).get(name)
    return "-" if value is None else f"{value:.4f}"


def _events(events: Sequence[Event]) -> Component:
    if not events:
        return notice("nothing has been judged yet", "hint")
    rows = [
        [
            html.Span(f"{event.time:%Y-%m-%d %H:%M}", className="unbroken"),
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
    return table(head, rows, numbers=(1, 4, 5), is_stacked=True)
