"""Versions: the hash of everything that shapes an artifact.

The identity of an artifact is a JSON object (stage, its slice of the config, the versions
of its parents, size and sha256 of external inputs, code). Its version is the first 12 hex
digits of the sha256 of that object's canonical JSON. Modification times, paths and clocks
do not enter it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from nightjar.errors import SourceError

VERSION_LENGTH = 12
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileIdentity:
    """An external input by content: ``name`` without its directory, bytes and sha256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Identity:
    """Everything that shapes an artifact; equal identities mean equal results."""

    stage: str
    name: str
    """The subject of the artifact: a model's name, or "" for a stage with one artifact."""
    config: Mapping[str, Any]
    parents: Mapping[str, str] = field(default_factory=dict)
    """Version of each parent by stage."""
    inputs: Sequence[FileIdentity] = ()
    code: Mapping[str, Any] = field(default_factory=dict)
    """Stage revision, kernel hash, library versions."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, as stored in the manifest."""
        result: dict[str, Any] = json.loads(canonical_json(asdict(self)))
        return result

    @property
    def version(self) -> str:
        """The first 12 hex digits of the identity's hash."""
        return fingerprint(self.as_json())


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; NaN and infinities are rejected."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def fingerprint(value: Any) -> str:
    """12 hex digits that depend on the content of ``value`` alone."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:VERSION_LENGTH]


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in pieces."""
    return _read_through(path)[1]


def file_identity(path: Path) -> FileIdentity:
    """Size and sha256 of ``path``. Raises SourceError when it cannot be read."""
    try:
        # The size of the bytes that were hashed: the file may have changed since a stat.
        return FileIdentity(path.name, *_read_through(path))
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error


def _read_through(path: Path) -> tuple[int, str]:
    """Number of bytes and sha256."""
    digest = hashlib.sha256()
    n_bytes = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            n_bytes += len(chunk)
    return n_bytes, digest.hexdigest()


def library_versions(*names: str) -> dict[str, str]:
    """Installed version of each distribution, without importing it."""
    return {name: _library_version(name) for name in names}


@cache
def _library_version(name: str) -> str:
    return metadata.version(name)
