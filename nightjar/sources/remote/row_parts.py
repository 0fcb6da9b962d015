"""Rows of a database in files: one line of JSON per row, with parts that depend on the rows alone.

A row gives the same line whichever night it was read. Whether it ends a part depends on its key and
its length, so the same rows in the same order give the same files, whenever each was read. New rows
at the end change the last part; a deleted row changes its own part, and the next one if it ended a
part.
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
import math
import os
import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import SourceError, StoreNotWritable
from nightjar.sources.rejections import MAX_BYTES_PER_CHAR
from nightjar.sources.remote.fetched_files import Directories, fetched_file
from nightjar.store import only_writes, sync

_MAX_EXACT_FLOAT = 2.0**53
Key = int | str
"""A row's key, as in JSON."""


class DatabaseSettings(Protocol):
    """What a source of type ``sql`` says of its rows."""

    @property
    def url(self) -> str | None:
        """The database, without a password."""

    @property
    def url_env(self) -> str | None:
        """Or the environment variable with its URL."""

    @property
    def query(self) -> str:
        """A SELECT."""

    @property
    def columns(self) -> list[str]:
        """The columns to read, without repetition, the key first."""

    @property
    def named_columns(self) -> list[tuple[str, str]]:
        """Each key of the config that names a column, and the column."""

    @property
    def key_column(self) -> str:
        """A unique key of a row."""

    @property
    def watermark_column(self) -> str | None:
        """Increases with each change."""

    @property
    def check_deleted(self) -> bool:
        """Whether all keys are read, to notice deleted rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row to store."""

    key: Key
    line: bytes
    """JSON with the columns in order, and a line end."""
    digest: int
    """64 bits of BLAKE2b of the key."""


class OutOfRange(str):
    """A time that Python does not have, as the database writes it: ``infinity``."""

    __slots__ = ()


TOO_LONG = "nightjar: bytes of a value that is too long"
"""The key of an object that stands for such a value."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """A value that was not read because it is too long for any document."""

    n_bytes: int


def make_row(
    names: Sequence[str], values: Sequence[Any], key: Any, place: str, max_chars: int
) -> Row:
    """The row with the columns ``names`` and the key ``key``.

    Times become ISO 8601, decimals become numbers (integers if possible), and non-finite numbers
    become null. Bytes become text; those that are not UTF-8 become halves of characters
    (``surrogateescape``), and a text of more than ``max_chars`` an object with its length, since
    one such row must not end a night. ``place`` names the row in messages. Raises SourceError for
    a value that is not text, number, time, boolean, list or object, and for a key that is neither
    text nor a whole number.
    """
    fields = {
        name: _json_value(_short(value, max_chars), name, place)
        for name, value in zip(names, values, strict=True)
    }
    found = as_key(key, place)
    fields[names[0]] = found
    return Row(found, _line(fields), key_digest(found))


def as_key(value: Any, place: str) -> Key:
    """The key as it is stored. Raises SourceError as :func:`make_row` does."""
    found = _json_value(value, "key_column", place)
    if isinstance(found, float) and found.is_integer() and abs(found) <= _MAX_EXACT_FLOAT:
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise SourceError(f"{place}: its key is {_shown(value)}; a key is text or a whole number")
    return found


def key_digest(key: Key) -> int:
    """64 bits that distinguish keys; an int and the same digits as text differ."""
    mark = b"i" if isinstance(key, int) else b"s"
    data = mark + str(key).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _line(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which ingest will report
        return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _short(value: Any, max_chars: int) -> Any:
    """``value``, with bytes as text, and with its length alone if it is too long."""
    if isinstance(value, bytes | bytearray | memoryview):
        is_long = len(value) > MAX_BYTES_PER_CHAR * max_chars
        value = TooLong(len(value)) if is_long else str(value, "utf-8", "surrogateescape")
    if isinstance(value, str) and len(value) > max_chars:
        value = TooLong(len(value))
    return {TOO_LONG: value.n_bytes} if isinstance(value, TooLong) else value


def _json_value(value: Any, name: str, place: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return [_json_value(item, name, place) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _json_value(item, name, place) for key, item in value.items()}
    raise SourceError(
        f"{place}: column {name!r} holds {_shown(value)}; cast it to text in the query"
    )


def _shown(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


PART_BYTES = 4 << 20
"""Size of a part, on average."""
_KEYS_NAME = "keys"
"""Name of the file beside a part with the digests of its keys: uint64 little-endian, in row
order."""


@dataclass(frozen=True)
class RowPart:
    """A file of rows, stored among the fetched objects."""

    sha256: str
    n_bytes: int
    n_rows: int
    is_ended: bool
    """Whether its last row ends a part; if not, following rows belong to it."""

    @property
    def name(self) -> str:
        """File name, from its content."""
        return f"rows-{self.sha256[:16]}.jsonl"

    def path(self, directories: Directories) -> Path:
        """Path of the file."""
        return fetched_file(directories.root, self.sha256, self.name)

    def digests(self, directories: Directories, key_column: str) -> NDArray[np.uint64]:
        """Digests of the keys of its rows, shape (n_rows,)."""
        path = self.path(directories).with_name(_KEYS_NAME)
        with suppress(OSError):
            found = np.fromfile(path, "<u8")
            if len(found) == self.n_rows:
                return found
        return np.array([row.digest for row in self.rows(directories, key_column)], np.uint64)

    def rows(self, directories: Directories, key_column: str) -> Iterator[Row]:
        """Its rows, in order."""
        with self.path(directories).open("rb") as stream:
            for line in stream:
                key = json.loads(line)[key_column]
                yield Row(key, line, key_digest(key))


def first_column(path: Path) -> str:
    """Name of the first column in a file of rows, which is the key column."""
    with path.open("rb") as stream:
        return str(next(iter(json.loads(stream.readline()))))


class PartsWriter:
    """Writes rows into parts, and takes over complete existing parts.

    Memory: the digests of one part's keys. ``parts`` has the finished ones. Leaving the ``with``
    block deletes unfinished files. Raises StoreNotWritable.
    """

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._path = directories.partial / f"rows-{os.getpid()}-{secrets.token_hex(4)}"
        self._stream: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._n_bytes = 0
        self._keys: list[int] = []
        self.parts: list[RowPart] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            with suppress(StoreNotWritable), only_writes(self._directories.root):
                self._stream.close()
            self._path.unlink(missing_ok=True)

    @property
    def is_between_parts(self) -> bool:
        """Whether the next row starts a part."""
        return self._stream is None

    def take(self, part: RowPart) -> None:
        """Append the rows of the existing ``part``."""
        if self._stream is not None:
            raise ValueError("rows of an unfinished part are waiting")
        self.parts.append(part)

    def add(self, rows: Iterable[Row]) -> None:
        """Append ``rows``."""
        for row in rows:
            with only_writes(self._directories.root):
                if self._stream is None:
                    self._stream = self._path.open("wb")
                self._stream.write(row.line)
            self._digest.update(row.line)
            self._n_bytes += len(row.line)
            self._keys.append(row.digest)
            if _ends_a_part(row):
                self._end(is_ended=True)

    def finish(self) -> list[RowPart]:
        """End the last part; returns all parts."""
        if self._stream is not None:
            self._end(is_ended=False)
        return self.parts

    def _end(self, *, is_ended: bool) -> None:
        stream = self._stream
        if stream is None:
            raise ValueError("no part is under way")
        part = RowPart(self._digest.hexdigest(), self._n_bytes, len(self._keys), is_ended)
        path = part.path(self._directories)
        with only_writes(self._directories.root):
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            path.parent.mkdir(exist_ok=True)
            np.array(self._keys, "<u8").tofile(path.with_name(_KEYS_NAME))
            self._path.replace(path)
            sync(path.parent)
        self._stream = None
        self._digest, self._n_bytes, self._keys = hashlib.sha256(), 0, []
        self.parts.append(part)


def _ends_a_part(row: Row) -> bool:
    """Whether ``row`` ends a part, which happens once in PART_BYTES on average."""
    return row.digest * PART_BYTES < len(row.line) << 64
