"""Publishes documents artifacts from small files, for the tests of the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stage_support import context_of

from nightjar.config import IngestConfig
from nightjar.progress import SILENT, Progress
from nightjar.sources.remote import FETCHED_DIR
from nightjar.sources.selection import Fetching
from nightjar.stages.ingest import documents_identity, ingest
from nightjar.store import Artifact, Identity, Store, publish

GENSIM_DATA = "package:gensim/test/test_data"


@dataclass(frozen=True)
class Ingested:
    """A published documents artifact, read back."""

    artifact: Artifact

    @property
    def documents(self) -> list[dict[str, Any]]:
        return self.artifact.read("documents").to_pylist()

    @property
    def quarantine(self) -> list[dict[str, Any]]:
        return self.artifact.read("quarantine").to_pylist()

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.documents]

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return [(row["locator"], row["reason"]) for row in self.quarantine]

    @property
    def counts(self) -> Mapping[str, int]:
        return self.artifact.manifest.counts

    @property
    def report(self) -> Mapping[str, Any]:
        return self.artifact.manifest.report["sources"]


def config_of(sources: Mapping[str, Any], **settings: Any) -> IngestConfig:
    return IngestConfig(sources=dict(sources), **{"max_lost": 1.0, **settings})


def identity_of(
    config: IngestConfig, base_dir: Path, store: str = "artifacts", progress: Progress = SILENT
) -> Identity:
    """The identity of what would be ingested; remote files are fetched into ``store``."""
    return documents_identity(config, base_dir, Fetching(base_dir / store / FETCHED_DIR, progress))


def run_ingest(
    base_dir: Path,
    sources: Mapping[str, Any],
    *,
    store: str = "artifacts",
    progress: Progress = SILENT,
    **settings: Any,
) -> Ingested:
    """Plan, publish and open; ``sources`` and ``settings`` are as under ``ingest:``."""
    config = config_of(sources, **settings)
    identity = identity_of(config, base_dir, store, progress)
    root = base_dir / store
    ref = publish(
        root,
        identity,
        lambda staging: ingest(config, context_of(staging, identity, base_dir, progress=progress)),
    )
    assert Store(root).verify(ref) == []
    return Ingested(Store(root).open(ref))


def text_source(path: str | list[str], **settings: Any) -> dict[str, Any]:
    return {"in": {"type": "text", "path": path, **settings}}
