"""Shards: the units in which sources are read, each published by itself.

A large file is a shard; consecutive small files of a source share one. The end of a shard depends
on its files alone, so a new file changes only one shard, and the shards are the same whether the
files arrived one per night or all at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nightjar.config import IngestConfig
from nightjar.config.sources import NOT_SHAPING
from nightjar.stages.ingest.cleaning import code_identity
from nightjar.stages.ingest.selection import SourceFile, reading_libraries
from nightjar.store import Artifact, FileIdentity, Identity
from nightjar.store.schemas import DOCUMENT_SHARDS

REVISION = 7
"""Raise it when the same files give a different shard than before."""

LARGE_BYTES = 1 << 20
"""A file of this size is a shard of its own."""
_MAX_BYTES = 4 << 20
_MAX_FILES = 1_024
_FILES_PER_SHARD = 64
"""Small files per shard, on average."""


@dataclass(frozen=True)
class PlannedFile:
    """A file as it was when the run was planned."""

    file: SourceFile
    planned: FileIdentity


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
        for group in _groups(entry for entry in entries if entry.file.source == source)
    ]


def _groups(entries: Iterable[PlannedFile]) -> Iterator[tuple[PlannedFile, ...]]:
    group: list[PlannedFile] = []
    n_bytes = 0
    for entry in entries:
        if group and entry.planned.bytes >= LARGE_BYTES:
            yield tuple(group)
            group, n_bytes = [], 0
        group.append(entry)
        n_bytes += entry.planned.bytes
        is_full = n_bytes >= _MAX_BYTES or len(group) >= _MAX_FILES
        if is_full or entry.planned.bytes >= LARGE_BYTES or _ends_a_shard(entry.file.label):
            yield tuple(group)
            group, n_bytes = [], 0
    if group:
        yield tuple(group)


def _ends_a_shard(label: str) -> bool:
    """Whether ``label`` ends a shard; by name alone, so shards realign after a new file."""
    return hashlib.sha256(label.encode()).digest()[0] % _FILES_PER_SHARD == 0


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
            **reading_libraries(config, name),
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
