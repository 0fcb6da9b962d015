"""The tokenize stage: a documents artifact in, a tokens artifact out."""

from __future__ import annotations

import logging
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar import schemas
from nightjar.config import TokenizeConfig
from nightjar.errors import VocabularyError
from nightjar.progress import Progress
from nightjar.store import Artifact, Identity, Staging
from nightjar.text.definitions import (
    definition_inputs,
    open_tokenizer,
    tokenizer_libraries,
    write_definition,
)
from nightjar.text.vocabulary import GrowingVocabulary, Ranking
from nightjar.tokenization import Tokenizer, make_sentence_splitter

logger = logging.getLogger(__name__)

REVISION = 2
"""Raise when the same config and documents give other tokens than before."""

READ_ROWS = 1_024
BATCH_TOKENS = 1 << 20
BATCH_DOCUMENTS = 1 << 16
"""A batch, and so a row group of ``sentences``, ends after the document that fills it."""

_PROVISIONAL_NAME = ".provisional.arrow"
_MOST_FREQUENT = 20


def tokens_identity(
    config: TokenizeConfig, documents_version: str, base_dir: Path = Path()
) -> Identity:
    """What shapes the tokens artifact; a relative ``subword_path`` starts at ``base_dir``.

    Raises ConfigError for a pattern that matches the empty string or a definition that is
    not there, and InputError when a library that the tokenizer needs is missing.
    """
    if config.tokenizer == "regex":
        open_tokenizer(config)
    return Identity(
        stage=schemas.TOKENS,
        name="",
        config=config.shaping(),
        parents={schemas.DOCUMENTS: documents_version},
        inputs=definition_inputs(config, base_dir),
        code={
            "revision": REVISION,
            "unicode": unicodedata.unidata_version,
            **tokenizer_libraries(config),
        },
    )


def tokenize(
    config: TokenizeConfig,
    documents: Artifact,
    staging: Staging,
    progress: Progress,
    base_dir: Path = Path(),
) -> None:
    """Write ``sentences`` and ``vocabulary`` of the tokens artifact, and ``tokenizer.json``.

    That file is the definition of a tokenizer that needs one (:mod:`.definitions`).

    Two passes: the documents are tokenized with provisional ids into a temporary file in
    the staging directory (4 bytes a token), then, counts being known, the ids are replaced
    by ranks. Sentences without a token are not written; the others are numbered from 0
    within their document. In memory: the vocabulary (every distinct token, before any
    ``min_count``) and one batch of about a million tokens, or the longest document.

    Raises VocabularyError when no token is left, and ConfigError for a pattern that matches
    the empty string.
    """
    logger.info("tokenizing %s with %s", documents.ref, config.tokenizer)
    tokenizer = open_tokenizer(config, write_definition(config, base_dir, documents, staging))
    vocabulary = GrowingVocabulary(config.min_token_chars, config.max_token_chars)
    provisional_path = staging.directory / _PROVISIONAL_NAME
    try:
        with (
            pa.OSFile(str(provisional_path), "wb") as sink,
            pa.ipc.new_file(sink, schemas.SENTENCES_SCHEMA) as writer,
        ):
            for batch in _token_batches(config, tokenizer, documents, vocabulary, progress):
                writer.write_batch(_provisional_sentences(batch, vocabulary, staging))
        _report(config, staging)
        if staging.counts["tokens"] == 0:
            raise _nothing_left(config, staging)
        ranking = vocabulary.ranking()
        staging.counts["vocabulary"] = len(ranking.tokens)
        staging.report["most_frequent"] = ranking.tokens[:_MOST_FREQUENT]
        staging.write("vocabulary", _vocabulary_table(ranking))
        progress.start("rank tokens", staging.counts["tokens"], "tokens")
        with (
            pa.memory_map(str(provisional_path)) as source,
            pa.ipc.open_file(source) as reader,
            staging.writer("sentences", schemas.SENTENCES_SCHEMA) as table,
        ):
            for number in range(reader.num_record_batches):
                provisional = reader.get_batch(number)
                table.write_batch(_ranked(provisional, ranking.rank_of))
                progress.advance(len(provisional.column("token_ids").flatten()))
    finally:
        provisional_path.unlink(missing_ok=True)


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
    config: TokenizeConfig,
    tokenizer: Tokenizer,
    documents: Artifact,
    vocabulary: GrowingVocabulary,
    progress: Progress,
) -> Iterator[_TokenBatch]:
    split = make_sentence_splitter(config)
    id_of = vocabulary.id_of
    progress.start("tokenize", documents.rows("documents"), "documents")
    batch = _TokenBatch()
    for rows in documents.batches("documents", ["doc_id", "text"], READ_ROWS):
        doc_ids = rows.column("doc_id").to_pylist()
        for doc_id, text in zip(doc_ids, rows.column("text"), strict=True):
            sentences = split(text.as_py())
            for sentence in sentences:
                tokens = tokenizer(sentence)
                batch.ids.extend(map(id_of, tokens))
                batch.tokens_per_sentence.append(len(tokens))
            batch.doc_ids.append(doc_id)
            batch.sentences_per_document.append(len(sentences))
            if batch.is_full:
                yield batch
                progress.advance(len(batch.doc_ids))
                batch = _TokenBatch()
    yield batch
    progress.advance(len(batch.doc_ids))


def _provisional_sentences(
    batch: _TokenBatch, vocabulary: GrowingVocabulary, staging: Staging
) -> pa.RecordBatch:
    """The batch's sentences with provisional ids, after dropping and counting."""
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
            _token_lists(np.concatenate([[0], np.cumsum(lengths)]), ids),
        ],
        schema=schemas.SENTENCES_SCHEMA,
    )


def _numbers_within(is_first: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Count up from 0, anew at each True."""
    positions = np.arange(len(is_first))
    starts = positions[is_first]
    return (positions - np.repeat(starts, np.diff(starts, append=len(is_first)))).astype(np.int32)


def _ranked(provisional: pa.RecordBatch, rank_of: NDArray[np.int32]) -> pa.RecordBatch:
    """The same sentences with ranks for provisional ids."""
    lists = provisional.column("token_ids")
    ranks = rank_of[lists.flatten().to_numpy()]
    columns = [
        provisional.column("doc_id"),
        provisional.column("sentence"),
        _token_lists(lists.offsets.to_numpy(), ranks),
    ]
    return pa.record_batch(columns, schema=schemas.SENTENCES_SCHEMA)


def _token_lists(offsets: NDArray[np.integer], ids: NDArray[np.int32]) -> pa.ListArray:
    kind = schemas.SENTENCES_SCHEMA.field("token_ids").type
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(ids), type=kind)


def _vocabulary_table(ranking: Ranking) -> pa.Table:
    columns = [
        pa.array(np.arange(len(ranking.tokens), dtype=np.int32)),
        pa.array(ranking.tokens, pa.string()),
        pa.array(ranking.counts),
        pa.array(ranking.n_documents),
    ]
    return pa.table(columns, schema=schemas.VOCABULARY_SCHEMA)


def _report(config: TokenizeConfig, staging: Staging) -> None:
    staging.report["dropped"] = {
        "token_too_short": f"fewer characters than tokenize.min_token_chars "
        f"({config.min_token_chars})",
        "token_too_long": f"more characters than tokenize.max_token_chars "
        f"({config.max_token_chars})",
        "documents_without_tokens": "documents in which the tokenizer found no token, or of "
        "which every token was dropped",
    }


def _nothing_left(config: TokenizeConfig, staging: Staging) -> VocabularyError:
    counts = staging.counts
    return VocabularyError(
        f"no token is left of {counts['documents_read']} documents (tokenizer "
        f"{config.tokenizer}; dropped as too short: {counts['token_too_short']}, as too long: "
        f"{counts['token_too_long']}); check ingest.sources, tokenize.tokenizer and "
        f"tokenize.pattern, tokenize.min_token_chars ({config.min_token_chars}) and "
        f"tokenize.max_token_chars ({config.max_token_chars})"
    )
