"""Reading one shard: its files once, in order, to what may become documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from nightjar.config import IngestConfig
from nightjar.core.executors import Advance
from nightjar.errors import SourceError
from nightjar.files.compression import ExpansionLimits
from nightjar.stages.ingest.document_tables import Parts, RowGroups
from nightjar.stages.ingest.input_file import InputFile
from nightjar.stages.ingest.near_duplicates import SignatureWriter
from nightjar.stages.ingest.preparation import Preparation, Prepared
from nightjar.stages.ingest.purge_list import NOTHING, Purged
from nightjar.stages.ingest.readers import READERS
from nightjar.stages.ingest.records import Document, Reason, Record, Rejection, Skip, storable
from nightjar.stages.ingest.sharding import PlannedFile, Shard
from nightjar.store import Compression, FileIdentity, Staging, publish
from nightjar.store.schemas import (
    DOCUMENT_KEYS_SCHEMA,
    DOCUMENTS_SCHEMA,
    QUARANTINE_SCHEMA,
    SIGNATURES_SCHEMA,
)

_MIN_STEP_BYTES = 1 << 16
_PROGRESS_STEPS = 100
BYTES_DAMAGED = "bytes_of_damaged_files"
_HASHED_BYTES_OF_ROW = 256
"""What a row of keys takes, about."""


@dataclass(frozen=True)
class ReadShard:
    """A shard to be read, with all that this takes."""

    shard: Shard
    config: IngestConfig
    artifacts_dir: Path
    git_commit: str | None = None
    purged: Purged = NOTHING
    """What must not come in. No part of the shard's identity: a purge rewrites the shards that
    are there, so that each has what it would have if it was read now."""


def read_shard(piece: ReadShard, advance: Advance) -> str:
    """Publish the shard's artifact; returns its version.

    ``documents`` has what each document is if nothing speaks against it, ``keys`` what tells
    whether other documents do, ``quarantine`` the other records. In memory: a record and a
    row group of each table. Raises SourceError when a file is damaged or is not what its
    source says; SourceChanged when a file is not what was planned.
    """

    def write(staging: Staging) -> None:
        with ExitStack() as opened:
            reading = _Reading(piece, staging, opened)
            for entry in piece.shard.files:
                if not reading.is_full:
                    reading.read(entry, advance)
            reading.finish()

    ref = publish(piece.artifacts_dir, piece.shard.identity, write, piece.git_commit)
    return ref.version


class _Meter:
    """Passes on what is read of a file, a hundred times at most."""

    def __init__(self, advance: Advance, entry: PlannedFile) -> None:
        self._advance = advance
        self._note = entry.file.name
        self._step = max(_MIN_STEP_BYTES, entry.planned.bytes // _PROGRESS_STEPS)
        self._pending = 0

    def add(self, n_bytes: int) -> None:
        self._pending += n_bytes
        if self._pending >= self._step:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self._advance(self._pending, self._note)
            self._pending = 0


class _Reading:
    def __init__(self, piece: ReadShard, staging: Staging, opened: ExitStack) -> None:
        config, source = piece.config, piece.shard.source
        self._config = config
        self._name = source
        self._source = config.sources[source]
        self._max_documents = piece.shard.max_documents
        self._staging = staging

        def rows(table: str, schema: pa.Schema, compression: Compression = "zstd") -> RowGroups:
            writer = opened.enter_context(staging.writer(table, schema, compression))
            return RowGroups(writer, schema)

        self._documents = opened.enter_context(
            Parts(staging.directory, "documents", DOCUMENTS_SCHEMA)
        )
        self._quarantine = rows("quarantine", QUARANTINE_SCHEMA)
        self._keys = rows("keys", DOCUMENT_KEYS_SCHEMA, "lz4")
        self._signatures: SignatureWriter | None = None
        if config.near_duplicates is not None:
            writer = staging.writer("signatures", SIGNATURES_SCHEMA, "lz4")
            self._signatures = SignatureWriter(
                config.near_duplicates, opened.enter_context(writer), SIGNATURES_SCHEMA
            )
        self._preparation = Preparation(config, source, piece.purged)
        self._counts: Counter[str] = Counter()

    def read(self, entry: PlannedFile, advance: Advance) -> None:
        """Read one file, then make sure that it was the one that was planned.

        Of a damaged file, what was read of it stays where ``on_error`` says so.
        """
        self._counts["files_read"] += 1
        meter = _Meter(advance, entry)
        limits = ExpansionLimits(self._config.max_expanded_bytes, self._config.max_expansion_ratio)
        opened = InputFile(entry.file.path, entry.file.label, meter.add, limits)
        is_empty = True
        try:
            with self._blaming_change(opened, entry.planned):
                records = READERS[self._source.type](self._source, opened, self._config.max_chars)
                for record in records:
                    is_empty = False
                    self._take(record)
                    if self.is_full:
                        return
        except SourceError as error:
            if self._config.on_error == "fail":
                raise
            is_empty = False
            self._counts[BYTES_DAMAGED] += entry.planned.bytes
            detail = str(error).replace(str(entry.file.path), entry.file.label)
            self._reject(Rejection(entry.file.label, Reason.DAMAGED_FILE, detail))
        if is_empty:
            self._reject(Rejection(entry.file.label, Reason.EMPTY, "the file holds no record"))
        opened.check_unchanged(entry.planned)
        meter.flush()

    @contextmanager
    def _blaming_change(self, file: InputFile, planned: FileIdentity) -> Iterator[None]:
        """Name the source in a SourceError; SourceChanged if the file is not the planned one."""
        try:
            yield
        except SourceError as error:
            file.check_on_disk(planned)
            raise SourceError(f"sources.{self._name}: {error}") from error

    def _take(self, record: Record) -> None:
        if isinstance(record, Document):
            prepared = self._preparation.prepare(record)
            if isinstance(prepared, Prepared):
                self._keep(record.locator, prepared)
            else:
                self._reject(prepared)
        elif isinstance(record, Skip):
            self._counts[record] += 1
        else:
            self._reject(self._preparation.redacted(record))

    def _keep(self, locator: str, document: Prepared) -> None:
        self._counts["documents"] += 1
        self._documents.add(
            document.n_bytes,
            document.doc_id,
            self._name,
            document.text,
            document.content_sha256,
            len(document.text),
            document.language,
        )
        self._keys.add(
            _HASHED_BYTES_OF_ROW,
            document.text_digest,
            document.id_digest,
            document.has_native_id,
            storable(locator),
            document.raw_digest,
        )
        if self._signatures is not None:
            self._signatures.add(document.text)

    def _reject(self, rejection: Rejection) -> None:
        self._counts["quarantined"] += 1
        self._counts[f"quarantined_{rejection.reason}"] += 1
        self._quarantine.add(
            len(rejection.detail) + len(rejection.excerpt),
            *quarantine_row(self._name, rejection),
        )

    @property
    def is_full(self) -> bool:
        """Whether there are as many documents as are asked for, be they duplicates or not."""
        return self._max_documents is not None and self._counts["documents"] >= self._max_documents

    def finish(self) -> None:
        """Write the last rows and what was counted."""
        self._staging.add_parts("documents", self._documents.finish())
        self._quarantine.flush()
        self._keys.flush()
        if self._signatures is not None:
            self._signatures.flush()
        self._staging.counts.update(self._counts)
        self._staging.counts.update(self._preparation.changes)


def quarantine_row(source: str, rejection: Rejection) -> tuple[str, ...]:
    """The row of the quarantine table."""
    return (
        source,
        storable(rejection.locator),
        rejection.reason.value,
        storable(rejection.detail),
        rejection.excerpt,
    )
