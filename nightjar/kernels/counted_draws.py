"""Random numbers by counter: what a walk draws depends on its key alone.

A key becomes the state of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), which passes BigCrush and is cheap to start. So the same numbers are drawn for
any number of threads, for any order of the work, and on any machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined

GAMMA = np.uint64(0x9E3779B97F4A7C15)
UPPER = np.uint64(32)
LOWER_BITS = np.uint64(0xFFFFFFFF)
_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_ROUNDS = 4
"""Of the Feistel network: with fewer, orders of different rounds resemble each other."""


@inlined
def mixed(value: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64; the draw of a state."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled()
def hash_strings(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], hashes: NDArray[np.uint64]
) -> None:
    """Fill ``hashes`` (n,) for the strings ``data[offsets[i]:offsets[i + 1]]``.

    The hash is FNV-1a, mixed: it depends on the bytes of the string alone, tonight and next year.
    """
    for text in range(len(hashes)):
        hashed = _FNV_OFFSET
        for place in range(offsets[text], offsets[text + 1]):
            hashed = (hashed ^ np.uint64(data[place])) * _FNV_PRIME
        hashes[text] = mixed(hashed)


@compiled()
def place_in_order(position: np.uint64, size: np.uint64, key: np.uint64) -> np.uint64:
    """Which of ``size`` things stands at ``position`` in the random order that ``key`` names.

    A Feistel network permutes the numbers of an even number of bits; it is applied until the
    result is below ``size`` (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002,
    section 3), fewer than four times on average. No array of the order is needed.
    """
    half = np.uint64(1)
    while (size - np.uint64(1)) >> (half + half) > np.uint64(0):
        half += np.uint64(1)
    mask = (np.uint64(1) << half) - np.uint64(1)
    place = position
    while True:
        left, right = place >> half, place & mask
        for number in range(_ROUNDS):
            turned = mixed(key + GAMMA * np.uint64(number + 1) + right)
            left, right = right, left ^ (turned & mask)
        place = (left << half) | right
        if place < size:
            return place


@compiled()
def plan_walks(
    first: int,
    hashes: NDArray[np.uint64],
    seed: np.uint64,
    starts: NDArray[np.int32],
    states: NDArray[np.uint64],
) -> None:
    """The starts and states of the walks from number ``first`` on, as many as there is room for.

    ``hashes`` (n_nodes,) are those of the nodes' ids. Walks of a round start once at each node, in
    an order of its own; round r has the numbers from r * n_nodes on. What a walk draws depends on
    the seed, its round and the id where it starts, so a node that comes or goes elsewhere changes
    no other walk that does not meet it.
    """
    n_nodes = len(hashes)
    for row in range(len(starts)):
        number = np.uint64((first + row) // n_nodes)
        position = np.uint64((first + row) % n_nodes)
        key = mixed(seed * GAMMA + number + np.uint64(1))
        start = place_in_order(position, np.uint64(n_nodes), key)
        starts[row] = np.int32(start)
        states[row] = mixed(hashes[start] ^ key)
