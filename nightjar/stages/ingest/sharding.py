"""Shards: the units in which sources are read, each published by itself.

:mod:`nightjar.sources.file_groups` says which files are read together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nightjar.config import IngestConfig
from nightjar.config.sources import NOT_SHAPING
from nightjar.sources.file_groups import PlannedFile, file_groups
from nightjar.sources.selection import SourceFile, reading_libraries
from nightjar.stages.ingest.cleaning import code_identity
from nightjar.store import Artifact, FileIdentity, Identity
from nightjar.store.schemas import DOCUMENT_SHARDS

REVISION = 7
"""Raise it when the same files give a different shard than before."""


@dataclass(frozen=True)
class Shard:
    """Files of one source that are read together."""

    source: str
    files: tuple[PlannedFile, ...]
    identity: Identity
    max_documents: int | None = None
    """Read only this many documents, as many as a limit may need; None for all."""

    @property
    def n_bytes(self) -> int:
        """Total size of its files on disk."""
        return sum(entry.planned.bytes for entry in self.files)

    @property
    def is_whole(self) -> bool:
        """Whether no limit can cut it short."""
        return self.max_documents is None

    def widened(self, n_documents: int) -> Shard:
        """The shard with at least ``n_documents``, doubled from the initial number."""
        if self.max_documents is None or self.max_documents >= n_documents:
            return self
        config = {**self.identity.config, "max_documents": 2 * self.max_documents}
        wider = replace(
            self,
            max_documents=2 * self.max_documents,
            identity=replace(self.identity, config=config),
        )
        return wider.widened(n_documents)


FoundShard = tuple[Shard, Artifact]
"""A shard, and the artifact that was read from it."""


def make_shards(
    config: IngestConfig, files: Sequence[SourceFile], planned: Sequence[FileIdentity]
) -> list[Shard]:
    """All shards, in the order of the documents."""
    entries = [PlannedFile(*pair) for pair in zip(files, planned, strict=True)]
    return [
        Shard(source, group, _identity(config, group), _max_documents(config, source))
        for source in config.sources
        for group in file_groups(entry for entry in entries if entry.file.source == source)
    ]


def _identity(config: IngestConfig, files: tuple[PlannedFile, ...]) -> Identity:
    name = files[0].file.source
    return Identity(
        stage=DOCUMENT_SHARDS,
        name=name,
        config=shard_config(config, name),
        inputs=[
            FileIdentity(entry.file.label, entry.planned.bytes, entry.planned.sha256)
            for entry in files
        ],
        code={
            "revision": REVISION,
            "cleaning": code_identity(config.cleaning),
            **reading_libraries(config.sources[name]),
        },
    )


def shard_config(config: IngestConfig, source: str) -> dict[str, Any]:
    """The part of a text corpus's configuration that shapes a shard of ``source``."""
    whole = config.model_dump(
        mode="json",
        exclude={
            "sources",
            "deduplicate",
            "near_duplicates",
            "limit",
            "max_lost",
            "max_fetch_bytes",
        },
    )
    near = config.near_duplicates
    return {
        **whole,
        "source": config.sources[source].model_dump(mode="json", exclude={*NOT_SHAPING, "limit"}),
        "shingle": None if near is None else near.shingle,
        "max_documents": _max_documents(config, source),
    }


def _max_documents(config: IngestConfig, source: str) -> int | None:
    """The most documents that the limits can take from a shard; None without a limit."""
    limits = (config.limit, config.sources[source].limit)
    return min((limit for limit in limits if limit is not None), default=None)
