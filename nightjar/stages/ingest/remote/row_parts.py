"""Rows in files: parts whose ends hang on the rows alone.

A row ends a part by a property of its key and its length, so that the same rows in the same
order give the same files whichever of them came first. New rows at the end change the last
part; a row that is gone changes its own, and the next one if it ended a part.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import StoreNotWritable
from nightjar.stages.ingest.remote.directories import Directories, fetched_file
from nightjar.stages.ingest.remote.rows import Row, key_digest
from nightjar.store import only_writes, sync

PART_BYTES = 4 << 20
"""Of a part, on average."""
_KEYS_NAME = "keys"
"""Beside a part: the digests of its keys, uint64 little endian, in the order of the rows."""


@dataclass(frozen=True)
class RowPart:
    """A file of rows, one of the objects that are fetched."""

    sha256: str
    n_bytes: int
    n_rows: int
    is_ended: bool
    """Whether its last row ends a part; else rows that follow belong to it."""

    @property
    def name(self) -> str:
        """Of the file, by its content."""
        return f"rows-{self.sha256[:16]}.jsonl"

    def path(self, directories: Directories) -> Path:
        """Where it lies."""
        return fetched_file(directories.root, self.sha256, self.name)

    def digests(self, directories: Directories, key_column: str) -> NDArray[np.uint64]:
        """Of the keys of its rows, shape (n_rows,)."""
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
    """The name of the first column of the rows in a file, which is that of their keys."""
    with path.open("rb") as stream:
        return str(next(iter(json.loads(stream.readline()))))


class PartsWriter:
    """Writes rows into parts, and takes whole parts that are there already.

    In memory: the digests of one part's keys. ``parts`` is what is finished. Leave the ``with``
    block to remove what is not. Raises StoreNotWritable.
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
        """Whether the next row begins a part."""
        return self._stream is None

    def take(self, part: RowPart) -> None:
        """The rows of ``part``, which is there, are the next ones."""
        if self._stream is not None:
            raise ValueError("rows of an unfinished part are waiting")
        self.parts.append(part)

    def add(self, rows: Iterable[Row]) -> None:
        """Write ``rows``, behind what is written."""
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
        """End the last part; all of them."""
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
    """Once in PART_BYTES, on average."""
    return row.digest * PART_BYTES < len(row.line) << 64
