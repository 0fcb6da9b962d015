"""From shards to the parts of the documents artifact.

A part has the kept documents of one part of a shard. If all are kept, it is a link to the shard's
file. If an earlier documents artifact left out the same ones, it is a link to that artifact's part.
Otherwise the shard is read again and written without them. So a night writes only what is new, and
the bytes are the same either way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.core.executors import INLINE, INLINE_BYTES, Advance, Executor
from nightjar.errors import StoreError
from nightjar.sources.rejections import EXCERPT_CHARS, Reason, Rejection, excerpt
from nightjar.stages.ingest.admission import Decisions
from nightjar.stages.ingest.document_tables import side_by_side
from nightjar.stages.ingest.shard_reading import quarantine_row
from nightjar.store import Artifact, FileEntry, Staging, Store, link_part, part_name, write_part
from nightjar.store.schemas import DOCUMENTS, DOCUMENTS_SCHEMA, QUARANTINE_SCHEMA

QUARANTINE = "quarantine"
_SCHEMAS = {DOCUMENTS: DOCUMENTS_SCHEMA, QUARANTINE: QUARANTINE_SCHEMA}
_N_EARLIER = 3
"""How many of the latest documents artifacts are searched for reusable parts."""


def merge(
    shards: Sequence[Artifact],
    decisions: Sequence[Decisions],
    staging: Staging,
    executor: Executor,
    advance: Advance,
) -> None:
    """Write the parts of ``documents`` and ``quarantine`` and add them to ``staging``.

    The report's ``shards`` lists the decisions on each shard and where its rows are.
    """
    earlier = _EarlierParts(Store(staging.root))
    names = {table: _Names(table) for table in _SCHEMAS}
    tasks: list[_Merge] = []
    report = []
    for shard, decision in zip(shards, decisions, strict=True):
        pieces = [
            _Merge(shard, decision, table, piece, names[table].next(), staging.directory)
            for table in _SCHEMAS
            for piece in _pieces(shard, decision, table)
        ]
        tasks += earlier.add_to(pieces)
        report.append(_report(shard, decision, pieces))
    entries: dict[str, list[FileEntry]] = {table: [] for table in _SCHEMAS}
    n_bytes = sum(task.piece.entry.bytes for task in tasks if not task.is_link)
    chosen = executor if n_bytes >= INLINE_BYTES else INLINE
    for task, entry in zip(tasks, chosen.map(_merge_one, tasks, advance), strict=True):
        entries[task.table].append(entry)
    for table, schema in _SCHEMAS.items():
        if not entries[table]:
            name = part_name(table, 0)
            entries[table].append(write_part(staging.root, staging.directory, name, schema, ()))
        staging.add_parts(table, entries[table])
    staging.report["shards"] = report


class _Names:
    """Numbered names for a table's parts."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._n_given = 0

    def next(self) -> str:
        self._n_given += 1
        return part_name(self._table, self._n_given - 1)


def kept_rows(shard: Artifact, decisions: Decisions) -> NDArray[np.bool_]:
    """Which documents of the shard are kept."""
    kept = np.ones(shard.rows(DOCUMENTS), np.bool_)
    kept[list(decisions.dropped)] = False
    if decisions.n_rows is not None:
        kept[decisions.n_rows :] = False
    return kept


@dataclass(frozen=True)
class _Piece:
    """Rows of a shard's table that become one part."""

    entry: FileEntry
    first: int
    """Index of its first row in the shard's table."""
    is_as_read: bool
    """Whether the shard's file has exactly the rows of the part."""


def _pieces(shard: Artifact, decisions: Decisions, table: str) -> list[_Piece]:
    if table == QUARANTINE:
        (entry,) = shard.parts(QUARANTINE)
        if not entry.rows and not decisions.dropped:
            return []
        return [_Piece(entry, 0, not decisions.dropped)]
    kept = kept_rows(shard, decisions)
    pieces, first = [], 0
    for entry in shard.parts(DOCUMENTS):
        n_kept = int(kept[first : first + entry.rows].sum())
        is_named = any(first <= row < first + entry.rows for row in decisions.renamed)
        if n_kept:
            pieces.append(_Piece(entry, first, n_kept == entry.rows and not is_named))
        first += entry.rows
    return pieces


@dataclass(frozen=True)
class _Merge:
    """One part to write or link."""

    shard: Artifact
    decisions: Decisions
    table: str
    piece: _Piece
    name: str
    directory: Path
    earlier: tuple[Path, FileEntry] | None = None
    """The same part in an earlier artifact, if there is one."""

    @property
    def is_link(self) -> bool:
        """Whether an existing file can be linked as the part."""
        return self.earlier is not None or self.piece.is_as_read


def _report(shard: Artifact, decisions: Decisions, pieces: Sequence[_Merge]) -> dict[str, Any]:
    return {
        "version": shard.ref.version,
        "decisions": decisions.fingerprint,
        "parts": [piece.name for piece in pieces],
    }


class _EarlierParts:
    """Finds reusable parts in the latest documents artifacts, by shard and decisions."""

    def __init__(self, store: Store) -> None:
        self._found: dict[tuple[str, str], tuple[Artifact, Sequence[str]]] = {}
        for ref in store.versions(DOCUMENTS)[-_N_EARLIER:]:
            try:
                artifact = store.open(ref)
            except StoreError:
                continue  # damaged, or set aside meanwhile; it can be done without
            for entry in artifact.manifest.report.get("shards", ()):
                self._found[entry["version"], entry["decisions"]] = (artifact, entry["parts"])

    def add_to(self, pieces: Sequence[_Merge]) -> list[_Merge]:
        """The pieces of one shard, with the earlier parts that have the same rows."""
        if not pieces:
            return []
        key = (pieces[0].shard.ref.version, pieces[0].decisions.fingerprint)
        if key not in self._found:
            return list(pieces)
        artifact, parts = self._found[key]
        by_name = {entry.name: entry for entry in artifact.manifest.files}
        return [
            replace(piece, earlier=(artifact.directory / old, by_name[old]))
            for piece, old in zip(pieces, parts, strict=True)
        ]


def _merge_one(task: _Merge, advance: Advance) -> FileEntry:
    """Write or link the part; returns its entry."""
    root = task.directory.parents[1]
    piece = task.piece
    if task.earlier is not None:
        entry = link_part(root, *task.earlier, task.directory, task.name)
    elif piece.is_as_read:
        path = task.shard.directory / piece.entry.name
        entry = link_part(root, path, piece.entry, task.directory, task.name)
    else:
        batches = _kept(task) if task.table == DOCUMENTS else _quarantined(task)
        entry = write_part(root, task.directory, task.name, _SCHEMAS[task.table], batches)
    if task.table == DOCUMENTS:
        advance(piece.entry.rows)
    return entry


def _kept(task: _Merge) -> Iterator[pa.RecordBatch]:
    """The kept documents with their final ids; one batch per row group."""
    decisions, first = task.decisions, task.piece.first
    kept = kept_rows(task.shard, decisions)
    for batch in task.shard.part_batches(task.piece.entry):
        here = kept[first : first + batch.num_rows]
        named = [row for row in decisions.renamed if first <= row < first + batch.num_rows]
        if named:
            ids = batch.column("doc_id").to_pylist()
            for row in named:
                ids[row - first] = decisions.renamed[row]
            place = batch.schema.get_field_index("doc_id")
            batch = batch.set_column(  # noqa: PLW2901
                place, DOCUMENTS_SCHEMA.field(place), pa.array(ids, pa.string())
            )
        first += batch.num_rows
        if here.any():
            yield batch.filter(pa.array(here))


def _quarantined(task: _Merge) -> Iterator[pa.Table]:
    """The shard's own quarantine, followed by the documents that were dropped."""
    shard, decisions = task.shard, task.decisions
    yield from (pa.Table.from_batches([batch]) for batch in shard.batches(QUARANTINE))
    locators = shard.batches("keys", ["locator"])
    texts = shard.batches(DOCUMENTS, ["source", "text"])
    first = 0
    for located, batch in side_by_side(locators, texts):
        rows = [row for row in sorted(decisions.dropped) if first <= row < first + batch.num_rows]
        if rows:
            dropped = [
                _dropped(located, batch, row - first, decisions.dropped[row]) for row in rows
            ]
            columns = [pa.array(column) for column in zip(*dropped, strict=True)]
            yield pa.table(columns, schema=QUARANTINE_SCHEMA)
        first += batch.num_rows


def _dropped(
    located: pa.RecordBatch, batch: pa.RecordBatch, place: int, why: tuple[Any, str]
) -> tuple[str, ...]:
    reason, detail = why
    is_quoted = reason is not Reason.PURGED
    text = batch.column("text")[place].as_py()[:EXCERPT_CHARS] if is_quoted else ""
    rejection = Rejection(located.column("locator")[place].as_py(), reason, detail, excerpt(text))
    return quarantine_row(batch.column("source")[place].as_py(), rejection)
