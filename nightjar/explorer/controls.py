"""The fields of a page: text fields submitted by Enter, and choices that act at once."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from nightjar.errors import InputError
from nightjar.explorer.catalogue import Catalogue
from nightjar.explorer.pages.elements import Component
from nightjar.explorer.view import PAGES, View

TEXTS = {
    "/": ("word",),
    "/analogies": ("positive", "negative"),
    "/map": ("word",),
    "/moved": ("least",),
}
CHOICES = {
    "/": ("left", "right", "topn"),
    "/analogies": ("left", "right", "topn"),
    "/map": ("left", "right", "side", "method"),
    "/moved": ("left", "right"),
    "/cards": ("right",),
}
_TITLES = {
    "left": "left",
    "right": "right",
    "word": "word",
    "positive": "words to add",
    "negative": "words to take away",
    "least": "occurrences at least",
    "topn": "neighbours",
    "side": "shown",
    "method": "layout",
}
_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "topn": [{"label": str(number), "value": number} for number in (5, 10, 15, 25, 50, 100)],
    "side": [{"label": "left", "value": "left"}, {"label": "right", "value": "right"}],
    "method": [
        {"label": "principal components, all words", "value": "pca"},
        {"label": "neighbour graph, frequent words", "value": "neighbours"},
    ],
}
_LONGEST = 20_000


def navigation(view: View) -> Component:
    """Links to the other pages, keeping the versions and the word."""
    return html.Nav(
        [
            dcc.Link(
                title,
                href=view.link(path=path, box=None) or path,
                className="current" if path == view.path else "",
            )
            for path, title in PAGES.items()
        ]
    )


def fields(view: View, catalogue: Catalogue) -> Component:
    """The fields of the page that ``view`` shows."""
    texts = [_text_field(view, name) for name in TEXTS.get(view.path, ())]
    button = html.Button("Go", id={"button": "go"}, n_clicks=0, className="go")
    choices = [_choice(view, catalogue, name) for name in CHOICES.get(view.path, ())]
    return html.Div([*texts, button if texts else None, *choices], className="fields")


def _text_field(view: View, name: str) -> Component:
    field = dcc.Input(
        id={"text": name},
        value=str(getattr(view, name)),
        type="text",
        autoComplete="off",
        spellCheck=False,
        maxLength=_LONGEST,
        inputMode="numeric" if name == "least" else None,
        autoFocus=name in {"word", "positive"},
    )
    suggestions = html.Div(id="suggestions") if name == "word" else None
    return html.Label([_TITLES[name], field, suggestions], className=f"field {name}")


def _choice(view: View, catalogue: Catalogue, name: str) -> Component:
    options = _OPTIONS.get(name)
    value = getattr(view, name)
    if options is None:
        options = [{"label": version.label, "value": version.key} for version in catalogue.versions]
        value = _chosen(view, catalogue, name)
    elif value not in [option["value"] for option in options]:
        options = [*options, {"label": str(value), "value": value}]
    return html.Div(
        [
            html.Label("version" if view.path == "/cards" else _TITLES[name]),
            dcc.Dropdown(
                id={"choice": name},
                options=options,
                value=value,
                clearable=False,
                searchable=len(options) > 8,
                maxHeight=420,
            ),
        ],
        className=f"field {name}",
    )


def _chosen(view: View, catalogue: Catalogue, name: str) -> str | None:
    """The key of the version on one side; None when the address names a missing version."""
    try:
        pair = dict(zip(("left", "right"), catalogue.pair(), strict=True))
        key = getattr(view, name)
        return (catalogue.find(key) if key else pair[name]).key
    except InputError:
        return None
