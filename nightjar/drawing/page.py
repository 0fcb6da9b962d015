"""An HTML page that loads nothing: text, tables, lists of words, and plots as inline SVG.

A content security policy in the page forbids everything else, whoever serves it. Text from data is
escaped, and what has no glyph or changes the direction of writing is shown as an escape.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

from nightjar.drawing.charts import STYLE as CHART_STYLE
from nightjar.files.harmless_text import harmless, visible

_STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --quiet: #57606a; --line: #d0d7de;
  --ground: #fff; --band: #f6f8fa; --link: #0969da; --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --quiet: #9aa4af; --line: #3a4149;
  --ground: #16191d; --band: #1f242a; --link: #6cb6ff; --good: #57c374; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  margin: 0 auto; max-width: 1180px; padding: 1.2rem 1rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .4rem 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p, ul, ol { margin: .5rem 0; } a { color: var(--link); }
nav { display: flex; flex-wrap: wrap; gap: .2rem .9rem; font-size: .9rem; margin: .6rem 0; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .92rem; }
td, th { padding: .22rem .9rem .22rem 0; text-align: left; vertical-align: top; }
td { overflow-wrap: break-word; max-width: 34rem; } td.v { white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th { border-bottom: 1px solid var(--line); color: var(--quiet); font-weight: 500;
  white-space: nowrap; }
tbody tr:nth-child(even) td { background: var(--band); }
figure { margin: 0; }
.plots { display: grid; gap: 1.2rem 1.6rem; align-items: start; margin: .8rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.plots > * { max-width: 470px; min-width: 0; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem 2rem; margin: 1rem 0; }
.figures div { font-size: 1.5rem; line-height: 1.3; }
.figures small { display: block; font-size: .85rem; color: var(--quiet); }
.words { columns: 5 8.5rem; list-style: none; padding: 0; }
.muted { color: var(--quiet); }
.alarm { border-left: 4px solid var(--bad); padding: .1rem .7rem; margin: .4rem 0; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--link); }
@media (max-width: 620px) {
  table.prose, .prose tbody, .prose tr, .prose td { display: block; text-align: left; }
  .prose thead { display: none; } .prose td { padding: .1rem .4rem; white-space: normal; }
  .prose tr { border-bottom: 1px solid var(--line); padding: .3rem 0; }
  .prose td:not(:first-child)::before { content: attr(data-of) ": "; color: var(--quiet); }
  .prose td:first-child { font-weight: 600; }
}
"""
_MAX_SHOWN = 60
_NUMBERS, _VALUES, _PROSE = "n", "v", "p"
_LONGEST_VALUE = 30
_END = "\n</body></html>\n"


@dataclass(frozen=True)
class Link:
    """A text that leads to another place on the page, by its id."""

    text: str
    to: str


class Page:
    """Collects the parts of a page in order."""

    def __init__(self, title: str, style: str = "", script: str = "") -> None:
        """``style`` and ``script`` are of the program, never of data."""
        self._title = title
        self._style = style
        self._script = script
        self._parts = [f"<h1>{_text(title)}</h1>"]

    def text(self, text: str) -> None:
        """Add a muted line."""
        self._parts.append(f'<p class="muted">{_text(text)}</p>')

    def paragraph(self, text: str) -> None:
        """Add a line."""
        self._parts.append(f"<p>{_text(text)}</p>")

    def alarm(self, text: str) -> None:
        """Add a sentence that somebody should read."""
        self._parts.append(f'<p class="alarm">{_text(text)}</p>')

    def items(self, texts: Sequence[str]) -> None:
        """Add a list of sentences."""
        found = "".join(f"<li>{_text(text)}</li>" for text in texts)
        self._parts.append(f"<ul>{found}</ul>")

    def links(self, links: Sequence[Link]) -> None:
        """Add links to places on this page."""
        found = "".join(
            f'<a href="#{escape(link.to, quote=True)}">{_text(link.text)}</a>' for link in links
        )
        self._parts.append(f"<nav>{found}</nav>")

    def figures(self, values: Mapping[str, str]) -> None:
        """Add large numbers with their names."""
        found = "".join(
            f"<div>{_text(value)}<small>{_text(name)}</small></div>"
            for name, value in values.items()
        )
        self._parts.append(f'<div class="figures">{found}</div>')

    def heading(self, text: str, place: str = "") -> None:
        """Start a section; ``place`` is its id, for links."""
        own = f' id="{escape(place, quote=True)}"' if place else ""
        self._parts.append(f"<h2{own}>{_text(text)}</h2>")

    def subheading(self, text: str) -> None:
        """Start a part of a section."""
        self._parts.append(f"<h3>{_text(text)}</h3>")

    @contextmanager
    def folded(self, title: str) -> Iterator[None]:
        """Put what the block adds below a title that has to be opened."""
        self._parts.append(f"<details><summary>{_text(title)}</summary>")
        try:
            yield
        finally:
            self._parts.append("</details>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
        """Add a table; columns of numbers, and of texts that are numbers, are on the right.

        On a narrow screen a table with prose has a line for each of its cells.
        """
        cells = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        kinds = [_kind(column) for column in cells]
        head = "".join(
            f"<th{_class(kind)}>{_text(name)}</th>"
            for name, kind in zip(columns, kinds, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td{_class(kind)} data-of="{_text(name)}">'
                f"{f'{value:,}' if isinstance(value, int) else _text(value)}</td>"
                for name, value, kind in zip(columns, row, kinds, strict=True)
            )
            + "</tr>"
            for row in rows
        )
        prose = _class("prose" if _PROSE in kinds else "")
        self._parts.append(
            f'<div class="wide"><table{prose}><thead><tr>{head}</tr></thead>{body}</table></div>'
        )

    def words(self, words: Sequence[tuple[str, int]]) -> None:
        """Add words with their counts, in columns."""
        found = "".join(
            f'<li><bdi>{escape(visible(word))}</bdi> <span class="muted">{count:,}</span></li>'
            for word, count in words[:_MAX_SHOWN]
        )
        self._parts.append(f'<ol class="words">{found}</ol>')

    def plots(self, *charts: str) -> None:
        """Add charts of :mod:`.charts` beside each other, as many as there is room for."""
        found = "".join(f"<figure>{chart}</figure>" for chart in charts if chart)
        if found:
            self._parts.append(f'<div class="plots">{found}</div>')

    def part(self, made: str) -> None:
        """Add what another module of this package has drawn."""
        self._parts.append(made)

    def html(self) -> str:
        """The complete page."""
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        script = ""
        if self._script:
            digest = base64.b64encode(hashlib.sha256(self._script.encode()).digest()).decode()
            policy += f"; script-src 'sha256-{digest}'"
            script = f"\n<script>{self._script}</script>"
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="referrer" content="no-referrer">'
            f"<title>{_text(self._title)}</title>"
            f"<style>{_STYLE}{CHART_STYLE}{self._style}</style></head><body>\n"
            + "\n".join(self._parts)
            + script
            + _END
        )

    def appended_to(self, html: str) -> str:
        """``html``, a complete page, with the parts of this one appended."""
        return html.removesuffix(_END) + "\n" + "\n".join(self._parts) + _END


def _text(text: str) -> str:
    return escape(harmless(text))


def _kind(cells: Sequence[str | int]) -> str:
    """The class of a column: numbers, values that stay on one line, or prose."""
    if cells and all(_is_number(cell) for cell in cells):
        return _NUMBERS
    return _VALUES if all(len(str(cell)) <= _LONGEST_VALUE for cell in cells) else _PROSE


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _is_number(value: str | int) -> bool:
    if isinstance(value, int):
        return True
    return value in ("", "-") or value.lstrip("+-").replace(",", "").replace(".", "").isdecimal()
