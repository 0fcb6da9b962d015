"""Erasing ids from shards of rows and from quarantine, whatever the ids stand for.

A shard belongs to a source, whatever corpora read it; its files are read again when needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.sources.rejections import Reason, digest_of
from nightjar.store import Artifact, schemas

_QUARANTINE = "quarantine"


def ids_among(names: Iterable[str], digests: frozenset[bytes]) -> list[str]:
    """Those of distinct ``names`` whose digest is in ``digests``."""
    return [name for name in names if digest_of(name) in digests]


def has_column(shard: Artifact, column: str) -> bool:
    """Whether a shard has rows with ``column``: those of facts about items are another table."""
    return shard.has_table(schemas.ROWS) and column in shard.schema(schemas.ROWS).names


def holds_ids(shard: Artifact, columns: Sequence[str], digests: frozenset[bytes]) -> bool:
    """Whether a row of a shard has one of the ids in one of ``columns``.

    False for a shard without these columns.
    """
    return all(has_column(shard, column) for column in columns) and any(
        ids_among(pc.unique(_plain(batch.column(column))).to_pylist(), digests)
        for batch in shard.batches(schemas.ROWS, list(columns))
        for column in columns
    )


def is_quoting(artifact: Artifact) -> bool:
    """Whether the quarantine quotes rows, which may be anybody's."""
    return any(
        pc.any(pc.not_equal(batch.column("excerpt"), "")).as_py()
        for batch in artifact.batches(_QUARANTINE, ["excerpt"])
    )


def unquoted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Quarantine without excerpts, and without details about ids: they may be of anybody."""
    table = pa.Table.from_batches([batch])
    nothing = pa.array([""] * batch.num_rows, pa.string())
    is_about_ids = pc.equal(table.column("reason"), Reason.INVALID_ID)
    details = pc.if_else(is_about_ids, "", table.column("detail"))
    columns = {"detail": details, "excerpt": nothing}
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, schemas.QUARANTINE_SCHEMA.field(name), values)
    return table.combine_chunks().to_batches()[0] if batch.num_rows else batch


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
