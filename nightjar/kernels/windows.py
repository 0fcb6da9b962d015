"""Word2Vec over a span of sentences: skip-gram and CBOW (Mikolov et al. 2013).

Skip-gram predicts the centre from each word of its window. The centre's noise words are drawn once
and shared by its entire window (Ji et al. 2016, arXiv:1604.04661), so that two window words at a
time are multiplied with all of them in one small matrix product. The steps are those of
:mod:`.logistic_rows`, in this order: the groups of output rows of a centre, and within a group its
window from left to right, two rows at a time unless both are the same word. Each step sees the
updates of the previous one.

CBOW predicts the centre from the mean or the sum of its window. Its error is applied to every
window word: undivided for the mean, divided by their number for the sum, as in gensim.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined
from nightjar.kernels.logistic_rows import MAX_SLOTS, logistic_step
from nightjar.kernels.random_bits import below, bits, next_state
from nightjar.kernels.whole_rows import add_scaled_row, fetch_row


class Matrices(NamedTuple):
    """The learned parameters: float32 rows, padded with zeros to a multiple of 16 values."""

    inputs: NDArray[np.float32]
    """(n_words, width) and the threads' copies: the vectors."""
    noise_outputs: NDArray[np.float32]
    """The same shape: output rows of negative sampling; (0, width) without."""
    node_outputs: NDArray[np.float32]
    """(n_words - 1, width) and copies: rows of hierarchical softmax; (0, width) without."""


class Draws(NamedTuple):
    """The random draws and the window."""

    keep_limits: NDArray[np.uint64]
    """(n_words,): a token is kept when its 32 random bits are below the limit."""
    noise: NDArray[np.int32]
    """Noise words drawn in advance; their number is a power of 2."""
    window: np.uint64
    shrinks: bool
    """Whether a window's size is drawn from 1..window."""
    moves: NDArray[np.float32] = np.zeros(0, np.float32)
    """By row of the noise outputs, copies included, for kernels that hold outputs: 0 for a row that
    stays as it is, else 1."""
    is_past: bool = False
    """Whether a window has only the words before its centre, so that the past predicts the next."""


class Paths(NamedTuple):
    """The path of each word from the root of the Huffman tree; empty arrays without a tree."""

    offsets: NDArray[np.int64]
    """(n_words + 1,): the nodes of word w are ``nodes[offsets[w]:offsets[w + 1]]``."""
    nodes: NDArray[np.int32]
    signs: NDArray[np.float32]
    """+1 for code 0, -1 for code 1."""


class Rate(NamedTuple):
    """The learning rate: decreases by ``slope`` per token, sentence by sentence, to ``least``."""

    first: float
    slope: float
    least: float


class Replica(NamedTuple):
    """A thread's own copies of the rows of the most frequent words and of nodes near the root.

    When two threads write the same rows, these move between the caches of two cores most of the
    time. So a thread works on copies of the ``n_rows`` busiest rows of each matrix, which follow
    all rows in the same matrix. Every EXCHANGE_TOKENS it adds its changes to the shared rows and
    copies those again. A single thread needs no copies.
    """

    worker: int
    """The worker's number, from 0: its copies follow those of earlier workers."""
    n_inputs: int
    n_words: int
    n_nodes: int
    """Rows of each matrix before all copies."""
    inputs_before: NDArray[np.float32]
    noise_outputs_before: NDArray[np.float32]
    node_outputs_before: NDArray[np.float32]
    """(n_rows, width): the copies at the last exchange; no rows if there are none."""


class Scratch(NamedTuple):
    """Scratch memory for a span; reused for each of a thread's spans."""

    kept: NDArray[np.int32]
    """As long as the longest sentence."""
    window: NDArray[np.int64]
    """(2 * window,)"""
    slots: NDArray[np.int64]
    signs: NDArray[np.float32]
    weights: NDArray[np.float32]
    moves: NDArray[np.float32]
    """(8,) each."""
    hidden: NDArray[np.float32]
    error: NDArray[np.float32]
    """(1, width) each."""
    losses: NDArray[np.float64]
    """(16,): losses are added to it; its sum is the loss of the span."""


EXCHANGE_TOKENS = 32_768
"""Tokens between exchanges of a thread's copies with the shared rows."""

SpanKernel = Callable[
    [
        NDArray[np.int32],
        NDArray[np.int64],
        Matrices,
        Draws,
        Paths,
        Rate,
        np.uint64,
        Replica,
        Scratch,
    ],
    int,
]
"""Trains on the sentences ``ids[offsets[s]:offsets[s + 1]]`` from that random state.

Returns the number of predictions: (word, centre) pairs for skip-gram, centres for CBOW.
"""


@compiled()
def keep_some(
    sentence: NDArray[np.int32],
    keep_limits: NDArray[np.uint64],
    state: np.uint64,
    kept: NDArray[np.int32],
) -> tuple[int, np.uint64]:
    """Subsampling: copy the tokens to keep to ``kept``; returns their number and the next state."""
    n_kept = 0
    for token in sentence:
        state = next_state(state)
        kept[n_kept] = token
        n_kept += int(bits(state) < keep_limits[token])
    return n_kept, state


@compiled()
def exchange_rows(
    matrix: NDArray[np.float32],
    first: int,
    first_copy: int,
    before: NDArray[np.float32],
    is_start: bool,
) -> None:
    """Add the change of the copies since ``before`` to the shared rows, and copy those again.

    At the start of a span there is no change yet.
    """
    for row in range(before.shape[0]):
        shared, copy, old = matrix[first + row], matrix[first_copy + row], before[row]
        for i in range(old.shape[0]):
            value = shared[i] if is_start else shared[i] + (copy[i] - old[i])
            shared[i] = value
            copy[i] = value
            old[i] = value


@compiled()
def exchange(matrices: Matrices, replica: Replica, is_start: bool) -> None:
    """Exchange the copies of all matrices."""
    before = replica.inputs_before
    exchange_rows(matrices.inputs, 0, first_input_copy(replica), before, is_start)
    before = replica.noise_outputs_before
    exchange_rows(matrices.noise_outputs, 0, first_output_copy(replica), before, is_start)
    before = replica.node_outputs_before
    first = replica.n_nodes - before.shape[0]
    exchange_rows(matrices.node_outputs, first, first_node_copy(replica), before, is_start)


@compiled()
def first_input_copy(replica: Replica) -> int:
    """The copy of input row 0."""
    return int(replica.n_inputs + replica.worker * replica.inputs_before.shape[0])


@compiled()
def first_output_copy(replica: Replica) -> int:
    """The copy of output row 0."""
    return int(replica.n_words + replica.worker * replica.noise_outputs_before.shape[0])


@compiled()
def first_node_copy(replica: Replica) -> int:
    """The copy of the first node that has one."""
    return int(replica.n_nodes + replica.worker * replica.node_outputs_before.shape[0])


@compiled()
def input_row_of(row: int, replica: Replica) -> int:
    """An input row, or its copy if it is one of the busiest, which come first."""
    is_copied = row < replica.inputs_before.shape[0]
    return row + first_input_copy(replica) if is_copied else row


@compiled()
def output_row_of(word: int, replica: Replica) -> int:
    """A word's output row, or its copy if it is among the most frequent, which come first."""
    is_copied = word < replica.noise_outputs_before.shape[0]
    return word + first_output_copy(replica) if is_copied else word


@compiled()
def node_row_of(node: int, replica: Replica) -> int:
    """A node's row, or its copy if it is among those nearest to the root, which come last."""
    first = replica.n_nodes - replica.node_outputs_before.shape[0]
    return node - first + first_node_copy(replica) if node >= first else node


@compiled()
def fill_window(
    kept: NDArray[np.int32],
    n_kept: int,
    centre: int,
    size: int,
    replica: Replica,
    window: NDArray[np.int64],
) -> int:
    """Fill in the rows of up to ``size`` words on each side of ``centre``; returns their number."""
    n = 0
    for position in range(max(0, centre - size), centre):
        window[n] = input_row_of(int(kept[position]), replica)
        n += 1
    for position in range(centre + 1, min(n_kept, centre + size + 1)):
        window[n] = input_row_of(int(kept[position]), replica)
        n += 1
    return n


@compiled()
def sight(draws: Draws, position: int, n_kept: int) -> int:
    """How many of the kept words may be in the window of the centre at ``position``."""
    return position + 1 if draws.is_past else n_kept


@compiled()
def fill_noise_slots(
    centre: int,
    first: int,
    n_slots: int,
    n_negative: int,
    noise: NDArray[np.int32],
    cursor: int,
    replica: Replica,
    scratch: Scratch,
) -> int:
    """Fill the slots with outputs ``first``.. of row ``centre`` (0) and its noise words (1..).

    A noise word equal to the centre is ignored; one drawn twice gets weight 2 in one slot. Unused
    slots repeat slot 0 with weight 0. Returns the next cursor into ``noise``.
    """
    slots, signs, weights = scratch.slots, scratch.signs, scratch.weights
    for k in range(n_slots):
        output = first + k
        signs[k] = -1.0
        weights[k] = 0.0
        slots[k] = slots[0]
        if output == 0:
            slots[k] = centre
            signs[k] = 1.0
            weights[k] = 1.0
        elif output <= n_negative:
            word = output_row_of(int(noise[cursor]), replica)
            cursor = (cursor + 1) & (noise.shape[0] - 1)
            is_new = word != centre
            for j in range(k):
                if slots[j] == word and weights[j] > 0.0 and is_new:
                    weights[j] += 1.0
                    is_new = False
            if is_new:
                weights[k] = 1.0
            if is_new or k == 0:
                slots[k] = word
    return cursor


@inlined
def fill_moves(draws: Draws, scratch: Scratch, n_slots: int, holds: int) -> None:
    """Fill in how far the row of each slot may move."""
    if holds:
        for k in range(n_slots):
            scratch.moves[k] = draws.moves[scratch.slots[k]]


@compiled()
def fill_path_slots(paths: Paths, first: int, end: int, replica: Replica, scratch: Scratch) -> None:
    """Fill the slots with the nodes ``first``.. (before ``end``) of a path."""
    for k in range(MAX_SLOTS):
        is_node = first + k < end
        node = first + k if is_node else first
        scratch.slots[k] = node_row_of(int(paths.nodes[node]), replica)
        scratch.signs[k] = paths.signs[node]
        scratch.weights[k] = 1.0 if is_node else 0.0


@compiled()
def window_size(draws: Draws, state: np.uint64) -> int:
    """The size of a window from a random state."""
    return below(state, draws.window) + 1 if draws.shrinks else int(draws.window)


@inlined
def fetch_ahead(
    matrices: Matrices,
    draws: Draws,
    replica: Replica,
    kept: NDArray[np.int32],
    n_kept: int,
    position: int,
    cursor: int,
    n_negative: int,
    n_chunks: int,
) -> None:
    """Prefetch the additional rows for the next centre."""
    in_window = int(kept[min(position + 1 + int(draws.window), n_kept - 1)])
    fetch_row(matrices.inputs, input_row_of(in_window, replica), n_chunks)
    if n_negative:
        centre = int(kept[min(position + 1, n_kept - 1)])
        fetch_row(matrices.noise_outputs, output_row_of(centre, replica), n_chunks)
        for output in range(min(n_negative, MAX_SLOTS)):
            word = draws.noise[(cursor + n_negative + output) & (draws.noise.shape[0] - 1)]
            fetch_row(matrices.noise_outputs, output_row_of(int(word), replica), n_chunks)


@inlined
def step_window(
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    n_window: int,
    rate: np.float32,
    scratch: Scratch,
    n_slots: int,
    n_chunks: int,
    holds: int,
) -> None:
    """Step the rows of the window, two at a time, with the rows in the slots."""
    window, losses, moves = scratch.window, scratch.losses, scratch.moves
    slots, signs, weights = scratch.slots, scratch.signs, scratch.weights
    i = 0
    while i < n_window:
        a = window[i]
        b = window[min(i + 1, n_window - 1)]
        if a != b:
            logistic_step(
                inputs, inputs, a, b, outputs, slots, signs, weights, moves, rate, losses,
                2, n_slots, n_chunks, holds,
            )  # fmt: skip
            i += 2
        else:
            logistic_step(
                inputs, inputs, a, a, outputs, slots, signs, weights, moves, rate, losses,
                1, n_slots, n_chunks, holds,
            )  # fmt: skip
            i += 1


@inlined
def step_hidden(
    hidden: NDArray[np.float32],
    outputs: NDArray[np.float32],
    rate: np.float32,
    scratch: Scratch,
    n_slots: int,
    n_chunks: int,
    holds: int,
) -> None:
    """Step CBOW's hidden vector with the rows in the slots; accumulates its error."""
    logistic_step(
        hidden, scratch.error, 0, 0, outputs, scratch.slots, scratch.signs, scratch.weights,
        scratch.moves, rate, scratch.losses, 1, n_slots, n_chunks, holds,
    )  # fmt: skip


@inlined
def predict_from_window(
    inputs: NDArray[np.float32],
    word: int,
    n_window: int,
    matrices: Matrices,
    draws: Draws,
    paths: Paths,
    step: np.float32,
    cursor: int,
    replica: Replica,
    scratch: Scratch,
    has_paths: bool,
    n_negative: int,
    n_chunks: int,
    n_slots: int,
    holds: int,
) -> int:
    """Predict ``word`` from each row of the window; returns the next noise cursor."""
    if has_paths:
        end = paths.offsets[word + 1]
        for first in range(paths.offsets[word], end, MAX_SLOTS):
            fill_path_slots(paths, first, end, replica, scratch)
            step_window(
                inputs, matrices.node_outputs, n_window, step, scratch, MAX_SLOTS, n_chunks, 0
            )
    centre = output_row_of(word, replica)
    for first in range(0, 1 + n_negative if n_negative else 0, n_slots):
        cursor = fill_noise_slots(
            centre, first, n_slots, n_negative, draws.noise, cursor, replica, scratch
        )
        fill_moves(draws, scratch, n_slots, holds)
        step_window(
            inputs, matrices.noise_outputs, n_window, step, scratch, n_slots, n_chunks, holds
        )
    return cursor


@inlined
def predict_from_hidden(
    word: int,
    matrices: Matrices,
    draws: Draws,
    paths: Paths,
    step: np.float32,
    cursor: int,
    replica: Replica,
    scratch: Scratch,
    has_paths: bool,
    n_negative: int,
    n_chunks: int,
    n_slots: int,
    holds: int,
) -> int:
    """Predict ``word`` from the hidden vector; returns the next noise cursor."""
    hidden = scratch.hidden
    if has_paths:
        end = paths.offsets[word + 1]
        for first in range(paths.offsets[word], end, MAX_SLOTS):
            fill_path_slots(paths, first, end, replica, scratch)
            step_hidden(hidden, matrices.node_outputs, step, scratch, MAX_SLOTS, n_chunks, 0)
    centre = output_row_of(word, replica)
    for first in range(0, 1 + n_negative if n_negative else 0, n_slots):
        cursor = fill_noise_slots(
            centre, first, n_slots, n_negative, draws.noise, cursor, replica, scratch
        )
        fill_moves(draws, scratch, n_slots, holds)
        step_hidden(hidden, matrices.noise_outputs, step, scratch, n_slots, n_chunks, holds)
    return cursor


@inlined
def sum_window(
    inputs: NDArray[np.float32], n_window: int, scale: np.float32, scratch: Scratch, n_chunks: int
) -> None:
    """Set CBOW's hidden vector to ``scale`` times the sum of the window, and its error to 0."""
    scratch.hidden[:] = 0.0
    scratch.error[:] = 0.0
    for i in range(n_window):
        add_scaled_row(scratch.hidden, 0, inputs, scratch.window[i], scale, n_chunks)


@inlined
def move_window(
    inputs: NDArray[np.float32], n_window: int, scale: np.float32, scratch: Scratch, n_chunks: int
) -> None:
    """Add ``scale`` times the error of the hidden vector to each word of the window."""
    for i in range(n_window):
        add_scaled_row(inputs, scratch.window[i], scratch.error, 0, scale, n_chunks)


def group_slots(n_outputs: int) -> int:
    """Number of slots per group when ``n_outputs`` output rows are split evenly."""
    n_groups = -(-n_outputs // MAX_SLOTS)
    return -(-n_outputs // n_groups)


def skipgram_kernel(
    n_chunks: int, n_negative: int, has_paths: bool, holds_outputs: bool = False
) -> SpanKernel:
    """Skip-gram for rows of ``16 * n_chunks`` values, compiled for these four values.

    With ``holds_outputs``, noise outputs move as :attr:`Draws.moves` says.
    """
    n_slots = group_slots(1 + n_negative)
    holds = int(holds_outputs)

    @compiled()
    def train_span(
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        matrices: Matrices,
        draws: Draws,
        paths: Paths,
        rate: Rate,
        state: np.uint64,
        replica: Replica,
        scratch: Scratch,
    ) -> int:
        kept, window = scratch.kept, scratch.window
        cursor = below(state, np.uint64(draws.noise.shape[0]))
        n_predictions = 0
        n_since_exchange = 0
        exchange(matrices, replica, True)
        for s in range(offsets.shape[0] - 1):
            start, stop = offsets[s], offsets[s + 1]
            if stop - start < 2:
                continue
            n_since_exchange += stop - start
            if n_since_exchange > EXCHANGE_TOKENS:
                exchange(matrices, replica, False)
                n_since_exchange = 0
            n_kept, state = keep_some(ids[start:stop], draws.keep_limits, state, kept)
            step = np.float32(max(rate.least, rate.first - rate.slope * (start - offsets[0])))
            for position in range(n_kept):
                state = next_state(state)
                n_seen = sight(draws, position, n_kept)
                n_window = fill_window(
                    kept, n_seen, position, window_size(draws, state), replica, window
                )
                if n_window == 0:
                    continue
                fetch_ahead(
                    matrices, draws, replica, kept, n_kept, position, cursor, n_negative, n_chunks
                )
                n_predictions += n_window
                cursor = predict_from_window(
                    matrices.inputs, int(kept[position]), n_window, matrices, draws, paths, step,
                    cursor, replica, scratch, has_paths, n_negative, n_chunks, n_slots, holds,
                )  # fmt: skip
        exchange(matrices, replica, False)
        return n_predictions

    return train_span


def cbow_kernel(
    n_chunks: int, n_negative: int, has_paths: bool, is_mean: bool, holds_outputs: bool = False
) -> SpanKernel:
    """CBOW for rows of ``16 * n_chunks`` values, compiled for these five values.

    With ``holds_outputs``, noise outputs move as :attr:`Draws.moves` says.
    """
    n_slots = group_slots(1 + n_negative)
    holds = int(holds_outputs)

    @compiled()
    def train_span(
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        matrices: Matrices,
        draws: Draws,
        paths: Paths,
        rate: Rate,
        state: np.uint64,
        replica: Replica,
        scratch: Scratch,
    ) -> int:
        kept, window = scratch.kept, scratch.window
        cursor = below(state, np.uint64(draws.noise.shape[0]))
        one = np.float32(1.0)
        n_predictions = 0
        n_since_exchange = 0
        exchange(matrices, replica, True)
        for s in range(offsets.shape[0] - 1):
            start, stop = offsets[s], offsets[s + 1]
            if stop - start < 2:
                continue
            n_since_exchange += stop - start
            if n_since_exchange > EXCHANGE_TOKENS:
                exchange(matrices, replica, False)
                n_since_exchange = 0
            n_kept, state = keep_some(ids[start:stop], draws.keep_limits, state, kept)
            step = np.float32(max(rate.least, rate.first - rate.slope * (start - offsets[0])))
            for position in range(n_kept):
                state = next_state(state)
                n_seen = sight(draws, position, n_kept)
                n_window = fill_window(
                    kept, n_seen, position, window_size(draws, state), replica, window
                )
                if n_window == 0:
                    continue
                fetch_ahead(
                    matrices, draws, replica, kept, n_kept, position, cursor, n_negative, n_chunks
                )
                n_predictions += 1
                share = np.float32(1.0 / n_window)
                scale = share if is_mean else one
                sum_window(matrices.inputs, n_window, scale, scratch, n_chunks)
                cursor = predict_from_hidden(
                    int(kept[position]), matrices, draws, paths, step, cursor, replica, scratch,
                    has_paths, n_negative, n_chunks, n_slots, holds,
                )  # fmt: skip
                scale = one if is_mean else share
                move_window(matrices.inputs, n_window, scale, scratch, n_chunks)
        exchange(matrices, replica, False)
        return n_predictions

    return train_span
