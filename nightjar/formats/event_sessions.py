"""The sessions of an events artifact in memory, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.progress import SILENT, Progress
from nightjar.store import Artifact, schemas


@dataclass(frozen=True, eq=False)
class EventSessions:
    """Session s, called ``names[s]``, has the items ``item[bounds[s]:bounds[s + 1]]``, in order."""

    names: pa.Array
    items: pa.Array
    """The id of each item that occurs."""
    item: NDArray[np.int32]
    """(n_events,): places in ``items``, or rows of a model (:meth:`known_as`)."""
    bounds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def session(self) -> NDArray[np.int64]:
        """The number of each event's session."""
        return np.repeat(np.arange(len(self)), np.diff(self.bounds))

    def without(self, names: frozenset[str]) -> EventSessions:
        """All other sessions, and the items that occur in them."""
        gone = pc.is_in(self.names, value_set=pa.array(sorted(names), pa.string()))
        is_kept = ~gone.to_numpy(zero_copy_only=False)
        lengths = np.diff(self.bounds)
        item = self.item[np.repeat(is_kept, lengths)]
        used, place = np.unique(item, return_inverse=True)
        bounds = np.concatenate([[0], np.cumsum(lengths[is_kept])]).astype(np.int64)
        return EventSessions(
            self.names.filter(pa.array(is_kept)),
            self.items.take(pa.array(used)),
            place.astype(np.int32),
            bounds,
        )

    def known_as(self, items: pa.Array) -> EventSessions:
        """The events of ``items`` alone, as places among those; every session stays."""
        place_of = pc.fill_null(pc.index_in(self.items, value_set=items), -1).to_numpy()
        place = place_of[self.item]
        before = np.concatenate([[0], np.cumsum(place >= 0)])
        known = place[place >= 0].astype(np.int32)
        return EventSessions(self.names, items, known, before[self.bounds].astype(np.int64))

    def of_names(self, names: Sequence[str] | pa.Array) -> list[NDArray[np.int64]]:
        """The items of some sessions; empty for one that is not there."""
        wanted = names if isinstance(names, pa.Array) else pa.array(names, pa.string())
        places = pc.fill_null(pc.index_in(wanted, value_set=self.names), -1).to_numpy()
        nothing = np.zeros(0, np.int64)
        return [
            self.item[self.bounds[place] : self.bounds[place + 1]].astype(np.int64)
            if place >= 0
            else nothing
            for place in places.tolist()
        ]


def read_sessions(events: Artifact, progress: Progress = SILENT) -> EventSessions:
    """Every session. Memory: 12 bytes an event, and every name once."""
    progress.start("read events", events.rows(schemas.EVENTS), "events")
    sessions: list[pa.DictionaryArray] = []
    items: list[pa.DictionaryArray] = []
    for batch in events.batches(schemas.EVENTS, ["session", "item"]):
        sessions.append(batch.column("session").dictionary_encode())
        items.append(batch.column("item").dictionary_encode())
        progress.advance(len(batch))
    names, session = _coded(sessions)
    ids, item = _coded(items)
    # A session's events stand together, so its name appears first where it begins.
    starts = np.flatnonzero(np.diff(session, prepend=-1))
    bounds = np.append(starts, len(session)).astype(np.int64)
    return EventSessions(names.take(pa.array(session[starts])), ids, item, bounds)


def _coded(chunks: list[pa.DictionaryArray]) -> tuple[pa.Array, NDArray[np.int32]]:
    if not chunks:
        return pa.array([], pa.string()), np.zeros(0, np.int32)
    whole = pa.chunked_array(chunks).unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in whole.chunks])
    return whole.chunk(0).dictionary, codes.astype(np.int32, copy=False)
