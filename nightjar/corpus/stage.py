"""Ingest: what is new is read in shards, then all shards are put together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nightjar.config import IngestConfig
from nightjar.corpus.admission import Decisions, decide
from nightjar.corpus.merging import kept_rows, merge
from nightjar.corpus.reading import ReadShard, read_shard
from nightjar.corpus.records import Skip
from nightjar.corpus.selection import SourceFile, select_files
from nightjar.corpus.sharding import Shard, make_shards
from nightjar.errors import SourceChanged, SourceError
from nightjar.executors import INLINE, INLINE_BYTES, Executor
from nightjar.progress import Progress
from nightjar.schemas import DOCUMENT_SHARDS, DOCUMENTS
from nightjar.store import Artifact, Identity, Staging, Store

logger = logging.getLogger(__name__)

_SPILL_NAME = ".digests"
_ALWAYS = ("files_read", "documents_kept", "characters_kept", "quarantined")
"""What is counted for every source, be it 0."""


def ingest(
    config: IngestConfig,
    base_dir: Path,
    identity: Identity,
    staging: Staging,
    progress: Progress,
    executor: Executor = INLINE,
    git_commit: str | None = None,
) -> None:
    """Write the tables ``documents`` and ``quarantine``; count every record.

    Sources in the order of the config, their files by name, records in the order of the file.
    A shard that is published already is not read again; the bytes are those of reading
    everything. In memory: what :func:`~nightjar.corpus.reading.read_shard` holds, for each
    worker, then what :func:`~nightjar.corpus.admission.decide` holds. Raises SourceError when a
    file is damaged, is not what its source says, or no document is left; SourceChanged when a
    file is not what ``identity`` says.
    """
    files = _planned_files(config, base_dir, identity)
    shards = make_shards(config, files, identity.inputs)
    logger.info(
        "ingesting %d files of %d sources in %d shards",
        len(files),
        len(config.sources),
        len(shards),
    )
    read = _read(config, shards, staging, progress, executor, git_commit)
    decisions = decide(config, read, staging.directory / _SPILL_NAME)
    progress.start("put shards together", sum(shard.rows(DOCUMENTS) for shard in read), "documents")
    summary = _Summary(config, shards, read)
    summary.take(decisions)
    if summary.total["documents_kept"] == 0:
        raise summary.nothing_left()
    merge(read, decisions, staging, executor, progress.advance)
    staging.counts.update(summary.total)
    staging.report["sources"] = summary.report()
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


def _read(
    config: IngestConfig,
    shards: Sequence[Shard],
    staging: Staging,
    progress: Progress,
    executor: Executor,
    git_commit: str | None,
) -> list[Artifact]:
    """Have the shards read that are not published, and open all."""
    store = Store(staging.root)
    due = {
        shard.identity.version: ReadShard(shard, config, staging.root, git_commit)
        for shard in shards
        if not store.is_published(DOCUMENT_SHARDS, shard.identity.version)
    }
    n_bytes = sum(piece.shard.n_bytes for piece in due.values())
    progress.start("read sources", n_bytes, "B")
    if due:
        logger.info("%d of %d shards are new", len(due), len(shards))
        chosen = executor if n_bytes >= INLINE_BYTES else INLINE
        for _version in chosen.map(read_shard, list(due.values()), progress.advance):
            pass
    return [store.open(store.ref(DOCUMENT_SHARDS, shard.identity.version)) for shard in shards]


class _Summary:
    """What was read, kept and dropped, by source and over all."""

    def __init__(
        self, config: IngestConfig, shards: Sequence[Shard], read: Sequence[Artifact]
    ) -> None:
        self._config = config
        self._shards = list(zip((shard.source for shard in shards), read, strict=True))
        self._by_source: dict[str, Counter[str]] = {name: Counter() for name in config.sources}

    def take(self, decisions: Sequence[Decisions]) -> None:
        for (source, shard), decision in zip(self._shards, decisions, strict=True):
            counts = Counter(shard.manifest.counts)
            counts.pop("documents", None)
            kept, characters = _kept(shard, decision)
            counts["documents_kept"] = kept
            counts["characters_kept"] = characters
            counts["quarantined"] += len(decision.dropped)
            for reason, _detail in decision.dropped.values():
                counts[f"quarantined_{reason}"] += 1
            self._by_source[source].update(counts)

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
            f"({reasons}); check ingest.sources and the lengths in ingest"
        )


def _kept(shard: Artifact, decision: Decisions) -> tuple[int, int]:
    """How many documents and characters of the shard are kept."""
    kept = kept_rows(shard, decision)
    n_chars = shard.read(DOCUMENTS, ["n_chars"]).column("n_chars").to_numpy()
    return int(kept.sum()), int(n_chars[kept].sum())
