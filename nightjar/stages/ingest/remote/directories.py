"""Where fetched files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
        """Whole files, by content."""
        return self.root / "objects"

    @property
    def index(self) -> Path:
        """What is known of each source's URLs."""
        return self.root / "index"

    @property
    def partial(self) -> Path:
        """Downloads that are not whole."""
        return self.root / "partial"

    def make(self) -> None:
        """Make those that are not there."""
        for path in (self.objects, self.index, self.partial):
            path.mkdir(parents=True, exist_ok=True)
