"""The manifest: what a published artifact consists of and where it came from.

``manifest.json`` is written last, so its existence means that the artifact is complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nightjar.errors import ArtifactDamaged

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1


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
    """What the version is the hash of (:class:`~nightjar.store.fingerprint.Identity`)."""
    files: tuple[FileEntry, ...]
    counts: Mapping[str, int]
    """What was read, kept and dropped, by reason."""
    report: Mapping[str, Any]
    """What else the stage has to say of its result."""
    environment: Mapping[str, str]
    """Versions of Python and the libraries, platform."""
    git_commit: str | None
    created_at: str
    """ISO 8601, UTC. Metadata: never part of the version."""
    seconds: float
    schema_version: int = field(default=SCHEMA_VERSION)

    @property
    def parents(self) -> dict[str, str]:
        """Version of each parent by stage."""
        return dict(self.identity.get("parents", {}))

    def to_text(self) -> str:
        """The manifest file's content."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read ``directory/manifest.json``; raises ArtifactDamaged when it is not one."""
        path = directory / MANIFEST_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            files = tuple(FileEntry(**entry) for entry in content.pop("files"))
            manifest = cls(files=files, **content)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtifactDamaged(
                f"{path}: the manifest cannot be read ({type(error).__name__}: {error})"
            ) from error
        if manifest.schema_version > SCHEMA_VERSION:
            raise ArtifactDamaged(
                f"{path}: written by a newer Nightjar (schema {manifest.schema_version}, "
                f"this one knows {SCHEMA_VERSION}); upgrade nightjar"
            )
        return manifest
