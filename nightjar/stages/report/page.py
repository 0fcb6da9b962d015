"""The report as one HTML page; plots are inline SVG, and nothing is loaded from elsewhere."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; margin: 2rem auto; max-width: 1000px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  vertical-align: top; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid #d0d7de; }
figure { margin: 0; } svg { max-width: 100%; height: auto; }
.figures { display: flex; flex-wrap: wrap; gap: 2rem; margin: 1.2rem 0; }
.figures div { font-size: 1.6rem; } .figures small { display: block; font-size: .85rem;
  color: #57606a; }
.words { columns: 4 12rem; list-style: none; padding: 0; overflow-wrap: anywhere; }
.muted { color: #57606a; }
"""
_INK, _BAR, _GRID = "#24292f", "#0969da", "#d0d7de"
_SETTINGS: Any = {
    "text.parse_math": False,
    "svg.hashsalt": "nightjar",  # makes the SVG reproducible
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.5,
}
_MAX_SHOWN = 60
_END = "\n</body></html>\n"


class Page:
    """Collects the parts of a page in order."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts = [f"<h1>{escape(title)}</h1>"]

    def text(self, text: str) -> None:
        """Add a muted line."""
        self._parts.append(f'<p class="muted">{escape(text)}</p>')

    def items(self, texts: Sequence[str]) -> None:
        """Add a list of sentences."""
        found = "".join(f"<li>{escape(text)}</li>" for text in texts)
        self._parts.append(f"<ul>{found}</ul>")

    def figures(self, values: Mapping[str, str]) -> None:
        """Add large numbers with their names."""
        found = "".join(
            f"<div>{escape(value)}<small>{escape(name)}</small></div>"
            for name, value in values.items()
        )
        self._parts.append(f'<div class="figures">{found}</div>')

    def heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
        """Add a table; numbers are aligned to the right."""
        is_number = [all(isinstance(row[i], int) for row in rows) for i in range(len(columns))]

        def cell(tag: str, value: str | int, right: bool) -> str:
            shown = f"{value:,}" if isinstance(value, int) else escape(value)
            kind = ' class="n"' if right else ""
            return f"<{tag}{kind}>{shown}</{tag}>"

        head = "".join(cell("th", *pair) for pair in zip(columns, is_number, strict=True))
        body = "".join(
            f"<tr>{''.join(cell('td', *pair) for pair in zip(row, is_number, strict=True))}</tr>"
            for row in rows
        )
        self._parts.append(f"<table><tr>{head}</tr>{body}</table>")

    def words(self, words: Sequence[tuple[str, int]]) -> None:
        """Add words with their counts, in columns."""
        found = "".join(
            f'<li>{escape(word)} <span class="muted">{count:,}</span></li>'
            for word, count in words[:_MAX_SHOWN]
        )
        self._parts.append(f'<ol class="words">{found}</ol>')

    def plot(self, draw: Callable[[Axes], None], label: str, height: float = 2.8) -> None:
        """Add the plot that ``draw`` makes on the axes; ``label`` is for screen readers."""
        svg = _drawn(draw, height)
        self._parts.append(f'<figure role="img" aria-label="{escape(label, True)}">{svg}</figure>')

    def html(self) -> str:
        """The complete page."""
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{escape(self._title)}</title><style>{_STYLE}</style></head><body>\n"
            + "\n".join(self._parts)
            + _END
        )

    def appended_to(self, html: str) -> str:
        """``html``, a complete page, with the parts of this one appended."""
        return html.removesuffix(_END) + "\n" + "\n".join(self._parts) + _END


def _drawn(draw: Callable[[Axes], None], height: float) -> str:
    from matplotlib import rc_context  # noqa: PLC0415  # takes a while to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    stream = io.StringIO()
    with rc_context(_SETTINGS), warnings.catch_warnings():
        # Text stays text in the SVG: the reader's fonts apply, not those installed here.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(9.6, height), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    return svg[svg.index("<svg") :]


def draw_bars(names: Sequence[str], values: Sequence[float], unit: str) -> Callable[[Axes], None]:
    """Draw vertical bars, in the order given."""

    def draw(axes: Axes) -> None:
        axes.bar(range(len(values)), values, color=_BAR)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set_ylabel(unit)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter("{x:,.0f}")

    return draw


def draw_shares(names: Sequence[str], shares: Sequence[float]) -> Callable[[Axes], None]:
    """Draw horizontal bars of shares, the first on top."""

    def draw(axes: Axes) -> None:
        places = range(len(shares))
        axes.barh(places, [100 * share for share in shares], color=_BAR)
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlabel("% of documents")
        axes.grid(visible=False, axis="y")

    return draw


def draw_curve(points: Sequence[tuple[int, int]], x: str, y: str) -> Callable[[Axes], None]:
    """Draw a line through the points."""

    def draw(axes: Axes) -> None:
        axes.plot(*zip(*points, strict=True), color=_BAR)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,.0f}")

    return draw
