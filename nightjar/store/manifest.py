"""The manifest: what a published artifact consists of and where it came from.

``manifest.json`` is written last, so its existence means that the artifact is complete. It
begins with the time of publishing, so that listings need not read the rest, and ends with the
sha256 of its own content, so that changes to it are detected.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nightjar.errors import ArtifactDamaged
from nightjar.store.fingerprint import canonical_json

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
BY_HAND = "published_by_hand"
"""In a report: see :attr:`Manifest.is_by_hand`."""
_CHECKSUM = "sha256_of_the_rest"
_CREATED_AT = re.compile(rb'\{\s*"created_at": "([0-9T:.+-]+)"')
_BEGINNING_BYTES = 128


@dataclass(frozen=True, order=True)
class ArtifactRef:
    """A reference to an artifact: what tasks pass to each other instead of data."""

    stage: str
    version: str
    path: str
    """Absolute directory of the artifact."""

    def __str__(self) -> str:
        return f"{self.stage}/{self.version}"


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact."""

    name: str
    rows: int
    bytes: int
    sha256: str
    columns: Mapping[str, str]
    """Arrow type of each column, as text, in order."""


@dataclass(frozen=True)
class Manifest:
    """Everything known about a published artifact."""

    stage: str
    version: str
    name: str
    identity: Mapping[str, Any]
    """The identity that the version is the hash of (:class:`.fingerprint.Identity`)."""
    files: tuple[FileEntry, ...]
    counts: Mapping[str, int]
    """What was read, kept and dropped, by reason."""
    report: Mapping[str, Any]
    """What else the stage reports about its result."""
    environment: Mapping[str, str]
    """Versions of Python and the libraries, platform."""
    git_commit: str | None
    created_at: str
    """ISO 8601, UTC, microseconds; orders as text. Metadata: never part of the version."""
    seconds: float
    schema_version: int = field(default=SCHEMA_VERSION)
    parent_digests: Mapping[str, str] = field(default_factory=dict)
    """The :attr:`digest` of each parent when this was written, by stage."""
    former_digests: tuple[str, ...] = ()
    """The digests that this artifact had before a person's documents were erased from it."""

    @property
    def parents(self) -> dict[str, str]:
        """Version of each parent by stage."""
        return dict(self.identity.get("parents", {}))

    @property
    def is_by_hand(self) -> bool:
        """Whether a person published it: no night made it or can make it again."""
        return bool(self.report.get(BY_HAND))

    @property
    def digest(self) -> str:
        """Hex sha256 that distinguishes artifacts of one version whose bytes differ.

        Computed from the canonical JSON of the identity and of each file's name, rows, bytes and
        sha256, not from when, where or how fast they were written: the same bytes of the same
        identity have the same digest.
        """
        files = sorted([entry.name, entry.rows, entry.bytes, entry.sha256] for entry in self.files)
        content = {"identity": self.identity, "files": files}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def to_text(self) -> str:
        """The manifest file's content."""
        content = {"created_at": self.created_at, **asdict(self)}
        content[_CHECKSUM] = _checksum(content)
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read ``directory/manifest.json``. Raises ArtifactDamaged when it is not a manifest."""
        path = directory / MANIFEST_NAME
        try:
            content = _read_json(path)
            manifest = _from_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            raise ArtifactDamaged(
                f"{path}: the manifest cannot be read ({where}: {first['msg']})"
            ) from error
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ArtifactDamaged(
                f"{path}: the manifest cannot be read ({type(error).__name__}: {error})"
            ) from error
        if content.get(_CHECKSUM) != _checksum(content):
            raise ArtifactDamaged(f"{path}: the manifest was changed after it was published")
        return manifest


def read_created_at(directory: Path) -> str | None:
    """Return when the artifact in ``directory`` was published, from its manifest's first bytes.

    None without a manifest, "" when the file does not begin like one. Checks nothing else.
    """
    try:
        with (directory / MANIFEST_NAME).open("rb", buffering=0) as stream:
            beginning = stream.read(_BEGINNING_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ""
    found = _CREATED_AT.match(beginning)
    return found[1].decode() if found else ""


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TypeError("not a JSON object")
    schema_version = content.get("schema_version")
    if isinstance(schema_version, int) and schema_version > SCHEMA_VERSION:
        raise ArtifactDamaged(
            f"{path}: written by a newer Nightjar (schema {schema_version}, "
            f"this one knows {SCHEMA_VERSION}); upgrade nightjar"
        )
    return content


def _from_json(content: Mapping[str, Any]) -> Manifest:
    fields = {key: value for key, value in content.items() if key != _CHECKSUM}
    # Strict JSON rules: "5" is not a number, but a JSON list is accepted for a tuple.
    return _adapter().validate_json(json.dumps(fields, allow_nan=False), strict=True)


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def _checksum(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != _CHECKSUM}
    return hashlib.sha256(canonical_json(rest).encode()).hexdigest()
