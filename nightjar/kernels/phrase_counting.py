"""Loops for counting, scoring and joining phrases.

A candidate is a first word, a run of connector words (usually empty) and a last word. It is
represented by ``pair`` (uint64: id of the first word << 32 | id of the last one) and the ``node``
of its run in a tree of runs: node 0 is the empty run, and the child of a node for a connector word
is the run with that word appended. ``slot_keys`` (int64: node << 32 | connector word, -1 if free)
and ``slot_nodes`` (int32) are a hash table of these children, whose length is a power of two and at
least twice the number of nodes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled


@compiled()
def _mixed(key: np.uint64) -> np.uint64:
    """Spread the bits of ``key`` (the finalizer of SplitMix64, Steele et al. 2014)."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


@compiled()
def _child_slot(slot_keys: NDArray[np.int64], key: np.int64) -> np.int64:
    """The slot of the child ``key``, or the free slot for it."""
    mask = len(slot_keys) - 1
    slot = np.int64(_mixed(np.uint64(key)) & np.uint64(mask))
    while slot_keys[slot] != -1 and slot_keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled()
def find_candidates(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    is_connector: NDArray[np.bool_],
    pairs: NDArray[np.uint64],
    nodes: NDArray[np.int32],
) -> tuple[int, NDArray[np.int32], NDArray[np.int32]]:
    """Write the candidates of every sentence to ``pairs`` and ``nodes``, in order.

    Sentence i is ``ids[offsets[i]:offsets[i + 1]]``; ``is_connector`` is by id. Both outputs have
    room for one candidate per token. Returns the number of candidates, and for each node of the
    tree its parent and its last connector word (int32; node 0 has neither).
    """
    parents = np.zeros(64, np.int32)
    words = np.zeros(64, np.int32)
    slot_keys = np.full(128, -1, np.int64)
    slot_nodes = np.zeros(128, np.int32)
    n_nodes = 1
    n = 0
    for sentence in range(len(offsets) - 1):
        first = np.int64(-1)
        node = np.int64(0)
        for position in range(offsets[sentence], offsets[sentence + 1]):
            word = ids[position]
            if not is_connector[word]:
                if first >= 0:
                    pairs[n] = (np.uint64(first) << np.uint64(32)) | np.uint64(word)
                    nodes[n] = node
                    n += 1
                first = np.int64(word)
                node = np.int64(0)
            elif first >= 0:
                key = (node << 32) | np.int64(word)
                slot = _child_slot(slot_keys, key)
                if slot_keys[slot] == key:
                    node = np.int64(slot_nodes[slot])
                    continue
                if n_nodes == len(parents):
                    parents = np.concatenate((parents, np.zeros(n_nodes, np.int32)))
                    words = np.concatenate((words, np.zeros(n_nodes, np.int32)))
                    slot_keys, slot_nodes = child_slots(parents[:n_nodes], words, 4 * n_nodes)
                    slot = _child_slot(slot_keys, key)
                parents[n_nodes] = node
                words[n_nodes] = word
                slot_keys[slot] = key
                slot_nodes[slot] = n_nodes
                node = np.int64(n_nodes)
                n_nodes += 1
    return n, parents[:n_nodes], words[:n_nodes]


@compiled()
def child_slots(
    parents: NDArray[np.int32], words: NDArray[np.int32], n_slots: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The hash table of the children of a tree; ``n_slots`` is a power of two."""
    slot_keys = np.full(n_slots, -1, np.int64)
    slot_nodes = np.zeros(n_slots, np.int32)
    for node in range(1, len(parents)):
        key = (np.int64(parents[node]) << 32) | np.int64(words[node])
        slot = _child_slot(slot_keys, key)
        slot_keys[slot] = key
        slot_nodes[slot] = node
    return slot_keys, slot_nodes


@compiled()
def group_by_run(
    pairs: NDArray[np.uint64],
    nodes: NDArray[np.int32],
    rank_of_node: NDArray[np.int64],
    bounds: NDArray[np.int64],
    grouped: NDArray[np.uint64],
) -> None:
    """Write ``pairs`` to ``grouped``, grouped by run, with runs ordered by rank.

    The pairs of rank r will be ``grouped[bounds[r]:bounds[r + 1]]``; ``bounds`` is initially zeros,
    one more than there are ranks.
    """
    for node in nodes:
        bounds[rank_of_node[node] + 1] += 1
    for rank in range(len(bounds) - 1):
        bounds[rank + 1] += bounds[rank]
    ends = bounds[:-1].copy()
    for index in range(len(pairs)):
        rank = rank_of_node[nodes[index]]
        grouped[ends[rank]] = pairs[index]
        ends[rank] += 1


@compiled()
def count_equal(
    pairs: NDArray[np.uint64], bounds: NDArray[np.int64], counts: NDArray[np.int64]
) -> int:
    """Deduplicate the sorted ``pairs`` of each run, and write how often each occurred.

    Returns how many are left; ``bounds`` is updated to match.
    """
    n = 0
    start = bounds[0]
    for rank in range(len(bounds) - 1):
        end = bounds[rank + 1]
        bounds[rank] = n
        position = start
        while position < end:
            pair = pairs[position]
            count = 1
            position += 1
            while position < end and pairs[position] == pair:
                count += 1
                position += 1
            pairs[n] = pair
            counts[n] = count
            n += 1
        start = end
    bounds[len(bounds) - 1] = n
    return n


@compiled()
def merge_runs(
    spans: NDArray[np.int64],
    pairs: NDArray[np.uint64],
    counts: NDArray[np.int64],
    other_pairs: NDArray[np.uint64],
    other_counts: NDArray[np.int64],
    starts: NDArray[np.int64],
    merged_pairs: NDArray[np.uint64],
    merged_counts: NDArray[np.int64],
) -> None:
    """Merge two sorted tables of counts run by run, adding the counts of equal pairs.

    ``spans`` (n, 4): start and end of each run in the first table and in the second. ``starts`` (n
    + 1) gets the start of each run in the merged table.
    """
    n = 0
    for rank in range(len(spans)):
        starts[rank] = n
        here, end, there, other_end = spans[rank]
        while here < end and there < other_end:
            if pairs[here] < other_pairs[there]:
                merged_pairs[n], merged_counts[n] = pairs[here], counts[here]
                here += 1
            elif pairs[here] > other_pairs[there]:
                merged_pairs[n], merged_counts[n] = other_pairs[there], other_counts[there]
                there += 1
            else:
                merged_pairs[n] = pairs[here]
                merged_counts[n] = counts[here] + other_counts[there]
                here += 1
                there += 1
            n += 1
        for index in range(here, end):
            merged_pairs[n], merged_counts[n] = pairs[index], counts[index]
            n += 1
        for index in range(there, other_end):
            merged_pairs[n], merged_counts[n] = other_pairs[index], other_counts[index]
            n += 1
    starts[len(spans)] = n


@compiled()
def score_pairs(
    pairs: NDArray[np.uint64],
    counts: NDArray[np.int64],
    word_counts: NDArray[np.int64],
    n_types: int,
    n_tokens: int,
    min_count: int,
    is_npmi: bool,
    scores: NDArray[np.float64],
) -> None:
    """Score each pair; minus infinity for fewer than ``min_count`` with NPMI.

    By default ``(count - min_count) / (count(a) count(b)) * n_types``: Mikolov et al. 2013,
    equation 6, times the number of types as in word2phrase. With ``is_npmi``
    ``ln(p(a, b) / (p(a) p(b))) / -ln p(a, b)``: Bouma 2009, equation 8. Both use gensim's order of
    operations, so that the last bits agree.
    """
    for index in range(len(pairs)):
        first = np.float64(word_counts[pairs[index] >> np.uint64(32)])
        last = np.float64(word_counts[pairs[index] & np.uint64(0xFFFFFFFF)])
        count = counts[index]
        if not is_npmi:
            scores[index] = np.float64(count - min_count) / (first * last) * n_types
        elif count >= min_count:
            share = count / n_tokens
            expected = (first / n_tokens) * (last / n_tokens)
            scores[index] = math.log(share / expected) / -math.log(share)
        else:
            scores[index] = -np.inf


@compiled()
def _pair_slot(
    slot_pairs: NDArray[np.uint64], slot_runs: NDArray[np.int32], pair: np.uint64, node: np.int64
) -> np.int64:
    """The slot of the phrase of ``pair`` and ``node``, or the free slot (run -1) for it."""
    mask = len(slot_pairs) - 1
    slot = np.int64(_mixed(pair ^ (np.uint64(node) << np.uint64(20))) & np.uint64(mask))
    while slot_runs[slot] != -1 and (slot_pairs[slot] != pair or slot_runs[slot] != node):
        slot = (slot + 1) & mask
    return slot


@compiled()
def fill_phrases(
    pairs: NDArray[np.uint64],
    nodes: NDArray[np.int32],
    joined: NDArray[np.int32],
    slot_pairs: NDArray[np.uint64],
    slot_runs: NDArray[np.int32],
    slot_joined: NDArray[np.int32],
) -> None:
    """Put phrases into a hash table whose length is a power of two.

    ``slot_runs`` is initially -1; the table is at least twice as long as there are phrases.
    """
    for index in range(len(pairs)):
        slot = _pair_slot(slot_pairs, slot_runs, pairs[index], np.int64(nodes[index]))
        slot_pairs[slot] = pairs[index]
        slot_runs[slot] = nodes[index]
        slot_joined[slot] = joined[index]


@compiled()
def join_phrases(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    roles: NDArray[np.uint8],
    slot_keys: NDArray[np.int64],
    slot_nodes: NDArray[np.int32],
    slot_pairs: NDArray[np.uint64],
    slot_runs: NDArray[np.int32],
    slot_joined: NDArray[np.int32],
    joined_ids: NDArray[np.int32],
    joined_offsets: NDArray[np.int64],
) -> int:
    """Write the sentences with phrases joined, left to right, without overlaps.

    ``roles`` by id: 1 for a connector word, 2 if a phrase starts with it, 4 if a phrase ends with
    it. ``joined_ids`` has room for as many tokens as there are. Returns how many were written.
    """
    n = 0
    for sentence in range(len(offsets) - 1):
        joined_offsets[sentence] = n
        end = offsets[sentence + 1]
        start = offsets[sentence]  # of the tokens not yet written
        first_role = 0  # of the word at `start`; 0 if nothing is pending
        node = np.int64(0)
        for position in range(start, end):
            role = roles[ids[position]]
            if role & 1:
                if first_role & 2 and node >= 0:
                    key = (node << 32) | np.int64(ids[position])
                    slot = _child_slot(slot_keys, key)
                    node = np.int64(slot_nodes[slot] if slot_keys[slot] == key else -1)
                continue
            if first_role & 2 and role & 4 and node >= 0:
                pair = (np.uint64(ids[start]) << np.uint64(32)) | np.uint64(ids[position])
                slot = _pair_slot(slot_pairs, slot_runs, pair, node)
                if slot_runs[slot] != -1:
                    joined_ids[n] = slot_joined[slot]
                    n += 1
                    start = position + 1
                    first_role = 0
                    node = np.int64(0)
                    continue
            for index in range(start, position):
                joined_ids[n] = ids[index]
                n += 1
            start = position
            first_role = role
            node = np.int64(0)
        for index in range(start, end):
            joined_ids[n] = ids[index]
            n += 1
    joined_offsets[len(offsets) - 1] = n
    return n


@compiled()
def hash_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    marked: NDArray[np.bool_],
    hashes: NDArray[np.uint64],
    powers: NDArray[np.uint64],
    is_marked: NDArray[np.bool_],
) -> None:
    """Hash texts so that the hash of a concatenation can be computed from those of its parts.

    Text i is ``data[offsets[i]:offsets[i + 1]]``. Its hash is a polynomial of its bytes modulo
    2**64: that of ``xy`` is ``hash(x) power(y) + hash(y)``. ``is_marked`` is set for texts with a
    byte for which ``marked`` (256) is set.
    """
    base = np.uint64(0x9E3779B97F4A7C15)
    for index in range(len(offsets) - 1):
        value = np.uint64(0)
        power = np.uint64(1)
        has_mark = False
        for position in range(offsets[index], offsets[index + 1]):
            value = value * base + np.uint64(data[position]) + np.uint64(1)
            power *= base
            has_mark |= marked[data[position]]
        hashes[index] = value
        powers[index] = power
        is_marked[index] = has_mark


@compiled()
def count_documents(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    is_first: NDArray[np.bool_],
    document: int,
    seen: NDArray[np.int64],
    counts: NDArray[np.int64],
    n_documents: NDArray[np.int64],
) -> int:
    """Add how often each id occurs to ``counts``, and in how many documents to ``n_documents``.

    Sentence i is ``ids[offsets[i]:offsets[i + 1]]`` and starts a document if ``is_first[i]``.
    ``seen`` has the last document with each id, numbered from 1; ``document`` is the last one so
    far, and the new last one is returned.
    """
    for sentence in range(len(offsets) - 1):
        if is_first[sentence]:
            document += 1
        for place in range(offsets[sentence], offsets[sentence + 1]):
            word = ids[place]
            counts[word] += 1
            if seen[word] != document:
                seen[word] = document
                n_documents[word] += 1
    return document
