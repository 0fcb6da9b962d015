"""Reading the rows of a corpus: what is new in shards, then all of them with their counts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from nightjar.core.executors import INLINE, INLINE_BYTES
from nightjar.core.stage import StageContext
from nightjar.errors import SourceError
from nightjar.sources.file_reading import BYTES_DAMAGED
from nightjar.sources.purge_list import NOTHING, Purged
from nightjar.sources.rejections import Skip, source_key
from nightjar.sources.remote import FETCHED_DIR
from nightjar.sources.selection import Fetching, file_inputs, planned_files, select_files
from nightjar.sources.tables.role_values import ROW_ERRORS
from nightjar.sources.tables.row_shards import (
    RowShard,
    RowShardTask,
    TableCorpus,
    is_of_items,
    make_row_shards,
    read_row_shard,
    table_sources,
)
from nightjar.store import Artifact, FileIdentity, Staging
from nightjar.store.schemas import ITEMS, QUARANTINE_SCHEMA, ROW_SHARDS, ROWS
from nightjar.wording import counted

logger = logging.getLogger(__name__)

_ALWAYS = ("files_read", "rows_read", "rows_kept", "quarantined")
"""Counts that every source has, even if they are 0."""
_BATCH_ROWS = 1 << 22
"""At most a row group is read at once: rows of 16 MB of text."""


def table_inputs(corpus: TableCorpus, base_dir: Path, fetching: Fetching) -> list[FileIdentity]:
    """The files of all sources as inputs of an identity; fetches remote ones.

    Raises SourceError, with the source and the pattern, when a file is missing or unreadable, a
    glob matches nothing or a package is not installed; SourceUnavailable when a server does not
    answer.
    """
    return file_inputs(select_files(table_sources(corpus, base_dir), fetching))


@dataclass(frozen=True)
class FoundRows:
    """A shard that was read, and how many of its rows count."""

    source: str
    artifact: Artifact
    n_rows: int
    """All of them, unless the source's limit ends within the shard."""
    n_bytes: int
    """Size of its files."""

    @property
    def table(self) -> str:
        """The table of its rows."""
        return ITEMS if is_of_items(self.source) else ROWS

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Its rows, a row group at a time; ids are dictionary-encoded."""
        n_left = self.n_rows
        for batch in self.artifact.batches(self.table, columns, _BATCH_ROWS):
            if n_left <= 0:
                return
            yield batch.slice(0, n_left)
            n_left -= batch.num_rows


@dataclass(frozen=True)
class ReadRows:
    """The rows of a corpus, shards in the order of sources and files."""

    shards: Sequence[FoundRows]
    counts: Mapping[str, int]
    """Totals over the sources of edges or events, and over those of items as ``items_...``."""
    sources: Mapping[str, Mapping[str, Any]]
    """For ``report["sources"]``: by source its type, and what was read, kept and dropped."""

    @property
    def pieces(self) -> dict[str, list[str]]:
        """For ``report["pieces"]``: what the rows were put together from."""
        return {ROW_SHARDS: sorted({shard.artifact.ref.version for shard in self.shards})}

    def of_rows(self) -> list[FoundRows]:
        """The shards of edges or events."""
        return [shard for shard in self.shards if not is_of_items(shard.source)]

    def of_items(self) -> list[FoundRows]:
        """The shards of facts about items."""
        return [shard for shard in self.shards if is_of_items(shard.source)]

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The edges or events, a row group at a time; ids are dictionary-encoded.

        A column that a source does not have (``weight``) is absent from its batches. Memory: a row
        group, which has some 16 MB of text.
        """
        for shard in self.of_rows():
            there = list(shard.artifact.schema(shard.table).names)
            chosen = there if columns is None else [name for name in columns if name in there]
            yield from shard.batches(chosen)

    def note_in(self, staging: Staging) -> None:
        """Write the table ``quarantine``, the counts, and what the report says of sources."""
        with staging.writer("quarantine", QUARANTINE_SCHEMA) as writer:
            for batch in self.quarantine():
                writer.write_batch(batch)
        staging.report["sources"] = self.sources
        staging.report["pieces"] = self.pieces
        staging.counts.update(self.counts)

    def quarantine(self) -> Iterator[pa.RecordBatch]:
        """What was rejected in all shards; the schema is QUARANTINE_SCHEMA."""
        for shard in self.shards:
            yield from shard.artifact.batches("quarantine")


def read_row_shards(
    corpus: TableCorpus, context: StageContext, purged: Purged = NOTHING
) -> ReadRows:
    """Read the shards that are new, on the executor; returns all of them, in order.

    The same inputs give the same shards for any number of workers. With a ``limit`` the shards of a
    source are read one by one until it is reached. Rows of ``purged`` users and nodes go to
    quarantine. Memory: what :func:`.row_shards.read_row_shard` needs, for each worker. Raises
    SourceError when a file is damaged or is not what its source says, when a source loses more than
    ``max_lost`` to errors, or when no row is left; SourceChanged when a file differs from the
    identity.
    """
    sources = table_sources(corpus, context.base_dir)
    root, planned = context.store.root, context.identity.inputs
    files = planned_files(sources, root / FETCHED_DIR, planned)
    shards = make_row_shards(corpus, files, planned, purged)
    reading = _Reading(corpus, shards, context, purged)
    found = [shard for name in sources.by_name for shard in reading.of_source(name)]
    summary = _Summary(corpus, found)
    summary.check_losses()
    if not any(shard.n_rows for shard in found if not is_of_items(shard.source)):
        raise summary.nothing_left()
    rows = ReadRows(found, summary.totals(), summary.report())
    logger.info("read: %s", dict(rows.counts))
    return rows


class _Reading:
    def __init__(
        self,
        corpus: TableCorpus,
        shards: Sequence[RowShard],
        context: StageContext,
        purged: Purged,
    ) -> None:
        self._corpus = corpus
        self._purged = purged
        self._shards = shards
        self._context = context
        self._store = context.store
        due = {shard.identity.version: shard for shard in shards if not self._is_there(shard)}
        n_bytes = sum(shard.n_bytes for shard in due.values())
        self._executor = context.executor if n_bytes >= INLINE_BYTES else INLINE
        self._limits = {
            name: source.limit
            for name, source in table_sources(corpus, context.base_dir).by_name.items()
        }
        is_known = all(self._limits[shard.source] is None for shard in due.values())
        context.progress.start("read sources", n_bytes if is_known else None, "B")
        logger.info("%d of %s are new", len(due), counted(len(shards), "shard"))
        self._read([shard for shard in due.values() if self._limits[shard.source] is None])

    def _is_there(self, shard: RowShard) -> bool:
        return self._store.is_published(ROW_SHARDS, shard.identity.version)

    def _read(self, shards: Sequence[RowShard]) -> None:
        tasks = [
            RowShardTask(
                shard, self._corpus, self._store.root, self._context.git_commit, self._purged
            )
            for shard in shards
        ]
        for _version in self._executor.map(read_row_shard, tasks, self._context.progress.advance):
            pass

    def of_source(self, name: str) -> Iterator[FoundRows]:
        """The shards of a source that count; reads those of a limited one as they are needed."""
        n_left = self._limits[name]
        for shard in self._shards:
            if shard.source != name or (n_left is not None and n_left <= 0):
                continue
            if not self._is_there(shard):
                self._read([shard])
            artifact = self._store.open(self._store.ref(ROW_SHARDS, shard.identity.version))
            n_rows = artifact.rows(ITEMS if is_of_items(name) else ROWS)
            if n_left is not None:
                n_rows = min(n_rows, n_left)
                n_left -= n_rows
            yield FoundRows(name, artifact, n_rows, shard.n_bytes)


class _Summary:
    """What was read, kept and dropped, by source and in total."""

    def __init__(self, corpus: TableCorpus, found: Sequence[FoundRows]) -> None:
        self._corpus = corpus
        self._found = found
        self._types = {
            name: source.type for name, source in table_sources(corpus, Path()).by_name.items()
        }
        self._by_source: dict[str, Counter[str]] = {name: Counter() for name in self._types}
        for shard in found:
            counts = Counter(shard.artifact.manifest.counts)
            counts["rows_kept"] = shard.n_rows
            counts["rows_read"] = shard.n_rows + counts["quarantined"]
            self._by_source[shard.source].update(counts)

    def totals(self) -> dict[str, int]:
        """Over all sources; what was read is kept or quarantined, the rest was skipped."""
        total = Counter(dict.fromkeys((*_ALWAYS, str(Skip.FILTERED)), 0))
        for name, counts in self._by_source.items():
            prefix = f"{ITEMS}_" if is_of_items(name) else ""
            total.update({f"{prefix}{key}": count for key, count in counts.items()})
        return dict(total)

    def report(self) -> dict[str, dict[str, Any]]:
        """By source: its type, and what was read, kept and dropped."""
        return {
            name: {
                "type": self._types[name],
                **dict.fromkeys(_ALWAYS, 0),
                **dict(sorted(counts.items())),
            }
            for name, counts in self._by_source.items()
        }

    def check_losses(self) -> None:
        """Raise SourceError for a source that lost too much to errors."""
        max_lost = self._corpus.max_lost
        for name, counts in self._by_source.items():
            lost = {reason: counts[f"quarantined_{reason}"] for reason in sorted(ROW_ERRORS)}
            n_bytes = sum(shard.n_bytes for shard in self._found if shard.source == name)
            share = max(
                sum(lost.values()) / max(counts["rows_read"], 1),
                counts[BYTES_DAMAGED] / max(n_bytes, 1),
            )
            if share > max_lost:
                reasons = ", ".join(f"{reason} {count}" for reason, count in lost.items() if count)
                raise SourceError(
                    f"{source_key(name)}: {share:.1%} is lost to errors ({reasons}; "
                    f"{self._first_error(name)}), more than max_lost "
                    f"({max_lost:.1%}): check the files and the source's settings"
                )

    def _first_error(self, source: str) -> str:
        """Place and detail of the source's first row that was lost to an error."""
        return self._first_rejected(source, ROW_ERRORS) or "none by itself"

    def _first_rejected(self, source: str, reasons: Collection[str] = ()) -> str:
        """Place and detail of the source's first rejected row, of some reasons; "" for none."""
        for shard in self._found:
            if shard.source == source:
                for batch in shard.artifact.batches("quarantine", ["locator", "reason", "detail"]):
                    for row in batch.to_pylist():
                        if not reasons or row["reason"] in reasons:
                            return f"the first at {row['locator']}: {row['detail']}"
        return ""

    def nothing_left(self) -> SourceError:
        """The error for a corpus without a row."""
        total = self.totals()
        reasons = ", ".join(
            f"{name.removeprefix('quarantined_')} {count}"
            for name, count in sorted(total.items())
            if count and (name.startswith("quarantined_") or name.endswith("_skipped"))
        )
        firsts = dict.fromkeys(self._first_rejected(shard.source) for shard in self._found)
        first = "; ".join(filter(None, [reasons or "none rejected", *firsts]))
        return SourceError(
            f"no row left: {total['rows_read']} read ({first}); check sources and their conditions"
        )
