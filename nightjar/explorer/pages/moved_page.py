"""The words that moved most between two versions, as a sortable table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import dcc, html

from nightjar.explorer.jobs import Pending
from nightjar.explorer.moved import N_NEIGHBOURS, MovedWord
from nightjar.explorer.pages.elements import (
    Component,
    Request,
    notice,
    ordinal,
    pending,
    table,
    word_link,
)
from nightjar.explorer.view import View
from nightjar.wording import counted

_KEYS: dict[str, Callable[[MovedWord], Any]] = {
    "distance": lambda word: -word.distance,
    "overlap": lambda word: (word.overlap, -word.distance),
    "word": lambda word: word.token,
    "left": lambda word: word.left_row,
    "right": lambda word: word.right_row,
}
_TITLES = {
    "word": "word",
    "distance": "moved (cosine distance)",
    "overlap": f"shared of {N_NEIGHBOURS} neighbours",
    "left": "occurrences left",
    "right": "occurrences right",
}


def moved_page(request: Request) -> Component:
    """The table, or a progress note while large models are compared."""
    view = request.view
    left, right = request.versions()
    if left.embeddings == right.embeddings:
        return notice(
            f"{left.label} is chosen on both sides: choose another version on one side", "hint"
        )
    found = request.library.moved(left, right, view.least)
    if isinstance(found, Pending):
        return pending(found)
    words = sorted(found.words, key=_KEYS[view.sort])
    rows = [
        [
            word_link(view, word.token),
            f"{word.distance:.3f}",
            f"{word.overlap * N_NEIGHBOURS:.0f}",
            f"{word.left_count:,} (rank {ordinal(word.left_row)})",
            f"{word.right_count:,} (rank {ordinal(word.right_row)})",
        ]
        for word in words
    ]
    return [
        html.H1("Words that moved most"),
        html.P(
            f"From {left.label} to {right.label}, of {counted(found.n_shared, 'word')} with "
            f"{counted(view.least, 'occurrence')} or more in both, after an orthogonal alignment. "
            f"Half of them moved by less than {found.median:.3f}.",
            className="quiet",
        ),
        table([_title(view, name) for name in _TITLES], rows, numbers=(1, 2, 3, 4)),
    ]


def _title(view: View, name: str) -> Component:
    is_current = view.sort == name
    return dcc.Link(
        f"{_TITLES[name]}{' ▾' if is_current else ''}",
        href=view.link(sort=name) or "",
        className="sort current" if is_current else "sort",
    )
