"""Fetching the rows of a database beyond the last watermark, into parts.

Rows are ordered by watermark and key, so new rows come last. A night reads the rows whose watermark
is at least the highest one of the night before; rows with exactly that watermark are read again,
because more may have been added. It removes the old versions of these rows, and rows whose key the
database no longer has, from earlier parts, and appends the new rows. The parts are identical to
those of reading everything into an empty folder.
"""

from __future__ import annotations

import datetime as dt
import decimal
import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import SourceError, SourceUnavailable
from nightjar.progress import Progress
from nightjar.sources.rejections import digest_of, source_key
from nightjar.sources.remote.fetched_files import Directories
from nightjar.sources.remote.fetched_index import (
    Index,
    Known,
    Listed,
    TableState,
    Watermark,
    locked,
    today,
)
from nightjar.sources.remote.object_storage import ObjectVersion, persist
from nightjar.sources.remote.row_parts import (
    DatabaseSettings,
    Key,
    OutOfRange,
    PartsWriter,
    Row,
    RowPart,
    TooLong,
    as_key,
    key_digest,
    make_row,
)
from nightjar.store import fingerprint, only_writes
from nightjar.wording import counted

logger = logging.getLogger(__name__)

_TOLD_ROWS = 1_000


@dataclass(frozen=True)
class TableRequest:
    """A source of type ``sql`` and its name."""

    name: str
    source: DatabaseSettings
    base_dir: Path
    purged_ids: frozenset[bytes] = frozenset()
    """Digests of purged doc_ids: their rows are not stored here either."""
    max_chars: int = 10_000_000
    """Longer values are not stored."""

    def takes(self, row: Row) -> bool:
        """Whether a row may be stored."""
        doc_id = f"{self.name}:{str(row.key).strip()}"
        return not self.purged_ids or digest_of(doc_id) not in self.purged_ids

    @property
    def index_name(self) -> str:
        """Name of the index: a change of query, column or database starts a new one."""
        source = self.source
        place: list[Any] = [source.url, source.url_env, source.query, source.columns]
        place += [source.watermark_column, self.max_chars]
        return f"{self.name}-{fingerprint(place)}"


@dataclass(frozen=True)
class FetchedPart:
    """A part of the rows, as a local file."""

    label: str
    path: Path
    sha256: str


def fetch_rows(request: TableRequest, fetched: Path, progress: Progress) -> list[FetchedPart]:
    """Bring the parts up to date with the database; returns all of them, in row order.

    Memory: the digests of all keys that are read again or checked (8 bytes each), some thousand
    rows, and what :class:`~.row_parts.PartsWriter` needs. Raises SourceError, with the name of the
    source, for an invalid query, column or row; SourceUnavailable when the database does not
    answer; StoreNotWritable.
    """
    directories = Directories(fetched)
    with only_writes(fetched):
        directories.make()
    path = directories.index / f"{request.index_name}.json"
    name = source_key(request.name)
    try:
        with locked(path):
            fetching = _TableFetching(request, directories, path, progress)
            parts = persist(name, fetching.run)
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from None
    except SourceUnavailable as error:
        said = str(error)
        raise SourceUnavailable(said if said.startswith(name) else f"{name}: {said}") from None
    return [_fetched(directories, part) for part in parts]


def known_rows(request: TableRequest, fetched: Path) -> list[FetchedPart]:
    """The parts that :func:`fetch_rows` found last time, without asking the database.

    Raises SourceError when these rows were never fetched, or a file is gone.
    """
    directories = Directories(fetched)
    index = Index.read(directories.index / f"{request.index_name}.json")
    if index.table is None or not _are_here(index, directories):
        raise SourceError(
            f"{source_key(request.name)}: its rows are not fetched; run 'nightjar plan'"
        )
    return [_fetched(directories, part) for part in index.table.parts]


def _fetched(directories: Directories, part: RowPart) -> FetchedPart:
    return FetchedPart(part.name, part.path(directories), part.sha256)


def _are_here(index: Index, directories: Directories) -> bool:
    return all(known.is_here(directories) for known in index.objects.values())


class _TableFetching:
    def __init__(
        self, request: TableRequest, directories: Directories, path: Path, progress: Progress
    ) -> None:
        self._request = request
        self._source = request.source
        self._directories = directories
        self._path = path
        self._progress = progress
        self._before = Index.read(path)
        self._last: Any = None
        """The highest watermark so far, as the database returned it."""

    def run(self) -> list[RowPart]:
        """One attempt: the parts for the database as it is now."""
        from nightjar.sources.remote.database import opened  # noqa: PLC0415  # imports SQLAlchemy

        self._progress.start(f"fetch {self._request.name}", None, "rows")
        table, self._last = self._usable(), None
        with (
            opened(self._source, self._request.base_dir, self._request.max_chars) as database,
            PartsWriter(self._directories) as writer,
        ):
            if table is None or table.watermark is None:
                writer.add(self._rows(database.rows()))
                n_known = 0
            else:
                self._last = _decoded(table.watermark)
                n_known = self._go_on(table, database, writer)
            parts = writer.finish()
        self._check_keys(parts)
        self._save(parts, n_known)
        return parts

    def _usable(self) -> TableState | None:
        table = self._before.table
        return table if table and _are_here(self._before, self._directories) else None

    def _go_on(self, table: TableState, database: Any, writer: PartsWriter) -> int:
        """Write known rows that still exist, then new ones; returns the number of known ones."""
        with PartsWriter(self._directories) as news:
            news.add(self._rows(database.rows(self._last)))
            new_parts = news.finish()
        key_column = self._source.key_column
        again = _joined(part.digests(self._directories, key_column) for part in new_parts)
        there = None
        if self._source.check_deleted:
            digests = (key_digest(as_key(key, "a row")) for key in database.keys())  # noqa: SIM118
            there = np.fromiter(digests, np.uint64)
            there.sort()
        n_kept = 0
        for part in table.parts:
            keys = part.digests(self._directories, key_column)
            is_dropped = np.isin(keys, again)
            if there is not None:
                is_dropped |= ~_is_among(keys, there)
            n_kept += int((~is_dropped).sum())
            goes_on = not part.is_ended and bool(new_parts)
            if is_dropped.any() or goes_on or not writer.is_between_parts:
                rows = part.rows(self._directories, key_column)
                writer.add(row for row, drop in zip(rows, is_dropped, strict=True) if not drop)
            else:
                writer.take(part)
        for part in new_parts:
            if writer.is_between_parts:
                writer.take(part)
            else:
                writer.add(part.rows(self._directories, key_column))
        return n_kept

    def _rows(self, rows: Iterator[Sequence[Any]]) -> Iterator[Row]:
        """The database's rows as they are stored; tracks the highest watermark."""
        source = self._source
        names = source.columns
        mark = None if source.watermark_column is None else names.index(source.watermark_column)
        for number, values in enumerate(rows, 1):
            place = f"{source.key_column} {values[0]!r}"
            if values[0] is None:
                raise SourceError(f"row {number} has no key: its {source.key_column} is null")
            if mark is not None:
                if values[mark] is None:
                    raise SourceError(
                        f"{place}: its {source.watermark_column} is null, so that no night would "
                        f"see it; leave such rows out of the query, or give them one"
                    )
                self._last = _highest(self._last, values[mark], place)
            row = make_row(names, values, values[0], place, self._request.max_chars)
            if self._request.takes(row):
                yield row
            if number % _TOLD_ROWS == 0:
                self._progress.advance(_TOLD_ROWS, counted(number, "row"))

    def _check_keys(self, parts: Sequence[RowPart]) -> None:
        """Raise SourceError when a key occurs twice; equal digests are checked by key."""
        key_column = self._source.key_column
        digests = _joined(part.digests(self._directories, key_column) for part in parts)
        digests.sort()
        repeated = set(digests[1:][digests[1:] == digests[:-1]].tolist())
        seen: set[Key] = set()
        for part in parts if repeated else ():
            for row in part.rows(self._directories, key_column):
                if row.digest in repeated:
                    if row.key in seen:
                        raise SourceError(
                            f"several rows have {key_column} {row.key!r}; a key tells rows apart"
                        )
                    seen.add(row.key)

    def _save(self, parts: Sequence[RowPart], n_known: int) -> None:
        watermark = None if self._source.watermark_column is None else _encoded(self._last)
        objects = {
            part.name: Known(ObjectVersion({}, part.n_bytes), part.n_bytes, part.sha256, part.name)
            for part in parts
        }
        listing = tuple(Listed(part.name, part.name) for part in parts)
        index = Index(objects, listing, table=TableState(watermark, tuple(parts)), used_on=today())
        index.write(self._path)
        n_rows = sum(part.n_rows for part in parts)
        known = {part.sha256 for part in self._before.table.parts} if self._before.table else set()
        logger.info(
            "%s: %d rows, %d of them read; %d of %d parts are new",
            *(self._request.name, n_rows, n_rows - n_known),
            *(sum(part.sha256 not in known for part in parts), len(parts)),
        )


def _highest(last: Any, value: Any, place: str) -> Any:
    """The watermark after a row with ``value``; rows come in its order.

    A time without end is none to go on from: the next night reads its row again.
    """
    if isinstance(value, OutOfRange):
        return last
    if isinstance(value, TooLong | bytes) or (isinstance(value, str) and not _is_utf_8(value)):
        raise SourceError(f"{place}: its watermark is no text in UTF-8; cast it in the query")
    return value


def _is_utf_8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def _joined(arrays: Iterator[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return np.concatenate([np.zeros(0, np.uint64), *arrays])


def _is_among(keys: NDArray[np.uint64], ascending: NDArray[np.uint64]) -> NDArray[np.bool_]:
    if len(ascending) == 0:
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    found: NDArray[np.bool_] = ascending[places] == keys
    return found


_TYPES = {
    "datetime": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "integer": (int, str, int),
    "number": (float, float.hex, float.fromhex),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "text": (str, str, str),
}
"""Types of watermarks by name: the class, and how its values are written and read."""


def _encoded(value: Any) -> Watermark | None:
    if value is None:
        return None
    for name, (kind, written, _read) in _TYPES.items():
        if isinstance(value, kind) and not isinstance(value, bool):
            return Watermark(name, written(value))  # type: ignore[operator]
    raise SourceError(
        f"the watermark is a {type(value).__name__}; it is a time, a date, a number or text"
    )


def _decoded(watermark: Watermark) -> Any:
    return _TYPES[watermark.type][2](watermark.value)  # type: ignore[operator]
