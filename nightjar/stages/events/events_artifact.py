"""The artifact of events: what is kept, what is held out, and why the rest is not there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.corpora import EventsCorpusConfig
from nightjar.errors import InputError
from nightjar.progress import Progress
from nightjar.stages.events.event_columns import EventColumns, gather_events
from nightjar.stages.events.item_facts import gather_items
from nightjar.stages.events.session_cutting import (
    KEPT,
    TEST,
    Sessions,
    are_of_bots,
    are_repeats,
    cut_long,
    cut_sessions,
    parts_of,
)
from nightjar.store import Staging, schemas
from nightjar.wording import counted

logger = logging.getLogger(__name__)

Batches = Iterable[pa.RecordBatch | pa.Table]

_ROWS = 1 << 18
"""Rows of a row group."""


def build_events(
    config: EventsCorpusConfig,
    rows: Batches,
    item_rows: Batches | None,
    staging: Staging,
    progress: Progress,
) -> None:
    """Write ``events``, ``held_out`` and ``items``, and count everything that is left out.

    ``rows`` have ``user``, ``item``, ``time`` (timestamps in UTC) and, with
    ``sessions: {by: column}``, ``session``; ``item_rows`` have ``item``, perhaps ``title``, and
    attributes. In this order: events of bots are left out, sessions are cut at pauses, rare items
    are left out, repeats, long sessions are cut, last events are held out.

    The result does not depend on the order of the rows, except for events of one user at the same
    moment: those stay in the order in which they are read (sources as in the config, files by
    name, rows as they stand), since a log is written in order even where its clock is coarse.

    Memory: some 60 bytes an event, every name once, and all facts about items. Raises InputError
    when nothing is left, or one item alone.
    """
    counts = staging.counts
    events = gather_events(rows, config.sessions.by == "column", progress)
    counts["events_read"] = events.n_read
    counts["events_incomplete"] = events.n_incomplete
    counts["events_out_of_order"] = events.n_out_of_order
    counts["users_read"] = len(events.users)
    events = _without_bots(config, events, counts)
    sessions = cut_sessions(events, config.sessions)
    n_sessions = len(sessions.names)
    sessions = _without_rare_items(config, sessions, counts)
    counts["sessions_emptied"] = n_sessions - len(sessions.names)
    is_repeat = are_repeats(sessions, config.sessions.repeats)
    counts["events_repeated"] = int(is_repeat.sum())
    sessions = sessions.only(~is_repeat)
    sessions, may_hold_out, n_cut = cut_long(sessions, config.sessions.max_events)
    counts["sessions_cut"] = n_cut
    parts = parts_of(sessions, may_hold_out, config.held_out, counts)
    counts["events_held_out"] = int((parts != KEPT).sum())
    staging.report["dropped"] = _reasons(config)
    _check_enough(sessions, parts, counts)
    progress.start("write events", len(sessions.session), "events")
    _write_events(sessions, parts == KEPT, staging, progress)
    _write_held_out(sessions, parts, staging)
    items = gather_items(item_rows, counts)
    counts["items_described"] = len(items)
    staging.write(schemas.ITEMS, items)
    _count_kept(sessions, parts, counts)
    logger.info(
        "%s of %s in %s",
        counted(counts["events"], "event"),
        counted(counts["items"], "item"),
        counted(counts["sessions"], "session"),
    )


def _without_bots(
    config: EventsCorpusConfig, events: EventColumns, counts: Counter[str]
) -> EventColumns:
    if config.bots is None:
        return events
    is_bot = are_of_bots(events, config.bots)
    counts["events_of_bots"] = int(is_bot.sum())
    counts["bots"] = len(np.unique(events.user[is_bot]))
    return events.only(~is_bot)


def _without_rare_items(
    config: EventsCorpusConfig, sessions: Sessions, counts: Counter[str]
) -> Sessions:
    item = sessions.events.item
    n_events = np.bincount(item, minlength=len(sessions.events.items))
    is_rare = n_events < config.min_item_events
    counts["items_rare"] = int((is_rare & (n_events > 0)).sum())
    counts["events_of_rare_items"] = int(n_events[is_rare].sum())
    return sessions.only(~is_rare[item])


def _check_enough(sessions: Sessions, parts: NDArray[np.int8], counts: Counter[str]) -> None:
    kept = np.unique(sessions.events.item[parts == KEPT])
    if len(kept) > 1:
        return
    left_out = ", ".join(
        f"{name} {counts[name]:,}"
        for name in ("events_incomplete", "events_of_bots", "events_of_rare_items")
        if counts[name]
    )
    read = counted(counts["events_read"], "event")
    if len(kept) == 1:
        item = sessions.events.items[int(kept[0])].as_py()
        raise InputError(
            f"all events that are left of {read} are of one item, {item!r}: there is nothing to "
            f"tell it from. Check item_column, and min_item_events (left out: "
            f"{left_out or 'nothing'})"
        )
    raise InputError(
        f"no event is left of {read} (left out: {left_out or 'nothing'}); check sources and where, "
        f"bots and min_item_events"
    )


def _write_events(
    sessions: Sessions, is_kept: NDArray[np.bool_], staging: Staging, progress: Progress
) -> None:
    events, schema = sessions.events, schemas.EVENTS_SCHEMA
    places = np.flatnonzero(is_kept)
    with staging.writer(schemas.EVENTS, schema) as writer:
        for first, stop in pairwise([*range(0, len(places), _ROWS), len(places)]):
            some = places[first:stop]
            columns = [
                events.users.take(pa.array(events.user[some])),
                sessions.names.take(pa.array(sessions.session[some])),
                events.items.take(pa.array(events.item[some])),
                pa.array(events.time[some]).cast(schema.field("time").type),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            progress.advance(len(some))


def _write_held_out(sessions: Sessions, parts: NDArray[np.int8], staging: Staging) -> None:
    events, schema = sessions.events, schemas.HELD_OUT_EVENTS_SCHEMA
    places = np.flatnonzero(parts != KEPT)
    names = np.where(parts[places] == TEST, "test", "validation")
    columns = [
        sessions.names.take(pa.array(sessions.session[places])),
        events.items.take(pa.array(events.item[places])),
        pa.array(events.time[places]).cast(schema.field("time").type),
        pa.array(names.tolist(), pa.string()),
    ]
    staging.write(schemas.HELD_OUT, pa.Table.from_arrays(columns, schema=schema))


def _count_kept(sessions: Sessions, parts: NDArray[np.int8], counts: Counter[str]) -> None:
    is_kept = parts == KEPT
    lengths = np.bincount(sessions.session[is_kept], minlength=len(sessions.names))
    counts["events"] = int(is_kept.sum())
    counts["items"] = len(np.unique(sessions.events.item[is_kept]))
    counts["sessions"] = len(lengths)
    counts["sessions_of_one_event"] = int((lengths == 1).sum())
    counts["users"] = len(np.unique(sessions.events.user[is_kept]))


def _reasons(config: EventsCorpusConfig) -> dict[str, str]:
    bots = config.bots
    rate = "" if bots is None else f" ({bots.events:,} in {bots.minutes:g} minutes)"
    return {
        "events_incomplete": "events without a user, an item, a time, or a session if it has a "
        "column",
        "events_of_bots": f"events of users with more events than bots allows{rate}",
        "events_of_rare_items": f"events of items with fewer than min_item_events "
        f"({config.min_item_events})",
        "sessions_emptied": "sessions that had nothing but such events",
        "events_repeated": f"an item again (sessions.repeats: {config.sessions.repeats})",
        "sessions_cut": f"sessions longer than sessions.max_events "
        f"({config.sessions.max_events:,}), each cut into several",
        "held_out_sessions_too_short": "sessions chosen for held_out with too few events",
    }
