"""Which files of a source are read together, as a shard that is published by itself.

A large file is a shard; consecutive small files of a source share one. The end of a shard depends
on its files alone, so a new file changes only one shard, and the shards are the same whether the
files arrived one per night or all at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nightjar.sources.selection import SourceFile
from nightjar.store import FileIdentity

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


def file_groups(entries: Iterable[PlannedFile]) -> Iterator[tuple[PlannedFile, ...]]:
    """Files in order, in the groups that are read together."""
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
