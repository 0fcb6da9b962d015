"""From events by user and time to sessions: bounds, repeats, cuts, held-out last events.

A session's name says whose it is, and stays the same from night to night as long as its first event
does: what is held out tonight is held out tomorrow.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.config.corpora import BotsConfig, HoldOutConfig, SessionsConfig
from nightjar.stages.events.event_columns import EventColumns

Flags = NDArray[np.bool_]

KEPT: Final = 0
VALIDATION: Final = 1
TEST: Final = 2

_MINUTE = 60_000_000
_PIECE = "#"
"""Before the number of a long session's second piece, third piece and so on."""


@dataclass(frozen=True, eq=False)
class Sessions:
    """Events by session, then time; event i is of session ``session[i]``, from 0 on."""

    events: EventColumns
    session: NDArray[np.int64]
    names: pa.Array
    """Unique, by session."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """The place of each session's first event."""
        return _starts(self.session)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Events of each session."""
        return np.diff(self.starts, append=len(self.session))

    def only(self, chosen: Flags) -> Sessions:
        """The chosen events, and the sessions that still have some."""
        left, session = np.unique(self.session[chosen], return_inverse=True)
        return Sessions(self.events.only(chosen), session, self.names.take(pa.array(left)))


def _starts(groups: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.flatnonzero(np.diff(groups, prepend=-1)).astype(np.int64)


def are_of_bots(events: EventColumns, config: BotsConfig) -> Flags:
    """Which events are of users with more than ``events`` of them in some ``minutes``."""
    n_later, width = config.events, config.minutes * _MINUTE
    is_bot = np.zeros(len(events.users), np.bool_)
    if len(events) > n_later:
        is_same = events.user[n_later:] == events.user[:-n_later]
        is_quick = events.time[n_later:] - events.time[:-n_later] <= width
        is_bot[events.user[n_later:][is_same & is_quick]] = True
    found: Flags = is_bot[events.user]
    return found


def cut_sessions(events: EventColumns, config: SessionsConfig) -> Sessions:
    """The sessions of all events: one of each user, up to a pause, or by the column."""
    if config.by == "column":
        return _by_column(events)
    is_first = np.diff(events.user, prepend=-1) != 0
    if config.by == "user":
        starts = np.flatnonzero(is_first)
        return Sessions(events, np.cumsum(is_first) - 1, events.users.take(events.user[starts]))
    pause = np.diff(events.time, prepend=0) > config.gap_minutes * _MINUTE
    is_first |= pause
    starts = np.flatnonzero(is_first)
    moments = pa.array(events.time[starts]).cast(pa.timestamp("us"))
    names = _joined(
        events.users.take(events.user[starts]), pc.strftime(moments, format="%Y-%m-%dT%H:%M:%S")
    )
    return Sessions(events, np.cumsum(is_first) - 1, names)


def _by_column(events: EventColumns) -> Sessions:
    """Sessions by user and name, ordered by user and first event; they may interleave in time."""
    named, all_names = events.session_name, events.session_names
    if named is None or all_names is None:
        raise ValueError("events have no column of sessions")
    pairs = events.user.astype(np.int64) * len(all_names) + named
    distinct, first, group = np.unique(pairs, return_index=True, return_inverse=True)
    # Events are by user and time, so the first event of a pair is the first in both.
    rank = np.empty(len(distinct), np.int64)
    rank[np.argsort(first)] = np.arange(len(distinct))
    order = np.argsort(rank[group], kind="stable")
    events = replace(
        events,
        user=events.user[order],
        item=events.item[order],
        time=events.time[order],
        session_name=named[order],
    )
    session = rank[group][order]
    starts = _starts(session)
    names = _joined(events.users.take(events.user[starts]), all_names.take(named[order][starts]))
    return Sessions(events, session, names)


def _joined(users: pa.Array, names: pa.Array) -> pa.Array:
    """``user/name``; a slash within a user's id is written ``%2F``, so that no two are alike."""
    safe = pc.replace_substring(pc.replace_substring(users, "%", "%25"), "/", "%2F")
    return pc.binary_join_element_wise(safe, names, "/")


def are_repeats(sessions: Sessions, repeats: str) -> Flags:
    """Which events repeat the item before them (collapse) or any earlier one (once)."""
    session, item = sessions.session, sessions.events.item.astype(np.int64)
    found = np.zeros(len(item), np.bool_)
    if repeats == "collapse":
        found[1:] = (np.diff(session) == 0) & (np.diff(item) == 0)
    elif repeats == "once":
        pairs = session * (len(sessions.events.items) + 1) + item
        found[:] = True
        found[np.unique(pairs, return_index=True)[1]] = False
    return found


def cut_long(sessions: Sessions, max_events: int) -> tuple[Sessions, Flags, int]:
    """Cut longer sessions into pieces of ``max_events`` each.

    Also returns which of the new sessions are the last piece of one, and how many were cut.
    """
    starts, lengths = sessions.starts, sessions.lengths
    n_pieces = -(-lengths // max_events)
    n_cut = int((n_pieces > 1).sum())
    if n_cut == 0:
        return sessions, np.ones(len(lengths), np.bool_), 0
    first_piece = np.cumsum(n_pieces) - n_pieces
    within = np.arange(len(sessions.session)) - np.repeat(starts, lengths)
    session = first_piece[sessions.session] + within // max_events
    of = np.repeat(np.arange(len(lengths)), n_pieces)
    number = np.arange(len(of)) - first_piece[of]
    names: list[str] = sessions.names.take(pa.array(of)).to_pylist()
    taken = set(sessions.names.to_pylist())
    for place in np.flatnonzero(number).tolist():
        name = f"{names[place]}{_PIECE}{number[place] + 1}"
        while name in taken:
            name += _PIECE
        taken.add(name)
        names[place] = name
    is_last = number == n_pieces[of] - 1
    return Sessions(sessions.events, session, pa.array(names, pa.string())), is_last, n_cut


def parts_of(
    sessions: Sessions, may_hold_out: Flags, config: HoldOutConfig, counts: Counter[str]
) -> NDArray[np.int8]:
    """Which part each event is of: :data:`KEPT`, :data:`VALIDATION` or :data:`TEST`.

    A session is chosen by a hash of its name, and needs an event more than are held out.
    """
    parts = np.zeros(len(sessions.session), np.int8)
    n_last = config.test + config.validation
    if not n_last or not config.share:
        return parts
    names = sessions.names.to_pylist()
    by_name = [_is_chosen(name, config.share) for name in names]
    is_chosen = may_hold_out & np.array(by_name, np.bool_)
    is_long = sessions.lengths > n_last
    counts["held_out_sessions_too_short"] += int((is_chosen & ~is_long).sum())
    ends = (sessions.starts + sessions.lengths)[is_chosen & is_long]
    if config.test:
        parts[ends - 1] = TEST
    if config.validation:
        parts[ends - 1 - config.test] = VALIDATION
    counts["held_out_sessions"] += len(ends)
    return parts


def _is_chosen(name: str, share: float) -> bool:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64
