"""Elements that several pages share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dash import dcc, html

from nightjar.explorer.catalogue import Catalogue, Version
from nightjar.explorer.jobs import Pending
from nightjar.explorer.library import Library
from nightjar.explorer.view import View
from nightjar.files.harmless_text import harmless, visible
from nightjar.formats.item_titles import Titles, titles_of
from nightjar.model.lookup import VectorModel
from nightjar.wording import plural_of

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
        return self.catalogue.sides(self.view.left, self.view.right)

    @property
    def unit(self) -> str:
        """What the versions have vectors of, in the singular. Raises InputError."""
        return self.library.unit(*self.versions())

    @property
    def units(self) -> str:
        """The plural of :attr:`unit`."""
        return plural_of(self.unit)


_WIDEST = 1480
"""Maximal width of the page's column in pixels, as in the style sheet."""
_SIDES = 48
"""What its margins and a scroll bar take of it."""


def page_width(screen: Screen) -> int:
    """Pixels between the margins of the page, rather less than more."""
    return min(screen.width, _WIDEST) - _SIDES


def word_link(view: View, token: str, path: str = "/words", title: str = "") -> Component:
    """A link from a token to its neighbours; plain text if the address would be too long.

    ``title`` is that of an item, shown beside its id.
    """
    shown: Component = visible(token)
    if title:
        shown = [shown, " ", html.Small(visible(title), className="title")]
    address = view.link(path=path, word=token, box=None)
    if address is None:
        return html.Span(shown, className="word")
    return dcc.Link(shown, href=address, className="word")


def word_links(
    view: View, model: VectorModel | None, tokens: Sequence[str], path: str = "/words"
) -> Callable[[str], Component]:
    """Makes the link of each of ``tokens``, with the title that ``model`` has for it."""
    titles = Titles() if model is None else titles_of(model, tokens)
    return lambda token: word_link(view, token, path, titles.get(token))


def notice(text: str, kind: str = "problem") -> Component:
    """A message in the page."""
    role = "alert" if kind == "problem" else "status"
    return html.P(harmless(text), className=f"notice {kind}", role=role)


def pending(work: Pending) -> Component:
    """The progress note of work under way; the page is redrawn when it changes."""
    return html.P(f"{work.note} …", className="notice pending", role="status")


def table(
    head: Sequence[Component],
    rows: Sequence[Sequence[Component]],
    numbers: Sequence[int] = (),
    *,
    is_stacked: bool = False,
) -> Component:
    """A table that scrolls sideways if too wide; ``numbers`` are its numeric columns.

    On a narrow screen one that ``is_stacked`` shows each row as a list of its cells under the
    titles, which must be strings.
    """

    def cells(make: Any, row: Sequence[Component]) -> list[Component]:
        return [
            make(
                cell,
                className="number" if place in numbers else None,
                **({"data-title": head[place]} if is_stacked else {}),
            )
            for place, cell in enumerate(row)
        ]

    return html.Div(
        html.Table(
            [
                html.Thead(html.Tr(cells(html.Th, head))),
                html.Tbody([html.Tr(cells(html.Td, row)) for row in rows]),
            ]
        ),
        className="scroll stacked" if is_stacked else "scroll",
    )


def ordinal(row: int) -> str:
    """The rank of a row, from 1."""
    return f"{row + 1:,}"
