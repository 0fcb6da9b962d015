"""Erasing users from events, their rows and the tokens of their sessions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.core.stage import Erased, Fate, Rewriting
from nightjar.formats.event_sessions import read_sessions
from nightjar.sources.rejections import digest_of
from nightjar.sources.tables.erasing_rows import (
    has_column,
    holds_ids,
    ids_among,
    is_quoting,
    unquoted,
)
from nightjar.stages.events.session_tokens import write_tokens
from nightjar.store import Artifact, Staging, Store, schemas

USER = "user"
"""The column of a row of events that names a person."""
ERASED_USERS = "erased_users"
"""Key in the report of an events artifact: digests of the users that were erased."""
_QUARANTINE = "quarantine"


def sessions_of(artifact: Artifact, users: frozenset[bytes]) -> frozenset[str]:
    """The names of the users' sessions in an events artifact. Memory: every user once.

    A held-out session has events in ``events``, too.
    """
    found: set[str] = set()
    for batch in artifact.batches(schemas.EVENTS, ["user", "session"]):
        here = ids_among(pc.unique(batch.column("user")).to_pylist(), users)
        if here:
            is_theirs = pc.is_in(batch.column("user"), value_set=pa.array(here, pa.string()))
            found.update(pc.unique(batch.column("session").filter(is_theirs)).to_pylist())
    return frozenset(found)


def erase_from_events(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Remove their sessions, held-out events too; the quarantine quotes nobody any more.

    Deleted when nothing that tells items apart would be left.
    """
    del store
    users = erased.users.get(artifact.manifest.name)
    sessions = erased.sessions.get(artifact.ref.version, frozenset())
    if not users or not (sessions or is_quoting(artifact)):
        return Fate.UNTOUCHED
    if _n_items(artifact, sessions) < 2:
        return Fate.DELETED
    return lambda staging: _rewrite_events(artifact, sessions, users, staging)


def erase_from_row_shard(store: Store, artifact: Artifact, erased: Erased) -> Fate:
    """Delete a shard with a row of theirs, or with quoted rows, which may be theirs."""
    del store
    users = frozenset().union(*erased.users.values())
    if not users or not has_column(artifact, USER):
        return Fate.UNTOUCHED
    is_theirs = is_quoting(artifact) or holds_ids(artifact, [USER], users)
    return Fate.DELETED if is_theirs else Fate.UNTOUCHED


def erase_from_session_tokens(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Remove their sentences, and items that only they had; ids become ranks again.

    The tokens of events that are gone are deleted if a sentence may be theirs.
    """
    events = artifact.manifest.parents.get(schemas.EVENTS)
    if events is None or not erased.users:
        return Fate.UNTOUCHED
    if not store.is_published(schemas.EVENTS, events):
        users = frozenset().union(*erased.users.values())
        names = (
            name
            for batch in artifact.batches("sentences", ["doc_id"])
            for name in batch.column("doc_id").to_pylist()
        )
        return Fate.DELETED if any(_may_be_of(name, users) for name in names) else Fate.UNTOUCHED
    sessions = erased.sessions.get(events)
    if not sessions:
        return Fate.UNTOUCHED
    parent = store.open(store.ref(schemas.EVENTS, events))
    if _n_items(parent, sessions) < 2:
        return Fate.DELETED

    def write(staging: Staging) -> None:
        staging.counts.clear()  # those of the old tokens
        write_tokens(read_sessions(parent).without(sessions), staging)

    return write


def _may_be_of(session: str, users: frozenset[bytes]) -> bool:
    """Whether a session's name may be that of one of ``users``: USER, USER/..., pieces with #."""
    whole = session.rstrip("#").rpartition("#")[0]
    names = {session, whole, session.partition("/")[0]}
    names |= {name.replace("%2F", "/").replace("%25", "%") for name in tuple(names)}
    return any(digest_of(name) in users for name in names)


def _n_items(artifact: Artifact, sessions: frozenset[str]) -> int:
    """Number of items in the events of all other sessions."""
    items: set[str] = set()
    for batch in artifact.batches(schemas.EVENTS, ["session", "item"]):
        items.update(pc.unique(_others(batch, sessions).column("item")).to_pylist())
    return len(items)


def _others(batch: pa.RecordBatch, sessions: frozenset[str]) -> pa.RecordBatch:
    theirs = pc.is_in(batch.column("session"), value_set=pa.array(sorted(sessions), pa.string()))
    return batch.filter(pc.invert(theirs))


def _rewrite_events(
    artifact: Artifact, sessions: frozenset[str], users: frozenset[bytes], staging: Staging
) -> None:
    left: dict[str, set[str]] = {"user": set(), "item": set()}
    lengths: dict[str, int] = {}
    with staging.writer(schemas.EVENTS, schemas.EVENTS_SCHEMA) as writer:
        for batch in artifact.batches(schemas.EVENTS):
            kept = _others(batch, sessions)
            writer.write_batch(kept)
            for name, values in left.items():
                values.update(pc.unique(kept.column(name)).to_pylist())
            for entry in pc.value_counts(kept.column("session")).to_pylist():
                lengths[entry["values"]] = lengths.get(entry["values"], 0) + entry["counts"]
    held_out = artifact.read(schemas.HELD_OUT)
    theirs = pc.is_in(held_out.column("session"), value_set=pa.array(sorted(sessions)))
    held_out = held_out.filter(pc.invert(theirs))
    staging.write(schemas.HELD_OUT, held_out)
    staging.write(schemas.ITEMS, artifact.read(schemas.ITEMS))
    with staging.writer(_QUARANTINE, schemas.QUARANTINE_SCHEMA) as writer:
        for batch in artifact.batches(_QUARANTINE):
            writer.write_batch(unquoted(batch))
    counts = staging.counts
    n_gone = counts["events"] + counts["events_held_out"]
    counts["events"] = sum(lengths.values())
    counts["events_held_out"] = len(held_out)
    counts["held_out_sessions"] = len(pc.unique(held_out.column("session")))
    counts["events_purged"] += n_gone - counts["events"] - counts["events_held_out"]
    counts["sessions"] = len(lengths)
    counts["sessions_of_one_event"] = int(np.sum(np.array(list(lengths.values())) == 1))
    counts["users"], counts["items"] = len(left["user"]), len(left["item"])
    known = set(staging.report.get(ERASED_USERS, ()))
    staging.report[ERASED_USERS] = sorted(known | {user.hex() for user in users})
