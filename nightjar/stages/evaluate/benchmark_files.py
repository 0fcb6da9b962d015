"""Reading benchmark files: lines of text, tab-separated tables with a header, and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.errors import BenchmarkError
from nightjar.files.numbers import number_in
from nightjar.scoring.scores import ALL

SEMANTIC = "semantic"
SYNTACTIC = "syntactic"
RESERVED_CATEGORIES = (ALL, SEMANTIC, SYNTACTIC)
"""Names of the summary rows; a file may not use them as categories."""
_PARQUET_MAGIC = b"PAR1"
_SHOWN = 60
_MOST_NAMES = 300
"""Characters of a value, and of all names of columns, that an error shows."""


@dataclass(frozen=True)
class BenchmarkTable:
    """The rows of a file, by column. Raises BenchmarkError with the place of a bad value."""

    path: Path
    columns: dict[str, Sequence[object]]
    rows: Sequence[int]
    """The line or row number of each row, from 1."""
    row_name: str
    """What a row of the file is called: line or row."""

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.columns

    def place(self, number: int) -> str:
        """Where a row is, counted from 1."""
        return f"{self.row_name} {self.rows[number - 1]}"

    def texts(self, name: str) -> tuple[str, ...]:
        """A column of texts that are not empty."""
        found = []
        for number, value in enumerate(self.columns[name], start=1):
            # Labels are often numbers.
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            text = str(value) if is_whole else value
            if not isinstance(text, str) or not text.strip():
                raise self._wrong(number, name, "a text", value)
            found.append(text)
        return tuple(found)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of finite numbers."""
        found = []
        for number, value in enumerate(self.columns[name], start=1):
            as_number = number_in(value if isinstance(value, str) else str(value))
            if as_number is None or isinstance(value, bool):
                raise self._wrong(number, name, "a number", value)
            found.append(as_number)
        return np.array(found, np.float64)

    def lists(self, name: str) -> tuple[tuple[str, ...], ...]:
        """A column of lists of words, or of words separated by spaces; none is empty."""
        found = []
        for number, value in enumerate(self.columns[name], start=1):
            given = value.split() if isinstance(value, str) else value
            given = given if isinstance(given, list) else []
            words = [word for word in given if isinstance(word, str) and word.strip()]
            if not words or len(words) < len(given):
                raise self._wrong(number, name, "words, separated by spaces", value)
            found.append(tuple(dict.fromkeys(words)))
        return tuple(found)

    def _wrong(self, number: int, name: str, expected: str, value: object) -> BenchmarkError:
        shown = "nothing" if value in (None, "") else _short(repr(value))
        return BenchmarkError(
            f"{self.path}, {self.place(number)}: the column {name} should have {expected}, found "
            f"{shown}; correct or delete the {self.row_name}"
        )


def read_table(
    path: Path,
    *,
    of: str,
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    lists: Sequence[str] = (),
    optional: Sequence[str] = (),
    blank: str | None = None,
) -> BenchmarkTable:
    """Read a table of ``of`` (a pair of texts, say) from Parquet, or tab-separated text in UTF-8.

    The text has a header with the names of the columns, in any order and case; other columns are
    ignored. A field may be quoted, with quotes inside it doubled. Empty lines are skipped, and so
    are lines with nothing in the column ``blank``.
    """
    if is_parquet(path):
        return read_parquet(path, texts=texts, numbers=numbers, lists=lists, optional=optional)
    required = (*numbers, *texts, *lists)
    lines = numbered_lines(path, comments=())
    number, header = next(lines, (1, ""))
    names = [unquoted(name.strip()).strip() for name in header.split("\t")]
    places = _places(f"{path}, line {number}: the header", names, required, optional)
    columns: dict[str, list[object]] = {name: [] for name in places}
    rows: list[int] = []
    for number, line in lines:
        fields = line.split("\t")
        is_whole = len(fields) == len(names)
        found = [unquoted(fields[place].strip()) for place in places.values()] if is_whole else []
        if is_whole and blank is not None and not fields[places[blank]].strip():
            continue
        is_good = is_whole and all(
            value.strip() and (name not in numbers or number_in(value) is not None)
            for name, value in zip(places, found, strict=True)
            if name not in optional
        )
        if not is_good:
            expected = (
                f"{len(names)} fields separated by tabs, with {_kinds(texts, numbers, lists)}"
            )
            raise malformed_line(path, number, expected, line)
        rows.append(number)
        for name, value in zip(places, found, strict=True):
            columns[name].append(value)
    if not rows:
        raise BenchmarkError(f"{path}: there is no {of} in it; correct the path")
    return BenchmarkTable(path, dict(columns), rows, "line")


def _places(
    where: str, names: Sequence[str], required: Sequence[str], optional: Sequence[str]
) -> dict[str, int]:
    """Where the columns are among the ``names`` of a file, which is the same for every format.

    A column is spelled exactly so, or else in another case. Raises BenchmarkError when one is
    missing, or there several times, or when two of them are the same.
    """
    found_at = {name: _spelled(name, names) for name in (*required, *optional)}
    missing = [name for name in required if not found_at[name]]
    if missing:
        end = f" and, if there is one, {optional[0]}" if optional else ""
        raise BenchmarkError(
            f"{where} has no column {', '.join(missing)}; it has "
            f"{_short(', '.join(names), _MOST_NAMES) or 'none'}, and needs "
            f"{', '.join(required)}{end}"
        )
    repeated = [name for name, found in found_at.items() if len(found) > 1]
    if repeated:
        raise BenchmarkError(
            f"{where} names {', '.join(repeated)} several times, in whichever case; give each "
            f"column its own name"
        )
    places = {name: found[0] for name, found in found_at.items() if found}
    for name, place in places.items():
        others = [other for other in places if other != name and places[other] == place]
        if others:
            raise BenchmarkError(
                f"{where} has one column {names[place]} for {name} and {others[0]}; each needs "
                f"its own"
            )
    return places


def _spelled(name: str, names: Sequence[str]) -> list[int]:
    exact = [place for place, other in enumerate(names) if other == name]
    return exact or [place for place, other in enumerate(names) if other.lower() == name.lower()]


def _kinds(texts: Sequence[str], numbers: Sequence[str], lists: Sequence[str]) -> str:
    parts = [f"a number in {name}" for name in numbers]
    parts += [f"a text in {name}" for name in texts]
    parts += [f"words in {name}" for name in lists]
    return ", ".join(parts)


def read_parquet(
    path: Path,
    *,
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    lists: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> BenchmarkTable:
    """Read columns of a Parquet file, in any order and case; other columns are ignored."""
    required = (*numbers, *texts, *lists)
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            places = _places(f"{path}: the file", names, required, optional)
            spelled = {name: names[place] for name, place in places.items()}
            table = file.read(list(spelled.values()), use_threads=False)
            columns: dict[str, Sequence[object]] = {
                name: table.column(other).to_pylist() for name, other in spelled.items()
            }
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            f"{path}: this Parquet file cannot be read ({error}); write it again"
        ) from error
    if not table.num_rows:
        raise BenchmarkError(f"{path}: there is no row in it; correct the path")
    return BenchmarkTable(path, columns, range(1, table.num_rows + 1), "row")


def is_parquet(path: Path) -> bool:
    """Whether the file starts as Parquet does. Raises BenchmarkError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    except OSError as error:
        raise _unreadable(path, error) from error


def unquoted(field: str) -> str:
    """A field without the quotes around it."""
    inside = field[1:-1]
    is_quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return inside.replace('""', '"') if is_quoted and '"' not in inside.replace('""', "") else field


def check_category(path: Path, place: str, category: str) -> None:
    """Raise BenchmarkError when ``category`` is the name of a summary row."""
    if category in RESERVED_CATEGORIES:
        raise BenchmarkError(
            f"{path}, {place}: the category name {category!r} is taken by the rows that "
            f"sum up ({', '.join(RESERVED_CATEGORIES)}); rename it"
        )


def numbered_lines(path: Path, comments: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Numbers (from 1) and text of the lines that are neither empty nor comments."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise BenchmarkError(
                f"{path}, line {number}: not UTF-8 text; convert the file to UTF-8"
            ) from error
        if line.strip() and not line.startswith(comments):
            yield number, line


def malformed_line(path: Path, number: int, expected: str, line: str) -> BenchmarkError:
    """The error for a line that is no item."""
    return BenchmarkError(
        f"{path}, line {number}: expected {expected}, found {_short(line)!r}; correct or delete "
        f"the line"
    )


def _short(text: str, most: int = _SHOWN) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _unreadable(path: Path, error: OSError) -> BenchmarkError:
    return BenchmarkError(f"{path}: cannot be read ({error.strerror}); check its permissions")
