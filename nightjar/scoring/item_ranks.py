"""How well the next item of a session is found among all items: ranks, hit rate, NDCG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOWHERE = np.iinfo(np.int64).max
"""The rank of an item that is not found at all."""


def ranks_of_targets(
    scores: NDArray[np.float32],
    targets: NDArray[np.int64],
    seen: Sequence[NDArray[np.int64]],
) -> NDArray[np.int64]:
    """The place, from 0, of each query's target among the items that it has not seen.

    ``scores`` (n_queries, n_items), ``targets`` (n_queries,) with -1 for an unknown item. Equal
    scores are in row order. A target that is unknown, seen, or has no positive score is
    :data:`NOWHERE`.
    """
    n_queries, n_items = scores.shape
    safe = np.maximum(targets, 0)
    own = scores[np.arange(n_queries), safe]
    is_before = scores > own[:, np.newaxis]
    ties = scores == own[:, np.newaxis]
    ranks = is_before.sum(axis=1)
    ranks += (ties & (np.arange(n_items) < safe[:, np.newaxis])).sum(axis=1)
    is_found = (targets >= 0) & (own > 0)
    for query, items in enumerate(seen):
        known = np.unique(items[items < n_items])
        # The seen ones that were counted before the target.
        ranks[query] -= int(is_before[query, known].sum())
        ranks[query] -= int((ties[query, known] & (known < safe[query])).sum())
        is_found[query] &= not np.isin(safe[query], known)
    return np.where(is_found, ranks, NOWHERE).astype(np.int64)


def discounted_gains(ranks: NDArray[np.int64], topn: int) -> NDArray[np.float64]:
    """1 / log2(rank + 2) for ranks below ``topn``, else 0: the NDCG of a single right answer.

    Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418.
    """
    found = np.zeros(len(ranks))
    is_hit = ranks < topn
    found[is_hit] = 1 / np.log2(ranks[is_hit] + 2.0)
    return found
