"""Events and their sessions in plain Python. Stands in until columns do it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.config import EventsCorpusConfig
from nightjar.core.stage import StageContext
from nightjar.errors import InputError
from nightjar.progress import Progress
from nightjar.sources.provisional_tables import write_tokens
from nightjar.store import Artifact, Staging, schemas

_HASHED = 1 << 64


def build_events(
    config: EventsCorpusConfig,
    rows: Iterable[pa.Table],
    item_rows: Iterable[pa.Table] | None,
    staging: Staging,
    progress: Progress,
) -> None:
    """Write ``events``, ``held_out`` and ``items``; a session is a user's events."""
    del progress
    by_user: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for table in rows:
        if len(table):
            times = pc.cast(table.column("time"), pa.timestamp("us", tz="UTC")).to_pylist()
            users, items = (table.column(name).to_pylist() for name in ("user", "item"))
            for user, item, time in zip(users, items, times, strict=True):
                by_user[user].append((time, item))
    kept, held = [], []
    for user in sorted(by_user):
        events = sorted(by_user[user], key=lambda event: event[0])
        part = config.held_out
        n_held = part.test + part.validation
        if _share(user) < part.share and len(events) > n_held + 1:
            parts = ["validation"] * part.validation + ["test"] * part.test
            for (time, item), name in zip(events[len(events) - n_held :], parts, strict=True):
                held.append({"session": user, "item": item, "time": time, "part": name})
            events = events[: len(events) - n_held]
        kept += [{"user": user, "session": user, "item": item, "time": t} for t, item in events]
    if not kept:
        raise InputError("no event is left: correct the sources")
    staging.write("events", pa.Table.from_pylist(kept, schemas.EVENTS_SCHEMA))
    staging.write("held_out", pa.Table.from_pylist(held, schemas.HELD_OUT_EVENTS_SCHEMA))
    facts: dict[str, dict[str, Any]] = {}
    for table in item_rows or ():
        for row in table.to_pylist():
            attributes = [f"{k}={v}" for k, v in row.items() if k not in ("item", "title") and v]
            found = {"item": row["item"], "title": row.get("title"), "attributes": attributes}
            facts.setdefault(row["item"], found)
    described = [facts[item] for item in sorted(facts)]
    staging.write("items", pa.Table.from_pylist(described, schemas.ITEMS_SCHEMA))
    staging.counts.update(
        events=len(kept),
        items=len({event["item"] for event in kept}),
        users=len(by_user),
        sessions=len(by_user),
        events_held_out=len(held),
    )


def _share(name: str) -> float:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / _HASHED


def write_sessions(config: EventsCorpusConfig, events: Artifact, context: StageContext) -> None:
    """Write ``sentences``, a session each, and ``vocabulary``."""
    del config
    by_session: dict[str, list[str]] = defaultdict(list)
    for row in events.read("events", ["session", "item"]).to_pylist():
        by_session[row["session"]].append(row["item"])
    names = sorted({item for items in by_session.values() for item in items})
    place = {name: row for row, name in enumerate(names)}
    sentences = [(name, [place[item] for item in items]) for name, items in by_session.items()]
    write_tokens(context.staging, names, sentences)
