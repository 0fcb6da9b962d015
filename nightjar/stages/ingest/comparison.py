"""The differences between two documents artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.store import Artifact
from nightjar.store.schemas import DOCUMENTS


class ChangeKind(StrEnum):
    """How a document differs."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True)
class ChangedDocument:
    """A document that is not the same in both artifacts."""

    doc_id: str
    change: ChangeKind


@dataclass(frozen=True)
class Comparison:
    """The differences of two documents artifacts.

    Documents are matched by doc_id. In sources without ids it is derived from the text, so a
    changed text is one document removed and another added.
    """

    old: str
    new: str
    counts: dict[ChangeKind, dict[str, int]]
    """Number of documents by source."""
    n_unchanged: int
    _documents: pa.Table

    @property
    def n_changes(self) -> int:
        """Number of documents that were added, changed or removed."""
        return len(self._documents)

    def documents(self) -> Iterator[ChangedDocument]:
        """The documents that differ: added, changed, removed, each in the order of its artifact."""
        for batch in self._documents.to_batches():
            for doc_id, change in zip(*(column.to_pylist() for column in batch), strict=True):
                yield ChangedDocument(doc_id, ChangeKind(change))


def compare(old: Artifact, new: Artifact) -> Comparison:
    """Compare the documents of two artifacts.

    Memory: ids and hashes of both, about 250 bytes per document. Parts that both share are not
    read.
    """
    shared = {part.sha256 for part in old.parts(DOCUMENTS)} & {
        part.sha256 for part in new.parts(DOCUMENTS)
    }
    n_same = sum(part.rows for part in new.parts(DOCUMENTS) if part.sha256 in shared)
    before, after = (_documents(artifact, shared) for artifact in (old, new))
    was_at = pc.index_in(after.column("doc_id"), before.column("doc_id"))
    is_at = pc.index_in(before.column("doc_id"), after.column("doc_id"))
    is_known = pc.is_valid(was_at)
    known = after.filter(is_known)
    earlier = before.take(was_at.drop_null())
    differs = pc.not_equal(known.column("content_sha256"), earlier.column("content_sha256"))
    found = {
        ChangeKind.ADDED: after.filter(pc.invert(is_known)),
        ChangeKind.CHANGED: known.filter(differs),
        ChangeKind.REMOVED: before.filter(pc.is_null(is_at)),
    }
    return Comparison(
        old=str(old.ref),
        new=str(new.ref),
        counts={
            change: dict(sorted(Counter(table.column("source").to_pylist()).items()))
            for change, table in found.items()
        },
        n_unchanged=n_same + len(known) - len(found[ChangeKind.CHANGED]),
        _documents=pa.concat_tables(
            pa.table(
                {
                    "doc_id": table.column("doc_id"),
                    "change": pa.array(np.full(len(table), change.value), pa.string()),
                }
            )
            for change, table in found.items()
        ),
    )


def _documents(artifact: Artifact, shared: set[str]) -> pa.Table:
    """Id, source and hash of the documents that are not in ``shared`` parts."""
    columns = ["doc_id", "source", "content_sha256"]
    batches = [
        batch
        for part in artifact.parts(DOCUMENTS)
        if part.sha256 not in shared
        for batch in artifact.part_batches(part, columns)
    ]
    schema = pa.schema([(name, pa.string()) for name in columns])
    return pa.Table.from_batches([batch.cast(schema) for batch in batches], schema)
