"""Rows of CSV, one by one, with what is wrong with them."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from nightjar.config.sections import AUTO_DELIMITER
from nightjar.errors import SourceError
from nightjar.sources.conditions import FieldUse, missing_field
from nightjar.sources.encodings import EncodedStream, decoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import MAX_BYTES_PER_CHAR, Reason, Rejection, excerpt
from nightjar.sources.text_lines import EMPTY_LINES, Line, split_lines
from nightjar.wording import counted

MIN_FIELD_LIMIT = 1 << 20
_MAX_ROW_LINES = 200_000
_MAX_READINGS = 2
_JOINED = "the escape at the end of the line joins the next one to it"
_DELIMITERS = (",", ";", "\t", "|")


class CsvSettings(Protocol):
    """What a source of type ``csv`` says of its files."""

    @property
    def delimiter(self) -> str:
        """Between columns, or auto."""

    @property
    def quote(self) -> str | None:
        """Around a field that holds delimiters; None: quotes are text."""

    @property
    def escape(self) -> str | None:
        """Makes the next character literal."""

    @property
    def columns(self) -> list[str] | None:
        """Names of the columns of files without a header line."""

    @property
    def encoding(self) -> str:
        """Of its characters."""

    @property
    def errors(self) -> str:
        """What becomes of invalid bytes."""


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row and its error, if it has one."""

    locator: str
    values: list[str]
    problem: tuple[Reason, str] | None
    excerpt: str
    blank: Line | None = None
    """The blank lines in a row that it is, if it is that."""

    def rejection(self, reason: Reason, detail: str) -> Rejection:
        """The row as one that is not wanted."""
        return Rejection(self.locator, reason, detail, self.excerpt)


class CsvLines:
    """Decoded lines for the csv module; remembers the current row's lines and their error."""

    def __init__(
        self, source: CsvSettings, stream: EncodedStream, field_limit: int, first: int = 1
    ) -> None:
        self._encoding = stream.encoding.name
        self._errors = source.errors
        self._quote, self._escape = source.quote, source.escape
        # A quote within a quoted field is doubled, and there are other fields.
        self._lines = split_lines(stream, 2 * MAX_BYTES_PER_CHAR * field_limit, EMPTY_LINES, first)
        self._again: deque[Line] = deque()
        self._row: list[Line] = []
        self._n_read = self._n_given_back = 0
        self._last_alone = 0
        self.number = first - 1
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


class CsvRows:
    """Rows of the csv module; its errors are returned, not raised."""

    def __init__(
        self, source: CsvSettings, delimiter: str, lines: CsvLines, file: InputFile
    ) -> None:
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

    def next(self) -> CsvRow | None:
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
        return CsvRow(locator, values, problem, shown, self._lines.blank)

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


def csv_reader(source: CsvSettings, delimiter: str, lines: Iterator[str]) -> Iterator[list[str]]:
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


def is_statement(line: str) -> bool:
    """Whether a first line tells Excel the delimiter, and is no row."""
    return _STATEMENT.fullmatch(line) is not None


def stated_delimiter(source: CsvSettings, lines: CsvLines, file: InputFile) -> str:
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


def found_delimiter(source: CsvSettings, wanted: Collection[str], header: str) -> str:
    """The delimiter that gives the header the ``wanted`` columns, else the most columns."""
    names_wanted = set(wanted)

    def score(delimiter: str) -> tuple[int, int]:
        try:
            names = next(csv_reader(source, delimiter, iter((header,))), [])
        except csv.Error:
            return 0, 0
        return len(names_wanted.intersection(names)), len(names)

    return max(_DELIMITERS, key=score)


def column_places(
    uses: Iterable[FieldUse], header: Sequence[str], file: InputFile
) -> dict[str, int]:
    """Where the columns are. Raises SourceError unless each is in ``header`` exactly once."""
    place = {}
    for use in uses:
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
    return place


@contextmanager
def field_limit_of(limit: int) -> Iterator[None]:
    """Let the csv module read fields of ``limit`` characters; the setting is global."""
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)
