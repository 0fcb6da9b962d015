"""From shards to the parts of the documents artifact.

A part has the documents of one shard that are kept. Where all are, it is the shard's file, by a
link; where an earlier documents artifact left out the same ones, it is that one's part; else the
shard is read again and written without them. So a night writes what is new, and the bytes are
the same either way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.corpus.admission import Decisions
from nightjar.corpus.reading import quarantine_row
from nightjar.corpus.records import EXCERPT_CHARS, Rejection, excerpt
from nightjar.corpus.tables import side_by_side
from nightjar.errors import StoreError
from nightjar.executors import Advance, Executor
from nightjar.schemas import DOCUMENTS, DOCUMENTS_SCHEMA, QUARANTINE_SCHEMA
from nightjar.store import Artifact, FileEntry, Staging, Store, link_part, part_name, write_part

QUARANTINE = "quarantine"
_SCHEMAS = {DOCUMENTS: DOCUMENTS_SCHEMA, QUARANTINE: QUARANTINE_SCHEMA}
_N_EARLIER = 3
"""Published documents artifacts whose parts are looked through, the latest ones."""


def merge(
    shards: Sequence[Artifact],
    decisions: Sequence[Decisions],
    staging: Staging,
    executor: Executor,
    advance: Advance,
) -> None:
    """Write the parts of ``documents`` and ``quarantine`` and add them to ``staging``.

    The report's ``shards`` says for each shard what was decided and where its rows are.
    """
    earlier = _EarlierParts(Store(staging.root))
    tasks = []
    n_parts = dict.fromkeys(_SCHEMAS, 0)
    for shard, decision in zip(shards, decisions, strict=True):
        names: dict[str, str | None] = {}
        for table, n_rows in _rows(shard, decision).items():
            names[table] = part_name(table, n_parts[table]) if n_rows else None
            n_parts[table] += n_rows > 0
        found = earlier.find(shard, decision, names)
        tasks.append(_Merge(shard, decision, names, staging.directory, found))
    entries: dict[str, list[FileEntry]] = {table: [] for table in _SCHEMAS}
    for written in executor.map(_merge_one, tasks, advance):
        for table, entry in written.items():
            entries[table].append(entry)
    for table, schema in _SCHEMAS.items():
        if not entries[table]:
            name = part_name(table, 0)
            entries[table].append(write_part(staging.root, staging.directory, name, schema, ()))
        staging.add_parts(table, entries[table])
    staging.report["shards"] = [task.as_json() for task in tasks]


def kept_rows(shard: Artifact, decisions: Decisions) -> NDArray[np.bool_]:
    """Which documents of the shard are kept."""
    kept = np.ones(shard.rows(DOCUMENTS), np.bool_)
    kept[list(decisions.dropped)] = False
    if decisions.n_rows is not None:
        kept[decisions.n_rows :] = False
    return kept


def _rows(shard: Artifact, decisions: Decisions) -> dict[str, int]:
    """How many rows of the shard each table gets."""
    n_documents = shard.rows(DOCUMENTS) if decisions.n_rows is None else decisions.n_rows
    n_dropped = len(decisions.dropped)
    return {
        DOCUMENTS: n_documents - n_dropped,
        QUARANTINE: shard.rows(QUARANTINE) + n_dropped,
    }


@dataclass(frozen=True)
class _Merge:
    """One shard to be put into its parts."""

    shard: Artifact
    decisions: Decisions
    names: Mapping[str, str | None]
    """The part of each table; None where none of its rows is in it."""
    directory: Path
    earlier: Mapping[str, tuple[Path, FileEntry]] | None
    """The same parts in an earlier artifact, if it has them."""

    def as_json(self) -> dict[str, Any]:
        return {
            "version": self.shard.ref.version,
            "decisions": self.decisions.fingerprint,
            "parts": dict(self.names),
        }


class _EarlierParts:
    """Finds parts of the latest documents artifacts by shard and decisions."""

    def __init__(self, store: Store) -> None:
        self._found: dict[tuple[str, str], tuple[Artifact, Mapping[str, str | None]]] = {}
        for ref in store.versions(DOCUMENTS)[-_N_EARLIER:]:
            try:
                artifact = store.open(ref)
            except StoreError:
                continue  # damaged, or set aside meanwhile; all can be made without it
            for entry in artifact.manifest.report.get("shards", ()):
                self._found[entry["version"], entry["decisions"]] = (artifact, entry["parts"])

    def find(
        self, shard: Artifact, decisions: Decisions, names: Mapping[str, str | None]
    ) -> Mapping[str, tuple[Path, FileEntry]] | None:
        """Files and entries of the parts of each table, if they are there."""
        if (shard.ref.version, decisions.fingerprint) not in self._found:
            return None
        artifact, parts = self._found[shard.ref.version, decisions.fingerprint]
        by_name = {entry.name: entry for entry in artifact.manifest.files}
        return {
            table: (artifact.directory / old, by_name[old])
            for table in names
            if (old := parts[table]) is not None
        }


def _merge_one(task: _Merge, advance: Advance) -> dict[str, FileEntry]:
    """Write or link the shard's parts; returns their entries."""
    entries: dict[str, FileEntry] = {}
    root = task.directory.parents[1]
    for table, name in task.names.items():
        if name is None:
            continue
        source = _linkable(task, table)
        if source is not None:
            entries[table] = link_part(root, *source, task.directory, name)
        else:
            make = _kept if table == DOCUMENTS else _quarantined
            batches = make(task.shard, task.decisions)
            entries[table] = write_part(root, task.directory, name, _SCHEMAS[table], batches)
    advance(task.shard.rows(DOCUMENTS))
    return entries


def _linkable(task: _Merge, table: str) -> tuple[Path, FileEntry] | None:
    """A published file with exactly the rows of the part."""
    if task.earlier is not None:
        return task.earlier[table]
    is_as_read = not (task.decisions.fingerprint if table == DOCUMENTS else task.decisions.dropped)
    if not is_as_read:
        return None
    (entry,) = task.shard.parts(table)
    return task.shard.directory / entry.name, entry


def _kept(shard: Artifact, decisions: Decisions) -> Iterator[pa.RecordBatch]:
    """The documents that are kept, under the ids that they get; a batch a row group."""
    kept = kept_rows(shard, decisions)
    first = 0
    for batch in shard.batches(DOCUMENTS):
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


def _quarantined(shard: Artifact, decisions: Decisions) -> Iterator[pa.Table]:
    """The shard's own quarantine, and behind it the documents that are dropped."""
    yield from (pa.Table.from_batches([batch]) for batch in shard.batches(QUARANTINE))
    locators = shard.batches("keys", ["locator"])
    texts = shard.batches(DOCUMENTS, ["source", "text"])
    first = 0
    for located, batch in side_by_side(locators, texts):
        rows = [row for row in sorted(decisions.dropped) if first <= row < first + batch.num_rows]
        if rows:
            yield pa.Table.from_pylist(
                [_dropped(located, batch, row - first, decisions.dropped[row]) for row in rows],
                QUARANTINE_SCHEMA,
            )
        first += batch.num_rows


def _dropped(
    located: pa.RecordBatch, batch: pa.RecordBatch, place: int, why: tuple[Any, str]
) -> dict[str, str]:
    reason, detail = why
    text = batch.column("text")[place].as_py()[:EXCERPT_CHARS]
    rejection = Rejection(located.column("locator")[place].as_py(), reason, detail, excerpt(text))
    return quarantine_row(batch.column("source")[place].as_py(), rejection)
