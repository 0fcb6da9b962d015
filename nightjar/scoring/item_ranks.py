"""How well the next item of a session is found among all items: ranks, hit rate, NDCG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOWHERE = np.iinfo(np.int64).max
"""The rank of an item that is not found at all."""


def hide_seen(scores: NDArray[np.float32], seen: Sequence[NDArray[np.int64]]) -> None:
    """Set the scores, which are not negative, of the items that each query has seen to -1.

    ``scores`` (n_queries, n_items); rows of ``seen`` beyond its items are ignored.
    """
    query = np.repeat(np.arange(len(seen)), [len(items) for items in seen])
    items = np.concatenate([np.zeros(0, np.int64), *seen])
    is_there = items < scores.shape[1]
    scores[query[is_there], items[is_there]] = -1


def ranks_of_targets(scores: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place, from 0, of each query's target among all items.

    ``scores`` (n_queries, n_items), ``targets`` (n_queries,) with -1 for an unknown item. Equal
    scores are in row order. A target that is unknown, hidden or has no positive score is
    :data:`NOWHERE`.
    """
    n_items = scores.shape[1]
    safe = np.maximum(targets, 0)[:, np.newaxis]
    own = np.take_along_axis(scores, safe, axis=1)
    ranks = (scores > own).sum(axis=1)
    is_tied = (scores == own).sum(axis=1) > 1
    if is_tied.any():
        tied = scores[is_tied] == own[is_tied]
        ranks[is_tied] += (tied & (np.arange(n_items) < safe[is_tied])).sum(axis=1)
    is_found = (targets >= 0) & (own[:, 0] > 0)
    return np.where(is_found, ranks, NOWHERE).astype(np.int64)


def discounted_gains(ranks: NDArray[np.int64], topn: int) -> NDArray[np.float64]:
    """1 / log2(rank + 2) for ranks below ``topn``, else 0: the NDCG of a single right answer.

    Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418.
    """
    found = np.zeros(len(ranks))
    is_hit = ranks < topn
    found[is_hit] = 1 / np.log2(ranks[is_hit] + 2.0)
    return found
