"""The words that moved most between two versions: a chart with the floor, and a sortable table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from dash import dcc, html

from nightjar.drawing.labels import LabelStyle, apart, label_boxes
from nightjar.explorer.catalogue import Version
from nightjar.explorer.floors import BandFloor
from nightjar.explorer.jobs import Pending
from nightjar.explorer.moved import N_NEIGHBOURS, MovedWord, MovedWords, Points
from nightjar.explorer.pages.elements import (
    Component,
    Request,
    Screen,
    notice,
    ordinal,
    page_width,
    pending,
    table,
    word_links,
)
from nightjar.explorer.pages.plotly_charts import BOTTOM, LEFT, RIGHT, TOP, chart, chart_layout, ink
from nightjar.explorer.view import Box, View
from nightjar.files.harmless_text import plotly_text, visible
from nightjar.wording import counted

_KEYS: dict[str, Callable[[MovedWord], Any]] = {
    "beyond": lambda word: -word.excess,
    "distance": lambda word: -word.distance,
    "overlap": lambda word: (word.overlap, -word.distance),
    "word": lambda word: word.token,
    "left": lambda word: word.left_row,
    "right": lambda word: word.right_row,
}
_TITLES = {
    "word": "word",
    "beyond": "above the floor",
    "distance": "moved (cosine distance)",
    "overlap": f"shared of {N_NEIGHBOURS} neighbours",
    "left": "occurrences left",
    "right": "occurrences right",
}
_PIXELS = 420
_N_LABELS = 25
_LABEL = LabelStyle()
_QUIET, _BEYOND, _FLOOR = "#8a94a0", "#cc3311", "#4477aa"


def moved_page(request: Request) -> Component:
    """The chart and the table, or a progress note while large models are compared."""
    view = request.view
    left, right = request.versions()
    if left.embeddings == right.embeddings:
        return notice(
            f"{left.label} is chosen on both sides: choose another version on one side", "hint"
        )
    found = request.library.moved(left, right, view.least)
    if isinstance(found, Pending):
        return pending(found)
    return [
        html.H1(f"{request.units.capitalize()} that moved most"),
        html.P(
            f"From {left.label} to {right.label}, of {counted(found.n_shared, request.unit)} with "
            f"{counted(view.least, 'occurrence')} or more in both, after an orthogonal alignment. "
            f"Half of them moved by less than {found.median:.3f}.",
            className="quiet",
        ),
        _about_the_floor(request, left, right, found),
        html.H2("Cosine distance by occurrences"),
        chart(_figure(found, request.screen)),
        _table(request, found),
    ]


def _about_the_floor(
    request: Request, left: Version, right: Version, found: MovedWords
) -> Component:
    """What the floor says, or how to get one."""
    unit, units = request.unit, request.units
    if found.n_beyond is not None:
        return html.P(
            f"Another seed alone moves {units} as far as the line. "
            f"{counted(found.n_beyond, unit)} moved farther than chance moves {units} of their "
            f"frequency (red).",
            className="quiet",
        )
    if left.model != right.model:
        return notice(
            f"These are two models: no floor says how far chance alone would move {units}.", "hint"
        )
    config = request.library.loaded.config
    if right.model in config.models and config.seeded_model(right.model) is None:
        return notice(
            f"The vectors of {visible(right.model)} are imported, so what chance alone would move "
            f"cannot be measured.",
            "hint",
        )
    return notice(
        f"Another seed alone moves {units}, too, rare ones most. How far is not known for these "
        f"settings: 'nightjar noise {visible(right.model)} --seeds 3' measures it, and this page "
        f"then shows which {units} moved farther.",
        "hint",
    )


# -- the table ---------------------------------------------------------------------------------


def _table(request: Request, found: MovedWords) -> Component:
    view = request.view
    names = [name for name in _TITLES if found.floor is not None or name != "beyond"]
    words = sorted(found.words, key=_KEYS[view.sort])
    model = request.library.model(request.versions()[1])
    link = word_links(view, model, [word.token for word in words])
    rows = [_row(link(word.token), word, names) for word in words]
    current = view.sort if view.sort in names else "distance"
    titles = {**_TITLES, "word": request.unit}
    head = [_title(view, name, titles[name], is_current=name == current) for name in names]
    return table(head, rows, numbers=range(1, len(names)))


def _row(link: Component, word: MovedWord, names: Sequence[str]) -> list[Component]:
    mark = html.Span("beyond", className="mark gone") if word.is_beyond else None
    distance = f"{word.distance:.3f}"
    overlap = f"{word.overlap * N_NEIGHBOURS:.0f}"
    if word.floor_distance is not None:
        distance += f" (floor {word.floor_distance:.3f})"
    if word.floor_overlap is not None:
        overlap += f" (floor {word.floor_overlap * N_NEIGHBOURS:.1f})"
    cells: dict[str, Component] = {
        "word": html.Span([link, mark], className="entry"),
        "beyond": f"{word.excess:z.3f}",
        "distance": distance,
        "overlap": overlap,
        "left": f"{word.left_count:,} (rank {ordinal(word.left_row)})",
        "right": f"{word.right_count:,} (rank {ordinal(word.right_row)})",
    }
    return [cells[name] for name in names]


def _title(view: View, name: str, title: str, *, is_current: bool) -> Component:
    return dcc.Link(
        f"{title}{' ▾' if is_current else ''}",
        href=view.link(sort=name) or "",
        className="sort current" if is_current else "sort",
    )


# -- the chart ---------------------------------------------------------------------------------


def _figure(found: MovedWords, screen: Screen) -> dict[str, Any]:
    """Each word's distance against its count, with the floor of its band."""
    points = found.points
    logs = np.log10(np.maximum(points.counts, 1))
    box = (
        float(logs.min()) - 0.05,
        float(logs.max()) + 0.15,
        0.0,
        _highest(points, found.floor) * 1.12,
    )
    layout = chart_layout(screen)
    layout |= {"height": _PIXELS, "showlegend": found.floor is not None}
    layout["xaxis"] |= {
        "type": "log",
        "range": list(box[:2]),
        "title": {"text": "occurrences"},
        **_ticks(box, page_width(screen)),
    }
    layout["yaxis"] |= {"range": list(box[2:])}
    layout["margin"] |= {"b": _BOTTOM}
    layout["legend"] |= {"y": -0.2}
    pixels = (page_width(screen) - LEFT - RIGHT, _PIXELS - TOP - _BOTTOM)
    n_listed = len(found.words)
    places = np.stack([logs[:n_listed], points.distances[:n_listed]], axis=1)
    texts = [visible(word.token, 24) for word in found.words]
    named = apart(label_boxes(texts, places, box, pixels, _LABEL), pixels, limit=_N_LABELS)
    return {
        "data": [
            *([] if found.floor is None else _floor_lines(found.floor, box)),
            _dots(points, ~points.are_beyond, _QUIET, "within the floor"),
            _dots(points, points.are_beyond, _BEYOND, "beyond the floor"),
            {
                "type": "scatter",
                "mode": "text",
                "x": points.counts[named].tolist(),
                "y": points.distances[named].tolist(),
                "text": [plotly_text(texts[place]) for place in named],
                "textposition": "top center",
                "textfont": {"size": _LABEL.font_size, **ink(screen)},
                "hoverinfo": "skip",
                "showlegend": False,
            },
        ],
        "layout": layout,
    }


def _highest(points: Points, floor: BandFloor | None) -> float:
    """The largest distance to show: of a word, or of the floor where there are words."""
    highest = max(float(points.distances.max()), 1e-3)
    if floor is None:
        return highest
    bands = floor.bands_of(points.counts)
    return max(highest, float((floor.displacement + floor.limit)[bands].max()))


def _ticks(box: Box, width: int) -> dict[str, Any]:
    """Round counts, as many as there is room for."""
    powers = range(math.floor(box[0]), math.ceil(box[1]) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10**power for power in powers for step in steps if power >= 0]
        ticks = [tick for tick in ticks if box[0] <= math.log10(tick) <= box[1]]
        if len(ticks) * _TICK_PIXELS <= width:
            break
    return {"tickvals": ticks, "ticktext": [f"{tick:,}" for tick in ticks]}


_TICK_PIXELS = 60
_BOTTOM = BOTTOM + 16
"""The lower margin in pixels, with the axis' title."""


def _dots(points: Points, are_in: np.ndarray, colour: str, name: str) -> dict[str, Any]:
    places = np.flatnonzero(are_in).tolist()
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "showlegend": bool(places),
        "x": points.counts[places].tolist(),
        "y": points.distances[places].tolist(),
        "marker": {"color": colour, "size": 5, "opacity": 0.7},
        "hoverinfo": "text",
        "hovertext": [
            f"{plotly_text(points.tokens[place])}<br>moved {points.distances[place]:.3f}, "
            f"{counted(int(points.counts[place]), 'occurrence')}"
            for place in places
        ],
    }


def _floor_lines(floor: BandFloor, box: Box) -> list[dict[str, Any]]:
    """Steps by band: how far chance moves words on average, and at most."""
    ends = [max(float(least), 10 ** box[0]) for least in floor.least_counts] + [10 ** box[1]]
    x = [end for pair in pairwise(ends) for end in pair]
    means = np.repeat(floor.displacement, 2)
    limits = np.repeat(floor.displacement + floor.limit, 2)
    line = {"type": "scatter", "mode": "lines", "x": x, "hoverinfo": "skip"}
    return [
        {
            **line,
            "name": "floor: another seed, on average",
            "y": means.tolist(),
            "line": {"color": _FLOOR, "width": 1.5},
        },
        {
            **line,
            "name": "at most (one of a thousand moves farther)",
            "y": limits.tolist(),
            "line": {"color": _FLOOR, "width": 1, "dash": "dash"},
            "fill": "tonexty",
            "fillcolor": "rgba(68,119,170,0.12)",
        },
    ]
