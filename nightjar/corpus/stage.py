"""Ingesting: every record of every source into one of two tables."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar import schemas
from nightjar.config import IngestConfig
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.intake import Intake, KeptDocument
from nightjar.corpus.readers import read_records
from nightjar.corpus.records import Document, Record, Rejection, Skip, storable
from nightjar.corpus.selection import SourceFile, select_files
from nightjar.errors import SourceChanged, SourceError
from nightjar.progress import Progress
from nightjar.store import FileIdentity, Identity, Staging

logger = logging.getLogger(__name__)

_GROUP_ROWS = 2_000
_GROUP_CHARS = 16 << 20


def ingest(
    config: IngestConfig,
    base_dir: Path,
    identity: Identity,
    staging: Staging,
    progress: Progress,
) -> None:
    """Read every source and write ``documents`` and ``quarantine``.

    Raises SourceError when a file cannot be read whole or no document is left, and
    SourceChanged when a file is not what ``identity`` was computed from. In memory: one
    record, one row group (2,000 rows or 16 Mi characters) and :class:`Intake`'s digests.
    """
    files = select_files(config, base_dir)
    planned = {entry.name: entry for entry in identity.inputs}
    unplanned = [file.path for file in files if file.name not in planned]
    if unplanned or len(files) != len(planned):
        names = ", ".join(map(str, unplanned)) or "a file is gone"
        raise SourceChanged(f"the source files changed since the run was planned: {names}")
    started = time.monotonic()
    logger.info("ingest: %d files of %d sources", len(files), len(config.sources))
    progress.start("read", sum(entry.bytes for entry in planned.values()), "B")
    with _tables(staging) as tables:
        night = _Ingestion(config, tables, staging.counts, progress)
        for file in files:
            night.read(file, planned[file.name])
    staging.counts["files_read"] = len(files)
    staging.report["sources"] = night.by_source
    if not staging.counts["documents_kept"]:
        raise SourceError(_nothing_left(staging.counts))
    logger.info("ingest: %.1f s, %s", time.monotonic() - started, dict(staging.counts))


class _Ingestion:
    """Reads file after file into the tables, and counts."""

    def __init__(
        self, config: IngestConfig, tables: _Tables, counts: Counter[str], progress: Progress
    ) -> None:
        self._config = config
        self._tables = tables
        self._counts = counts
        self._progress = progress
        self._intake = Intake(config)
        self.by_source: dict[str, dict[str, int]] = {
            name: {"files": 0, "documents_kept": 0, "quarantined": 0, "characters_kept": 0}
            for name in config.sources
        }

    def read(self, file: SourceFile, planned: FileIdentity) -> None:
        """Every record of one file; the file must be what was planned."""
        input_file = InputFile(file.path, file.label, self._progress.advance)
        source = self._config.sources[file.source]
        self.by_source[file.source]["files"] += 1
        try:
            for record in read_records(source, input_file, self._config.max_chars):
                self._sort(file.source, source.language, record)
        except SourceError as error:
            if input_file.has_changed(planned):
                raise SourceChanged(f"{file.path}: changed while it was read; run again") from error
            raise SourceError(f"ingest.sources.{file.source}: {error}") from error
        input_file.check_unchanged(planned)

    def _sort(self, source: str, language: str | None, record: Record) -> None:
        if isinstance(record, Skip):
            self._counts[record.value] += 1
            return
        self._counts["documents_read"] += 1
        taken = self._intake.take(source, record) if isinstance(record, Document) else record
        if isinstance(taken, Rejection):
            self._counts["quarantined"] += 1
            self._counts[f"quarantined_{taken.reason.value}"] += 1
            self.by_source[source]["quarantined"] += 1
            self._tables.add_rejection(source, taken)
            return
        self._counts["documents_kept"] += 1
        self._counts["characters_kept"] += len(taken.text)
        self.by_source[source]["documents_kept"] += 1
        self.by_source[source]["characters_kept"] += len(taken.text)
        self._tables.add_document(source, language, taken)


class _Table:
    """One table, written in row groups of bounded size."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer = writer
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._n_chars = 0

    def add(self, row: dict[str, Any], n_chars: int) -> None:
        self._rows.append(row)
        self._n_chars += n_chars
        if len(self._rows) >= _GROUP_ROWS or self._n_chars >= _GROUP_CHARS:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []
        self._n_chars = 0


class _Tables:
    """Both tables of the stage."""

    def __init__(self, documents: _Table, quarantine: _Table) -> None:
        self._documents = documents
        self._quarantine = quarantine

    def add_document(self, source: str, language: str | None, kept: KeptDocument) -> None:
        row = {
            "doc_id": storable(kept.doc_id),
            "source": source,
            "text": kept.text,
            "content_sha256": kept.content_sha256,
            "n_chars": len(kept.text),
            "language": language,
        }
        self._documents.add(row, len(kept.text))

    def add_rejection(self, source: str, rejection: Rejection) -> None:
        row = {
            "source": source,
            "locator": storable(rejection.locator),
            "reason": rejection.reason.value,
            "detail": storable(rejection.detail),
            "excerpt": rejection.excerpt,
        }
        self._quarantine.add(row, len(rejection.excerpt))

    def flush(self) -> None:
        self._documents.flush()
        self._quarantine.flush()


@contextmanager
def _tables(staging: Staging) -> Iterator[_Tables]:
    documents, quarantine = schemas.DOCUMENTS_SCHEMA, schemas.QUARANTINE_SCHEMA
    with (
        staging.writer("documents", documents) as documents_writer,
        staging.writer("quarantine", quarantine) as quarantine_writer,
    ):
        tables = _Tables(_Table(documents_writer, documents), _Table(quarantine_writer, quarantine))
        yield tables
        tables.flush()


def _nothing_left(counts: Counter[str]) -> str:
    reasons = ", ".join(
        f"{name.removeprefix('quarantined_')} {count}"
        for name, count in sorted(counts.items())
        if name.startswith("quarantined_") or name.endswith("_skipped")
    )
    return (
        f"no document is left of {counts['documents_read']} read"
        f"{f' ({reasons})' if reasons else ''}; check the sources' paths and fields, and "
        f"ingest.min_chars and max_chars"
    )
