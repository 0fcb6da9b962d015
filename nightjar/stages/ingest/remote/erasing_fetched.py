"""Erasing records from what was fetched: a database's rows one by one, of the rest whole files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nightjar.stages.ingest.purge_list import digest_of
from nightjar.stages.ingest.remote.directories import Directories
from nightjar.stages.ingest.remote.fetched_index import Index, Known, Listed, TableState, locked
from nightjar.stages.ingest.remote.object_storage import Version
from nightjar.stages.ingest.remote.row_parts import PartsWriter, RowPart, first_column
from nightjar.store import delete, names


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
                        Version({}, part.n_bytes), part.n_bytes, part.sha256, part.name
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
