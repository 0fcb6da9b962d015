"""CSV with a header line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nightjar.config import CsvSource
from nightjar.corpus.encodings import open_encoded
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.lines import split_lines
from nightjar.corpus.readers.fields import missing_field
from nightjar.corpus.records import (
    MAX_BYTES_PER_CHAR,
    Document,
    Reason,
    Record,
    Rejection,
    excerpt,
)
from nightjar.errors import SourceError

_MIN_FIELD_LIMIT = 1 << 20


def read_csv(source: CsvSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_column``, with their id from ``id_column`` where there is one.

    Holds one row. A quote that is never closed swallows no more than a field may hold, then
    rows start afresh. Raises SourceError when the header does not have the columns.
    """
    field_limit = max(max_chars, _MIN_FIELD_LIMIT)
    lines = _Lines(source, file, field_limit)
    with _field_limit(field_limit):
        rows = _Rows(source, lines, file)
        header = rows.header()
        if header is None:
            return
        columns = _Columns.find(source, header, file)
        while (row := rows.next()) is not None:
            yield columns.record(row)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row and what is wrong with it, if anything."""

    locator: str
    values: list[str]
    problem: tuple[Reason, str] | None
    excerpt: str

    def rejection(self, reason: Reason, detail: str) -> Rejection:
        return Rejection(self.locator, reason, detail, self.excerpt)


class _Lines:
    """Decoded lines for the csv module, remembering what is wrong with those of a row."""

    def __init__(self, source: CsvSource, file: InputFile, field_limit: int) -> None:
        stream = open_encoded(file.content(), source.encoding)
        self._encoding = stream.encoding.name
        # A quote within a quoted field is written twice, and there are other fields.
        self._lines = split_lines(stream, 2 * MAX_BYTES_PER_CHAR * field_limit)
        self.number = 0
        self.start_row()

    def start_row(self) -> None:
        """Forget what was wrong with the row before."""
        self.problem: tuple[Reason, str] | None = None
        self.first: str | bytes | None = None

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number = line.number
            text = ""  # stands in for a line that was cut, so that the row still ends
            if line.is_cut:
                self.problem = (Reason.TOO_LONG, f"line {line.number} has {line.n_bytes} bytes")
            else:
                try:
                    text = line.data.decode(self._encoding)
                except UnicodeError as error:
                    self.problem = (Reason.UNDECODABLE, f"line {line.number}: {error}")
                    text = line.data.decode(self._encoding, "backslashreplace")
            if self.first is None:
                self.first = line.data if line.is_cut else text
            yield f"{text}\n"

    def excerpt(self) -> str:
        """The start of the row's first line."""
        return excerpt(self.first or "", self._encoding)


class _Rows:
    """Rows of the csv module, with its errors as values."""

    def __init__(self, source: CsvSource, lines: _Lines, file: InputFile) -> None:
        self._lines = lines
        self._file = file
        self._rows = csv.reader(lines, delimiter=source.delimiter, strict=True)

    def header(self) -> list[str] | None:
        """The header line; None when the file is empty."""
        row = self.next()
        if row is not None and row.problem is not None:
            raise SourceError(
                f"{self._file.path}: the header line cannot be read: {row.problem[1]}; "
                f"check the file and the encoding of its source"
            )
        return None if row is None else row.values

    def next(self) -> _Row | None:
        """The next row; None at the end."""
        self._lines.start_row()
        locator = f"{self._file.label}:{self._lines.number + 1}"
        values: list[str] = []
        problem = None
        try:
            values = next(self._rows)
        except StopIteration:
            return None
        except csv.Error as error:
            is_long = "field limit" in str(error)
            reason = Reason.TOO_LONG if is_long else Reason.MALFORMED_ROW
            problem = (reason, f"lines up to {self._lines.number}: {error}")
        problem = self._lines.problem or problem
        return _Row(locator, values, problem, self._lines.excerpt() if problem else "")


@dataclass(frozen=True)
class _Columns:
    """Where the configured columns are."""

    header: list[str]
    text: int
    id: int | None

    @classmethod
    def find(cls, source: CsvSource, header: list[str], file: InputFile) -> _Columns:
        """Raises SourceError when ``header`` does not have them."""
        wanted = [("text_column", source.text_column)]
        if source.id_column is not None:
            wanted.append(("id_column", source.id_column))
        for key, column in wanted:
            if column not in header:
                raise missing_field(file.path, key, column, header)
        found = [header.index(column) for _, column in wanted]
        return cls(header, found[0], found[1] if len(found) > 1 else None)

    def record(self, row: _Row) -> Record:
        """The row's document, or why it has none."""
        if row.problem is not None:
            return row.rejection(*row.problem)
        if not row.values:
            return row.rejection(Reason.EMPTY, "the line is blank")
        if len(row.values) != len(self.header):
            detail = f"{len(row.values)} columns, the header has {len(self.header)}"
            text = excerpt(",".join(row.values))
            return Rejection(row.locator, Reason.MALFORMED_ROW, detail, text)
        native_id = None if self.id is None else row.values[self.id]
        return Document(row.locator, native_id, row.values[self.text])


@contextmanager
def _field_limit(limit: int) -> Iterator[None]:
    """Let the csv module read fields of ``limit`` characters; its limit is global."""
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)
