"""Random walks whose next node depends on the last two (node2vec), without tables of transitions.

From node v, reached from t, the edge to x is taken with a probability proportional to its weight
times 1/p if x = t, 1 if an edge leads from t to x, else 1/q (Grover and Leskovec, "node2vec:
scalable feature learning for networks", 2016, arXiv:1607.00653, section 3.2.2).

An edge is drawn by weight and then accepted or not: a coin below the larger of 1 and 1/q decides.
As in KnightKing (Yang et al., "KnightKing: a fast distributed graph random walk engine", SOSP 2019,
section 4), a coin below the smaller of the two accepts without asking whether t and x are
neighbours, and when 1/p is the largest, what stands out of the way back is a choice of its own, so
it does not lower the acceptance of the others. A filter answers for most pairs that are no
neighbours. After as many rejections as v has edges, the exact probabilities of all edges are added
up, so a step is bounded whatever p and q are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled
from nightjar.kernels.counted_draws import GAMMA, LOWER_BITS, UPPER, mixed
from nightjar.kernels.graph_rows import (
    GraphRows,
    Neighborhood,
    Weights,
    are_neighbors,
    bits_of,
    edge_hash,
    find_edge,
    may_be_neighbors,
    word_of,
)

_AT_ONCE = 128
"""Walks side by side: a step waits for memory, and the waits of different walks overlap."""
_ALL = 4294967296.0
"""One, as a number of 32-bit coins."""
_ANY_COIN = np.uint64(1 << 32)
_LEAST_TRIALS = 16


class Bias(NamedTuple):
    """How p and q shape a step: what an edge is worth, and which coins accept it.

    Thresholds are numbers of 32-bit coins. ``excess`` is what 1/p has above the larger of 1 and
    1/q (0 if it is not the largest).
    """

    back: float
    near: float
    far: float
    largest: float
    excess: float
    accept_back: np.uint64
    accept_near: np.uint64
    accept_far: np.uint64


@compiled()
def bias_of(p: float, q: float) -> Bias:
    """The bias of node2vec's p and q."""
    back, near, far = 1.0 / p, 1.0, 1.0 / q
    largest = max(near, far)
    return Bias(
        back,
        near,
        far,
        largest,
        max(back - largest, 0.0),
        np.uint64(_ALL * min(back / largest, 1.0)),
        np.uint64(_ALL * (near / largest)),
        np.uint64(_ALL * (far / largest)),
    )


class _Slots(NamedTuple):
    """What is known of the walks that are under way, each in a slot; all of shape (_AT_ONCE,)."""

    walk: NDArray[np.int64]
    step: NDArray[np.int64]
    before: NDArray[np.int32]
    """The node before the current one; -1 at the start."""
    current: NDArray[np.int32]
    begin: NDArray[np.int64]
    size: NDArray[np.uint64]
    """Where the row of the current node begins, and its edges."""
    way_back: NDArray[np.uint64]
    """Coins that go back at once."""
    trials: NDArray[np.int64]
    edge: NDArray[np.int64]
    coin: NDArray[np.uint64]
    node: NDArray[np.int32]
    """The edge that was drawn, whether to take its alias, and the node there."""
    verdict: NDArray[np.bool_]
    chosen: NDArray[np.int64]
    """Scratch: slots that are unsure, then those that made a step."""
    hashed: NDArray[np.uint64]


@compiled()
def walk_second_order(
    rows: GraphRows,
    weights: Weights,
    neighborhood: Neighborhood,
    bias: Bias,
    starts: NDArray[np.int32],
    states: NDArray[np.uint64],
    walks: NDArray[np.int32],
) -> None:
    """Fill ``walks`` (n_walks, length) as :func:`.first_order_walks.walk_first_order` does.

    ``neighborhood`` holds the edges of ``rows``. Where a walk ended early, its row ends with -1.
    """
    slots = _Slots(
        np.empty(_AT_ONCE, np.int64),
        np.empty(_AT_ONCE, np.int64),
        np.empty(_AT_ONCE, np.int32),
        np.empty(_AT_ONCE, np.int32),
        np.empty(_AT_ONCE, np.int64),
        np.empty(_AT_ONCE, np.uint64),
        np.empty(_AT_ONCE, np.uint64),
        np.empty(_AT_ONCE, np.int64),
        np.empty(_AT_ONCE, np.int64),
        np.empty(_AT_ONCE, np.uint64),
        np.empty(_AT_ONCE, np.int32),
        np.empty(_AT_ONCE, np.bool_),
        np.empty(_AT_ONCE, np.int64),
        np.empty(_AT_ONCE, np.uint64),
    )
    n_active, n_started = 0, 0
    while True:
        n_active, n_started = _start(rows, starts, walks, slots, n_active, n_started)
        if n_active == 0:
            return
        _draw(rows, weights, states, slots, n_active)
        n_unsure = _decide(bias, neighborhood, states, slots, n_active)
        _ask(rows, neighborhood, bias, slots, n_unsure)
        n_moved = _accept(rows, weights, neighborhood, bias, states, slots, n_active)
        _move(rows, weights, neighborhood, bias, walks, slots, n_moved)
        n_active = _leave(walks.shape[1], slots, n_moved, n_active)


@compiled()
def _start(
    rows: GraphRows,
    starts: NDArray[np.int32],
    walks: NDArray[np.int32],
    slots: _Slots,
    n_active: int,
    n_started: int,
) -> tuple[int, int]:
    """Let the next walks take the empty slots; those that cannot make a step end at once."""
    while n_active < _AT_ONCE and n_started < len(starts):
        node = starts[n_started]
        walks[n_started, 0] = node
        walks[n_started, 1:] = -1
        size = rows.offsets[node + 1] - rows.offsets[node]
        if size > 0 and walks.shape[1] > 1:
            slots.walk[n_active] = n_started
            slots.step[n_active] = 1
            slots.before[n_active] = -1
            slots.current[n_active] = node
            slots.begin[n_active] = rows.offsets[node]
            slots.size[n_active] = np.uint64(size)
            slots.way_back[n_active] = _ANY_COIN
            slots.trials[n_active] = 0
            n_active += 1
        n_started += 1
    return n_active, n_started


@compiled()
def _draw(
    rows: GraphRows, weights: Weights, states: NDArray[np.uint64], slots: _Slots, n_active: int
) -> None:
    """Draw an edge by weight in each slot."""
    for slot in range(n_active):
        walk = slots.walk[slot]
        states[walk] += GAMMA
        drawn = mixed(states[walk])
        place = np.int64(((drawn >> UPPER) * slots.size[slot]) >> UPPER)
        slots.edge[slot] = slots.begin[slot] + place
        slots.coin[slot] = drawn & LOWER_BITS
    if len(weights.thresholds) > 0:
        for slot in range(n_active):
            edge = slots.edge[slot]
            is_alias = slots.coin[slot] >= np.uint64(weights.thresholds[edge])
            slots.node[slot] = weights.others[edge] if is_alias else rows.targets[edge]
    else:
        for slot in range(n_active):
            slots.node[slot] = rows.targets[slots.edge[slot]]


@compiled()
def _decide(
    bias: Bias,
    neighborhood: Neighborhood,
    states: NDArray[np.uint64],
    slots: _Slots,
    n_active: int,
) -> int:
    """Accept or reject what does not depend on neighbours; returns how many slots are unsure."""
    surely = min(bias.accept_near, bias.accept_far)
    perhaps = max(bias.accept_near, bias.accept_far)
    n_unsure = 0
    for slot in range(n_active):
        walk = slots.walk[slot]
        states[walk] += GAMMA
        drawn = mixed(states[walk])
        coin = drawn >> UPPER
        before, node = slots.before[slot], slots.node[slot]
        # Few branches, since none can be foreseen. At the start every coin accepts what was drawn.
        is_free = (drawn & LOWER_BITS) < slots.way_back[slot]
        node = before if is_free and before >= 0 else node
        is_back = node == before
        is_sure = is_free | (coin < (bias.accept_back if is_back else surely))
        is_unsure = (not is_sure) & (not is_back) & (coin < perhaps)
        slots.node[slot] = node
        slots.verdict[slot] = is_sure
        slots.chosen[n_unsure] = slot
        slots.hashed[n_unsure] = edge_hash(before, node, neighborhood.is_symmetric)
        n_unsure += int(is_unsure)
    return n_unsure


@compiled()
def _ask(
    rows: GraphRows, neighborhood: Neighborhood, bias: Bias, slots: _Slots, n_unsure: int
) -> None:
    """Ask the filter for the unsure slots, then search where it does not rule out an edge."""
    is_near_better = bias.accept_near > bias.accept_far
    n_words = np.uint64(len(neighborhood.words))
    n_left = 0
    for place in range(n_unsure):
        slot, hashed = slots.chosen[place], slots.hashed[place]
        bits = bits_of(hashed)
        may_be_near = (neighborhood.words[word_of(hashed, n_words)] & bits) == bits
        slots.verdict[slot] = not is_near_better
        slots.chosen[n_left] = slot
        n_left += int(may_be_near)
    offsets, targets = rows.offsets, rows.targets
    is_symmetric = neighborhood.is_symmetric
    for place in range(n_left):
        slot = slots.chosen[place]
        before, node = slots.before[slot], slots.node[slot]
        is_near = are_neighbors(offsets, targets, is_symmetric, before, node)
        slots.verdict[slot] = is_near == is_near_better


@compiled()
def _accept(
    rows: GraphRows,
    weights: Weights,
    neighborhood: Neighborhood,
    bias: Bias,
    states: NDArray[np.uint64],
    slots: _Slots,
    n_active: int,
) -> int:
    """Fill ``chosen`` with the slots that make a step; returns their number.

    After many rejections the step is drawn from exact probabilities.
    """
    n_moved = 0
    for slot in range(n_active):
        n_trials = slots.trials[slot] + 1
        slots.trials[slot] = n_trials
        is_long = n_trials > _LEAST_TRIALS and n_trials > np.int64(slots.size[slot])
        if is_long and not slots.verdict[slot]:
            walk = slots.walk[slot]
            states[walk] += GAMMA
            slots.node[slot] = _drawn_exactly(
                rows,
                weights,
                neighborhood,
                bias,
                slots.before[slot],
                slots.current[slot],
                mixed(states[walk]),
            )
            slots.verdict[slot] = True
        slots.chosen[n_moved] = slot
        n_moved += int(slots.verdict[slot])
    return n_moved


@compiled()
def _move(
    rows: GraphRows,
    weights: Weights,
    neighborhood: Neighborhood,
    bias: Bias,
    walks: NDArray[np.int32],
    slots: _Slots,
    n_moved: int,
) -> None:
    """Let the slots in ``chosen`` make their step."""
    for place in range(n_moved):
        slot = slots.chosen[place]
        node = slots.node[slot]
        slots.begin[slot] = rows.offsets[node]
        slots.size[slot] = np.uint64(rows.offsets[node + 1] - rows.offsets[node])
    for place in range(n_moved):
        slot = slots.chosen[place]
        node = slots.node[slot]
        walks[slots.walk[slot], slots.step[slot]] = node
        slots.step[slot] += 1
        slots.before[slot] = slots.current[slot]
        slots.current[slot] = node
        slots.trials[slot] = 0
    if bias.excess > 0.0:
        if len(weights.thresholds) > 0:
            _weigh_ways_back(rows, weights, bias, slots, n_moved)
        else:
            _count_ways_back(rows, neighborhood, bias, slots, n_moved)
    else:
        for place in range(n_moved):
            slots.way_back[slots.chosen[place]] = np.uint64(0)


@compiled()
def _count_ways_back(
    rows: GraphRows, neighborhood: Neighborhood, bias: Bias, slots: _Slots, n_moved: int
) -> None:
    """Set ``way_back`` of the slots in ``chosen``, where every edge weighs the same.

    It is the share of the excess of the edge back in all that is drawn.
    """
    offsets, targets, words = rows.offsets, rows.targets, neighborhood.words
    for place in range(n_moved):
        slot = slots.chosen[place]
        share = bias.excess / (float(slots.size[slot]) * bias.largest + bias.excess)
        slots.way_back[slot] = np.uint64(_ALL * share)
    if not neighborhood.is_symmetric:
        for place in range(n_moved):
            slot = slots.chosen[place]
            before, current = slots.before[slot], slots.current[slot]
            is_edge = may_be_neighbors(words, False, current, before)
            if not is_edge or find_edge(offsets, targets, current, before) < 0:
                slots.way_back[slot] = np.uint64(0)


@compiled()
def _weigh_ways_back(
    rows: GraphRows, weights: Weights, bias: Bias, slots: _Slots, n_moved: int
) -> None:
    """Set ``way_back`` of the slots in ``chosen``, by the weights of the edges back."""
    offsets, targets = rows.offsets, rows.targets
    values, sums = weights.weights, weights.sums
    for place in range(n_moved):
        slot = slots.chosen[place]
        current = slots.current[slot]
        edge = find_edge(offsets, targets, current, slots.before[slot])
        share = 0.0
        if edge >= 0:
            excess = bias.excess * values[edge]
            share = excess / (sums[current] * bias.largest + excess)
        slots.way_back[slot] = np.uint64(_ALL * share)


@compiled()
def _leave(length: int, slots: _Slots, n_moved: int, n_active: int) -> int:
    """Free the slots of walks that have ended; returns how many are active."""
    # From the last one on, so that the slot that takes a free one's place was looked at.
    for place in range(n_moved - 1, -1, -1):
        slot = slots.chosen[place]
        if slots.step[slot] == length or slots.size[slot] == 0:
            n_active -= 1
            slots.walk[slot] = slots.walk[n_active]
            slots.step[slot] = slots.step[n_active]
            slots.before[slot] = slots.before[n_active]
            slots.current[slot] = slots.current[n_active]
            slots.begin[slot] = slots.begin[n_active]
            slots.size[slot] = slots.size[n_active]
            slots.way_back[slot] = slots.way_back[n_active]
            slots.trials[slot] = slots.trials[n_active]
    return n_active


@compiled()
def _drawn_exactly(
    rows: GraphRows,
    weights: Weights,
    neighborhood: Neighborhood,
    bias: Bias,
    before: int,
    current: int,
    drawn: np.uint64,
) -> int:
    """The next node, from the probabilities of all edges of ``current``."""
    begin, end = rows.offsets[current], rows.offsets[current + 1]
    total = 0.0
    for edge in range(begin, end):
        total += _worth(rows, weights, neighborhood, bias, before, edge)
    left = total * (float(drawn >> np.uint64(11)) / 9007199254740992.0)
    for edge in range(begin, end):
        left -= _worth(rows, weights, neighborhood, bias, before, edge)
        if left < 0.0:
            return int(rows.targets[edge])
    return int(rows.targets[end - 1])


@compiled()
def _worth(
    rows: GraphRows,
    weights: Weights,
    neighborhood: Neighborhood,
    bias: Bias,
    before: int,
    edge: int,
) -> float:
    """What an edge is worth to a walk that came from ``before``; not normalized."""
    node = rows.targets[edge]
    is_symmetric = neighborhood.is_symmetric
    weight = float(weights.weights[edge]) if len(weights.thresholds) > 0 else 1.0
    if node == before:
        return weight * bias.back
    if may_be_neighbors(neighborhood.words, is_symmetric, before, node) and are_neighbors(
        rows.offsets, rows.targets, is_symmetric, before, node
    ):
        return weight * bias.near
    return weight * bias.far
