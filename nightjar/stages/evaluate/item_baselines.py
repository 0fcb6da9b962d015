"""Recommendations that need no model: what a model of items has to beat.

Each takes the sessions that are kept and returns a function from histories to scores of all items,
shape (n_histories, n_items), float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nightjar.formats.event_sessions import EventSessions

Histories = Sequence[NDArray[np.int64]]
Baseline = Callable[[Histories], NDArray[np.float32]]

LAST = 5
"""The items of a history that count."""
WINDOW = 5
_LONGEST = 1_000
"""Of a longer session, item-kNN takes the last events: pairs grow with the square."""
_MOST_PAIRS = 50_000_000
"""Up to so many pairs of items in sessions, item-kNN compares all items once, in 600 MB at most."""
_EVENTS_AT_ONCE = 1 << 20


def popularity(sessions: EventSessions) -> Baseline:
    """Every history gets the items with most events."""
    counts = np.bincount(sessions.item, minlength=len(sessions.items)).astype(np.float32)

    def scores(histories: Histories) -> NDArray[np.float32]:
        return np.tile(counts, (len(histories), 1))

    return scores


def item_neighbors(sessions: EventSessions) -> Baseline:
    """Cosine of two items over the sessions that have them, summed over the last five items."""
    n_items = len(sessions.items)
    ends = np.repeat(sessions.bounds[1:], np.diff(sessions.bounds))
    is_late = np.arange(len(sessions.item)) >= ends - _LONGEST
    pairs = np.unique(sessions.session[is_late] * n_items + sessions.item[is_late])
    shape = (len(sessions), n_items)
    ones = np.ones(len(pairs), np.float32)
    has = sparse.csr_array((ones, (pairs // n_items, pairs % n_items)), shape=shape)
    lengths = np.sqrt(np.bincount(pairs % n_items, minlength=n_items))
    inverse = np.where(lengths > 0, 1 / np.maximum(lengths, 1), 0).astype(np.float32)
    units = sparse.csr_array(has @ sparse.diags_array(inverse))
    of_items = sparse.csr_array(units.T)
    n_pairs = int((np.bincount(pairs // n_items).astype(np.int64) ** 2).sum())
    whole = sparse.csr_array(of_items @ units) if n_pairs <= _MOST_PAIRS else None

    def scores(histories: Histories) -> NDArray[np.float32]:
        used, counts = _last_items(histories, n_items, np.ones_like)
        similar = whole[used] if whole is not None else sparse.csr_array(of_items[used] @ units)
        found: NDArray[np.float32] = (counts[:, used] @ similar).toarray()
        return found

    return scores


def cooccurrence(sessions: EventSessions) -> Baseline:
    """How often two items were within five events of each other, in the last five items.

    The item before last counts a half, the one before it a third, and so on.
    """
    n_items = len(sessions.items)
    item, session = sessions.item, sessions.session
    near = sparse.csr_array((n_items, n_items), dtype=np.float32)
    for first in range(0, len(item), _EVENTS_AT_ONCE):
        for distance in range(1, WINDOW + 1):
            later = np.arange(first + distance, min(len(item), first + _EVENTS_AT_ONCE + distance))
            later = later[session[later] == session[later - distance]]
            pairs = (item[later - distance], item[later])
            ones = np.ones(len(later), np.float32)
            near = near + sparse.csr_array((ones, pairs), shape=(n_items, n_items))
    near = sparse.csr_array(near + near.T)

    def scores(histories: Histories) -> NDArray[np.float32]:
        used, weights = _last_items(histories, n_items, _by_recency)
        found: NDArray[np.float32] = (weights[:, used] @ near[used]).toarray()
        return found

    return scores


def _by_recency(ages: NDArray[np.float32]) -> NDArray[np.float32]:
    weights: NDArray[np.float32] = np.float32(1) / (ages + np.float32(1))
    return weights


def _last_items(
    histories: Histories,
    n_items: int,
    weight_of: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> tuple[NDArray[np.int64], sparse.csc_array]:
    """The last items of all histories, and their weights by age, shape (n_histories, n_items)."""
    rows = [history[-LAST:] for history in histories]
    query = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    items = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    ages = [age for row in rows for age in range(len(row) - 1, -1, -1)]
    weights = weight_of(np.array(ages, np.float32))
    shape = (len(rows), n_items)
    return np.unique(items), sparse.csc_array((weights, (query, items)), shape=shape)


BASELINES: Mapping[str, Callable[[EventSessions], Baseline]] = {
    "popularity": popularity,
    "item_knn": item_neighbors,
    "cooccurrence": cooccurrence,
}
"""By the name in reports."""
