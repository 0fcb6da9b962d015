"""Deleting fetched files: those that no plan needs any more, and erased records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nightjar.sources.rejections import digest_of
from nightjar.sources.remote.fetched_files import Directories
from nightjar.sources.remote.fetched_index import (
    Index,
    Known,
    Listed,
    TableState,
    is_locked,
    locked,
)
from nightjar.sources.remote.object_storage import ObjectVersion
from nightjar.sources.remote.row_parts import PartsWriter, RowPart, first_column
from nightjar.store import delete, idle_names, names

PARTIAL_KEPT_SECONDS = 7 * 86_400.0
"""A download that has not grown for this long is abandoned."""
INDEX_KEPT_SECONDS = 90 * 86_400.0
"""How long URLs that no configuration uses any more are remembered."""


def surplus_downloads(fetched: Path, now: float, *, is_quiet: bool) -> list[Path]:
    """Unreferenced objects, abandoned downloads, and indexes unused for 90 days.

    ``now`` is in seconds since 1970; times count from the first call that saw the file in its
    present state (:mod:`~nightjar.store.idleness`). Unreferenced objects are left alone while
    something is being fetched and unless ``is_quiet``: a night in progress may have been planned
    with them.
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
    """The state of each index, which includes the day of its last use."""
    states = {}
    for name in names(directories.index):
        with suppress(OSError):  # deleted meanwhile
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
        with suppress(OSError):  # completed meanwhile
            sizes[name] = str((directories.partial / name).stat().st_size)
    return sizes


@dataclass(frozen=True)
class FetchedRecords:
    """Records of a source to erase, and the fetched files that may contain them."""

    source: str
    sha256s: tuple[str, ...]
    """Hashes of the files."""
    ids: frozenset[bytes]
    """Digests of the records' doc_ids."""


def erase_fetched(fetched: Path, records: Iterable[FetchedRecords]) -> list[str]:
    """Erase ``records`` from the files below ``fetched``; returns the names of what was deleted.

    Rows of a database are rewritten without them. Any other file is deleted, and the next plan
    fetches it again, still with the records unless they were deleted at the source. Running
    downloads are deleted too. A killed run can be repeated. Raises StoreNotWritable.
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
    """Rewrite the parts of a database's rows without the records."""
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
    """The part's rows without the records; a part that is not here stays listed."""
    with suppress(FileNotFoundError), PartsWriter(directories) as writer:
        key_column = first_column(part.path(directories))
        writer.add(
            row
            for row in part.rows(directories, key_column)
            if digest_of(f"{records.source}:{str(row.key).strip()}") not in records.ids
        )
        return writer.finish()
    return [part]
