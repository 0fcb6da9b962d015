"""Ingest: reads every source file once, in order, and writes what is a document."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nightjar.config import IngestConfig
from nightjar.corpus.admission import Admission, Admitted
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.readers import READERS
from nightjar.corpus.records import Document, Reason, Record, Rejection, Skip, storable
from nightjar.corpus.selection import SourceFile, select_files
from nightjar.corpus.tables import RowGroups
from nightjar.errors import SourceChanged, SourceError
from nightjar.progress import Progress
from nightjar.schemas import DOCUMENTS_SCHEMA, QUARANTINE_SCHEMA
from nightjar.store import FileIdentity, Identity, Staging

logger = logging.getLogger(__name__)

_MIN_STEP_BYTES = 1 << 16
_PROGRESS_STEPS = 500


def ingest(
    config: IngestConfig, base_dir: Path, identity: Identity, staging: Staging, progress: Progress
) -> None:
    """Write the tables ``documents`` and ``quarantine``; count every record.

    Sources in the order of the config, their files by name, records in the order of the
    file. Holds a record, a row group of each table, and what Admission says. Raises
    SourceError when a file is damaged, is not what its source says, or no document is left;
    SourceChanged when a file is not what ``identity`` says.
    """
    files = _planned_files(config, base_dir, identity)
    meter = _Meter(progress, sum(planned.bytes for planned in identity.inputs))
    logger.info("ingesting %d files of %d sources", len(files), len(config.sources))
    with (
        staging.writer("documents", DOCUMENTS_SCHEMA) as documents,
        staging.writer("quarantine", QUARANTINE_SCHEMA) as quarantine,
    ):
        night = _Ingest(
            config,
            RowGroups(documents, DOCUMENTS_SCHEMA),
            RowGroups(quarantine, QUARANTINE_SCHEMA),
        )
        for file, planned in zip(files, identity.inputs, strict=True):
            night.read(file, planned, meter)
        night.finish()
    staging.counts.update(night.counts())
    staging.report["sources"] = night.report()
    logger.info("ingested: %s", dict(staging.counts))


def _planned_files(config: IngestConfig, base_dir: Path, identity: Identity) -> list[SourceFile]:
    try:
        files = select_files(config, base_dir)
    except SourceError as error:  # they could be found when the run was planned
        raise SourceChanged(
            f"the source files are not those of the plan any more: {error}"
        ) from error
    found = [file.name for file in files]
    planned = [entry.name for entry in identity.inputs]
    if found != planned:
        changed = sorted(set(found) ^ set(planned)) or found
        raise SourceChanged(
            f"the source files are not those of the plan any more ({', '.join(changed[:5])}); "
            f"run again"
        )
    return files


class _Meter:
    """Passes bytes on to the progress, a few hundred times over all."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._step = max(_MIN_STEP_BYTES, total // _PROGRESS_STEPS)
        self._pending = 0
        self._note = ""
        progress.start("read sources", total, "B")

    def begin(self, note: str) -> None:
        self._note = note

    def advance(self, n_bytes: int) -> None:
        self._pending += n_bytes
        if self._pending >= self._step:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self._progress.advance(self._pending, self._note)
            self._pending = 0


class _Ingest:
    """One run: the state that all sources share, and what is counted by source."""

    def __init__(self, config: IngestConfig, documents: RowGroups, quarantine: RowGroups) -> None:
        self._config = config
        self._documents = documents
        self._quarantine = quarantine
        self._admission = Admission(config)
        self._by_source: dict[str, Counter[str]] = {name: Counter() for name in config.sources}

    def read(self, file: SourceFile, planned: FileIdentity, meter: _Meter) -> None:
        """Read one file, then make sure that it was the one that was planned."""
        source = self._config.sources[file.source]
        counts = self._by_source[file.source]
        counts["files_read"] += 1
        meter.begin(file.name)
        opened = InputFile(file.path, file.label, meter.advance)
        is_empty = True
        with _blaming_change(file.source, opened, planned):
            for record in READERS[source.type](source, opened, self._config.max_chars):
                is_empty = False
                self._take(file.source, record, source.language)
        if is_empty:
            self._reject(
                file.source, Rejection(file.label, Reason.EMPTY, "the file holds no record")
            )
        opened.check_unchanged(planned)
        meter.flush()

    def _take(self, source: str, record: Record, language: str | None) -> None:
        if isinstance(record, Skip):
            self._by_source[source][record] += 1
            return
        if isinstance(record, Document):
            admitted = self._admission.admit(source, record)
            if isinstance(admitted, Admitted):
                self._keep(source, admitted, language)
                return
            record = admitted
        self._reject(source, record)

    def _keep(self, source: str, document: Admitted, language: str | None) -> None:
        counts = self._by_source[source]
        counts["documents_kept"] += 1
        counts["characters_kept"] += len(document.text)
        self._documents.add(
            document.n_bytes,
            doc_id=document.doc_id,
            source=source,
            text=document.text,
            content_sha256=document.content_sha256,
            n_chars=len(document.text),
            language=language,
        )

    def _reject(self, source: str, rejection: Rejection) -> None:
        counts = self._by_source[source]
        counts["quarantined"] += 1
        counts[f"quarantined_{rejection.reason}"] += 1
        self._quarantine.add(
            len(rejection.detail) + len(rejection.excerpt),
            source=source,
            locator=storable(rejection.locator),
            reason=rejection.reason.value,
            detail=storable(rejection.detail),
            excerpt=rejection.excerpt,
        )

    def finish(self) -> None:
        """Write the last rows. Raises SourceError when there is no document."""
        counts = self.counts()
        if counts["documents_kept"] == 0:
            reasons = ", ".join(
                f"{name.removeprefix('quarantined_')} {count}"
                for name, count in sorted(counts.items())
                if count and (name.startswith("quarantined_") or name.endswith("_skipped"))
            )
            raise SourceError(
                f"no document left: {counts['documents_read']} read "
                f"({reasons}); check ingest.sources and the lengths in ingest"
            )
        self._documents.flush()
        self._quarantine.flush()

    def counts(self) -> Counter[str]:
        """Over all sources; what is read is kept or in quarantine, the rest was skipped."""
        base = dict.fromkeys(
            ("files_read", "documents_kept", "characters_kept", "quarantined", *Skip), 0
        )
        total = Counter(base)
        for counts in self._by_source.values():
            total.update(counts)
        total["documents_read"] = total["documents_kept"] + total["quarantined"]
        total["nul_characters_removed"] = self._admission.n_nul_removed
        return Counter({str(name): count for name, count in total.items()})

    def report(self) -> dict[str, dict[str, Any]]:
        """By source: its type and what was read, kept and dropped."""
        always = dict.fromkeys(
            ("files_read", "documents_kept", "characters_kept", "quarantined"), 0
        )
        return {
            name: {
                "type": self._config.sources[name].type,
                **always,
                **{str(key): count for key, count in sorted(counts.items())},
            }
            for name, counts in self._by_source.items()
        }


@contextmanager
def _blaming_change(source: str, file: InputFile, planned: FileIdentity) -> Iterator[None]:
    """Name the source in a SourceError; SourceChanged if the file is not the planned one."""
    try:
        yield
    except SourceError as error:
        file.check_on_disk(planned)
        raise SourceError(f"ingest.sources.{source}: {error}") from error
