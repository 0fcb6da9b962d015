"""Reading one shard: each of its files once, in order, to prepared documents."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from nightjar.config import IngestConfig
from nightjar.core.executors import INLINE, INLINE_BYTES, Advance
from nightjar.core.stage import StageContext
from nightjar.errors import SourceChanged, SourceError
from nightjar.files.compression import ExpansionLimits
from nightjar.sources.file_groups import PlannedFile
from nightjar.sources.file_reading import BYTES_DAMAGED, FileMeter, blaming_change
from nightjar.sources.input_file import InputFile
from nightjar.sources.purge_list import NOTHING, Purged
from nightjar.sources.rejections import Reason, Rejection, Skip, storable
from nightjar.stages.ingest.admission import Decisions, Limits, decide
from nightjar.stages.ingest.document_tables import DocumentParts, RowGroupWriter
from nightjar.stages.ingest.duplicates import SignatureWriter
from nightjar.stages.ingest.preparation import Preparation, Prepared
from nightjar.stages.ingest.readers import READERS
from nightjar.stages.ingest.records import Document, Record
from nightjar.stages.ingest.sharding import FoundShard, Shard
from nightjar.store import Artifact, Compression, Staging, publish
from nightjar.store.schemas import (
    DOCUMENT_KEYS_SCHEMA,
    DOCUMENT_SHARDS,
    DOCUMENTS,
    DOCUMENTS_SCHEMA,
    QUARANTINE_SCHEMA,
    SIGNATURES_SCHEMA,
)

logger = logging.getLogger(__name__)


_HASHED_BYTES_OF_ROW = 256
"""Approximate size of a row of keys."""


@dataclass(frozen=True)
class ReadShard:
    """A shard to read, with everything needed for it."""

    shard: Shard
    config: IngestConfig
    artifacts_dir: Path
    git_commit: str | None = None
    purged: Purged = NOTHING
    """What was purged. It is not part of the shard's identity: a purge rewrites existing shards to
    what reading them now would give."""


def read_shard(piece: ReadShard, advance: Advance) -> str:
    """Publish the shard's artifact; returns its version.

    ``documents`` has each document as it would be stored, ``keys`` the digests to compare it with
    others, ``quarantine`` the rejected records. Memory: a record and a row group of each table.
    Raises SourceError when a file is damaged or is not what its source says; SourceChanged when a
    file is not the planned one.
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


class _Reading:
    def __init__(self, piece: ReadShard, staging: Staging, opened: ExitStack) -> None:
        config, source = piece.config, piece.shard.source
        self._config = config
        self._name = source
        self._source = config.sources[source]
        self._max_documents = piece.shard.max_documents
        self._staging = staging

        def rows(
            table: str, schema: pa.Schema, compression: Compression = "zstd"
        ) -> RowGroupWriter:
            writer = opened.enter_context(staging.writer(table, schema, compression))
            return RowGroupWriter(writer, schema)

        self._documents = opened.enter_context(
            DocumentParts(staging.directory, "documents", DOCUMENTS_SCHEMA)
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
        """Read one file, then check that it was the planned one.

        What was read of a damaged file is kept if ``on_error`` says so.
        """
        self._counts["files_read"] += 1
        meter = FileMeter(advance, entry)
        limits = ExpansionLimits(self._config.max_expanded_bytes, self._config.max_expansion_ratio)
        opened = InputFile(entry.file.path, entry.file.label, meter.add, limits)
        is_empty = True
        try:
            with blaming_change(opened, entry):
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
            detail = str(error).replace(entry.file.shown, entry.file.label)
            self._reject(Rejection(entry.file.label, Reason.DAMAGED_FILE, detail))
        if is_empty:
            self._reject(Rejection(entry.file.label, Reason.EMPTY, "the file holds no record"))
        opened.check_unchanged(entry.planned)
        meter.flush()

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
        self._counts["quarantined"] += rejection.n_records
        self._counts[f"quarantined_{rejection.reason}"] += rejection.n_records
        self._quarantine.add(
            len(rejection.detail) + len(rejection.excerpt),
            *quarantine_row(self._name, rejection),
        )

    @property
    def is_full(self) -> bool:
        """Whether there are as many documents as requested, including duplicates."""
        return self._max_documents is not None and self._counts["documents"] >= self._max_documents

    def finish(self) -> None:
        """Write the last rows and the counts."""
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


_SHARE_OF_ROUND = 8
"""A round reads at least one document for this many that are already decided on."""


class ShardReading:
    """Reads shards and decides which documents are kept."""

    def __init__(
        self,
        config: IngestConfig,
        shards: Sequence[Shard],
        context: StageContext,
        purged: Purged = NOTHING,
    ) -> None:
        self._config = config
        self._purged = purged
        self._store = context.store
        self._root = self._store.root
        self._git_commit = context.git_commit
        self._shards = shards
        self._read: dict[str, Artifact] = {}
        self._taken: dict[int, FoundShard] = {}
        due = {
            shard.identity.version: shard.n_bytes
            for shard in shards
            if not self._store.is_published(DOCUMENT_SHARDS, shard.identity.version)
        }
        n_bytes = sum(due.values())
        self._executor = context.executor if n_bytes >= INLINE_BYTES else INLINE
        self._progress = context.progress
        # How much is read of a shard that a limit cuts short is unknown before.
        is_known = not due or all(shard.is_whole for shard in shards)
        self._progress.start("read sources", n_bytes if is_known else None, "B")
        if due:
            logger.info("%d of %d shards are new", len(due), len(shards))

    def decided(self, spill_dir: Path) -> tuple[list[FoundShard], list[Decisions]]:
        """The shards that count, in order, and the decisions on their documents.

        Those are all shards or, with limits, the first ones of each source and overall that fill
        the limits with kept documents. Which ones, and how much of each is read, depends on sources
        and config alone, not on the number of workers or on published artifacts. ``spill_dir`` is
        as for :func:`.admission.decide`.
        """
        self._read_now([shard for shard in self._shards if shard.is_whole])
        decided: dict[int, Decisions] = {}
        while True:
            places = self._needed(decided)
            found = [self._taken[place] for place in places]
            if all(place in decided for place in places):
                return found, [decided[place] for place in places]
            decisions = decide(self._config, found, spill_dir, self._purged)
            decided = dict(zip(places, decisions, strict=True))

    def _needed(self, decided: dict[int, Decisions]) -> list[int]:
        """Read the shards that may be enough; returns their indices.

        For shards in ``decided`` the kept documents count; of the others all may be kept, so
        nothing is read in vain. But if the rest were all duplicates, there would be a round for
        each shard, so each round leaves some new shards uncounted. A shard that was cut too short
        is read again and removed from ``decided``.
        """
        limits = Limits(self._config)
        n_least = sum(self._n_read(place) for place in decided) // _SHARE_OF_ROUND
        n_uncounted = n_least
        places = []
        for place, shard in enumerate(self._shards):
            n_left = limits.left(shard.source)
            if not n_left:
                continue
            if place not in self._taken:
                self._take(place, shard.widened(n_least), self._next(place, limits, n_least))
            elif place in decided and self._is_cut(place) and self._n_kept(place, decided) < n_left:
                del decided[place]
                read, _ = self._taken[place]
                self._take(place, read.widened(max(n_least, 2 * self._n_read(place))))
            n_documents = self._n_kept(place, decided)
            if place not in decided and not self._is_cut(place):
                n_skipped = min(n_documents, n_uncounted)
                n_uncounted -= n_skipped
                n_documents -= n_skipped
            limits.count(shard.source, n_documents)
            places.append(place)
        return places

    def _n_read(self, place: int) -> int:
        return self._taken[place][1].rows(DOCUMENTS)

    def _n_kept(self, place: int, decided: Mapping[int, Decisions]) -> int:
        """Number of kept documents of the shard; all, as long as that is not decided."""
        n_read = self._n_read(place)
        return decided[place].n_kept(n_read) if place in decided else n_read

    def _is_cut(self, place: int) -> bool:
        """Whether the shard may have more documents than were read."""
        n_asked = self._taken[place][0].max_documents
        return n_asked is not None and self._n_read(place) >= n_asked

    def _next(self, place: int, limits: Limits, n_least: int) -> list[Shard]:
        """The next shards after ``place``, for the other workers."""
        others = (
            self._shards[other]
            for other in range(place + 1, len(self._shards))
            if other not in self._taken and limits.left(self._shards[other].source)
        )
        first = islice(others, self._executor.n_workers - 1)
        return [shard.widened(n_least) for shard in first]

    def _take(self, place: int, shard: Shard, others: Sequence[Shard] = ()) -> None:
        """Read ``shard``, the one at ``place``, and with it ``others``, which may not be needed."""
        if shard.identity.version not in self._read:
            try:
                self._read_now([shard, *others])
            except (SourceError, SourceChanged):
                if not others:
                    raise
                self._read_now([shard])
        self._taken[place] = (shard, self._read[shard.identity.version])

    def _read_now(self, shards: Sequence[Shard]) -> None:
        due = {
            shard.identity.version: ReadShard(
                shard, self._config, self._root, self._git_commit, self._purged
            )
            for shard in shards
            if not self._store.is_published(DOCUMENT_SHARDS, shard.identity.version)
        }
        for _version in self._executor.map(read_shard, list(due.values()), self._progress.advance):
            pass
        for shard in shards:
            version = shard.identity.version
            if version not in self._read:
                self._read[version] = self._store.open(self._store.ref(DOCUMENT_SHARDS, version))
