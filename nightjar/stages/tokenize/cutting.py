"""Cutting one part of the documents into sentences of tokens, with ids of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import TokenizeConfig
from nightjar.core.executors import Advance
from nightjar.model.tokenization import SentenceSplitter, Tokenizer, make_sentence_splitter
from nightjar.stages.tokenize.definitions import open_tokenizer
from nightjar.store import Artifact, FileEntry, Identity, Staging, publish, schemas

if TYPE_CHECKING:
    from nightjar.stages.tokenize.word_ids import CutBatch, WordCutter

READ_ROWS = 1_024
BATCH_TOKENS = 1 << 20
BATCH_DOCUMENTS = 1 << 16
"""A batch, and so a row group of ``sentences``, ends after the document that fills it."""


@dataclass(frozen=True)
class CutPart:
    """A part of the documents to be cut, with all that this takes."""

    config: TokenizeConfig
    documents: Artifact
    part: FileEntry
    identity: Identity
    """The part's content decides, not the artifact that it is in."""
    definition_path: Path | None
    """Of the tokenizer, where it has one."""
    artifacts_dir: Path
    git_commit: str | None = None


def cut_part(piece: CutPart, advance: Advance) -> str:
    """Publish the part's token shard; returns its version.

    ``tokens`` has the ids of all tokens, which are in the order of first sight, and ``sentences``
    how many belong to each, in row groups of the same sentences; ``vocabulary`` has the token,
    count and documents of each id. Sentences without a token are left out; the others are
    numbered from 0 in their document. In memory: the distinct tokens and a batch of about a
    million tokens, or the longest document.
    """
    from nightjar.stages.tokenize.word_ids import WordCutter  # noqa: PLC0415  # numba takes a while to import

    def write(staging: Staging) -> None:
        cutter = WordCutter(piece.config, partial(_tokenizer, piece))
        with (
            staging.writer("sentences", schemas.SHARD_SENTENCES_SCHEMA, "lz4") as sentences,
            staging.writer("tokens", schemas.SHARD_TOKENS_SCHEMA, "lz4") as tokens,
        ):
            for batch in _batches(piece, cutter, advance):
                lengths, ids = batch.tables(staging)
                sentences.write_table(lengths)
                tokens.write_table(ids, row_group_size=max(1, len(ids)))
        staging.counts["token_too_short"] = cutter.n_too_short
        staging.counts["token_too_long"] = cutter.n_too_long
        staging.write("vocabulary", cutter.vocabulary())

    return publish(piece.artifacts_dir, piece.identity, write, piece.git_commit).version


def _tokenizer(piece: CutPart) -> tuple[SentenceSplitter, Tokenizer]:
    path = piece.definition_path
    definition = None if path is None else path.read_text(encoding="utf-8")
    return make_sentence_splitter(piece.config), open_tokenizer(piece.config, definition)


@dataclass
class _Batch:
    """Some whole documents and their sentences."""

    doc_ids: list[pa.StringArray] = field(default_factory=list)
    cut: list[CutBatch] = field(default_factory=list)
    n_documents: int = 0
    n_tokens: int = 0

    def add(self, doc_ids: pa.StringArray, cut: CutBatch) -> None:
        self.doc_ids.append(doc_ids)
        self.cut.append(cut)
        self.n_documents += len(doc_ids)
        self.n_tokens += len(cut.ids)

    @property
    def is_full(self) -> bool:
        return self.n_tokens >= BATCH_TOKENS or self.n_documents >= BATCH_DOCUMENTS

    def tables(self, staging: Staging) -> tuple[pa.Table, pa.Table]:
        """The rows of ``sentences`` and ``tokens``, after counting them."""
        firsts = np.cumsum([0, *(len(ids) for ids in self.doc_ids)])
        documents = np.concatenate(
            [np.zeros(0, np.int64)]
            + [cut.documents + first for cut, first in zip(self.cut, firsts[:-1], strict=True)]
        )
        lengths = np.concatenate([np.zeros(0, np.int32), *(cut.lengths for cut in self.cut)])
        ids = np.concatenate([np.zeros(0, np.int32), *(cut.ids for cut in self.cut)])
        is_first = np.diff(documents, prepend=-1) != 0
        staging.counts["documents_read"] += self.n_documents
        staging.counts["documents_without_tokens"] += self.n_documents - int(is_first.sum())
        staging.counts["sentences"] += len(lengths)
        staging.counts["tokens"] += len(ids)
        doc_ids = pa.concat_arrays(self.doc_ids or [pa.array([], pa.string())])
        columns = [
            doc_ids.take(pa.array(documents)),
            pa.array(_numbers_within(is_first), pa.int32()),
            pa.array(lengths),
        ]
        return (
            pa.table(columns, schema=schemas.SHARD_SENTENCES_SCHEMA),
            pa.table([pa.array(ids)], schema=schemas.SHARD_TOKENS_SCHEMA),
        )


def _batches(piece: CutPart, cutter: WordCutter, advance: Advance) -> Iterator[_Batch]:
    batch = _Batch()
    for rows in piece.documents.part_batches(piece.part, ["doc_id", "text"], READ_ROWS):
        batch.add(rows.column("doc_id"), cutter.cut(rows.column("text")))
        if batch.is_full:
            yield batch
            advance(batch.n_documents)
            batch = _Batch()
    yield batch
    advance(batch.n_documents)


def _numbers_within(is_first: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Count up from 0, anew at each True."""
    positions = np.arange(len(is_first))
    starts = positions[is_first]
    return (positions - np.repeat(starts, np.diff(starts, append=len(is_first)))).astype(np.int32)
