"""Putting edges in order: duplicates, held-out edges, and rows of the adjacency matrix.

An edge is a key, source * n_nodes + target; of an undirected graph, the smaller node comes first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined
from nightjar.kernels.counted_draws import mixed


@compiled()
def merge_duplicates(keys: NDArray[np.int64], weights: NDArray[np.float64], is_summed: bool) -> int:
    """Leave each of the ascending ``keys`` once, with its ``weights``; returns how many are left.

    The weights of an edge are added in ascending order, or the largest is kept: neither depends on
    the order of the rows. Both arrays are overwritten. Memory: the weights of one edge.
    """
    n_kept, first = 0, 0
    while first < len(keys):
        end = first + 1
        while end < len(keys) and keys[end] == keys[first]:
            end += 1
        if end == first + 1:
            weight = weights[first]
        else:
            run = np.sort(weights[first:end])
            weight = 0.0
            for one in run:
                weight = weight + one if is_summed else one
        keys[n_kept] = keys[first]
        weights[n_kept] = weight
        n_kept += 1
        first = end
    return n_kept


@inlined
def _name_hash(first: np.uint64, second: np.uint64) -> np.uint64:
    """The hash of an edge from the hashes of its nodes' ids, the same in both directions."""
    return mixed(mixed(min(first, second)) + max(first, second))


@compiled()
def choose_held_out(
    keys: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    below: np.uint64,
    is_held_out: NDArray[np.bool_],
) -> None:
    """Set ``is_held_out`` (n_edges,) for edges whose hash is less than ``below``.

    ``hashes`` (n_nodes,) are those of the nodes' ids. An edge stays if all edges of one of its
    nodes would be held out and its hash is the largest of them: no node is isolated. Self-loops
    stay. Memory: 9 bytes for each node.
    """
    n_nodes = len(hashes)
    is_connected = np.zeros(n_nodes, np.bool_)
    for edge in range(len(keys)):
        source, target = keys[edge] // n_nodes, keys[edge] % n_nodes
        is_held_out[edge] = source != target and _name_hash(hashes[source], hashes[target]) < below
        if source != target and not is_held_out[edge]:
            is_connected[source] = True
            is_connected[target] = True
    last = np.zeros(n_nodes, np.uint64)
    for edge in range(len(keys)):
        if is_held_out[edge]:
            source, target = keys[edge] // n_nodes, keys[edge] % n_nodes
            hashed = _name_hash(hashes[source], hashes[target])
            last[source] = max(last[source], hashed)
            last[target] = max(last[target], hashed)
    for edge in range(len(keys)):
        if is_held_out[edge]:
            source, target = keys[edge] // n_nodes, keys[edge] % n_nodes
            hashed = _name_hash(hashes[source], hashes[target])
            if (not is_connected[source] and hashed == last[source]) or (
                not is_connected[target] and hashed == last[target]
            ):
                is_held_out[edge] = False


@compiled()
def count_edges(
    keys: NDArray[np.int64],
    is_symmetric: bool,
    n_out: NDArray[np.int64],
    n_in: NDArray[np.int64],
) -> None:
    """Add to ``n_out`` and ``n_in`` (n_nodes,) the edges that leave and reach each node.

    In a symmetric graph each edge leads both ways; a self-loop counts once.
    """
    n_nodes = len(n_out)
    for key in keys:
        source, target = key // n_nodes, key % n_nodes
        n_out[source] += 1
        n_in[target] += 1
        if is_symmetric and source != target:
            n_out[target] += 1
            n_in[source] += 1


@compiled()
def fill_rows(
    keys: NDArray[np.int64],
    weights: NDArray[np.float32],
    is_symmetric: bool,
    ends: NDArray[np.int64],
    row_targets: NDArray[np.int32],
    row_weights: NDArray[np.float32],
) -> None:
    """Fill the rows of the adjacency matrix, each ascending, from ascending ``keys``.

    ``ends`` (n_nodes,) are the starts of the rows, and afterwards their ends. The weights may be
    empty.
    """
    n_nodes = len(ends)
    is_weighted = len(weights) > 0
    for edge in range(len(keys)):
        # Those to smaller nodes come while the smaller ones are sources, so before the others.
        source, target = keys[edge] // n_nodes, keys[edge] % n_nodes
        row_targets[ends[source]] = target
        if is_weighted:
            row_weights[ends[source]] = weights[edge]
        ends[source] += 1
        if is_symmetric and source != target:
            row_targets[ends[target]] = source
            if is_weighted:
                row_weights[ends[target]] = weights[edge]
            ends[target] += 1


@compiled()
def add_up_rows(
    offsets: NDArray[np.int64], weights: NDArray[np.float32], sums: NDArray[np.float64]
) -> None:
    """Fill ``sums`` (n_nodes,) with the weights of each row together."""
    for node in range(len(sums)):
        total = 0.0
        for edge in range(offsets[node], offsets[node + 1]):
            total += weights[edge]
        sums[node] = total
