"""The index of a source's URLs: the objects that they matched, and what was fetched."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nightjar.sources.remote.fetched_files import Directories, fetched_file
from nightjar.sources.remote.object_storage import ObjectVersion
from nightjar.sources.remote.row_parts import RowPart
from nightjar.store import is_held, replace, waited_lease

logger = logging.getLogger(__name__)

_FORMAT = 1


@dataclass(frozen=True)
class Known:
    """A fetched object and its version at that time."""

    version: ObjectVersion
    n_bytes: int
    sha256: str
    name: str

    def is_here(self, directories: Directories) -> bool:
        """Whether its file still exists here."""
        path = fetched_file(directories.root, self.sha256, self.name)
        try:
            return path.stat().st_size == self.n_bytes
        except OSError:
            return False


@dataclass(frozen=True)
class Listed:
    """An object that the URLs matched last time."""

    key: str
    place: str


@dataclass(frozen=True)
class Watermark:
    """The highest watermark that was read, and its type in the database."""

    type: str
    value: str


@dataclass(frozen=True)
class TableState:
    """For the rows of a database: how far they were read, and their parts."""

    watermark: Watermark | None
    parts: tuple[RowPart, ...]


@dataclass(frozen=True)
class Index:
    """The content of an index file."""

    objects: Mapping[str, Known] = field(default_factory=dict)
    """By key: the URL, and the server if it is not a public one."""
    listing: tuple[Listed, ...] | None = None
    """None until everything was fetched once."""
    table: TableState | None = None
    """For databases; None for URLs."""
    used_on: str = ""
    """The day of its last use, as from :func:`today`."""
    format: int = _FORMAT

    @classmethod
    def read(cls, path: Path) -> Index:
        """The index at ``path``; an empty one if the file is missing or damaged."""
        try:
            index = _indexes().validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValidationError:
            logger.warning("%s is no index of fetched files; they are fetched anew", path)
            return cls()
        return index if index.format == _FORMAT else cls()

    def write(self, path: Path) -> None:
        """Replace the file at ``path`` atomically."""
        replace(path, _indexes().dump_json(self, indent=1))


def today() -> str:
    """The date in UTC, ISO 8601."""
    return datetime.now(UTC).date().isoformat()


@cache
def _indexes() -> TypeAdapter[Index]:
    return TypeAdapter(Index)


def known_objects(directories: Directories, own: Path) -> dict[str, Known]:
    """The objects of all indexes; where versions differ, the one in ``own``."""
    found: dict[str, Known] = {}
    others = sorted(path for path in directories.index.glob("[!.]*.json") if path != own)
    for path in (*others, own):
        found.update(Index.read(path).objects)
    return found


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the index at ``path``: one process at a time fetches for it, others wait."""
    waiting = f"another run fetches the same URLs: waiting for it ({path.name})"
    with waited_lease(_lease(path), f"fetching {path.stem}", waiting):
        yield


def is_locked(path: Path) -> bool:
    """Whether a process is fetching for the index at ``path``."""
    return is_held(_lease(path))


def _lease(path: Path) -> Path:
    return path.with_name(f".{path.name}.lease")
