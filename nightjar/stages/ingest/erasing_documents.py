"""Erasing documents from documents artifacts and from their shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.core.stage import Erased, Fate, Rewriting, are_of
from nightjar.sources.purge_list import Purged
from nightjar.sources.rejections import DIGEST_BYTES, Reason
from nightjar.stages.ingest.admission import purged_rows
from nightjar.stages.ingest.merging import QUARANTINE
from nightjar.store import (
    Artifact,
    Compression,
    FileEntry,
    Staging,
    Store,
    link_part,
    part_name,
    write_part,
)
from nightjar.store.schemas import DOCUMENTS, DOCUMENTS_SCHEMA, QUARANTINE_SCHEMA

ERASED = "erased"
"""Key in the report of a documents artifact: digests of the texts that were erased."""
Place = tuple[str, str]
"""Source and locator of a record."""


def erase_from_documents(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Remove their rows; the quarantine keeps neither quotes of them nor their ids."""
    del store
    if artifact.ref.version not in erased.doc_ids and not _is_quoted(artifact, erased):
        return Fate.UNTOUCHED
    return lambda staging: _rewrite_documents(artifact, erased, staging)


def erase_from_shard(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Move the documents to the quarantine, without their text or id.

    A shard that was cut short by a limit is deleted: it would contain other documents instead.
    """
    del store
    rows = purged_rows(artifact, Purged(texts=erased.texts))
    if not rows.any():
        return Fate.UNTOUCHED
    if artifact.manifest.identity["config"].get("max_documents") is not None:
        return Fate.DELETED
    return lambda staging: _rewrite_shard(artifact, rows, staging)


def erased_ids(artifact: Artifact, texts: frozenset[bytes]) -> frozenset[str]:
    """The ids of the rows of a documents artifact with one of ``texts``."""
    found: set[str] = set()
    for batch in artifact.batches(DOCUMENTS, ["doc_id", "content_sha256"]):
        found.update(batch.column("doc_id").filter(_have(batch, texts)).to_pylist())
    return frozenset(found)


def places_in_shard(artifact: Artifact, rows: NDArray[np.bool_]) -> set[Place]:
    """Source and locator of some rows of a shard."""
    locators = _column(artifact.batches("keys", ["locator"]), "locator")
    return {
        (artifact.manifest.name, locator) for locator in locators.filter(pa.array(rows)).to_pylist()
    }


def near_duplicates_of(artifact: Artifact, doc_ids: frozenset[str]) -> set[Place]:
    """Places of the records in quarantine as near duplicates of one of ``doc_ids``."""
    found: set[Place] = set()
    for batch in artifact.batches(QUARANTINE, ["source", "locator", "reason", "detail"]):
        for row in batch.filter(
            pc.equal(batch.column("reason"), Reason.NEAR_DUPLICATE)
        ).to_pylist():
            if row["detail"].rpartition(", similarity ")[0] in doc_ids:
                found.add((row["source"], row["locator"]))
    return found


def rows_at(artifact: Artifact, places: Iterable[Place]) -> NDArray[np.bool_]:
    """Which documents of a shard were read from one of ``places``."""
    here = [locator for source, locator in places if source == artifact.manifest.name]
    locators = _column(artifact.batches("keys", ["locator"]), "locator")
    matches = pc.is_in(locators, value_set=pa.array(here, pa.string()))
    return np.asarray(matches.to_numpy(), np.bool_)


def texts_at(artifact: Artifact, rows: NDArray[np.bool_]) -> set[bytes]:
    """The digests of the texts, cleaned and raw, in some rows of a shard."""
    found: set[bytes] = set()
    first = 0
    for batch in artifact.batches("keys", ["text_digest", "raw_digest"]):
        here = pa.array(rows[first : first + batch.num_rows])
        for column in batch.filter(here).columns:
            found.update(column.to_pylist())
        first += batch.num_rows
    return found


def ids_at(artifact: Artifact, rows: NDArray[np.bool_]) -> frozenset[bytes]:
    """The digests of the doc_ids in some rows of a shard."""
    found: set[bytes] = set()
    first = 0
    for batch in artifact.batches("keys", ["id_digest"]):
        here = pa.array(rows[first : first + batch.num_rows])
        found.update(batch.column("id_digest").filter(here).to_pylist())
        first += batch.num_rows
    return frozenset(found)


def _have(batch: pa.RecordBatch, texts: frozenset[bytes]) -> pa.Array:
    return are_of(batch.column("content_sha256"), texts)


def _column(batches: Iterator[pa.RecordBatch], name: str) -> pa.ChunkedArray:
    found = [batch.column(name) for batch in batches]
    return pa.chunked_array(found, pa.string())


def _is_quoted(artifact: Artifact, erased: Erased) -> bool:
    """Whether a record of theirs in quarantine says more than that it was purged."""
    for batch in artifact.batches(QUARANTINE, ["source", "locator", "reason"]):
        for row in batch.filter(pc.not_equal(batch.column("reason"), Reason.PURGED)).to_pylist():
            if (row["source"], row["locator"]) in erased.places:
                return True
    return False


def _rewrite_documents(artifact: Artifact, erased: Erased, staging: Staging) -> None:
    """Rewrite the artifact as if the documents had not been read."""
    gone: dict[str, Counter[str]] = {}

    def keep_documents(batch: pa.RecordBatch) -> pa.BooleanArray:
        return pc.invert(_have(batch, erased.texts))

    def keep_records(batch: pa.RecordBatch) -> pa.BooleanArray:
        pairs = zip(
            batch.column("source").to_pylist(), batch.column("locator").to_pylist(), strict=True
        )
        return pa.array([pair not in erased.places for pair in pairs], pa.bool_())

    _write_kept(artifact, DOCUMENTS, DOCUMENTS_SCHEMA, keep_documents, staging)
    _write_kept(artifact, QUARANTINE, QUARANTINE_SCHEMA, keep_records, staging)
    texts: set[str] = set(staging.report.get(ERASED, ()))
    for batch in artifact.batches(DOCUMENTS, ["source", "content_sha256", "n_chars"]):
        for row in batch.filter(_have(batch, erased.texts)).to_pylist():
            texts.add(row["content_sha256"][: 2 * DIGEST_BYTES])
            found = gone.setdefault(row["source"], Counter())
            found.update(documents_read=1, documents_kept=1, characters_kept=row["n_chars"])
    for batch in artifact.batches(QUARANTINE, ["source", "locator", "reason"]):
        for row in batch.filter(pc.invert(keep_records(batch))).to_pylist():
            found = gone.setdefault(row["source"], Counter())
            found.update({"documents_read": 1, "quarantined": 1, f"quarantined_{row['reason']}": 1})
    for source, counts in gone.items():
        staging.counts.subtract(counts)
        of_source = staging.report["sources"][source]
        for name in counts.keys() & of_source.keys():
            of_source[name] -= counts[name]
    staging.report[ERASED] = sorted(texts)
    # Its parts now differ from its shards', so later artifacts must not reuse them.
    staging.report.pop("shards", None)


def _write_kept(
    artifact: Artifact,
    table: str,
    schema: pa.Schema,
    keep: Callable[[pa.RecordBatch], pa.BooleanArray],
    staging: Staging,
) -> None:
    """Write the rows of a table that ``keep`` selects; a part without a change is linked."""
    root, directory = staging.root, staging.directory
    parts = []
    for number, entry in enumerate(artifact.parts(table)):
        name = part_name(table, number)
        if all(pc.all(keep(batch)).as_py() for batch in artifact.part_batches(entry)):
            path = artifact.directory / entry.name
            parts.append(link_part(root, path, entry, directory, name))
            continue
        batches = (batch.filter(keep(batch)) for batch in artifact.part_batches(entry))
        rows = (batch for batch in batches if batch.num_rows)
        parts.append(write_part(root, directory, name, schema, rows))
    staging.add_parts(table, parts)


def _rewrite_shard(artifact: Artifact, rows: NDArray[np.bool_], staging: Staging) -> None:
    places = places_in_shard(artifact, rows)
    root, directory = staging.root, staging.directory
    parts: list[FileEntry] = []
    first = 0
    for entry in artifact.parts(DOCUMENTS):
        name, here = part_name(DOCUMENTS, len(parts)), rows[first : first + entry.rows]
        first += entry.rows
        if here.any():
            batches = _filtered(artifact.part_batches(entry), ~here)
            parts.append(write_part(root, directory, name, DOCUMENTS_SCHEMA, batches))
        else:
            path = artifact.directory / entry.name
            parts.append(link_part(root, path, entry, directory, name))
    staging.add_parts(DOCUMENTS, parts)
    tables: dict[str, Compression] = {"keys": "lz4", "signatures": "lz4"}
    for table, compression in tables.items():
        if artifact.has_table(table):
            with staging.writer(table, artifact.schema(table), compression) as writer:
                for batch in _filtered(artifact.batches(table), ~rows):
                    writer.write_batch(batch)
    with staging.writer(QUARANTINE, QUARANTINE_SCHEMA) as writer:
        for batch in artifact.batches(QUARANTINE):
            writer.write_batch(batch)
        writer.write_table(purged_records(places))
    n_gone = int(rows.sum())
    staging.counts["documents"] -= n_gone
    staging.counts["quarantined"] += n_gone
    staging.counts[f"quarantined_{Reason.PURGED}"] += n_gone


def purged_records(places: Iterable[Place]) -> pa.Table:
    """Quarantine records that only say that something was purged."""
    rows = [
        {"source": source, "locator": locator, "reason": Reason.PURGED, "detail": "", "excerpt": ""}
        for source, locator in sorted(places)
    ]
    return pa.Table.from_pylist(rows, QUARANTINE_SCHEMA)


def _filtered(
    batches: Iterator[pa.RecordBatch], kept: NDArray[np.bool_]
) -> Iterator[pa.RecordBatch]:
    first = 0
    for batch in batches:
        found = batch.filter(pa.array(kept[first : first + batch.num_rows]))
        first += batch.num_rows
        if found.num_rows:
            yield found
