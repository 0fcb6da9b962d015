"""The rows of a graph's adjacency matrix (CSR), as kernels walk over them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined
from nightjar.kernels.counted_draws import GAMMA, UPPER, mixed


class GraphRows(NamedTuple):
    """The edges that leave node v are ``targets[offsets[v]:offsets[v + 1]]``, ascending.

    ``offsets`` int64 (n_nodes + 1,), ``targets`` int32 (n_edges,).
    """

    offsets: NDArray[np.int64]
    targets: NDArray[np.int32]


class Weights(NamedTuple):
    """The weights of edges; all arrays are empty when every edge weighs the same.

    An edge is drawn by Walker's alias method: a place of the row uniformly, then the edge there if
    the 32 random bits are below ``thresholds``, else the one that leads to ``others``.
    ``thresholds`` uint32 (n_edges,), ``others`` int32 (n_edges,), ``weights`` float32 (n_edges,),
    ``sums`` float64 (n_nodes,): the weights of a row together.
    """

    thresholds: NDArray[np.uint32]
    others: NDArray[np.int32]
    weights: NDArray[np.float32]
    sums: NDArray[np.float64]


@compiled()
def fill_alias_tables(rows: GraphRows, weights: Weights, first: int, end: int) -> None:
    """Fill ``thresholds``, ``others`` and ``sums`` for the rows from ``first`` to before ``end``.

    Vose's method ("A linear algorithm for generating random numbers with a given distribution",
    1991), in float64; a threshold is exact to 2**-32. Memory: 12 bytes for each edge of the
    longest row.
    """
    longest = 0
    for node in range(first, end):
        longest = max(longest, rows.offsets[node + 1] - rows.offsets[node])
    scaled = np.empty(longest, np.float64)
    waiting = np.empty(longest, np.int32)
    for node in range(first, end):
        begin = rows.offsets[node]
        size = rows.offsets[node + 1] - begin
        total = 0.0
        for edge in range(size):
            total += weights.weights[begin + edge]
        weights.sums[node] = total
        # Edges below the mean from the left, the others from the right.
        n_small, n_large = 0, 0
        for edge in range(size):
            scaled[edge] = weights.weights[begin + edge] * (size / total)
            if scaled[edge] < 1.0:
                waiting[n_small] = edge
                n_small += 1
            else:
                n_large += 1
                waiting[size - n_large] = edge
        while n_small > 0 and n_large > 0:
            n_small -= 1
            small, large = waiting[n_small], waiting[size - n_large]
            weights.thresholds[begin + small] = np.uint32(scaled[small] * 4294967295.0)
            weights.others[begin + small] = rows.targets[begin + large]
            scaled[large] -= 1.0 - scaled[small]
            if scaled[large] < 1.0:
                n_large -= 1
                waiting[n_small] = large
                n_small += 1
        # What is left weighs the mean, but for rounding: it stands for itself.
        for place in range(n_small):
            _stand_alone(rows, weights, begin + waiting[place])
        for place in range(size - n_large, size):
            _stand_alone(rows, weights, begin + waiting[place])


@inlined
def _stand_alone(rows: GraphRows, weights: Weights, edge: int) -> None:
    weights.thresholds[edge] = np.uint32(4294967295)
    weights.others[edge] = rows.targets[edge]


@compiled()
def find_edge(
    offsets: NDArray[np.int64], targets: NDArray[np.int32], source: int, target: int
) -> int:
    """The place in ``targets`` of the edge from ``source`` to ``target``; -1 if there is none.

    Arrays, not GraphRows: taking them out of a tuple counts references, which takes longer.
    """
    first = offsets[source]
    size = offsets[source + 1] - first
    if size == 0:
        return -1
    while size > 1:
        # Without a branch, since none can be foreseen.
        half = size >> 1
        first += half * int(targets[first + half] <= target)
        size -= half
    return first if targets[first] == target else -1


class Neighborhood(NamedTuple):
    """Tells quickly that two nodes are no neighbours.

    ``words`` uint64: a Bloom filter of all edges, with the four bits of an edge in one word
    (Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters", 2007); one
    access answers for all but a few of the pairs that are no edges. ``is_symmetric``: each edge
    leads both ways, so it is there once, and the shorter row is searched.
    """

    words: NDArray[np.uint64]
    is_symmetric: bool


@inlined
def edge_hash(source: int, target: int, is_symmetric: bool) -> np.uint64:
    """The hash of an edge between rows; in symmetric graphs that of both directions."""
    first, second = np.uint64(source), np.uint64(target)
    if is_symmetric and target < source:
        first, second = second, first
    return mixed(((first << UPPER) | second) * GAMMA)


@inlined
def word_of(hashed: np.uint64, n_words: np.uint64) -> np.int64:
    """Which word has the bits of an edge."""
    return np.int64(((hashed >> UPPER) * n_words) >> UPPER)


@inlined
def bits_of(hashed: np.uint64) -> np.uint64:
    """The bits of an edge in its word."""
    one, six = np.uint64(1), np.uint64(63)
    return (
        (one << (hashed & six))
        | (one << ((hashed >> np.uint64(6)) & six))
        | (one << ((hashed >> np.uint64(12)) & six))
        | (one << ((hashed >> np.uint64(18)) & six))
    )


@compiled()
def fill_filter(rows: GraphRows, neighborhood: Neighborhood) -> None:
    """Set the bits of all edges."""
    n_words = np.uint64(len(neighborhood.words))
    for source in range(len(rows.offsets) - 1):
        for edge in range(rows.offsets[source], rows.offsets[source + 1]):
            target = rows.targets[edge]
            if neighborhood.is_symmetric and target < source:
                continue
            hashed = edge_hash(source, target, neighborhood.is_symmetric)
            neighborhood.words[word_of(hashed, n_words)] |= bits_of(hashed)


@compiled()
def are_neighbors(
    offsets: NDArray[np.int64],
    targets: NDArray[np.int32],
    is_symmetric: bool,
    source: int,
    target: int,
) -> bool:
    """Whether an edge leads from ``source`` to ``target``; the shorter row is searched."""
    if is_symmetric:
        n_from = offsets[source + 1] - offsets[source]
        if offsets[target + 1] - offsets[target] < n_from:
            return find_edge(offsets, targets, target, source) >= 0
    return find_edge(offsets, targets, source, target) >= 0


@compiled()
def may_be_neighbors(
    words: NDArray[np.uint64], is_symmetric: bool, source: int, target: int
) -> bool:
    """False if no edge leads from ``source`` to ``target``; nearly always true if one does not."""
    hashed = edge_hash(source, target, is_symmetric)
    bits = bits_of(hashed)
    return bool((words[word_of(hashed, np.uint64(len(words)))] & bits) == bits)
