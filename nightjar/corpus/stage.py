"""Ingest: what is new is read in shards, then all shards are put together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from nightjar.config import IngestConfig
from nightjar.core.stage import StageContext
from nightjar.corpus.admission import Decisions, cut_at, decide
from nightjar.corpus.merging import kept_rows, merge
from nightjar.corpus.reading import BYTES_DAMAGED, ReadShard, read_shard
from nightjar.corpus.records import ERRORS, Skip
from nightjar.corpus.remote import FETCHED_DIR
from nightjar.corpus.selection import planned_files
from nightjar.corpus.sharding import Shard, make_shards
from nightjar.errors import SourceError
from nightjar.executors import INLINE, INLINE_BYTES
from nightjar.schemas import DOCUMENT_SHARDS, DOCUMENTS
from nightjar.store import Artifact

logger = logging.getLogger(__name__)

ReadOne = tuple[Shard, Artifact]
"""A shard, and what was read of it."""

_SPILL_NAME = ".digests"
_ALWAYS = ("files_read", "documents_kept", "characters_kept", "quarantined")
"""What is counted for every source, be it 0."""


def ingest(config: IngestConfig, context: StageContext) -> None:
    """Write the tables ``documents`` and ``quarantine``; count every record.

    Sources in the order of the config, their files by name, records in the order of the file.
    A shard that is published already is not read again; the bytes are those of reading
    everything. In memory: what :func:`~nightjar.corpus.reading.read_shard` holds, for each
    worker, then what :func:`~nightjar.corpus.admission.decide` holds. Raises SourceError when a
    file is damaged, is not what its source says, or no document is left; SourceChanged when a
    file is not what the identity says.
    """
    identity, staging, progress = context.identity, context.staging, context.progress
    files = planned_files(config, context.base_dir, staging.root / FETCHED_DIR, identity.inputs)
    shards = make_shards(config, files, identity.inputs)
    logger.info(
        "ingesting %d files of %d sources in %d shards",
        len(files),
        len(config.sources),
        len(shards),
    )
    reading = _Reading(config, shards, context)
    found = reading.all() if _limits(config) is None else reading.within_limits()
    read = [artifact for _, artifact in found]
    decisions = decide(config, read, staging.directory / _SPILL_NAME)
    progress.start("put shards together", sum(shard.rows(DOCUMENTS) for shard in read), "documents")
    n_left_out = _cut(config, found, decisions)
    summary = _Summary(config, found)
    summary.take(decisions)
    summary.check_losses()
    if summary.total["documents_kept"] == 0:
        raise summary.nothing_left()
    merge(read, decisions, staging, context.executor, progress.advance)
    staging.counts.update(summary.total)
    if n_left_out is not None:
        staging.counts["documents_above_limit"] = n_left_out
    staging.report["sources"] = summary.report()
    staging.report["pieces"] = {DOCUMENT_SHARDS: sorted({art.ref.version for art in read})}
    logger.info("ingested: %s", dict(staging.counts))


class _Reading:
    """Has the shards read that are not published."""

    def __init__(
        self, config: IngestConfig, shards: Sequence[Shard], context: StageContext
    ) -> None:
        self._config = config
        self._store = context.store
        self._shards = shards
        self._due = {
            shard.identity.version: ReadShard(shard, config, self._store.root, context.git_commit)
            for shard in shards
            if not self._store.is_published(DOCUMENT_SHARDS, shard.identity.version)
        }
        n_bytes = sum(piece.shard.n_bytes for piece in self._due.values())
        self._executor = context.executor if n_bytes >= INLINE_BYTES else INLINE
        self._progress = context.progress
        self._progress.start("read sources", n_bytes, "B")
        if self._due:
            logger.info("%d of %d shards are new", len(self._due), len(shards))

    def all(self) -> list[ReadOne]:
        """All shards, in order."""
        return self._open(self._shards)

    def within_limits(self) -> list[ReadOne]:
        """The first shards of each source and over all, as many as it takes for the limits.

        They are read as many at a time as there are workers; which ones count hangs on the
        shards alone.
        """
        limits = _Limits(self._config)
        found: list[ReadOne] = []
        first = 0
        while first < len(self._shards) and not limits.is_reached():
            group = [
                shard
                for shard in self._shards[first : first + self._executor.n_workers]
                if not limits.is_reached(shard.source)
            ]
            for shard, artifact in self._open(group):
                if not limits.is_reached(shard.source):
                    found.append((shard, artifact))
                    limits.count(shard.source, artifact.rows(DOCUMENTS))
            first += self._executor.n_workers
        return found

    def _open(self, shards: Sequence[Shard]) -> list[ReadOne]:
        versions = [shard.identity.version for shard in shards]
        due = [self._due[version] for version in dict.fromkeys(versions) if version in self._due]
        for _version in self._executor.map(read_shard, due, self._progress.advance):
            pass
        refs = [self._store.ref(DOCUMENT_SHARDS, version) for version in versions]
        return [(shard, self._store.open(ref)) for shard, ref in zip(shards, refs, strict=True)]


class _Limits:
    """How many documents may still come, of a source and over all."""

    def __init__(self, config: IngestConfig) -> None:
        self._left: dict[str | None, float] = {
            name: inf if source.limit is None else source.limit
            for name, source in config.sources.items()
        }
        self._left[None] = inf if config.limit is None else config.limit

    def is_reached(self, source: str | None = None) -> bool:
        """Whether there are enough, of that source or over all."""
        return self._left[None] <= 0 or self._left[source] <= 0

    def count(self, source: str, n_documents: int) -> None:
        """So many more are there."""
        self._left[None] -= min(n_documents, self._left[source])
        self._left[source] -= n_documents


def _limits(config: IngestConfig) -> int | None:
    """The least of all limits; None without any."""
    limits = [config.limit, *(source.limit for source in config.sources.values())]
    return min((limit for limit in limits if limit is not None), default=None)


def _cut(
    config: IngestConfig, found: Sequence[ReadOne], decisions: Sequence[Decisions]
) -> int | None:
    """Keep no more than the limits allow; how many more there were, None without a limit."""
    if _limits(config) is None:
        return None
    n_left_out = 0
    for name, source in config.sources.items():
        if source.limit is not None:
            places = [place for place, (shard, _) in enumerate(found) if shard.source == name]
            shards = [found[place][1] for place in places]
            n_left_out += cut_at(source.limit, shards, [decisions[place] for place in places])
    if config.limit is not None:
        n_left_out += cut_at(config.limit, [artifact for _, artifact in found], decisions)
    return n_left_out


class _Summary:
    """What was read, kept and dropped, by source and over all."""

    def __init__(self, config: IngestConfig, found: Sequence[ReadOne]) -> None:
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
        """Over all sources; what is read is kept or in quarantine, the rest was skipped."""
        total = Counter(dict.fromkeys((*_ALWAYS, *Skip, "nul_characters_removed"), 0))
        for counts in self._by_source.values():
            total.update(counts)
        total["documents_read"] = total["documents_kept"] + total["quarantined"]
        return Counter({str(name): count for name, count in total.items()})

    def report(self) -> dict[str, dict[str, Any]]:
        """By source: its type and what was read, kept and dropped."""
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
        """Place and detail of the first record of the source that was lost to an error."""
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
    """How many documents and characters of the shard are kept."""
    kept = kept_rows(shard, decision)
    n_chars, first = 0, 0
    for chunk in shard.read(DOCUMENTS, ["n_chars"]).column("n_chars").chunks:
        # to_numpy would import pandas, in a process that may do nothing that needs it
        n_chars += int(np.from_dlpack(chunk)[kept[first : first + len(chunk)]].sum())
        first += len(chunk)
    return int(kept.sum()), n_chars
