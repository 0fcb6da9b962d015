"""Cutting one part of the documents into sentences of tokens, with ids of its own."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar import schemas
from nightjar.config import TokenizeConfig
from nightjar.errors import ConfigError
from nightjar.executors import Advance
from nightjar.store import Artifact, FileEntry, FileIdentity, Identity, Staging, publish
from nightjar.text.vocabulary import GrowingVocabulary
from nightjar.tokenization import (
    PatternError,
    Tokenizer,
    make_sentence_splitter,
    make_tokenizer,
)

REVISION = 2
"""Raise when the same config and documents give other tokens than before."""

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
    artifacts_dir: Path
    git_commit: str | None = None

    @property
    def identity(self) -> Identity:
        """The part's content decides, not the artifact that it is in."""
        return Identity(
            stage=schemas.TOKEN_SHARDS,
            name="",
            config=self.config.model_dump(mode="json"),
            inputs=[FileIdentity(schemas.DOCUMENTS, self.part.bytes, self.part.sha256)],
            code=cutting_code(),
        )


def cutting_code() -> dict[str, Any]:
    """What of the code shapes tokens."""
    return {"revision": REVISION, "unicode": unicodedata.unidata_version}


def tokenizer_of(config: TokenizeConfig) -> Tokenizer:
    """The tokenizer of the config. Raises ConfigError for a pattern that matches nothing."""
    try:
        return make_tokenizer(config)
    except PatternError as error:
        raise ConfigError(str(error)) from error


def cut_part(piece: CutPart, advance: Advance) -> str:
    """Publish the part's token shard; returns its version.

    ``sentences`` have ids in the order of first sight; ``vocabulary`` has the token, count and
    documents of each. Sentences without a token are not written; the others are numbered from
    0 within their document. In memory: the part's distinct tokens and one batch of about a
    million tokens, or the longest document.
    """

    def write(staging: Staging) -> None:
        vocabulary = GrowingVocabulary(piece.config.min_token_chars, piece.config.max_token_chars)
        with staging.writer("sentences", schemas.SENTENCES_SCHEMA) as sentences:
            for batch in _token_batches(piece, vocabulary, advance):
                found = _sentences(batch, vocabulary, staging)
                sentences.write_table(pa.Table.from_batches([found]))
        staging.write("vocabulary", vocabulary.table())

    return publish(piece.artifacts_dir, piece.identity, write, piece.git_commit).version


@dataclass
class _TokenBatch:
    """Some whole documents; token ids and lengths lie one after the other."""

    doc_ids: list[str] = field(default_factory=list)
    sentences_per_document: list[int] = field(default_factory=list)
    tokens_per_sentence: list[int] = field(default_factory=list)
    ids: array[int] = field(default_factory=lambda: array("i"))

    @property
    def is_full(self) -> bool:
        return len(self.ids) >= BATCH_TOKENS or len(self.doc_ids) >= BATCH_DOCUMENTS


def _token_batches(
    piece: CutPart, vocabulary: GrowingVocabulary, advance: Advance
) -> Iterator[_TokenBatch]:
    split = make_sentence_splitter(piece.config)
    tokenizer = tokenizer_of(piece.config)
    id_of = vocabulary.id_of
    batch = _TokenBatch()
    for rows in piece.documents.part_batches(piece.part, ["doc_id", "text"], READ_ROWS):
        doc_ids = rows.column("doc_id").to_pylist()
        for doc_id, text in zip(doc_ids, rows.column("text").to_pylist(), strict=True):
            sentences = split(text)
            for sentence in sentences:
                tokens = tokenizer(sentence)
                batch.ids.extend(map(id_of, tokens))
                batch.tokens_per_sentence.append(len(tokens))
            batch.doc_ids.append(doc_id)
            batch.sentences_per_document.append(len(sentences))
            if batch.is_full:
                yield batch
                advance(len(batch.doc_ids))
                batch = _TokenBatch()
    yield batch
    advance(len(batch.doc_ids))


def _sentences(
    batch: _TokenBatch, vocabulary: GrowingVocabulary, staging: Staging
) -> pa.RecordBatch:
    """The batch's sentences, after dropping and counting."""
    ids = np.frombuffer(batch.ids, np.int32) if batch.ids else np.zeros(0, np.int32)
    too_short = vocabulary.is_too_short()[ids]
    too_long = vocabulary.is_too_long()[ids]
    keep = ~(too_short | too_long)

    kept_before = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])
    ends = np.cumsum(np.array(batch.tokens_per_sentence, np.int64))
    lengths = np.diff(kept_before[ends], prepend=0)
    documents = np.repeat(np.arange(len(batch.doc_ids)), batch.sentences_per_document)
    documents, lengths = documents[lengths > 0], lengths[lengths > 0]
    ids = ids[keep]
    vocabulary.count(ids, np.repeat(documents, lengths))

    is_first = np.diff(documents, prepend=-1) != 0
    n_nonempty = int(is_first.sum())
    staging.counts["documents_read"] += len(batch.doc_ids)
    staging.counts["documents_without_tokens"] += len(batch.doc_ids) - n_nonempty
    staging.counts["sentences"] += len(lengths)
    staging.counts["tokens"] += len(ids)
    staging.counts["token_too_short"] += int(too_short.sum())
    staging.counts["token_too_long"] += int(too_long.sum())
    return pa.record_batch(
        [
            pa.array(batch.doc_ids, pa.string()).take(pa.array(documents)),
            pa.array(_numbers_within(is_first), pa.int32()),
            token_lists(np.concatenate([[0], np.cumsum(lengths)]), ids),
        ],
        schema=schemas.SENTENCES_SCHEMA,
    )


def _numbers_within(is_first: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Count up from 0, anew at each True."""
    positions = np.arange(len(is_first))
    starts = positions[is_first]
    return (positions - np.repeat(starts, np.diff(starts, append=len(is_first)))).astype(np.int32)


def token_lists(offsets: NDArray[np.integer], ids: NDArray[np.int32]) -> pa.ListArray:
    """The column ``token_ids``: list i is ``ids[offsets[i]:offsets[i + 1]]``."""
    kind = schemas.SENTENCES_SCHEMA.field("token_ids").type
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(ids), type=kind)
