"""Shards of rows: files of a source that are read together and published by themselves.

So a night reads the files that are new, and the rest is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.config import EventsCorpusConfig, GraphCorpusConfig
from nightjar.config.sources import NOT_SHAPING
from nightjar.config.table_sources import EdgeListSource, TableSource
from nightjar.core.executors import Advance
from nightjar.errors import SourceError
from nightjar.files.compression import ExpansionLimits
from nightjar.sources.file_groups import PlannedFile, file_groups
from nightjar.sources.file_reading import BYTES_DAMAGED, FileMeter, blaming_change
from nightjar.sources.input_file import InputFile, archive_members, is_archive
from nightjar.sources.purge_list import NOTHING, Purged
from nightjar.sources.rejections import Reason, Rejection, storable
from nightjar.sources.selection import SourceFile, Sources, reading_libraries
from nightjar.sources.tables.csv_tables import read_csv_rows
from nightjar.sources.tables.edge_lists import read_edge_list
from nightjar.sources.tables.object_rows import read_database_rows, read_json_rows
from nightjar.sources.tables.parquet_tables import read_parquet_rows
from nightjar.sources.tables.raw_rows import RawRows
from nightjar.sources.tables.typed_rows import RowTyping, column_uses, rows_schema
from nightjar.store import FileIdentity, Identity, Staging, publish
from nightjar.store.schemas import ITEMS, QUARANTINE_SCHEMA, ROW_SHARDS, ROWS

REVISION = 1
"""Raise it when the same files give other rows than before."""

TableCorpus = GraphCorpusConfig | EventsCorpusConfig
_ITEM_PREFIX = f"{ITEMS}."
_SECTIONS = ("on_error", "max_expanded_bytes", "max_expansion_ratio")
_QUARANTINED_ROWS = 20_000
"""So many are held in memory."""


def table_sources(corpus: TableCorpus, base_dir: Path) -> Sources:
    """The sources of a corpus of tables: the sources of edges or events, then those of items.

    A source of items is called ``items.NAME``.
    """
    items = corpus.items if isinstance(corpus, EventsCorpusConfig) else {}
    named = {f"{_ITEM_PREFIX}{name}": source for name, source in items.items()}
    return Sources({**corpus.sources, **named}, corpus, base_dir)


def is_of_items(source: str) -> bool:
    """Whether the source of this name has facts about items."""
    return source.startswith(_ITEM_PREFIX)


def rows_config(corpus: TableCorpus) -> dict[str, Any]:
    """What of the configuration shapes the rows, for the identity of what is made of them."""
    sources = table_sources(corpus, Path()).by_name
    return {name: _source_config(corpus, source) for name, source in sources.items()}


def rows_code(corpus: TableCorpus) -> dict[str, Any]:
    """What of the code shapes the rows: the revision, and libraries that detect encodings."""
    sources = table_sources(corpus, Path()).by_name.values()
    libraries = {k: v for source in sources for k, v in reading_libraries(source).items()}
    return {"rows": REVISION, **libraries}


def _source_config(corpus: TableCorpus, source: TableSource) -> dict[str, Any]:
    return {
        **corpus.model_dump(mode="json", include=set(_SECTIONS)),
        "time_zone": getattr(corpus, "time_zone", None),
        "source": source.model_dump(mode="json", exclude=set(NOT_SHAPING)),
    }


@dataclass(frozen=True)
class RowShard:
    """Files of one source that are read together."""

    source: str
    files: tuple[PlannedFile, ...]
    identity: Identity

    @property
    def n_bytes(self) -> int:
        """Total size of its files on disk."""
        return sum(entry.planned.bytes for entry in self.files)


def make_row_shards(
    corpus: TableCorpus,
    files: Sequence[SourceFile],
    planned: Sequence[FileIdentity],
    purged: Purged = NOTHING,
) -> list[RowShard]:
    """All shards, in the order of sources and files.

    ``files`` and ``planned`` are from :func:`nightjar.sources.selection.planned_files`. Shards
    never hold rows of a purged user or node, so all are other ones after a purge.
    """
    entries = [PlannedFile(*pair) for pair in zip(files, planned, strict=True)]
    return [
        RowShard(name, group, _identity(corpus, name, source, group, purged))
        for name, source in table_sources(corpus, Path()).by_name.items()
        for group in file_groups(entry for entry in entries if entry.file.source == name)
    ]


def _identity(
    corpus: TableCorpus,
    name: str,
    source: TableSource,
    files: tuple[PlannedFile, ...],
    purged: Purged,
) -> Identity:
    is_shaped = bool(_purged_ids(corpus, name, purged))
    return Identity(
        stage=ROW_SHARDS,
        name=name,
        config={
            **_source_config(corpus, source),
            **({"purged": purged.digest} if is_shaped else {}),
        },
        inputs=[
            FileIdentity(entry.file.label, entry.planned.bytes, entry.planned.sha256)
            for entry in files
        ],
        code={"revision": REVISION, **reading_libraries(source)},
    )


def _purged_ids(corpus: TableCorpus, source: str, purged: Purged) -> frozenset[bytes]:
    """Digests of the ids whose rows are left out of a source: of users, or of nodes."""
    if is_of_items(source):
        return frozenset()
    return purged.users if isinstance(corpus, EventsCorpusConfig) else purged.nodes


@dataclass(frozen=True)
class RowShardTask:
    """A shard to read, with everything needed for it."""

    shard: RowShard
    corpus: TableCorpus
    artifacts_dir: Path
    git_commit: str | None = None
    purged: Purged = NOTHING


def read_row_shard(task: RowShardTask, advance: Advance) -> str:
    """Publish the shard's artifact; returns its version.

    ``rows`` (of items: ``items``) has the typed rows, ``quarantine`` those that are wrong. Memory:
    what a reader needs, some 100 MB. Raises SourceError when a file is damaged or is not what its
    source says; SourceChanged when a file is not the planned one.
    """

    def write(staging: Staging) -> None:
        with ExitStack() as opened:
            reading = _ShardReading(task, staging, opened)
            for entry in task.shard.files:
                if not reading.is_full:
                    reading.read(entry, advance)
            reading.finish()

    return publish(task.artifacts_dir, task.shard.identity, write, task.git_commit).version


class _ShardReading:
    def __init__(self, task: RowShardTask, staging: Staging, opened: ExitStack) -> None:
        self._corpus = task.corpus
        self._name = task.shard.source
        self._source = table_sources(task.corpus, Path()).by_name[self._name]
        self._staging = staging
        table = ITEMS if is_of_items(self._name) else ROWS
        self._rows: pq.ParquetWriter = opened.enter_context(
            staging.writer(table, rows_schema(self._source), "lz4")
        )
        self._quarantine: pq.ParquetWriter = opened.enter_context(
            staging.writer("quarantine", QUARANTINE_SCHEMA)
        )
        self._rejected: list[Rejection] = []
        self._counts: Counter[str] = Counter()
        self._purged = _purged_ids(task.corpus, self._name, task.purged)

    def read(self, entry: PlannedFile, advance: Advance) -> None:
        """Read one file, then check that it was the planned one.

        What was read of a damaged file is kept if ``on_error`` says so.
        """
        self._counts["files_read"] += 1
        meter = FileMeter(advance, entry)
        corpus = self._corpus
        limits = ExpansionLimits(corpus.max_expanded_bytes, corpus.max_expansion_ratio)
        opened = InputFile(entry.file.path, entry.file.label, meter.add, limits)
        is_empty = True
        try:
            with blaming_change(opened, entry):
                for member in _members(opened, self._source):
                    zone = getattr(corpus, "time_zone", None)
                    typing = RowTyping(self._source, zone, self._purged)
                    for raw in _raw_rows(self._source, member):
                        is_empty = is_empty and not (raw.n_rows or raw.rejections)
                        self._take(typing, raw)
                        if self.is_full:
                            return
        except SourceError as error:
            if corpus.on_error == "fail":
                raise
            is_empty = False
            self._counts[BYTES_DAMAGED] += entry.planned.bytes
            detail = str(error).replace(entry.file.shown, entry.file.label)
            self._reject(Rejection(entry.file.label, Reason.DAMAGED_FILE, detail))
        if is_empty:
            self._reject(Rejection(entry.file.label, Reason.EMPTY, "the file holds no row"))
        opened.check_unchanged(entry.planned)
        meter.flush()

    def _take(self, typing: RowTyping, raw: RawRows) -> None:
        found = typing.typed(raw)
        rows = found.rows
        limit = self._source.limit
        if limit is not None:
            rows = rows.slice(0, limit - self._counts["rows_kept"])
        if len(rows):
            self._rows.write_table(rows)
        self._counts["rows_kept"] += len(rows)
        self._counts.update({str(name): count for name, count in found.counts.items()})
        for rejection in found.rejections:
            self._reject(rejection)

    def _reject(self, rejection: Rejection) -> None:
        self._counts["quarantined"] += rejection.n_records
        self._counts[f"quarantined_{rejection.reason.value}"] += rejection.n_records
        self._rejected.append(rejection)
        if len(self._rejected) >= _QUARANTINED_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rejected:
            self._quarantine.write_table(_quarantined(self._name, self._rejected))
            self._rejected.clear()

    @property
    def is_full(self) -> bool:
        """Whether there are as many rows as the source's limit."""
        limit = self._source.limit
        return limit is not None and self._counts["rows_kept"] >= limit

    def finish(self) -> None:
        """Write the last rejections and the counts."""
        self._flush()
        self._staging.counts.update({"rows_kept": 0, "quarantined": 0})
        self._staging.counts.update(self._counts)


def _quarantined(source: str, rejections: Sequence[Rejection]) -> pa.Table:
    columns = zip(
        *(
            (source, storable(r.locator), r.reason.value, storable(r.detail), storable(r.excerpt))
            for r in rejections
        ),
        strict=True,
    )
    return pa.table([pa.array(column, pa.string()) for column in columns], QUARANTINE_SCHEMA)


def _members(file: InputFile, source: TableSource) -> Iterator[InputFile]:
    """The file itself, or the files of the archive that it is."""
    if source.type in ("parquet", "sql") or not is_archive(file.path):
        yield file
    else:
        yield from archive_members(file)


def _raw_rows(source: TableSource, file: InputFile) -> Iterator[RawRows]:
    if isinstance(source, EdgeListSource):
        return read_edge_list(source, file)
    uses = column_uses(source)
    if source.type == "csv":
        return read_csv_rows(source, file, uses)
    if source.type == "jsonl":
        return read_json_rows(source, file, uses)
    if source.type == "sql":
        return read_database_rows(source.key_column, file, uses)
    return read_parquet_rows(file, uses)
