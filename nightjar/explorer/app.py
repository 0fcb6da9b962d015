"""The frame of the pages, and the callbacks between the address, the fields and the page.

The address determines the fields (``show_controls``) and the page (``show_page``); a field
changes the address (``navigate``). Moving the map requests its window (``move_map``) and writes
the window into the address without redrawing the page (``assets/explorer.js``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dash import (
    ALL,
    ClientsideFunction,
    Dash,
    Input,
    Output,
    Patch,
    State,
    dcc,
    html,
    no_update,
)
from flask import Flask, Response

from nightjar.core import Nights
from nightjar.explorer.catalogue import TROUBLE, Catalogue
from nightjar.explorer.controls import CHOICES, TEXTS, fields, navigation, shows_versions
from nightjar.explorer.jobs import Pending
from nightjar.explorer.level_of_detail import bounds
from nightjar.explorer.library import Library
from nightjar.explorer.overview import REPORT
from nightjar.explorer.pages import map as map_of_words
from nightjar.explorer.pages.cards import cards_page
from nightjar.explorer.pages.documents_page import documents_page
from nightjar.explorer.pages.elements import Component, Request, Screen, notice, word_links
from nightjar.explorer.pages.moved_page import moved_page
from nightjar.explorer.pages.neighbours import analogies_page, words_page
from nightjar.explorer.pages.overview_page import overview_page
from nightjar.explorer.pages.scores_page import scores_page
from nightjar.explorer.view import Box, View, read_view
from nightjar.files.harmless_text import visible

logger = logging.getLogger(__name__)

_PAGES: Mapping[str, Callable[[Request], Component]] = {
    "/": overview_page,
    "/words": words_page,
    "/analogies": analogies_page,
    "/map": map_of_words.map_page,
    "/moved": moved_page,
    "/documents": documents_page,
    "/scores": scores_page,
    "/cards": cards_page,
}
_POLL_MILLISECONDS = 900
_N_SUGGESTIONS = 10
_FAR = 1e300
_URL = (Input("url", "pathname"), Input("url", "search"))
_URL_STATE = (State("url", "pathname"), State("url", "search"))


def make_app(library: Library) -> Dash:
    """Make the web application for a library. It loads nothing from other hosts."""
    app = Dash(
        "nightjar",
        title="Nightjar explorer",
        update_title="",
        serve_locally=True,
        assets_folder=str(Path(__file__).with_name("assets")),
        suppress_callback_exceptions=True,
        include_pages_meta=False,
        enable_mcp=False,
        add_log_handler=False,
    )
    app.layout = html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="screen"),
            dcc.Store(id="window"),
            dcc.Interval(id="poll", interval=_POLL_MILLISECONDS, disabled=True),
            html.Header(id="controls"),
            html.Main(id="page", children=html.P("Loading …", className="notice pending")),
        ]
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("explorer", "screen"), Output("screen", "data"), Input("screen", "id")
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("explorer", "remember"),
        Output("window", "data"),
        Input(map_of_words.GRAPH, "relayoutData"),
        prevent_initial_call=True,
    )
    _add_frame(app, library)
    _add_fields(app, library)
    _add_map(app, library)
    _add_reports(app, library)
    return app


def _add_frame(app: Dash, library: Library) -> None:
    @app.callback(Output("controls", "children"), *_URL)
    def show_controls(path: str | None, search: str | None) -> Component:
        view = read_view(path, search)
        catalogue = _catalogue(library, view.path)
        unit = _unit(library, view, catalogue)
        return [
            html.Div([html.Strong("Nightjar"), navigation(view, unit)], className="bar-top"),
            fields(view, catalogue, unit),
            dcc.Store(id="fields-of", data=[path, search]),
        ]

    @app.callback(
        Output("page", "children"),
        Output("poll", "disabled"),
        *_URL,
        Input("screen", "data"),
        Input("poll", "n_intervals"),
    )
    def show_page(
        path: str | None, search: str | None, screen: Any, _polls: int | None
    ) -> tuple[Component, bool]:
        return draw(library, read_view(path, search), Screen.read(screen))


def draw(library: Library, view: View, screen: Screen) -> tuple[Component, bool]:
    """Draw the page of a view; also return whether it is finished or must be redrawn."""
    page = _PAGES.get(view.path)
    if page is None:
        return [notice(f"there is no page {visible(view.path)}: choose one above")], True
    catalogue = _catalogue(library, view.path)
    messages = [notice(problem) for problem in (*view.problems, *catalogue.problems)]
    try:
        body = page(Request(view, catalogue, library, screen))
    except TROUBLE as error:
        logger.debug("the page %s", view.path, exc_info=True)
        return [*messages, notice(str(error) or type(error).__name__)], True
    parts = body if isinstance(body, list) else [body]
    is_pending = any(getattr(part, "className", None) == "notice pending" for part in parts)
    return [*messages, *parts], not is_pending


def _catalogue(library: Library, path: str) -> Catalogue:
    """What the fields of a page offer; versions are read only for a page that shows them."""
    entries = tuple(library.loaded.config.document_vectors)
    if not shows_versions(path):
        return Catalogue((), (), entries=entries)
    try:
        return library.catalogue()
    except TROUBLE as error:
        return Catalogue((), (str(error),))


def _unit(library: Library, view: View, catalogue: Catalogue) -> str:
    """What the versions that a page shows have vectors of; elsewhere, what all models have."""
    try:
        shown = catalogue.sides(view.left, view.right) if catalogue.versions else ()
    except TROUBLE:
        shown = ()
    return library.unit(*shown)


def _add_fields(app: Dash, library: Library) -> None:
    @app.callback(
        Output("url", "search"),
        Input({"text": ALL}, "n_submit"),
        Input({"button": ALL}, "n_clicks"),
        Input({"choice": ALL}, "value"),
        State({"text": ALL}, "value"),
        State({"text": ALL}, "id"),
        State({"choice": ALL}, "id"),
        State("fields-of", "data"),
        *_URL_STATE,
        prevent_initial_call=True,
    )
    def navigate(
        _submits: Any,
        _clicks: Any,
        choices: list[Any],
        texts: list[Any],
        text_ids: list[dict[str, str]],
        choice_ids: list[dict[str, str]],
        fields_of: Any,
        path: str | None,
        search: str | None,
    ) -> Any:
        if fields_of != [path, search]:
            # Dash also calls when fields were drawn. Somebody may have gone back meanwhile, and
            # the fields of the page that they left would lead there again.
            return no_update
        given = {entry["text"]: text for entry, text in zip(text_ids, texts, strict=True)}
        chosen = {entry["choice"]: value for entry, value in zip(choice_ids, choices, strict=True)}
        view = read_view(path, search)
        found = changed(view, _catalogue(library, view.path), given | chosen)
        return no_update if found is None else found

    @app.callback(Output("suggestions", "children"), Input({"text": "word"}, "value"), *_URL_STATE)
    def suggest(prefix: str | None, path: str | None, search: str | None) -> Component:
        return suggestions(library, read_view(path, search), prefix or "")


def changed(view: View, catalogue: Catalogue, fields_now: Mapping[str, Any]) -> str | None:
    """Return the query string after fields changed; None when it stays the same.

    A version is written into the address only if it differs from the one shown, so that an
    untouched page follows the champion.
    """
    wanted = (*TEXTS.get(view.path, ()), *CHOICES.get(view.path, ()))
    given = {name: value for name, value in fields_now.items() if name in wanted and value}
    cleared = [name for name in TEXTS.get(view.path, ()) if fields_now.get(name) in (None, "")]
    try:
        shown = dict(zip(("left", "right"), catalogue.sides(view.left, view.right), strict=True))
        for side, current in shown.items():
            if given.get(side) == current.key:
                given.pop(side)
    except TROUBLE:
        logger.debug("the address names a missing version", exc_info=True)
    if not view.entry and given.get("entry") in catalogue.entries[:1]:
        given.pop("entry")
    texts = {name: str(value) for name, value in given.items()}
    for name in cleared:
        if name != "least":
            texts[name] = ""
    query = {name: text for name, text in texts.items() if text != str(getattr(view, name))}
    if not query:
        return None
    try:
        values = {name: type(getattr(view, name))(text) for name, text in query.items()}
    except ValueError:
        # Not a number: it goes into the address, and the page says what is wrong.
        return f"{replace(view, box=None).search or '?'}&least={texts.get('least', '')[:40]}"
    return replace(view, **values, box=None).search


def suggestions(library: Library, view: View, prefix: str) -> Component:
    """The words of the version shown that start with ``prefix``, most frequent first."""
    prefix = prefix[:200]
    if not prefix or prefix == view.word:
        return None
    request = Request(view, _catalogue(library, view.path), library, Screen())
    try:
        version = map_of_words.shown_version(request)
        index = library.prefixes(version)
        if isinstance(index, Pending):
            return html.Small(f"{index.note} …")
        table = library.model(version).table
        rows = index.rows(prefix, _N_SUGGESTIONS)
        tokens = table.tokens_of(np.array(rows, np.int64))
        link = word_links(view, library.model(version), tokens, view.path)
        return [
            html.Span([link(token), html.Small(f"{table.counts[row]:,}")])
            for token, row in zip(tokens, rows, strict=True)
        ] or html.Small(f"no {library.unit(version)} starts like this")
    except TROUBLE as error:
        return html.Small(str(error))


def _add_map(app: Dash, library: Library) -> None:
    @app.callback(
        Output(map_of_words.GRAPH, "figure"),
        Input(map_of_words.GRAPH, "relayoutData"),
        *_URL_STATE,
        State("screen", "data"),
        prevent_initial_call=True,
    )
    def move_map(moved: Any, path: str | None, search: str | None, screen: Any) -> Any:
        view = read_view(path, search)
        found = window(library, view, moved, Screen.read(screen))
        if found is None:
            return no_update
        patch = Patch()
        patch["data"] = found
        return patch


def _add_reports(app: Dash, library: Library) -> None:
    """Serve the page that a night left beside its record."""
    server: Flask = app.server
    nights = Nights(library.loaded.pipeline_dir)

    @server.get(f"/nights/<int:number>/{REPORT}")
    def report(number: int) -> Response:
        try:
            text = (nights.path(number) / REPORT).read_bytes()
        except (OSError, ValueError):
            text_of_none = f"night {number} has no {REPORT}\n"
            return Response(text_of_none, status=404, mimetype="text/plain")
        answer = Response(text, mimetype="text/html")
        # An origin of its own; what may run in it, the page itself says.
        answer.headers["Content-Security-Policy"] = "sandbox allow-scripts"
        return answer


def window(library: Library, view: View, moved: Any, screen: Screen) -> list[Any] | None:
    """The traces of the window that the map was moved to; None when nothing changes."""
    try:
        request = Request(view, library.catalogue(), library, screen)
        version = map_of_words.shown_version(request)
        found = library.word_map(version, view.method)
        if isinstance(found, Pending):
            return None
        whole = bounds(found.positions[~np.isnan(found.positions[:, 0])])
        box = _box(moved, view.box or whole)
        if box is None:
            return None
        return map_of_words.traces(request, found, library.model(version), box)
    except TROUBLE:
        logger.debug("the map was not redrawn", exc_info=True)
        return None


def _box(moved: Any, before: Box) -> Box | None:
    """The window that Plotly reports; None for events that do not change it."""
    if not isinstance(moved, dict):
        return None
    if moved.get("xaxis.autorange") or moved.get("yaxis.autorange"):
        return before
    keys = ("xaxis.range[0]", "xaxis.range[1]", "yaxis.range[0]", "yaxis.range[1]")
    if not any(key in moved for key in keys):
        return None
    values = [moved.get(key, was) for key, was in zip(keys, before, strict=True)]
    if not all(isinstance(value, int | float) and -_FAR < value < _FAR for value in values):
        return None
    x0, x1, y0, y1 = map(float, values)
    return (x0, x1, y0, y1) if x0 < x1 and y0 < y1 else None
