"""Random walks whose next node depends on the current one alone (DeepWalk).

Perozzi, Al-Rfou and Skiena, "DeepWalk: online learning of social representations", 2014,
arXiv:1403.6652, algorithm 2; with weights as in node2vec with p = q = 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined
from nightjar.kernels.counted_draws import GAMMA, LOWER_BITS, UPPER, mixed
from nightjar.kernels.graph_rows import GraphRows, Weights

_AT_ONCE = 128
"""Walks in lock step: a step waits for memory, and the waits of different walks overlap."""


@compiled()
def walk_first_order(
    rows: GraphRows,
    weights: Weights,
    starts: NDArray[np.int32],
    states: NDArray[np.uint64],
    walks: NDArray[np.int32],
) -> None:
    """Fill ``walks`` (n_walks, length): walk i starts at ``starts[i]``, its draws at ``states[i]``.

    A walk ends early at a node that no edge leaves; the rest of its row is -1. ``states`` is
    changed.
    """
    n_walks, length = walks.shape
    taken = np.empty(_AT_ONCE, np.int64)
    begins = np.empty(_AT_ONCE, np.int64)
    sizes = np.empty(_AT_ONCE, np.uint64)
    edges = np.empty(_AT_ONCE, np.int64)
    coins = np.empty(_AT_ONCE, np.uint64)
    nodes = np.empty(_AT_ONCE, np.int32)
    for first in range(0, n_walks, _AT_ONCE):
        n_active = min(_AT_ONCE, n_walks - first)
        for slot in range(n_active):
            taken[slot] = first + slot
            nodes[slot] = starts[first + slot]
            walks[first + slot, 0] = nodes[slot]
            walks[first + slot, 1:] = -1
        for step in range(1, length):
            for slot in range(n_active):
                node = nodes[slot]
                begins[slot] = rows.offsets[node]
                sizes[slot] = np.uint64(rows.offsets[node + 1] - rows.offsets[node])
            n_active = _without_ended(taken, begins, sizes, n_active)
            for slot in range(n_active):
                walk = taken[slot]
                states[walk] += GAMMA
                drawn = mixed(states[walk])
                place = np.int64(((drawn >> UPPER) * sizes[slot]) >> UPPER)
                edges[slot] = begins[slot] + place
                coins[slot] = drawn & LOWER_BITS
            # Nothing but loads, so that many of them are under way at once.
            if len(weights.thresholds) > 0:
                for slot in range(n_active):
                    edge = edges[slot]
                    is_alias = coins[slot] >= np.uint64(weights.thresholds[edge])
                    nodes[slot] = weights.others[edge] if is_alias else rows.targets[edge]
            else:
                for slot in range(n_active):
                    nodes[slot] = rows.targets[edges[slot]]
            for slot in range(n_active):
                walks[taken[slot], step] = nodes[slot]


@inlined
def _without_ended(
    taken: NDArray[np.int64],
    begins: NDArray[np.int64],
    sizes: NDArray[np.uint64],
    n_active: int,
) -> int:
    """Remove the walks that are at a node that no edge leaves; returns how many are left."""
    n_left = 0
    for slot in range(n_active):
        if sizes[slot] > 0:
            taken[n_left] = taken[slot]
            begins[n_left] = begins[slot]
            sizes[n_left] = sizes[slot]
            n_left += 1
    return n_left
