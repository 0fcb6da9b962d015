"""What was fetched and goes: what no plan needs any more, and records that are erased."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nightjar.stages.ingest.purge_list import digest_of
from nightjar.stages.ingest.remote.fetched_files import Directories
from nightjar.stages.ingest.remote.fetched_index import (
    Index,
    Known,
    Listed,
    TableState,
    is_locked,
    locked,
)
from nightjar.stages.ingest.remote.object_storage import ObjectVersion
from nightjar.stages.ingest.remote.row_parts import PartsWriter, RowPart, first_column
from nightjar.store import delete, idle_names, names

PARTIAL_KEPT_SECONDS = 7 * 86_400.0
"""A download that has not grown for so long is given up."""
INDEX_KEPT_SECONDS = 90 * 86_400.0
"""How long URLs that no configuration fetches any more are remembered."""


def surplus_downloads(fetched: Path, now: float, *, is_quiet: bool) -> list[Path]:
    """What no index names, downloads given up, and indexes that nobody has used for 90 days.

    ``now`` in seconds since 1970; time counts from the first call that saw a thing as it is
    (:mod:`~nightjar.store.idleness`). Unless it ``is_quiet``, or while something is being fetched,
    what no index names is left alone: a night under way may have been planned with it.
    """
    directories = Directories(fetched)
    return [
        *_idle(directories.index, _index_states(directories), now, INDEX_KEPT_SECONDS),
        *(_unnamed(directories) if is_quiet else ()),
        *_idle(directories.partial, _sizes(directories), now, PARTIAL_KEPT_SECONDS),
    ]


def _idle(directory: Path, states: dict[str, str], now: float, kept_seconds: float) -> list[Path]:
    idle = idle_names(directory / ".seen.json", states, now, kept_seconds)
    return [directory / name for name in idle]


def _index_states(directories: Directories) -> dict[str, str]:
    """An index says on which day it was last used: it is another one then."""
    states = {}
    for name in names(directories.index):
        with suppress(OSError):  # gone meanwhile
            content = (directories.index / name).read_bytes()
            states[name] = hashlib.sha256(content).hexdigest()
    return states


def _unnamed(directories: Directories) -> list[Path]:
    indexes = [directories.index / name for name in names(directories.index)]
    if any(is_locked(path) for path in indexes):
        return []
    named = {known.sha256 for path in indexes for known in Index.read(path).objects.values()}
    return [directories.objects / name for name in names(directories.objects) if name not in named]


def _sizes(directories: Directories) -> dict[str, str]:
    sizes = {}
    for name in names(directories.partial):
        with suppress(OSError):  # whole meanwhile
            sizes[name] = str((directories.partial / name).stat().st_size)
    return sizes


@dataclass(frozen=True)
class FetchedRecords:
    """Records of a source that are to go, and the fetched files that may hold them."""

    source: str
    sha256s: tuple[str, ...]
    """Of the files."""
    ids: frozenset[bytes]
    """Digests of the records' doc_ids."""


def erase_fetched(fetched: Path, records: Iterable[FetchedRecords]) -> list[str]:
    """Erase ``records`` from what lies below ``fetched``; what is gone, by its name here.

    A database's rows are kept without them. Any other file is deleted, for the next plan to fetch
    it again: it still has them unless they are deleted at its source. So are downloads under way.
    Killed at any point and repeated it ends the same. Raises StoreNotWritable.
    """
    directories = Directories(fetched)
    gone: list[str] = []
    for found in records:
        _keep_other_rows(directories, found)
        for sha256 in found.sha256s:
            held = names(directories.objects / sha256)
            if delete(directories.objects / sha256):
                gone += [f"{sha256[:12]}/{name}" for name in held]
    if gone:
        for name in names(directories.partial):
            delete(directories.partial / name)
    return gone


def _keep_other_rows(directories: Directories, records: FetchedRecords) -> None:
    """Have the parts of a database's rows that hold the records written without them."""
    for name in names(directories.index):
        path = directories.index / name
        if name.rpartition("-")[0] != records.source:
            continue
        with locked(path):
            index = Index.read(path)
            if index.table is None:
                continue
            parts = [
                kept
                for part in index.table.parts
                for kept in (
                    _without(directories, part, records)
                    if part.sha256 in records.sha256s
                    else [part]
                )
            ]
            if tuple(parts) != index.table.parts:
                objects = {
                    part.name: Known(
                        ObjectVersion({}, part.n_bytes), part.n_bytes, part.sha256, part.name
                    )
                    for part in parts
                }
                listing = tuple(Listed(part.name, part.name) for part in parts)
                table = TableState(index.table.watermark, tuple(parts))
                replace(index, objects=objects, listing=listing, table=table).write(path)


def _without(directories: Directories, part: RowPart, records: FetchedRecords) -> list[RowPart]:
    """The part's rows without the records; a part that is not here is left as it is."""
    with suppress(FileNotFoundError), PartsWriter(directories) as writer:
        key_column = first_column(part.path(directories))
        writer.add(
            row
            for row in part.rows(directories, key_column)
            if digest_of(f"{records.source}:{str(row.key).strip()}") not in records.ids
        )
        return writer.finish()
    return [part]
