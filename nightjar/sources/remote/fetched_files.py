"""Paths of fetched files, and incomplete downloads with their versions."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pydantic import TypeAdapter, ValidationError

from nightjar.sources.remote.object_storage import Body, ObjectVersion, Rest
from nightjar.store import only_writes, sync

logger = logging.getLogger(__name__)


FETCHED_DIR = "fetched"
"""Below the artifact directory."""


def fetched_file(fetched: Path, sha256: str, name: str) -> Path:
    """The file of an object with that content and that name (no folders)."""
    return Directories(fetched).objects / sha256 / name


@dataclass(frozen=True)
class Directories:
    """The folders below ``fetched``."""

    root: Path

    @property
    def objects(self) -> Path:
        """Complete files, by content."""
        return self.root / "objects"

    @property
    def index(self) -> Path:
        """What is known about each source's URLs."""
        return self.root / "index"

    @property
    def partial(self) -> Path:
        """Incomplete downloads."""
        return self.root / "partial"

    def make(self) -> None:
        """Create the folders that do not exist."""
        for path in (self.objects, self.index, self.partial):
            path.mkdir(parents=True, exist_ok=True)


_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Stored:
    """A complete file."""

    n_bytes: int
    sha256: str


@cache
def _versions() -> TypeAdapter[ObjectVersion]:
    return TypeAdapter(ObjectVersion)


class Partial:
    """The download ``key``; the lock of the index gives one process at a time access."""

    def __init__(self, directories: Directories, key: str) -> None:
        self._directories = directories
        self._path = directories.partial / key
        self._version_path = directories.partial / f"{key}.json"

    @property
    def n_bytes(self) -> int:
        """Bytes that are here already."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def rest(self) -> Rest | None:
        """What an earlier try lacks; None to start from the beginning."""
        try:
            version = _versions().validate_json(self._version_path.read_bytes(), strict=True)
        except (FileNotFoundError, ValidationError):
            return None
        start = self.n_bytes
        is_part = version.n_bytes is None or start < version.n_bytes
        return Rest(version, start) if start and version.is_exact and is_part else None

    def forget(self) -> None:
        """Start from the beginning next time."""
        with only_writes(self._directories.root):
            self._version_path.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)

    def write(self, body: Body) -> Writing:
        """Write ``body``: appended to what is here, or anew."""
        return Writing(self._directories, self._path, self._version_path, body)


class Writing:
    """Writes a body; leaving the ``with`` block closes the file and keeps what was written."""

    def __init__(
        self, directories: Directories, path: Path, version_path: Path, body: Body
    ) -> None:
        self._directories = directories
        self._path = path
        self._version_path = version_path
        self._body = body
        self._digest = hashlib.sha256()
        self.n_bytes = body.start

    def __enter__(self) -> Writing:
        with only_writes(self._directories.root):
            if self._body.start:
                self._stream: BinaryIO = self._path.open("r+b")
                self._skip(self._body.start)
                self._stream.truncate()
            else:
                self._version_path.unlink(missing_ok=True)  # of the data that is overwritten now
                self._stream = self._path.open("wb")
                self._version_path.write_bytes(_versions().dump_json(self._body.version))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with only_writes(self._directories.root):
            self._stream.close()

    def add(self, piece: bytes) -> None:
        """Write one more piece. Raises StoreNotWritable, for example when the disk is full."""
        with only_writes(self._directories.root):
            self._stream.write(piece)
        self._digest.update(piece)
        self.n_bytes += len(piece)

    def publish(self, name: str) -> Stored:
        """Make the complete file an object called ``name``."""
        stored = Stored(self.n_bytes, self._digest.hexdigest())
        target = fetched_file(self._directories.root, stored.sha256, name)
        with only_writes(self._directories.root):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            target.parent.mkdir(exist_ok=True)
            self._path.replace(target)
            sync(target.parent)
            self._version_path.unlink(missing_ok=True)
        return stored

    def _skip(self, n_bytes: int) -> None:
        """Hash what is here already."""
        while n_bytes:
            piece = self._stream.read(min(n_bytes, _CHUNK_BYTES))
            if not piece:
                raise ValueError("there is less here than the download goes on from")
            self._digest.update(piece)
            n_bytes -= len(piece)
