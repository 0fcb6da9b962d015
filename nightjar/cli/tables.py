"""Tables that stay readable on a narrow terminal: nothing is cut, no number or word is broken.

A table has columns of values, which take one line, and columns of prose, which take several. Where
its rows do not fit side by side, prose stands below each row; where the values alone do not fit,
each row becomes a line of names and values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from nightjar.files.harmless_text import harmless

_LEAST_PROSE = 24
"""Characters that a column of prose has at least, if it has as many."""
_INDENT = 2
_GAP = "  "
_ANY_WIDTH = 100_000


def plain_table(*columns: str, wraps: Collection[str] = (), is_ruled: bool = False) -> Table:
    """A table without a frame; only the columns in ``wraps`` take several lines."""
    table = Table(box=box.HORIZONTALS if is_ruled else None, header_style="bold", pad_edge=False)
    for column in columns:
        if column in wraps:
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, no_wrap=True)
    return table


def fits(console: Console, table: Table) -> bool:
    """Whether the table needs no more than the width of the console."""
    return _natural_width(console, table) <= console.width


def print_table(console: Console, table: Table) -> None:
    """Print a table of :func:`plain_table` in the layout that the width of the console allows."""
    columns = [_Cells.of(column) for column in table.columns]
    needed = _natural_width(console, table)
    for column, cells in zip(table.columns, columns, strict=True):
        if not column.no_wrap:
            column.min_width = min(cells.width, max(_LEAST_PROSE, len(cells.name)))
            needed -= cells.width - column.min_width
    values = [cells for cells in columns if cells.is_value]
    if needed <= console.width or not columns:
        console.print(table)
    elif values and _row_width(values) <= console.width:
        _print_stacked(console, table, columns)
    else:
        _print_named(console, table, columns)


def _natural_width(console: Console, table: Table) -> int:
    return Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum


@dataclass(frozen=True)
class _Cells:
    """A column: its name, and the texts in it."""

    name: str
    texts: Sequence[Text]
    is_value: bool
    is_right: bool

    @classmethod
    def of(cls, column: Column) -> _Cells:
        """The cells of a column of strings and texts."""
        texts = [_as_text(cell) for cell in column.cells]
        is_right = column.justify == "right"
        return cls(_as_text(column.header).plain, texts, column.no_wrap, is_right)

    @property
    def width(self) -> int:
        """Characters of the longest text or the name."""
        return max(text.cell_len for text in (Text(self.name), *self.texts))

    def padded(self, text: Text) -> Text:
        """``text`` as wide as the column."""
        blank = Text(" " * (self.width - text.cell_len))
        return blank + text if self.is_right else text + blank


def _as_text(cell: object) -> Text:
    return cell.copy() if isinstance(cell, Text) else Text(harmless(str(cell)))


def _row_width(columns: Sequence[_Cells]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def _print_stacked(console: Console, table: Table, columns: Sequence[_Cells]) -> None:
    """Values side by side; prose below, with its name."""
    values = [column for column in columns if column.is_value]
    head = Text(_GAP).join(column.padded(Text(column.name)) for column in values)
    _print_values(console, head, "bold")
    for number, row in enumerate(table.rows):
        style = str(row.style or "")
        _print_values(
            console,
            Text(_GAP).join(column.padded(column.texts[number]) for column in values),
            style,
        )
        for column in columns:
            if not column.is_value and column.texts[number].plain.strip(" -"):
                text = Text(f"{column.name}: ") + column.texts[number]
                console.print(Padding(text, (0, 0, 0, _INDENT)), style=style or None)


def _print_values(console: Console, line: Text, style: str) -> None:
    line.rstrip()
    console.print(line, style=style or None, no_wrap=True, overflow="ignore", crop=False)


def _print_named(console: Console, table: Table, columns: Sequence[_Cells]) -> None:
    """A line for each row, which begins with the first cell: ``name value, name value``."""
    first, *others = columns
    for number, row in enumerate(table.rows):
        style = str(row.style or "")
        console.print(first.texts[number], style=style or "bold")
        pairs = list(_pairs(others, number))
        if pairs:
            console.print(Padding(Text(", ").join(pairs), (0, 0, 0, _INDENT)), style=style or None)


def _pairs(columns: Sequence[_Cells], number: int) -> Iterator[Text]:
    for column in columns:
        text = column.texts[number]
        if text.plain.strip(" -"):
            yield Text(f"{column.name}\u00a0") + text
