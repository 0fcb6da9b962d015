"""The map: the most frequent words of a window as points, with labels and the searched word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import dcc, html
from numpy.typing import NDArray

from nightjar.drawing.charts import PALETTE
from nightjar.drawing.labels import LabelStyle, apart, label_boxes
from nightjar.explorer.catalogue import Version
from nightjar.explorer.jobs import Pending
from nightjar.explorer.level_of_detail import LABEL_CANDIDATES, bounds, rows_in
from nightjar.explorer.pages.elements import (
    Component,
    Request,
    Screen,
    notice,
    ordinal,
    page_width,
    pending,
    word_links,
)
from nightjar.explorer.pages.plotly_charts import ink
from nightjar.explorer.placement import WordMap
from nightjar.explorer.view import Box
from nightjar.files.harmless_text import plotly_text, visible
from nightjar.formats.item_titles import titles_of
from nightjar.model.lookup import QueryError, VectorModel
from nightjar.wording import counted

GRAPH = "map"
_LABEL = LabelStyle()
_RING = LabelStyle(font_size=10, radius=-7)
"""The square of a mark, as a label without text."""
_MARKED = LabelStyle(font_size=13, is_bold=True, is_above=False, radius=7)


def map_page(request: Request) -> Component:
    """The figure, with its legend and a hint on what to do next."""
    version = shown_version(request)
    found = request.library.word_map(version, request.view.method)
    if isinstance(found, Pending):
        return pending(found)
    model = request.library.model(version)
    marked, problem = _marked(request, model)
    box = request.view.box or bounds(found.positions[~np.isnan(found.positions[:, 0])])
    return [
        notice(problem) if problem else None,
        _above(request, version, model, found, marked),
        dcc.Graph(
            id=GRAPH,
            figure=figure(request, found, model, box),
            config={
                "scrollZoom": True,
                "displaylogo": False,
                "responsive": True,
                "modeBarButtonsToRemove": ["select2d", "lasso2d", "toImage", "autoScale2d"],
            },
            className="map",
            style={"height": f"{_pixels(request.screen)[1]}px"},
        ),
        _legend(request, found, model),
    ]


def shown_version(request: Request) -> Version:
    """The version that the map shows. Raises InputError."""
    left, right = request.versions()
    return left if request.view.side == "left" else right


def figure(request: Request, found: WordMap, model: VectorModel, box: Box) -> dict[str, Any]:
    """The figure of one window."""
    axis = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": ""}
    return {
        "data": traces(request, found, model, box),
        "layout": {
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            "height": _pixels(request.screen)[1],
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": False,
            "dragmode": "pan",
            "hovermode": "closest",
            "xaxis": {**axis, "range": list(box[:2])},
            "yaxis": {**axis, "range": list(box[2:])},
            # Keeps the zoom while finer points arrive, and resets it for another map.
            "uirevision": f"{request.view.method}{request.view.path}{request.view.search}",
        },
    }


def traces(request: Request, found: WordMap, model: VectorModel, box: Box) -> list[dict[str, Any]]:
    """Points and labels of one window, and the word searched for with its neighbours."""
    rows = rows_in(found.positions, box)
    tokens = model.table.tokens_of(rows)
    marked, _ = _marked(request, model)
    # Marked words have labels of their own, which come first.
    named = np.flatnonzero(~np.isin(rows[:LABEL_CANDIDATES], marked))
    kept = [row for row in marked if not np.isnan(found.positions[row, 0])]
    marks, taken = _marks(request.screen, model, found, kept, box)
    titles = titles_of(model, tokens)
    shown = [titles.get(token) or token for token in tokens]
    labels = _labels(
        request.screen, [shown[place] for place in named], found.positions[rows[named]], box, taken
    )
    named_all = titles.named_all(tokens)
    return [_points(request.screen, model, found, rows, named_all), labels, *marks]


def _points(
    screen: Screen, model: VectorModel, found: WordMap, rows: NDArray[np.int64], tokens: list[str]
) -> dict[str, Any]:
    counts = model.table.counts[rows]
    return {
        "type": "scattergl" if screen.has_webgl else "scatter",
        "mode": "markers",
        "x": found.positions[rows, 0].tolist(),
        "y": found.positions[rows, 1].tolist(),
        "marker": {
            "color": [PALETTE[cluster] for cluster in found.clusters[rows].tolist()],
            "size": 5,
            "opacity": 0.75,
        },
        "hoverinfo": "text",
        "hovertext": [
            f"{plotly_text(token)}<br>{counted(count, 'occurrence')}, rank {ordinal(row)}"
            for token, count, row in zip(tokens, counts.tolist(), rows.tolist(), strict=True)
        ],
    }


def _labels(
    screen: Screen,
    tokens: Sequence[str],
    points: NDArray[np.float32],
    box: Box,
    taken: NDArray[np.float64],
) -> dict[str, Any]:
    texts = [visible(token, 24) for token in tokens]
    pixels = _pixels(screen)
    chosen = apart(label_boxes(texts, points, box, pixels, _LABEL), pixels, taken)
    return {
        "type": "scatter",
        "mode": "text",
        "x": points[chosen, 0].tolist(),
        "y": points[chosen, 1].tolist(),
        "text": [plotly_text(texts[place]) for place in chosen],
        "textposition": "top center",
        "textfont": {"size": _LABEL.font_size, **ink(screen)},
        "hoverinfo": "skip",
    }


def _marks(
    screen: Screen, model: VectorModel, found: WordMap, rows: Sequence[int], box: Box
) -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
    """The word searched for and its neighbours, and the places of their labels."""
    if not rows:
        return [], np.zeros((0, 4))
    points = found.positions[list(rows)]
    tokens = model.table.tokens_of(np.array(rows, np.int64))
    strong = "#ffd34d" if screen.is_dark else "#b3261e"
    titles = titles_of(model, tokens)
    texts = [visible(titles.get(token) or token, 24) for token in tokens]
    pixels = _pixels(screen)
    boxes = label_boxes(texts, points, box, pixels, _MARKED)
    named = apart(boxes, pixels)
    traces = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": points[:, 0].tolist(),
            "y": points[:, 1].tolist(),
            "text": [
                f"<b>{plotly_text(text)}</b>" if place in named else ""
                for place, text in enumerate(texts)
            ],
            "textposition": "bottom center",
            "textfont": {"size": _MARKED.font_size, **ink(screen), "color": strong},
            "marker": {
                "size": [15] + [10] * (len(rows) - 1),
                "color": "rgba(0,0,0,0)",
                "line": {"width": 2, "color": strong},
            },
            "hoverinfo": "skip",
        }
    ]
    # Nor do other labels cover the marks.
    rings = label_boxes([""] * len(texts), points, box, pixels, _RING)
    return traces, np.concatenate([boxes[named], rings])


def _marked(request: Request, model: VectorModel) -> tuple[list[int], str | None]:
    """Rows of the word searched for and its neighbours, or why there are none."""
    word = request.view.word
    if not word:
        return [], None
    try:
        near = model.neighbors([word], min(request.view.topn, 30))[0]
    except QueryError as error:
        return [], str(error)
    rows = model.table.rows([*model.read_as([word]), *(entry.token for entry in near)])
    return [int(row) for row in rows if row >= 0], None


def _above(
    request: Request, version: Version, model: VectorModel, found: WordMap, marked: list[int]
) -> Component:
    view = request.view
    links: list[Component] = []
    points = found.positions[marked]
    points = points[~np.isnan(points[:, 0])] if marked else points
    if len(points):
        low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
        margin = np.maximum((high - low) * 0.25, 1e-3)
        (x0, y0), (x1, y1) = (low - margin).tolist(), (high + margin).tolist()
        address = view.link(box=(x0, x1, y0, y1))
        if address:
            links = [dcc.Link("zoom to its neighbours", href=address), " · "]
            links += [word_links(view, model, [view.word])(view.word), " as a list"]
    if view.box:
        links += [" · " if links else "", dcc.Link("whole map", href=view.link(box=None) or "")]
    n_shown = int(np.count_nonzero(~np.isnan(found.positions[:, 0])))
    all_of_them = counted(len(model.table), request.library.unit(version))
    text = (
        f"{version.label}: {n_shown:,} of {all_of_them}. Scroll or pinch to "
        f"zoom, drag to move; more appear as you zoom in. "
    )
    return html.P([text, *links], className="quiet")


def _legend(request: Request, found: WordMap, model: VectorModel) -> Component:
    """Three typical words of each cluster, in its colour."""
    entries = []
    for cluster, rows in enumerate(found.typical.tolist()):
        known = [row for row in rows if row >= 0]
        if known:
            tokens = model.table.tokens_of(np.array(known, np.int64))
            dot = html.Span(className="dot", style={"background": PALETTE[cluster]})
            links = [*map(word_links(request.view, model, tokens, "/map"), tokens)]
            entries.append(html.Li([dot, *links]))
    return html.Ul(entries, className="legend")


def _pixels(screen: Screen) -> tuple[int, int]:
    """Width and height of the map on that screen."""
    return page_width(screen), max(340, screen.height - 240)
