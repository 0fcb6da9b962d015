"""CSV, with a header line or with columns named by the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from nightjar.config import CsvSource
from nightjar.config.sections import AUTO_DELIMITER
from nightjar.sources.conditions import MISSING
from nightjar.sources.csv_lines import (
    MIN_FIELD_LIMIT,
    CsvLines,
    CsvRow,
    CsvRows,
    column_places,
    field_limit_of,
    found_delimiter,
    stated_delimiter,
)
from nightjar.sources.encodings import open_encoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import Reason, Rejection, excerpt
from nightjar.stages.ingest.readers.field_mapping import FieldMapping
from nightjar.stages.ingest.records import Record
from nightjar.wording import counted


def read_csv(source: CsvSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_column``, with the id from ``id_column`` if there is one.

    Memory: one row. A quote that is never closed costs only its own line: the lines after it, which
    it seemed to enclose, are read again as rows. So are those that an escape at the end of a line
    joins to a row of another number of columns. Raises SourceError when the header lacks a column.
    """
    mapping = FieldMapping.of(source)
    field_limit = max(max_chars, MIN_FIELD_LIMIT)
    lines = CsvLines(source, open_encoded(file.content(), source.encoding), field_limit)
    with field_limit_of(field_limit):
        delimiter = stated_delimiter(source, lines, file)
        if source.columns is None:
            lines.skip_blank()
        if delimiter == AUTO_DELIMITER:
            wanted = {use.field for use in mapping.uses() if not use.is_optional}
            delimiter = found_delimiter(source, wanted, lines.peek())
        rows = CsvRows(source, delimiter, lines, file)
        header = source.columns or rows.header()
        if header is None:
            return
        columns = _Columns.find(mapping, header, file)
        rows.n_columns = columns.n_columns
        while (row := rows.next()) is not None:
            yield columns.record(row) if row.blank is None else row.blank.blank(file.label)


@dataclass(frozen=True)
class _Columns:
    """The positions of the configured columns."""

    mapping: FieldMapping
    n_columns: int
    place: dict[str, int]

    @classmethod
    def find(cls, mapping: FieldMapping, header: Sequence[str], file: InputFile) -> _Columns:
        """Find them in ``header``. Raises SourceError unless each is there exactly once."""
        return cls(mapping, len(header), column_places(mapping.uses(), header, file))

    def record(self, row: CsvRow) -> Record:
        """The row's document, or its rejection."""
        if row.problem is not None:
            return row.rejection(*row.problem)
        if not row.values:
            return row.rejection(Reason.EMPTY, "the line is blank")
        if len(row.values) != self.n_columns:
            detail = f"{counted(len(row.values), 'column')}, the header has {self.n_columns}"
            text = excerpt(",".join(row.values))
            return Rejection(row.locator, Reason.MALFORMED_ROW, detail, text)
        return self.mapping.record(row.locator, partial(self._value, row.values), _kind)

    def _value(self, values: list[str], name: str) -> object:
        return values[self.place[name]] if name in self.place else MISSING


def _kind(value: object) -> str:
    return type(value).__name__
