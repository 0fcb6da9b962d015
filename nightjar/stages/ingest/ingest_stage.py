"""Ingest: read new input in shards, then merge all shards."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nightjar.config import IngestConfig, NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, Wanted
from nightjar.core.stage import StageContext
from nightjar.errors import SourceError
from nightjar.sources.file_reading import BYTES_DAMAGED
from nightjar.sources.purge_list import NOTHING, Purged, PurgeList
from nightjar.sources.rejections import ERRORS, Skip
from nightjar.sources.remote import FETCHED_DIR, surplus_downloads
from nightjar.sources.selection import Fetching, planned_files
from nightjar.stages.ingest.admission import Decisions
from nightjar.stages.ingest.documents_identity import documents_identity, text_sources
from nightjar.stages.ingest.erasing_documents import erase_from_documents, erase_from_shard
from nightjar.stages.ingest.merging import kept_rows, merge
from nightjar.stages.ingest.shard_reading import ShardReading
from nightjar.stages.ingest.sharding import FoundShard, make_shards
from nightjar.store import Artifact, Identity, schemas
from nightjar.store.schemas import DOCUMENT_SHARDS, DOCUMENTS
from nightjar.wording import counted

logger = logging.getLogger(__name__)


_SPILL_NAME = ".digests"
_ALWAYS = ("files_read", "documents_kept", "characters_kept", "quarantined")
"""Counts that every source has, even if they are 0."""


def ingest(config: IngestConfig, context: StageContext, purged: Purged = NOTHING) -> None:
    """Write the tables ``documents`` and ``quarantine``; count every record.

    Sources in the order of the config, their files by name, records in the order of the file. A
    published shard is not read again, but the result has the same bytes as reading everything, or
    as much as the limits allow. Documents in ``purged`` are quarantined. Memory: what
    :func:`.shard_reading.read_shard` needs, for each worker, then what :func:`.admission.decide`
    needs. Raises SourceError when a file is damaged or is not what its source says, or when no
    document is left; SourceChanged when a file differs from the identity.
    """
    identity, staging, progress = context.identity, context.staging, context.progress
    files = planned_files(
        text_sources(config, context.base_dir), staging.root / FETCHED_DIR, identity.inputs
    )
    shards = make_shards(config, files, identity.inputs)
    logger.info(
        "ingesting %s of %s in %s",
        counted(len(files), "file"),
        counted(len(config.sources), "source"),
        counted(len(shards), "shard"),
    )
    reading = ShardReading(config, shards, context, purged)
    found, decisions = reading.decided(staging.directory / _SPILL_NAME)
    read = [artifact for _, artifact in found]
    progress.start("put shards together", sum(shard.rows(DOCUMENTS) for shard in read), "documents")
    summary = _Summary(config, found)
    summary.take(decisions)
    summary.check_losses()
    if summary.total["documents_kept"] == 0:
        raise summary.nothing_left()
    merge(read, decisions, staging, context.executor, progress.advance)
    staging.counts.update(summary.total)
    staging.report["sources"] = summary.report()
    staging.report["pieces"] = {DOCUMENT_SHARDS: sorted({art.ref.version for art in read})}
    logger.info("ingested: %s", dict(staging.counts))


class _Summary:
    """What was read, kept and dropped, by source and in total."""

    def __init__(self, config: IngestConfig, found: Sequence[FoundShard]) -> None:
        self._config = config
        self._shards = found
        self._by_source: dict[str, Counter[str]] = {name: Counter() for name in config.sources}

    def take(self, decisions: Sequence[Decisions]) -> None:
        for (shard, found), decision in zip(self._shards, decisions, strict=True):
            counts = Counter(found.manifest.counts)
            counts.pop("documents", None)
            kept, characters = _kept(found, decision)
            counts["documents_kept"] = kept
            counts["characters_kept"] = characters
            counts["quarantined"] += len(decision.dropped)
            for reason, _detail in decision.dropped.values():
                counts[f"quarantined_{reason}"] += 1
            self._by_source[shard.source].update(counts)

    @property
    def total(self) -> Counter[str]:
        """Totals over all sources; what was read is kept or quarantined, the rest was skipped."""
        total = Counter(dict.fromkeys((*_ALWAYS, *Skip, "nul_characters_removed"), 0))
        for counts in self._by_source.values():
            total.update(counts)
        total["documents_read"] = total["documents_kept"] + total["quarantined"]
        return Counter({str(name): count for name, count in total.items()})

    def report(self) -> dict[str, dict[str, Any]]:
        """By source: its type, and what was read, kept and dropped."""
        return {
            name: {
                "type": self._config.sources[name].type,
                **dict.fromkeys(_ALWAYS, 0),
                **{str(key): count for key, count in sorted(counts.items())},
            }
            for name, counts in self._by_source.items()
        }

    def check_losses(self) -> None:
        """Raise SourceError for a source that lost too much to errors."""
        for source, counts in self._by_source.items():
            lost = {reason: counts[f"quarantined_{reason}"] for reason in sorted(ERRORS)}
            n_lost = sum(lost.values())
            n_read = counts["documents_kept"] + counts["quarantined"]
            n_bytes = sum(
                entry.planned.bytes
                for shard, _ in self._shards
                if shard.source == source
                for entry in shard.files
            )
            share = max(n_lost / max(n_read, 1), counts[BYTES_DAMAGED] / max(n_bytes, 1))
            if share > self._config.max_lost:
                reasons = ", ".join(f"{reason} {count}" for reason, count in lost.items() if count)
                raise SourceError(
                    f"sources.{source}: {share:.1%} is lost to errors ({reasons}; "
                    f"{self._first_error(source)}), more than max_lost "
                    f"({self._config.max_lost:.1%}): check the files and the source's settings"
                )

    def _first_error(self, source: str) -> str:
        """Place and detail of the source's first record that was lost to an error."""
        for shard, read in self._shards:
            if shard.source == source:
                for batch in read.batches("quarantine", ["locator", "reason", "detail"]):
                    for row in batch.to_pylist():
                        if row["reason"] in ERRORS:
                            return f"the first at {row['locator']}: {row['detail']}"
        return "none by itself"

    def nothing_left(self) -> SourceError:
        """The error for a corpus without a document."""
        total = self.total
        reasons = ", ".join(
            f"{name.removeprefix('quarantined_')} {count}"
            for name, count in sorted(total.items())
            if count and (name.startswith("quarantined_") or name.endswith("_skipped"))
        )
        return SourceError(
            f"no document left: {total['documents_read']} read "
            f"({reasons}); check sources and min_chars and max_chars"
        )


def _kept(shard: Artifact, decision: Decisions) -> tuple[int, int]:
    """Number of kept documents of the shard, and of their characters."""
    kept = kept_rows(shard, decision)
    n_chars, first = 0, 0
    for chunk in shard.read(DOCUMENTS, ["n_chars"]).column("n_chars").chunks:
        # to_numpy would import pandas, in a process that may not need it otherwise.
        n_chars += int(np.from_dlpack(chunk)[kept[first : first + len(chunk)]].sum())
        first += len(chunk)
    return int(kept.sum()), n_chars


class Ingest(Stage):
    """The stage that makes a text corpus's documents from files, web servers and databases."""

    name = schemas.DOCUMENTS
    verb = "ingest"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = (
        "reads what is new in files, buckets, web servers and databases; cleans it; drops exact "
        "and near duplicates; quarantines what is not text, with a reason"
    )
    tables = {"documents": schemas.DOCUMENTS_SCHEMA, "quarantine": schemas.QUARANTINE_SCHEMA}
    pieces = {
        schemas.DOCUMENT_SHARDS: {
            "documents": schemas.DOCUMENTS_SCHEMA,
            "quarantine": schemas.QUARANTINE_SCHEMA,
            "keys": schemas.DOCUMENT_KEYS_SCHEMA,
            "signatures": schemas.SIGNATURES_SCHEMA,
        }
    }
    erasers = {
        schemas.DOCUMENTS: erase_from_documents,
        schemas.DOCUMENT_SHARDS: erase_from_shard,
    }
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every text corpus."""
        return config.text_corpora

    def parents(self) -> Iterable[Parent]:
        """None: documents come from outside."""
        return ()

    def identity(self, planning: Planning) -> Identity:
        """The sources' configuration and content; fetches remote files."""
        fetching = Fetching.of(self.loaded.artifacts_dir, planning)
        corpus = self.config.text_corpus(self.subject)
        return documents_identity(
            corpus.ingest, self.loaded.base_dir, fetching, self.subject, self.purged
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.ingest`."""
        ingest(self.config.text_corpus(self.subject).ingest, context, self.purged)

    @property
    def purged(self) -> Purged:
        """The purge list of the corpus."""
        return PurgeList.read(self.loaded.pipeline_dir, self.subject).purged

    @classmethod
    def surplus(cls, root: Path, wanted: Wanted) -> Iterable[Path]:
        """Fetched files that no plan needs any more."""
        return surplus_downloads(root / FETCHED_DIR, time.time(), is_quiet=wanted.is_quiet)
