"""CSV, with a header line or with columns named by the configuration."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from nightjar.config import CsvSource
from nightjar.config.sections import AUTO_DELIMITER
from nightjar.errors import SourceError
from nightjar.stages.ingest.encodings import decoded, open_encoded
from nightjar.stages.ingest.input_file import InputFile
from nightjar.stages.ingest.readers.field_mapping import MISSING, FieldMapping, missing_field
from nightjar.stages.ingest.readers.plain_text import EMPTY_LINES, Line, split_lines
from nightjar.stages.ingest.records import MAX_BYTES_PER_CHAR, Reason, Record, Rejection, excerpt
from nightjar.wording import counted

_MIN_FIELD_LIMIT = 1 << 20
_MAX_ROW_LINES = 200_000
_MAX_READINGS = 2
_JOINED = "the escape at the end of the line joins the next one to it"
_DELIMITERS = (",", ";", "\t", "|")


def read_csv(source: CsvSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_column``, with the id from ``id_column`` if there is one.

    Memory: one row. A quote that is never closed costs only its own line: the lines after it, which
    it seemed to enclose, are read again as rows. So are those that an escape at the end of a line
    joins to a row of another number of columns. Raises SourceError when the header lacks a column.
    """
    mapping = FieldMapping.of(source)
    field_limit = max(max_chars, _MIN_FIELD_LIMIT)
    lines = _Lines(source, file, field_limit)
    with _field_limit(field_limit):
        delimiter = _stated_delimiter(source, lines, file)
        if source.columns is None:
            lines.skip_blank()
        if delimiter == AUTO_DELIMITER:
            delimiter = _found_delimiter(source, mapping, lines.peek())
        rows = _Rows(source, delimiter, lines, file)
        header = source.columns or rows.header()
        if header is None:
            return
        columns = _Columns.find(mapping, header, file)
        rows.n_columns = columns.n_columns
        while (row := rows.next()) is not None:
            yield columns.record(row) if row.blank is None else row.blank.blank(file.label)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row and its error, if it has one."""

    locator: str
    values: list[str]
    problem: tuple[Reason, str] | None
    excerpt: str
    blank: Line | None = None
    """The blank lines in a row that it is, if it is that."""

    def rejection(self, reason: Reason, detail: str) -> Rejection:
        return Rejection(self.locator, reason, detail, self.excerpt)


class _Lines:
    """Decoded lines for the csv module; remembers the current row's lines and their error."""

    def __init__(self, source: CsvSource, file: InputFile, field_limit: int) -> None:
        stream = open_encoded(file.content(), source.encoding)
        self._encoding = stream.encoding.name
        self._errors = source.errors
        self._quote, self._escape = source.quote, source.escape
        # A quote within a quoted field is doubled, and there are other fields.
        self._lines = split_lines(stream, 2 * MAX_BYTES_PER_CHAR * field_limit, EMPTY_LINES)
        self._again: deque[Line] = deque()
        self._row: list[Line] = []
        self._n_read = self._n_given_back = 0
        self._last_alone = 0
        self.number = 0
        self.problem: tuple[Reason, str] | None = None

    def start_row(self) -> None:
        """Forget the previous row."""
        self.problem = None
        self._row.clear()

    def peek(self) -> str:
        """The next line, without consuming it."""
        if not self._again:
            line = self._next_of_file()
            if line is None:
                return ""
            self._again.append(line)
        return self._text(self._again[0])

    def skip(self) -> None:
        """Leave the next line out."""
        self._again.popleft()

    def skip_blank(self) -> None:
        """Leave blank lines out, up to the next other one."""
        while not self.peek().strip() and self._again:
            self.skip()

    def give_back(self) -> bool:
        """Put back all lines of this row but the first; False if there are none.

        Also False when twice the bytes read so far were put back already: a file can be crafted so
        that every line seems to open a quote, and would be read again for each of them. Where
        escapes join the lines, each of these is then a row by itself.
        """
        again = self._row[1:]
        n_bytes = sum(len(line.data) + 1 for line in again)
        if not again:
            return False
        if self._n_given_back + n_bytes <= _MAX_READINGS * self._n_read:
            self._n_given_back += n_bytes
        elif self.is_joined:
            self._last_alone = again[-1].number
        else:
            return False
        self._again.extendleft(reversed(again))
        return True

    @property
    def is_joined(self) -> bool:
        """Whether an escape at the end of the row's first line joins the second one to it."""
        return len(self._row) > 1 and self._is_escaped(self._text(self._row[0]))

    def _is_escaped(self, text: str) -> bool:
        """Whether the end of the line ``text`` is escaped, outside of quotes."""
        if self._escape is None or not text.endswith(self._escape):
            return False
        bare = re.sub(f"{re.escape(self._escape)}.", "", text)
        is_within = self._quote is not None and bare.count(self._quote) % 2 == 1
        return bare.endswith(self._escape) and not is_within

    def _text(self, line: Line) -> str:
        return line.data.decode(self._encoding, "replace")

    def __iter__(self) -> Iterator[str]:
        while True:
            line = self._again.popleft() if self._again else self._next_of_file()
            if line is None:
                return
            if line.n_lines > 1 and self._row:  # within quotes
                self._again.extendleft(_separate(line))
                continue
            self.number = line.number + line.n_lines - 1
            self._row.append(line)
            if len(self._row) > _MAX_ROW_LINES:
                raise csv.Error(f"more lines in a row than the limit ({_MAX_ROW_LINES})")
            yield f"{self._ended(self._decoded(line))}\n"

    def _ended(self, text: str) -> str:
        """``text``, without the escape at its end if it has to be a row by itself."""
        is_alone = len(self._row) == 1 and self._row[0].number <= self._last_alone
        if not (is_alone and self._is_escaped(text)):
            return text
        self.problem = self.problem or (Reason.MALFORMED_ROW, _JOINED)
        return text[:-1]

    def _next_of_file(self) -> Line | None:
        line = next(self._lines, None)
        self._n_read += 0 if line is None else len(line.data) + 1
        return line

    def _decoded(self, line: Line) -> str:
        if line.is_cut:
            self.problem = (
                Reason.TOO_LONG,
                f"line {line.number} has {counted(line.n_bytes, 'byte')}",
            )
            return ""  # an empty line ends the row
        try:
            return decoded(line.data, self._encoding, self._errors)
        except UnicodeError as error:
            self.problem = (Reason.UNDECODABLE, f"line {line.number}: {error}")
            return line.data.decode(self._encoding, "backslashreplace")

    @property
    def blank(self) -> Line | None:
        """The row itself if it is blank lines in a row."""
        return self._row[0] if len(self._row) == 1 and self._row[0].n_lines > 1 else None

    @property
    def first_number(self) -> int:
        """The number of the row's first line."""
        return self._row[0].number if self._row else self.number + 1

    def excerpt(self) -> str:
        """The start of the row's first line."""
        return excerpt(self._row[0].data if self._row else b"", self._encoding)


def _separate(blank: Line) -> Iterator[Line]:
    """The lines of a run of blank ones, the last first."""
    numbers = range(blank.number + blank.n_lines - 1, blank.number - 1, -1)
    return (Line(number, b"", 0) for number in numbers)


class _Rows:
    """Rows of the csv module; its errors are returned, not raised."""

    def __init__(self, source: CsvSource, delimiter: str, lines: _Lines, file: InputFile) -> None:
        self._source = source
        self._delimiter = delimiter
        self._lines = lines
        self._file = file
        self._rows = self._reader()
        self.n_columns: int | None = None
        """How many a row should have, once that is known."""

    def _reader(self) -> Iterator[list[str]]:
        return csv_reader(self._source, self._delimiter, iter(self._lines))

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
        values: list[str] = []
        problem = None
        try:
            values = next(self._rows)
        except StopIteration:
            return None
        except csv.Error as error:
            problem = self._problem(error)
            self._rows = self._reader()
        else:
            problem = self._lines.problem
            if self._is_wrongly_joined(len(values)) and self._lines.give_back():
                detail = f"{_JOINED}: {counted(len(values), 'column')}, not {self.n_columns}"
                problem = (Reason.MALFORMED_ROW, detail)
        locator = f"{self._file.label}:{self._lines.first_number}"
        shown = self._lines.excerpt() if problem else ""
        return _Row(locator, values, problem, shown, self._lines.blank)

    def _is_wrongly_joined(self, n_values: int) -> bool:
        return self.n_columns not in (None, n_values) and self._lines.is_joined

    def _problem(self, error: csv.Error) -> tuple[Reason, str]:
        """What is wrong with a row that the csv module refuses; its other lines are read again."""
        reason = Reason.TOO_LONG if "limit" in str(error) else Reason.MALFORMED_ROW
        is_joined, last = self._lines.is_joined, self._lines.number
        if not self._lines.give_back():
            return self._lines.problem or (reason, f"lines up to {last}: {error}")
        if is_joined:
            return reason, f"{_JOINED} ({error})"
        return reason, f"a quote that no line up to {last} closes rightly ({error})"


def csv_reader(source: CsvSource, delimiter: str, lines: Iterator[str]) -> Iterator[list[str]]:
    """The csv module's reader, configured by ``source``."""
    return csv.reader(
        lines,
        delimiter=delimiter,
        quotechar=source.quote,
        escapechar=source.escape,
        quoting=csv.QUOTE_MINIMAL if source.quote else csv.QUOTE_NONE,
        strict=True,
    )


_STATEMENT = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)
"""The first line with which Excel is told the delimiter."""


def _stated_delimiter(source: CsvSource, lines: _Lines, file: InputFile) -> str:
    """The delimiter that the configuration states, or a first line ``sep=;``, which is skipped."""
    first = lines.peek()
    statement = _STATEMENT.fullmatch(first)
    if statement is None:
        return source.delimiter
    if source.delimiter not in (AUTO_DELIMITER, statement[1]):
        raise SourceError(
            f"{file.path}: its first line {first!r} tells Excel that {statement[1]!r} separates "
            f"columns, delimiter is {source.delimiter!r}; set delimiter: auto, or that one"
        )
    lines.skip()
    return statement[1]


def _found_delimiter(source: CsvSource, mapping: FieldMapping, header: str) -> str:
    """The delimiter that gives the header the configured columns, else the most columns."""
    wanted = {use.field for use in mapping.uses() if not use.is_optional}

    def score(delimiter: str) -> tuple[int, int]:
        try:
            names = next(csv_reader(source, delimiter, iter((header,))), [])
        except csv.Error:
            return 0, 0
        return len(wanted.intersection(names)), len(names)

    return max(_DELIMITERS, key=score)


@dataclass(frozen=True)
class _Columns:
    """The positions of the configured columns."""

    mapping: FieldMapping
    n_columns: int
    place: dict[str, int]

    @classmethod
    def find(cls, mapping: FieldMapping, header: Sequence[str], file: InputFile) -> _Columns:
        """Find them in ``header``. Raises SourceError unless each is there exactly once."""
        place = {}
        for use in mapping.uses():
            count = header.count(use.field)
            if count > 1:
                raise SourceError(
                    f"{file.path}: has {counted(count, 'column')} {use.field!r}; give each its own "
                    f"name, or name all of them in columns"
                )
            if count:
                place[use.field] = header.index(use.field)
            elif not use.is_optional:
                raise missing_field(file.path, use.key, use.field, header)
        return cls(mapping, len(header), place)

    def record(self, row: _Row) -> Record:
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


@contextmanager
def _field_limit(limit: int) -> Iterator[None]:
    """Let the csv module read fields of ``limit`` characters; the setting is global."""
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)
