"""Cutting one part of the documents into sentences of tokens, with the tokenizer's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import TokenizeConfig
from nightjar.core.executors import Advance
from nightjar.errors import ConfigError, InputError
from nightjar.files.paths import expand
from nightjar.model.tokenization import (
    EXTRAS,
    LibraryMissing,
    SentenceSplitter,
    Tokenizer,
    TokenizerError,
    make_sentence_splitter,
    make_tokenizer,
    missing_message,
    train_subword,
)
from nightjar.store import (
    Artifact,
    FileEntry,
    FileIdentity,
    Identity,
    Staging,
    file_identity,
    library_versions,
    publish,
    schemas,
)
from nightjar.wording import counted

if TYPE_CHECKING:
    from nightjar.stages.tokenize.word_ids import CutBatch, WordCutter


_READ_ROWS = 256


def tokenizer_libraries(config: TokenizeConfig) -> Mapping[str, str]:
    """The installed version of each library that the tokenizer needs, without importing it.

    Raises InputError with the name of the extra when one is missing.
    """
    extra = EXTRAS.get(config.tokenizer)
    try:
        return {} if extra is None else library_versions(*extra.distributions)
    except metadata.PackageNotFoundError as error:
        raise InputError(missing_message(config.tokenizer)) from error


def definition_inputs(config: TokenizeConfig, base_dir: Path) -> list[FileIdentity]:
    """The file of ``tokenize.subword_path``, by content; empty without that key.

    Raises ConfigError when the file does not exist, SourceError when it cannot be read.
    """
    if config.subword_path is None:
        return []
    entry = file_identity(_definition_path(config.subword_path, base_dir))
    return [FileIdentity(schemas.TOKENIZER_FILE, entry.bytes, entry.sha256)]


def write_definition(
    config: TokenizeConfig, base_dir: Path, documents: Artifact, staging: Staging
) -> str | None:
    """Write the tokenizer's definition as ``tokenizer.json``; None if it needs none.

    It is the file of ``subword_path``, or a vocabulary trained on all documents. Memory: that of
    :func:`~nightjar.model.tokenization.train_subword`. Raises ConfigError when the file is not a
    definition or there are too few documents to train one, and InputError with the name of the
    extra when the library is missing.
    """
    if config.tokenizer != "subword":
        return None
    if config.subword_path is not None:
        definition = _read(_definition_path(config.subword_path, base_dir))
        open_tokenizer(config, definition)
    else:
        try:
            definition = train_subword(config, _texts(documents))
        except TokenizerError as error:
            raise _named(error) from error
    staging.add_file(schemas.TOKENIZER_FILE).write_text(definition, encoding="utf-8")
    return definition


def open_tokenizer(config: TokenizeConfig, definition: str | None = None) -> Tokenizer:
    """The tokenizer of ``config``, with ``definition`` if it needs one.

    Raises ConfigError for settings or a definition that cannot be used, and InputError with the
    name of the extra when a library is missing.
    """
    try:
        return make_tokenizer(config, definition)
    except TokenizerError as error:
        raise _named(error) from error


def _named(error: TokenizerError) -> InputError:
    return InputError(str(error)) if isinstance(error, LibraryMissing) else ConfigError(str(error))


def _definition_path(pattern: str, base_dir: Path) -> Path:
    found = expand(pattern, base_dir)
    if len(found) != 1:
        count = "no file" if not found else f"{counted(len(found), 'file')}"
        raise ConfigError(
            f"tokenize.subword_path: {pattern!r} names {count}; name one tokenizer.json, relative "
            f"to the config file"
        )
    return found[0]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"tokenize.subword_path: {path} cannot be read ({error.strerror}); check it"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"tokenize.subword_path: {path} is not UTF-8; name a tokenizer.json"
        ) from error


def _texts(documents: Artifact) -> Iterator[str]:
    for batch in documents.batches("documents", ["text"], _READ_ROWS):
        yield from batch.column("text").to_pylist()


READ_ROWS = 1_024
BATCH_TOKENS = 1 << 20
BATCH_DOCUMENTS = 1 << 16
"""A batch, and so a row group of ``sentences``, ends with the document that fills it."""


@dataclass(frozen=True)
class CutPart:
    """A part of the documents to cut, with everything needed for it."""

    config: TokenizeConfig
    documents: Artifact
    part: FileEntry
    identity: Identity
    """It depends on the content of the part, not on the artifact that contains it."""
    definition_path: Path | None
    """The tokenizer's definition, if it has one."""
    artifacts_dir: Path
    git_commit: str | None = None


def cut_part(piece: CutPart, advance: Advance) -> str:
    """Publish the part's token shard; returns its version.

    ``tokens`` has the ids of all tokens, numbered by first occurrence, and ``sentences`` the number
    of tokens of each sentence, in row groups of the same sentences; ``vocabulary`` has the token,
    count and documents of each id. Sentences without a token are left out; the others are numbered
    from 0 in their document. Memory: the distinct tokens and a batch of about a million tokens, or
    the longest document.
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
    """Complete documents and their sentences."""

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
        """Count the rows of ``sentences`` and ``tokens``, and return both tables."""
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
    """Count up from 0, restarting at each True."""
    positions = np.arange(len(is_first))
    starts = positions[is_first]
    return (positions - np.repeat(starts, np.diff(starts, append=len(is_first)))).astype(np.int32)
