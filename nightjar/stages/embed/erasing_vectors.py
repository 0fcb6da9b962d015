"""Erasing documents from document vectors."""

from __future__ import annotations

import pyarrow.compute as pc

from nightjar.core.erasure import Erased, Fate, Rewriting, are_of
from nightjar.store import Artifact, Staging, Store


def erase_from_document_vectors(
    store: Store, artifact: Artifact, erased: Erased
) -> Rewriting | Fate:
    """Their rows go."""
    del store
    n_gone = n_unknown = 0
    for batch in artifact.batches("vectors", ["content_sha256", "is_known"]):
        rows = batch.filter(are_of(batch.column("content_sha256"), erased.texts))
        n_gone += rows.num_rows
        n_unknown += rows.num_rows - pc.sum(rows.column("is_known")).as_py() if rows.num_rows else 0
    if not n_gone:
        return Fate.UNTOUCHED

    def write(staging: Staging) -> None:
        with staging.writer("vectors", artifact.schema("vectors")) as writer:
            for batch in artifact.batches("vectors"):
                writer.write_batch(
                    batch.filter(pc.invert(are_of(batch.column("content_sha256"), erased.texts)))
                )
        staging.counts["documents"] -= n_gone
        staging.counts["documents_without_known_words"] -= n_unknown

    return write
