"""How often walks visit each node, and how many walks do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled

VISITS, WALKS, LAST_WALK = 0, 1, 2
"""The columns of a tally."""


@compiled()
def pack_walks(
    walks: NDArray[np.int32], nodes: NDArray[np.int32], lengths: NDArray[np.int32]
) -> int:
    """Write the nodes of ``walks`` (n_walks, length) end to end; returns how many there are.

    A row ends before its first -1. A walk of one node has nothing to learn from: its length in
    ``lengths`` (n_walks,) becomes 0, and its node is left out. ``nodes`` has room for all.
    """
    n_nodes = 0
    for row in range(walks.shape[0]):
        length = 0
        while length < walks.shape[1] and walks[row, length] >= 0:
            length += 1
        if length < 2:
            length = 0
        for step in range(length):
            nodes[n_nodes + step] = walks[row, step]
        lengths[row] = length
        n_nodes += length
    return n_nodes


@compiled()
def tally_visits(
    nodes: NDArray[np.int32],
    lengths: NDArray[np.int32],
    n_before: int,
    tallies: NDArray[np.int64],
) -> None:
    """Add packed walks to ``tallies`` (n_nodes, 3), zeros at first.

    ``n_before`` walks were added before, so that a walk that visits a node again is noticed.
    """
    place = 0
    for walk in range(len(lengths)):
        number = n_before + walk + 1
        for _ in range(lengths[walk]):
            node = nodes[place]
            tallies[node, VISITS] += 1
            if tallies[node, LAST_WALK] != number:
                tallies[node, LAST_WALK] = number
                tallies[node, WALKS] += 1
            place += 1
