"""Reads the rows of a corpus of tables, as its stage would, for the tests of table sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter
from stage_support import context_of

from nightjar.config.corpora import CorpusConfig
from nightjar.core.executors import INLINE, Executor
from nightjar.sources.selection import Fetching
from nightjar.sources.tables import (
    ReadRows,
    TableCorpus,
    read_row_shards,
    rows_code,
    rows_config,
    table_inputs,
)
from nightjar.store import Identity, Staging, publish

_CORPUS: TypeAdapter[Any] = TypeAdapter(CorpusConfig)


def corpus_of(kind: str, sources: dict[str, Any], **settings: Any) -> TableCorpus:
    """A corpus whose losses stop nothing."""
    found: TableCorpus = _CORPUS.validate_python(
        {"kind": kind, "sources": sources, "max_lost": 1.0, **settings}
    )
    return found


def read_corpus(
    base: Path, corpus: TableCorpus, *, store: str = "artifacts", executor: Executor = INLINE
) -> ReadRows:
    """Plan and read, in an artifact of its own."""
    inputs = table_inputs(corpus, base, Fetching(base / store / "fetched"))
    identity = Identity("rows-of", "", rows_config(corpus), inputs=inputs, code=rows_code(corpus))
    found: list[ReadRows] = []

    def write(staging: Staging) -> None:
        context = context_of(staging, identity, base, executor=executor)
        found.append(read_row_shards(corpus, context))
        staging.counts.update(found[0].counts)

    publish(base / store, identity, write)
    return found[0]


def edges(base: Path, source: dict[str, Any], **settings: Any) -> ReadRows:
    return read_corpus(base, corpus_of("graph", {"in": source}, **settings))


def events(base: Path, source: dict[str, Any], **settings: Any) -> ReadRows:
    return read_corpus(base, corpus_of("events", {"in": source}, **settings))


def rows_of(read: ReadRows) -> list[tuple[Any, ...]]:
    """The rows as tuples."""
    tables = [pa.Table.from_batches([batch]) for batch in read.batches()]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def reasons(read: ReadRows) -> list[tuple[str, str]]:
    """Locator and reason of what is in quarantine."""
    return [
        (row["locator"], row["reason"]) for batch in read.quarantine() for row in batch.to_pylist()
    ]
