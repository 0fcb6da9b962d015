"""CSV as blocks of rows.

pyarrow parses the blocks that it reads as the csv module does: complete lines of valid text, whose
quotes enclose whole fields. Others are read row by row (:mod:`nightjar.sources.csv_lines`), which
finds out what is wrong with each. Memory: some blocks of 16 MB.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from nightjar.config.sections import AUTO_DELIMITER
from nightjar.errors import SourceError
from nightjar.sources.conditions import FieldUse
from nightjar.sources.csv_lines import (
    MIN_FIELD_LIMIT,
    CsvLines,
    CsvRows,
    CsvSettings,
    column_places,
    field_limit_of,
    found_delimiter,
    is_statement,
    stated_delimiter,
)
from nightjar.sources.encodings import EncodedStream, open_encoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import Reason, Rejection, excerpt
from nightjar.sources.tables.blocks import Block, Blocks, Remainder, blank_lines, runs
from nightjar.sources.tables.raw_rows import RawRows, arrow_column, one_array, text_column
from nightjar.wording import counted

_SLOW_ROWS = 50_000
_TEXTS = pa.dictionary(pa.int32(), pa.string())


def read_csv_rows(
    source: CsvSettings, file: InputFile, uses: Collection[FieldUse]
) -> Iterator[RawRows]:
    """The columns ``uses`` of every row. Raises SourceError when the header lacks one."""
    with field_limit_of(MIN_FIELD_LIMIT):
        reading = _CsvReading(source, file, uses)
        yield from reading.rows()


@dataclass(frozen=True)
class _Layout:
    """What the header says."""

    delimiter: str
    n_columns: int
    place: dict[str, int]
    first: int
    """Number of the line after the header."""


class _CsvReading:
    def __init__(self, source: CsvSettings, file: InputFile, uses: Collection[FieldUse]) -> None:
        self._source = source
        self._file = file
        self._uses = uses
        self._blocks = Blocks(open_encoded(file.content(), source.encoding))
        self._quotes: re.Pattern[bytes] | None = None

    def rows(self) -> Iterator[RawRows]:
        """All rows, in blocks."""
        found = self._blocks.next()
        if found is None:
            return
        if isinstance(found, Block) and self._text(found, "replace") is None:
            found = self._blocks.rest(found.data, found.first)  # a carriage return ends lines
        if isinstance(found, Remainder):
            yield from self._slowly(found.stream, found.first, None)
            return
        layout = self._layout(found)
        if layout is None:
            return
        block: Block | Remainder | None = _after(found, layout.first) or self._blocks.next()
        while block is not None:
            if isinstance(block, Remainder):
                yield from self._slowly(block.stream, block.first, layout)
                return
            text = self._text(block, self._source.errors)
            if text is not None and self._is_regular(text, layout):
                yield self._parsed(text, block.first, layout)
            elif self._is_only_undecodable(block, layout):
                yield from self._slowly(self._blocks.alone(block), block.first, layout)
            else:
                block = self._blocks.rest(block.data, block.first)
                continue
            block = self._blocks.next()

    def _text(self, block: Block, errors: str) -> bytes | None:
        return block.text(self._blocks.encoding, errors)

    def _is_only_undecodable(self, block: Block, layout: _Layout) -> bool:
        """Whether its lines are rows, but for invalid bytes."""
        text = self._text(block, "replace")
        return text is not None and self._is_regular(text, layout)

    def _layout(self, block: Block) -> _Layout | None:
        """The header's columns; None when there is no header."""
        lines = CsvLines(self._source, self._blocks.alone(block), MIN_FIELD_LIMIT)
        found = self._start(lines)
        return None if found is None else found[1]

    def _start(self, lines: CsvLines) -> tuple[CsvRows, _Layout] | None:
        source, file = self._source, self._file
        n_stated = int(is_statement(lines.peek()))
        delimiter = stated_delimiter(source, lines, file)
        if source.columns is None:
            lines.skip_blank()
        if delimiter == AUTO_DELIMITER:
            wanted = [use.field for use in self._uses if not use.is_optional]
            delimiter = found_delimiter(source, wanted, lines.peek())
        rows = CsvRows(source, delimiter, lines, file)
        header = source.columns or rows.header()
        if header is None:
            return None
        place = column_places(self._uses, header, file)
        rows.n_columns = len(header)
        first = lines.number + 1 if source.columns is None else 1 + n_stated
        return rows, _Layout(delimiter, len(header), place, first)

    def _is_regular(self, text: bytes, layout: _Layout) -> bool:
        """Whether pyarrow reads ``text`` as the csv module does."""
        delimiter, quote = layout.delimiter.encode(), (self._source.quote or "").encode()
        escape = (self._source.escape or "").encode()
        if len(delimiter) > 1 or len(quote) > 1 or (escape and escape in text):
            return False
        if not quote or quote not in text:
            return True
        if self._quotes is None:
            q, d = re.escape(quote), re.escape(delimiter)
            field = b"(?<![^%b\\r\\n])%b(?:[^%b\\r\\n]++|%b%b)*+%b(?![^%b\\r\\n])"
            self._quotes = re.compile(field % (d, q, q, q, q, q, d))
        return quote not in self._quotes.sub(b"", text)

    def _parsed(self, text: bytes, first: int, layout: _Layout) -> RawRows:
        wrong: list[tuple[int, int, str]] = []

        def note(row: pcsv.InvalidRow) -> str:
            wrong.append((row.number - 1, row.actual_columns, row.text))
            return "skip"

        names = [str(number) for number in range(layout.n_columns)]
        used = {name: str(place) for name, place in layout.place.items()}
        table = pcsv.read_csv(
            pa.BufferReader(text),
            pcsv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
            pcsv.ParseOptions(
                delimiter=layout.delimiter,
                quote_char=self._source.quote or False,
                ignore_empty_lines=False,
                invalid_row_handler=note,
            ),
            pcsv.ConvertOptions(
                check_utf8=False,
                include_columns=list(used.values()),
                column_types=dict.fromkeys(used.values(), _TEXTS),
            ),
        )
        n_lines = text.count(b"\n") + (not text.endswith(b"\n"))
        numbers = np.delete(np.arange(n_lines), [line for line, _, _ in wrong])
        if len(numbers) != len(table):
            raise SourceError(f"{self._file.path}: has rows that cannot be told apart")
        blank = blank_lines(text)
        if len(blank):
            kept = ~np.isin(numbers, blank)
            table, numbers = table.filter(pa.array(kept)), numbers[kept]
        label = self._file.label
        rejections = [
            self._malformed(f"{label}:{first + line}", n, layout, excerpt(row))
            for line, n, row in wrong
            if line not in set(blank.tolist())
        ]
        rejections += [_blank(label, first + start, n) for start, n in runs(blank)]
        columns = {
            name: arrow_column(one_array(table.column(place))) for name, place in used.items()
        }
        return RawRows(len(table), columns, partial(_line, label, numbers + first), rejections)

    def _malformed(self, place: str, n_values: int, layout: _Layout, shown: str) -> Rejection:
        detail = f"{counted(n_values, 'column')}, the header has {layout.n_columns}"
        return Rejection(place, Reason.MALFORMED_ROW, detail, shown)

    def _slowly(
        self, stream: EncodedStream, first: int, layout: _Layout | None
    ) -> Iterator[RawRows]:
        """Rows of the csv module; without a layout the header comes first."""
        lines = CsvLines(self._source, stream, MIN_FIELD_LIMIT, first)
        if layout is None:
            found = self._start(lines)
            if found is None:
                return
            rows, layout = found
        else:
            rows = CsvRows(self._source, layout.delimiter, lines, self._file)
            rows.n_columns = layout.n_columns
        batch = _Batch(layout)
        try:
            while (row := rows.next()) is not None:
                if row.blank is not None:
                    batch.rejections.append(row.blank.blank(self._file.label))
                elif row.problem is not None:
                    batch.rejections.append(row.rejection(*row.problem))
                elif not row.values:
                    batch.rejections.append(row.rejection(Reason.EMPTY, "the line is blank"))
                elif len(row.values) != layout.n_columns:
                    shown = excerpt(layout.delimiter.join(row.values))
                    batch.rejections.append(
                        self._malformed(row.locator, len(row.values), layout, shown)
                    )
                else:
                    batch.add(row.locator, row.values)
                if batch.is_full:
                    yield batch.rows()
                    batch = _Batch(layout)
        except SourceError:
            yield batch.rows()
            raise
        yield batch.rows()


class _Batch:
    """Rows that were read one by one."""

    def __init__(self, layout: _Layout) -> None:
        self._place = layout.place
        self._values: dict[str, list[str]] = {name: [] for name in layout.place}
        self._locators: list[str] = []
        self.rejections: list[Rejection] = []

    def add(self, locator: str, values: Sequence[str]) -> None:
        self._locators.append(locator)
        for name, place in self._place.items():
            self._values[name].append(values[place])

    @property
    def is_full(self) -> bool:
        return len(self._locators) + len(self.rejections) >= _SLOW_ROWS

    def rows(self) -> RawRows:
        columns = {name: text_column(values) for name, values in self._values.items()}
        locator = self._locators.__getitem__
        return RawRows(len(self._locators), columns, locator, self.rejections)


def _after(block: Block, first: int) -> Block | None:
    """The lines from number ``first`` on; None without any."""
    start = 0
    for _ in range(first - block.first):
        start = block.data.find(b"\n", start) + 1
        if not start:
            return None
    rest = block.data[start:]
    return Block(rest, first) if rest else None


def _blank(label: str, first: int, n_lines: int) -> Rejection:
    place = f"{label}:{first}" if n_lines == 1 else f"{label}:{first}-{first + n_lines - 1}"
    return Rejection(place, Reason.EMPTY, counted(n_lines, "blank line"), "", n_lines)


def _line(label: str, numbers: NDArray[np.int64], row: int) -> str:
    return f"{label}:{numbers[row]}"
