"""Published events for tests, from plain tuples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from stage_support import context_of

from nightjar.config import EventsCorpusConfig
from nightjar.progress import SILENT
from nightjar.stages.events import build_events, write_sessions
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas

Event = tuple[str, str, int]
"""User, item, minute; or with a session at the end."""


def events_config(**changes: Any) -> EventsCorpusConfig:
    source = {"type": "parquet", "path": "log.parquet"}
    if changes.get("sessions", {}).get("by") == "column":
        source["session_column"] = "session"
    return EventsCorpusConfig.model_validate(
        {"kind": "events", "sources": {"log": source}, "held_out": {"share": 0}, **changes}
    )


def event_rows(events: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows as a reader of tables gives them; times are minutes since 1970."""
    minutes = [None if event[2] is None else round(event[2] * 60_000_000) for event in events]
    columns = {
        "user": pa.array([event[0] for event in events], pa.string()),
        "item": pa.array([event[1] for event in events], pa.string()),
        "time": pa.array(minutes, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
    }
    if events and len(events[0]) > 3:
        columns["session"] = pa.array([event[3] for event in events], pa.string())
    return pa.table(columns)


def publish_events(
    root: Path,
    events: Sequence[tuple[Any, ...]],
    items: Iterable[Mapping[str, Any]] = (),
    batch: int = 7,
    **changes: Any,
) -> Artifact:
    config = events_config(**changes)
    facts = list(items)
    item_rows = pa.Table.from_pylist(facts).to_batches() if facts else None

    def write(staging: Staging) -> None:
        rows = event_rows(events).to_batches(max_chunksize=batch)
        build_events(config, rows, item_rows, staging, SILENT)

    identity = Identity(schemas.EVENTS, "", {"events": repr((events, facts, changes))})
    return Store(root).open(publish(root, identity, write))


def publish_sessions(root: Path, events: Artifact) -> Artifact:
    """The tokens artifact of ``events``."""
    identity = Identity(schemas.TOKENS, "", {}, {schemas.EVENTS: events.ref.version})

    def write(staging: Staging) -> None:
        write_sessions(events_config(), events, context_of(staging, identity))

    return Store(root).open(publish(root, identity, write))


def sessions_in(events: Artifact) -> dict[str, list[str]]:
    """The kept items of each session, in the order of the table."""
    found: dict[str, list[str]] = {}
    for row in events.read(schemas.EVENTS).to_pylist():
        found.setdefault(row["session"], []).append(row["item"])
    return found
