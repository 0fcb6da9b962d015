"""The fields of a page: text fields submitted by Enter, and choices that act at once."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from nightjar.errors import InputError
from nightjar.explorer.catalogue import Catalogue
from nightjar.explorer.pages.elements import Component
from nightjar.explorer.view import PAGES, View, page_title
from nightjar.files.harmless_text import visible
from nightjar.wording import plural_of

TEXTS = {
    "/words": ("word",),
    "/analogies": ("positive", "negative"),
    "/map": ("word",),
    "/moved": ("least",),
    "/documents": ("query", "contains", "source"),
}
CHOICES = {
    "/words": ("left", "right", "topn"),
    "/analogies": ("left", "right", "topn"),
    "/map": ("left", "right", "side", "method"),
    "/moved": ("left", "right"),
    "/documents": ("entry", "topn"),
    "/cards": ("right",),
}
_TITLES = {
    "left": "left",
    "right": "right",
    "word": "{unit}",
    "positive": "{units} to add",
    "negative": "{units} to take away",
    "least": "occurrences at least",
    "query": "look for",
    "contains": "only with (word or regular expression)",
    "source": "only of the source",
    "entry": "document vectors",
    "topn": "neighbours",
    "side": "shown",
    "method": "layout",
}
_OWN_TITLES = {("/cards", "right"): "version", ("/documents", "topn"): "answers"}
_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "topn": [{"label": str(number), "value": number} for number in (5, 10, 15, 25, 50, 100)],
    "side": [{"label": "left", "value": "left"}, {"label": "right", "value": "right"}],
    "method": [
        {"label": "principal components, all {units}", "value": "pca"},
        {"label": "neighbour graph, frequent {units}", "value": "neighbours"},
    ],
}
_LONGEST = 20_000


def shows_versions(path: str) -> bool:
    """Whether the page is about versions of models."""
    return "right" in CHOICES.get(path, ())


def _worded(text: str, unit: str) -> str:
    """A title, for models of ``unit`` (singular)."""
    return text.format(unit=unit, units=plural_of(unit))


def navigation(view: View, unit: str) -> Component:
    """Links to the other pages, keeping the versions and the word."""
    return html.Nav(
        [
            dcc.Link(
                page_title(path, unit),
                href=view.link(path=path, box=None) or path,
                className="current" if path == view.path else "",
            )
            for path in PAGES
        ]
    )


def fields(view: View, catalogue: Catalogue, unit: str) -> Component:
    """The fields of the page that ``view`` shows."""
    texts = [_text_field(view, name, unit) for name in TEXTS.get(view.path, ())]
    button = html.Button("Go", id={"button": "go"}, n_clicks=0, className="go")
    choices = [_choice(view, catalogue, name, unit) for name in CHOICES.get(view.path, ())]
    if not texts and not choices:
        return None
    return html.Div([*texts, button if texts else None, *choices], className="fields")


def _text_field(view: View, name: str, unit: str) -> Component:
    field = dcc.Input(
        id={"text": name},
        value=str(getattr(view, name)),
        type="text",
        autoComplete="off",
        spellCheck=False,
        maxLength=_LONGEST,
        inputMode="numeric" if name == "least" else None,
        autoFocus=name in {"word", "positive", "query"},
    )
    suggestions = html.Div(id="suggestions") if name == "word" else None
    return html.Label([_worded(_TITLES[name], unit), field, suggestions], className=f"field {name}")


def _choice(view: View, catalogue: Catalogue, name: str, unit: str) -> Component:
    options = [
        {**option, "label": _worded(option["label"], unit)} for option in _OPTIONS.get(name, ())
    ]
    value = getattr(view, name)
    if name == "entry":
        options = [{"label": visible(entry), "value": entry} for entry in catalogue.entries]
        value = value or next(iter(catalogue.entries), None)
    elif not options:
        options = [{"label": version.label, "value": version.key} for version in catalogue.versions]
        value = _chosen(view, catalogue, name)
    elif value not in [option["value"] for option in options]:
        options = [*options, {"label": str(value), "value": value}]
    return html.Div(
        [
            html.Label(_OWN_TITLES.get((view.path, name), _TITLES[name])),
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
        key = getattr(view, name)
        if key:
            return catalogue.find(key).key
        left, right = catalogue.sides(view.left, view.right)
        return (left if name == "left" else right).key
    except InputError:
        return None
