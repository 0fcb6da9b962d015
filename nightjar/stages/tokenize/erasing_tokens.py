"""Erasing documents from tokens artifacts and from their shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.config import TokenizeConfig
from nightjar.core.stage import Erased, Fate, Rewriting
from nightjar.store import Artifact, FileEntry, Staging, Store, part_name, schemas, write_part

_GROUP_ROWS = 1 << 24
"""More than any row group has, so that each is read completely."""
_MOST_FREQUENT = 20


def erase_from_token_shard(store: Store, artifact: Artifact, erased: Erased) -> Fate:
    """Delete a shard with a sentence of theirs; the remaining text is cut again."""
    del store
    wanted = pa.array(sorted(erased.all_doc_ids), pa.string())
    for batch in artifact.batches("sentences", ["doc_id"]):
        if pc.any(pc.is_in(batch.column("doc_id"), value_set=wanted)).as_py():
            return Fate.DELETED
    return Fate.UNTOUCHED


def erase_from_tokens(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Remove their sentences, and words that only they had; ids become ranks again.

    Deletes the artifact if a tokenizer was trained on them, since its pieces may be their words.
    """
    del store
    documents = artifact.manifest.parents.get(schemas.DOCUMENTS, "")
    doc_ids = erased.doc_ids.get(documents, frozenset())
    if not doc_ids:
        return Fate.UNTOUCHED
    gone = _Gone.of(artifact, doc_ids)
    if not gone.n_sentences:
        return Fate.UNTOUCHED
    config = TokenizeConfig.model_validate(artifact.manifest.identity["config"])
    if artifact.has_file(schemas.TOKENIZER_FILE) and config.subword_path is None:
        return Fate.DELETED
    return lambda staging: _rewrite(artifact, doc_ids, gone, staging)


@dataclass(frozen=True, eq=False)
class _Gone:
    """What to remove, by token id; shape (vocabulary,)."""

    counts: NDArray[np.int64]
    n_documents: NDArray[np.int64]
    n_sentences: int
    n_with_tokens: int
    """Documents with at least one token."""

    @classmethod
    def of(cls, artifact: Artifact, doc_ids: frozenset[str]) -> _Gone:
        n_words = artifact.rows("vocabulary")
        counts, n_documents = np.zeros(n_words, np.int64), np.zeros(n_words, np.int64)
        by_document: dict[str, list[int]] = {}
        n_sentences = 0
        wanted = pa.array(sorted(doc_ids), pa.string())
        for batch in artifact.batches("sentences", ["doc_id", "token_ids"]):
            rows = batch.filter(pc.is_in(batch.column("doc_id"), value_set=wanted))
            n_sentences += rows.num_rows
            for row in rows.to_pylist():
                by_document.setdefault(row["doc_id"], []).extend(row["token_ids"])
        for ids in by_document.values():
            np.add.at(counts, ids, 1)
            n_documents[np.unique(ids)] += 1
        return cls(counts, n_documents, n_sentences, len(by_document))


def _rewrite(artifact: Artifact, doc_ids: frozenset[str], gone: _Gone, staging: Staging) -> None:
    old = artifact.read("vocabulary")
    vocabulary, rank_of = _without(old, gone)
    staging.write("vocabulary", vocabulary)
    parts: list[FileEntry] = []
    for entry in artifact.parts("sentences"):
        batches = _ranked(artifact, entry, doc_ids, rank_of)
        name = part_name("sentences", len(parts))
        schema = schemas.SENTENCES_SCHEMA
        parts.append(write_part(staging.root, staging.directory, name, schema, batches))
    staging.add_parts("sentences", parts)
    if artifact.has_table(schemas.PHRASES):
        alive = set(vocabulary.column("token").to_pylist())
        phrases = _living(artifact.read(schemas.PHRASES), alive)
        staging.write(schemas.PHRASES, phrases)
        staging.counts["phrases"] = len(phrases)
        known = set(phrases.column("phrase").to_pylist())
        best = staging.report["best_phrases"]
        staging.report["best_phrases"] = [[one for one in of if one in known] for of in best]
    if artifact.has_file(schemas.TOKENIZER_FILE):
        definition = artifact.file_path(schemas.TOKENIZER_FILE).read_bytes()
        staging.add_file(schemas.TOKENIZER_FILE).write_bytes(definition)
    staging.counts["documents_read"] -= len(doc_ids)
    staging.counts["documents_without_tokens"] -= len(doc_ids) - gone.n_with_tokens
    staging.counts["sentences"] -= gone.n_sentences
    staging.counts["tokens"] -= int(gone.counts.sum())
    staging.counts["vocabulary"] = len(vocabulary)
    most_frequent = vocabulary.column("token")[:_MOST_FREQUENT].to_pylist()
    staging.report["most_frequent"] = most_frequent


def _without(old: pa.Table, gone: _Gone) -> tuple[pa.Table, NDArray[np.int32]]:
    """The vocabulary without what is removed, and the new id of each old one, or -1."""
    counts = old.column("count").to_numpy() - gone.counts
    table = pa.table(
        {
            "old_id": old.column("token_id"),
            "token": old.column("token"),
            "count": pa.array(counts),
            "n_documents": pa.array(old.column("n_documents").to_numpy() - gone.n_documents),
        }
    )
    kept = table.filter(pa.array(counts > 0)).sort_by(
        [("count", "descending"), ("token", "ascending")]
    )
    rank_of = np.full(len(old), -1, np.int32)
    rank_of[kept.column("old_id").to_numpy()] = np.arange(len(kept), dtype=np.int32)
    ids = pa.array(np.arange(len(kept), dtype=np.int32))
    columns = [ids, *(kept.column(name) for name in ("token", "count", "n_documents"))]
    return pa.table(columns, schema=schemas.VOCABULARY_SCHEMA), rank_of


def _ranked(
    artifact: Artifact, entry: FileEntry, doc_ids: frozenset[str], rank_of: NDArray[np.int32]
) -> Iterator[pa.RecordBatch]:
    """The remaining sentences, with new ids."""
    wanted = pa.array(sorted(doc_ids), pa.string())
    kind = schemas.SENTENCES_SCHEMA.field("token_ids").type
    for batch in artifact.part_batches(entry, batch_rows=_GROUP_ROWS):
        rows = batch.filter(pc.invert(pc.is_in(batch.column("doc_id"), value_set=wanted)))
        if not rows.num_rows:
            continue
        lengths = pc.list_value_length(rows.column("token_ids")).to_numpy()
        ends = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
        ids = rank_of[rows.column("token_ids").flatten().to_numpy()]
        lists = pa.ListArray.from_arrays(pa.array(ends), pa.array(ids), type=kind)
        columns = [rows.column("doc_id"), rows.column("sentence"), lists]
        yield pa.record_batch(columns, schema=schemas.SENTENCES_SCHEMA)


def _living(phrases: pa.Table, alive: set[str]) -> pa.Table:
    """The phrases that are words of the vocabulary, consist of such words, or are parts of them."""
    rows = phrases.to_pylist()
    made_of = {row["phrase"]: row["tokens"] for row in rows}
    waiting = [phrase for phrase in made_of if phrase in alive]
    while waiting:
        parts = made_of.get(waiting.pop(), ())
        waiting += [part for part in parts if part not in alive]
        alive.update(parts)
    kept = [row["phrase"] in alive or set(row["tokens"]) <= alive for row in rows]
    return phrases.filter(pa.array(kept, pa.bool_()))
