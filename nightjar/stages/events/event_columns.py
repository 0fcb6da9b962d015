"""Rows of events as sorted columns of numbers: names become ranks, times microseconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.progress import Progress

Codes = NDArray[np.int32]
Times = NDArray[np.int64]

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, eq=False)
class EventColumns:
    """Events by user, then time; those of one moment in the order in which they were read.

    ``user[i]`` is the row of a name in ``users``, and so on. The names are sorted by code points,
    so nothing but ties in time depends on the order of the rows.
    """

    users: pa.Array
    items: pa.Array
    session_names: pa.Array | None
    """What the column of sessions has; None without one."""
    user: Codes
    item: Codes
    time: Times
    """Microseconds since 1970 in UTC."""
    session_name: Codes | None
    n_read: int = 0
    n_incomplete: int = 0
    """Rows with a null, which were left out."""
    n_out_of_order: int = 0
    """Rows that were read after a later event of the same user."""

    def __len__(self) -> int:
        return len(self.time)

    def only(self, chosen: NDArray[np.bool_]) -> EventColumns:
        """The chosen events; all names stay."""
        named = self.session_name
        return replace(
            self,
            user=self.user[chosen],
            item=self.item[chosen],
            time=self.time[chosen],
            session_name=None if named is None else named[chosen],
        )


def gather_events(
    rows: Iterable[pa.RecordBatch | pa.Table], has_sessions: bool, progress: Progress
) -> EventColumns:
    """Read all rows: columns ``user``, ``item``, ``time`` and, if wanted, ``session``.

    ``time`` is a timestamp in UTC. Rows with a null are left out and counted. Memory: 16 bytes an
    event (20 with sessions), as much again while they are sorted, and every name once.
    """
    names = ("user", "item", "session") if has_sessions else ("user", "item")
    columns = {name: _Names() for name in names}
    times: list[Times] = []
    n_read = n_kept = 0
    progress.start("read events", None, "events")
    for batch in rows:
        found = pa.table({name: batch.column(name) for name in (*names, "time")})
        whole = found.drop_null()
        for name, column in columns.items():
            column.add(whole.column(name))
        moments = whole.column("time").cast(_TIME).cast(pa.int64())
        times.append(moments.to_numpy().astype(np.int64, copy=False))
        n_read += len(found)
        n_kept += len(whole)
        progress.advance(len(found))
    time = np.concatenate(times) if times else np.zeros(0, np.int64)
    coded = {name: column.coded() for name, column in columns.items()}
    users, user = coded["user"]
    items, item = coded["item"]
    session_names, session_name = coded.get("session", (None, None))
    order = np.lexsort((time, user))
    return EventColumns(
        users,
        items,
        session_names,
        user[order],
        item[order],
        time[order],
        None if session_name is None else session_name[order],
        n_read=n_read,
        n_incomplete=n_read - n_kept,
        n_out_of_order=_n_out_of_order(user, time),
    )


def _n_out_of_order(user: Codes, time: Times) -> int:
    """Events that are earlier than the one of the same user that was read just before."""
    as_read = np.argsort(user, kind="stable")
    is_same = np.diff(user[as_read]) == 0
    return int((is_same & (np.diff(time[as_read]) < 0)).sum())


@dataclass
class _Names:
    """A column of names, coded batch by batch."""

    chunks: list[pa.Array] = field(default_factory=list)

    def add(self, names: pa.ChunkedArray) -> None:
        for chunk in names.cast(pa.string()).dictionary_encode().chunks:
            self.chunks.append(chunk.cast(pa.dictionary(pa.int32(), pa.string())))

    def coded(self) -> tuple[pa.Array, Codes]:
        """The distinct names, sorted, and the place of each row's name among them."""
        if not self.chunks:
            return pa.array([], pa.string()), np.zeros(0, np.int32)
        whole = pa.chunked_array(self.chunks).unify_dictionaries()
        names = whole.chunk(0).dictionary
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in whole.chunks])
        order = pc.array_sort_indices(names)  # by UTF-8, which is by code points
        rank = np.empty(len(names), np.int32)
        rank[order.to_numpy()] = np.arange(len(names), dtype=np.int32)
        self.chunks.clear()
        return names.take(order), rank[codes]
