"""Elements that several pages share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dash import dcc, html

from nightjar.explorer.catalogue import Catalogue, Version
from nightjar.explorer.jobs import Pending
from nightjar.explorer.library import Library
from nightjar.explorer.view import View
from nightjar.files.harmless_text import visible

Component = Any
"""A Dash component or a string, as ``children`` takes."""


@dataclass(frozen=True)
class Screen:
    """What the browser reports: pixels of the window, dark mode, WebGL."""

    width: int = 1280
    height: int = 800
    is_dark: bool = False
    has_webgl: bool = True

    @classmethod
    def read(cls, sent: Any) -> Screen:
        """Read what the page's script sent; anything else counts as nothing sent."""
        if not isinstance(sent, dict):
            return cls()
        width, height = sent.get("width"), sent.get("height")
        return cls(
            width=min(max(width, 200), 10_000) if isinstance(width, int) else 1280,
            height=min(max(height, 200), 10_000) if isinstance(height, int) else 800,
            is_dark=sent.get("is_dark") is True,
            has_webgl=sent.get("has_webgl") is not False,
        )


@dataclass(frozen=True)
class Request:
    """Everything a page is drawn from."""

    view: View
    catalogue: Catalogue
    library: Library
    screen: Screen

    def versions(self) -> tuple[Version, Version]:
        """The left and the right version. Raises InputError."""
        left, right = self.catalogue.pair()
        view = self.view
        return (
            self.catalogue.find(view.left) if view.left else left,
            self.catalogue.find(view.right) if view.right else right,
        )


def word_link(view: View, token: str, path: str = "/") -> Component:
    """A link from a token to its neighbours; plain text if the address would be too long."""
    shown = visible(token)
    address = view.link(path=path, word=token, box=None)
    if address is None:
        return html.Span(shown, className="word")
    return dcc.Link(shown, href=address, className="word")


def notice(text: str, kind: str = "problem") -> Component:
    """A message in the page."""
    role = "alert" if kind == "problem" else "status"
    return html.P(text, className=f"notice {kind}", role=role)


def pending(work: Pending) -> Component:
    """The progress note of work under way; the page is redrawn when it changes."""
    return html.P(f"{work.note} …", className="notice pending", role="status")


def table(
    head: Sequence[Component], rows: Sequence[Sequence[Component]], numbers: Sequence[int] = ()
) -> Component:
    """A table that scrolls sideways if too wide; ``numbers`` are its numeric columns."""

    def cells(make: Any, row: Sequence[Component]) -> list[Component]:
        return [
            make(cell, className="number" if place in numbers else None)
            for place, cell in enumerate(row)
        ]

    return html.Div(
        html.Table(
            [
                html.Thead(html.Tr(cells(html.Th, head))),
                html.Tbody([html.Tr(cells(html.Td, row)) for row in rows]),
            ]
        ),
        className="scroll",
    )


def ordinal(row: int) -> str:
    """The rank of a row, from 1."""
    return f"{row + 1:,}"
