"""Which items stand near each other in sessions: counted by distance, as shares, sparse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse

from nightjar.formats.event_sessions import EventSessions
from nightjar.model.lookup import NearItems

LIST_ITEMS = 200
"""Items of a list: those with the largest shares. More change the NDCG on MovieLens by .001."""

_EVENTS_AT_ONCE = 1 << 20


def near_variants(
    sessions: EventSessions, n_items: int, windows: Sequence[int]
) -> Iterator[tuple[int, bool, NearItems]]:
    """The items near each item, by ascending window, on both sides and only after it.

    A pair d events apart counts 1/d, whatever the window, so a wider one adds to a narrower one.
    Shares are of all that stood near an item. Lists hold at most :data:`LIST_ITEMS`, the largest
    shares first, equal ones by row.
    """
    after = sparse.csr_array((n_items, n_items), dtype=np.float64)
    distance = 0
    for window in windows:
        while distance < window:
            distance += 1
            after = after + _apart(sessions, n_items, distance)
        yield window, False, _largest_shares(sparse.csr_array(after + after.T))
        yield window, True, _largest_shares(after)


def count_near(sessions: EventSessions, n_items: int, window: int, only_after: bool) -> NearItems:
    """One of the :func:`near_variants`."""
    for _, is_after, near in near_variants(sessions, n_items, [window]):
        if is_after == only_after:
            return near
    raise TypeError("there are two variants")


def _apart(sessions: EventSessions, n_items: int, distance: int) -> sparse.csr_array:
    """Pairs of different items so many events apart in a session, each 1 / distance."""
    item, of = sessions.item, sessions.session
    counts = sparse.csr_array((n_items, n_items), dtype=np.float64)
    for first in range(distance, len(item), _EVENTS_AT_ONCE):
        later = np.arange(first, min(len(item), first + _EVENTS_AT_ONCE))
        is_pair = (of[later] == of[later - distance]) & (item[later] != item[later - distance])
        later = later[is_pair]
        pairs = (item[later - distance], item[later])
        ones = np.full(len(later), 1 / distance)
        counts = counts + sparse.csr_array((ones, pairs), shape=(n_items, n_items))
    return sparse.csr_array(counts)


def _largest_shares(counts: sparse.csr_array) -> NearItems:
    counts.sum_duplicates()
    lengths = np.diff(counts.indptr)
    row = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.bincount(row, counts.data, minlength=len(lengths))
    shares = (counts.data / sums[row]).astype(np.float32)
    # One key: the row, and below 1 what falls with the share. Items ascend within a row.
    order = np.argsort(row + (1 - shares.astype(np.float64)) / 2, kind="stable")
    place = np.arange(len(order)) - np.repeat(counts.indptr[:-1], lengths)
    order = order[place < LIST_ITEMS]
    bounds = np.concatenate([[0], np.cumsum(np.minimum(lengths, LIST_ITEMS))])
    return NearItems(bounds.astype(np.int64), counts.indices[order].astype(np.int32), shares[order])
