"""For the output layers: noise words of negative sampling, and the Huffman tree."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.random_bits import shuffle

NOISE_WORDS = 1 << 22
"""Noise words drawn in advance: 16 MiB."""


def draw_noise(
    counts: NDArray[np.int64],
    exponent: float,
    generator: np.random.Generator,
    n_draws: int = NOISE_WORDS,
) -> NDArray[np.int32]:
    """Draw ``n_draws`` words with probability proportional to count ** exponent, shuffled.

    A word with count 0 is never drawn. Systematic sampling: a word appears as often as expected,
    give or take one.
    """
    occurring = np.flatnonzero(counts)
    weights = np.zeros(len(counts))
    weights[occurring] = np.power(counts[occurring].astype(np.float64), exponent)
    ends = np.cumsum(weights / weights.sum()) * n_draws
    # Number of points i + u (with one u for all) below each word's end.
    n_until = np.clip(np.ceil(ends - generator.random()), 0, n_draws).astype(np.int64)
    n_until[occurring[-1] :] = n_draws
    noise = np.repeat(np.arange(len(counts), dtype=np.int32), np.diff(n_until, prepend=0))
    shuffle(noise, generator.integers(2**64, dtype=np.uint64))
    return noise


@dataclass(frozen=True, eq=False)
class HuffmanPaths:
    """The path of each word from the root; inner nodes are numbered in order of creation.

    The path of word w is ``nodes[offsets[w]:offsets[w + 1]]``, int32, with ``signs`` float32: +1
    for code 0, to the rarer child, and -1 for code 1. ``offsets`` is int64.
    """

    offsets: NDArray[np.int64]
    nodes: NDArray[np.int32]
    signs: NDArray[np.float32]


class _Tree:
    """A tree, ordered in a heap by its count alone, so that ties break as in gensim."""

    __slots__ = ("count", "node")

    def __init__(self, count: int, node: int) -> None:
        self.count = count
        self.node = node

    def __lt__(self, other: _Tree) -> bool:
        return self.count < other.count


def huffman_paths(counts: NDArray[np.int64]) -> HuffmanPaths:
    """The tree of at least two words with these ``counts``, as in gensim, including ties."""
    n_words = len(counts)
    parents = np.zeros(2 * n_words - 1, np.int64)
    codes = np.zeros(2 * n_words - 1, np.int8)
    heap = [_Tree(count, word) for word, count in enumerate(counts.tolist())]
    heapq.heapify(heap)
    for made in range(n_words, 2 * n_words - 1):
        rarest, next_rarest = heapq.heappop(heap), heapq.heappop(heap)
        parents[rarest.node] = parents[next_rarest.node] = made
        codes[next_rarest.node] = 1
        heapq.heappush(heap, _Tree(rarest.count + next_rarest.count, made))
    return _paths(n_words, parents, codes)


def _paths(n_words: int, parents: NDArray[np.int64], codes: NDArray[np.int8]) -> HuffmanPaths:
    """Climb from all words at once, one level per step."""
    root = len(parents) - 1
    depths = np.zeros(len(parents), np.int64)
    for node in range(root - 1, -1, -1):
        depths[node] = depths[parents[node]] + 1
    offsets = np.concatenate(([0], np.cumsum(depths[:n_words])))
    nodes = np.empty(offsets[-1], np.int32)
    signs = np.empty(offsets[-1], np.float32)
    current, positions = np.arange(n_words), offsets[1:] - 1
    while len(current):
        nodes[positions] = parents[current] - n_words
        signs[positions] = 1 - 2 * codes[current]
        current = parents[current]
        is_below_root = current != root
        current, positions = current[is_below_root], positions[is_below_root] - 1
    return HuffmanPaths(offsets, nodes, signs)
