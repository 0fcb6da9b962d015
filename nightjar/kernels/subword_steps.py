"""FastText over a span of sentences: words as the sum of their n-grams (Bojanowski et al. 2017).

A word is the mean of several input rows: its own and those of its character n-grams
(arXiv:1607.04606, section 3.2; with the mean as in the authors' program). Otherwise the steps are
those of :mod:`.windows`: noise words are shared by a window, and two window words are processed at
a time.

Reading and writing about 17 rows per word for each of its ten windows would be most of the work. So
a word gets a slot in a ring buffer when it enters its first window, with the sum of its rows; the
steps of all its windows update the slot; and when the word leaves its last window, the total update
is applied to its rows, once. That is exact as long as no other slot updates the same rows
meanwhile: the error of a word is applied undivided to each of its rows (as in fastText and gensim),
so the mean changes by the same amount as each row. Words that share rows and are in the ring at the
same time do not see each other's updates until then.

CBOW predicts the centre from the mean, or the sum, of all rows of all words of the window. Its
error is applied to every row: undivided for the mean, divided by their number for the sum, as in
gensim.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined
from nightjar.kernels.logistic_rows import MAX_SLOTS
from nightjar.kernels.random_bits import below, next_state
from nightjar.kernels.whole_rows import add_scaled_row, add_to_rows, fetch_row, sum_rows
from nightjar.kernels.windows import (
    Draws,
    Matrices,
    Paths,
    Rate,
    Replica,
    Scratch,
    exchange,
    first_input_copy,
    group_slots,
    keep_some,
    output_row_of,
    predict_from_hidden,
    predict_from_window,
    window_size,
)

EXCHANGE_TOKENS = 8_192
"""Tokens between exchanges of a worker's copies with the shared rows.

More often than for Word2Vec, because a busy n-gram is part of many words, and a word takes longer.
"""
FETCHED_AHEAD = 2
"""How many words before they enter the ring their rows are prefetched."""


class Subwords(NamedTuple):
    """The input rows of each word: its own and those of its n-grams."""

    offsets: NDArray[np.int64]
    """(n_words + 1,): the rows of word w are ``rows[offsets[w]:offsets[w + 1]]``, at least one."""
    rows: NDArray[np.int32]
    """The busier a row, the smaller its number."""


class Ring(NamedTuple):
    """The words in current windows, in slots position & (n_places - 1); one ring per worker."""

    values: NDArray[np.float32]
    """(n_places, width), a power of 2 above 2 * window: the means (skip-gram) or sums (CBOW)."""
    others: NDArray[np.float32]
    """The same shape: the means on entry, or the update to apply to each row."""


SubwordKernel = Callable[
    [
        Subwords,
        Ring,
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
"""As :data:`.windows.SpanKernel`, with the rows of the words and a ring of the worker's own."""


@compiled()
def fill_places(position: int, size: int, n_kept: int, mask: int, window: NDArray[np.int64]) -> int:
    """Fill in the slots of up to ``size`` words on each side; returns their number."""
    n = 0
    for other in range(max(0, position - size), min(n_kept, position + size + 1)):
        window[n] = other & mask
        n += int(other != position)
    return n


@compiled()
def n_rows_near(
    subwords: Subwords, kept: NDArray[np.int32], n_kept: int, position: int, size: int
) -> int:
    """How many rows the words of the window have in total."""
    n_rows = 0
    for other in range(max(0, position - size), min(n_kept, position + size + 1)):
        word = int(kept[other])
        if other != position:
            n_rows += subwords.offsets[word + 1] - subwords.offsets[word]
    return n_rows


@inlined
def fetch_ahead(
    matrices: Matrices, subwords: Subwords, replica: Replica, word: int, n_chunks: int
) -> None:
    """Prefetch the rows of a word that enters the ring soon; copies are in the cache anyway."""
    n_copied = replica.inputs_before.shape[0]
    for i in range(subwords.offsets[word], subwords.offsets[word + 1]):
        row = int(subwords.rows[i])
        if row >= n_copied:
            fetch_row(matrices.inputs, row, n_chunks)


@inlined
def fetch_outputs(
    matrices: Matrices,
    draws: Draws,
    replica: Replica,
    centre: int,
    cursor: int,
    n_negative: int,
    n_chunks: int,
) -> None:
    """Prefetch the output rows of the next centre."""
    if n_negative:
        fetch_row(matrices.noise_outputs, output_row_of(centre, replica), n_chunks)
        for output in range(min(n_negative, MAX_SLOTS)):
            word = int(draws.noise[(cursor + n_negative + output) & (draws.noise.shape[0] - 1)])
            fetch_row(matrices.noise_outputs, output_row_of(word, replica), n_chunks)


@inlined
def come_into_sight(
    matrices: Matrices,
    subwords: Subwords,
    replica: Replica,
    ring: Ring,
    kept: NDArray[np.int32],
    position: int,
    takes_mean: bool,
    n_chunks: int,
) -> None:
    """Sum the rows of the word at ``position``, which enters the ring."""
    place = position & (ring.values.shape[0] - 1)
    word = int(kept[position])
    start, stop = subwords.offsets[word], subwords.offsets[word + 1]
    scale = np.float32(1.0 / (stop - start)) if takes_mean else np.float32(1.0)
    sum_rows(
        ring.values, place, matrices.inputs, subwords.rows, start, stop,
        replica.inputs_before.shape[0], first_input_copy(replica), scale, n_chunks,
    )  # fmt: skip
    for i in range(ring.values.shape[1]):
        ring.others[place, i] = ring.values[place, i] if takes_mean else np.float32(0.0)


@inlined
def go_out_of_sight(
    matrices: Matrices,
    subwords: Subwords,
    replica: Replica,
    ring: Ring,
    kept: NDArray[np.int32],
    position: int,
    takes_mean: bool,
    n_chunks: int,
) -> None:
    """Apply the update of the word at ``position``, which leaves the ring, to its rows."""
    place = position & (ring.values.shape[0] - 1)
    word = int(kept[position])
    if takes_mean:
        for i in range(ring.values.shape[1]):
            ring.others[place, i] = ring.values[place, i] - ring.others[place, i]
    add_to_rows(
        matrices.inputs, subwords.rows, subwords.offsets[word], subwords.offsets[word + 1],
        replica.inputs_before.shape[0], first_input_copy(replica), ring.others, place, n_chunks,
    )  # fmt: skip


@inlined
def sum_places(
    ring: Ring, n_window: int, scale: np.float32, scratch: Scratch, n_chunks: int
) -> None:
    """Set CBOW's hidden vector to ``scale`` times the sum of the window, and its error to 0."""
    scratch.hidden[:] = 0.0
    scratch.error[:] = 0.0
    for i in range(n_window):
        add_scaled_row(scratch.hidden, 0, ring.values, scratch.window[i], scale, n_chunks)


@inlined
def move_places(
    subwords: Subwords,
    ring: Ring,
    kept: NDArray[np.int32],
    n_kept: int,
    position: int,
    size: int,
    scale: np.float32,
    scratch: Scratch,
    n_chunks: int,
) -> None:
    """Add ``scale`` times the hidden vector's error to each row of each word of the window."""
    for other in range(max(0, position - size), min(n_kept, position + size + 1)):
        if other != position:
            word, place = int(kept[other]), other & (ring.values.shape[0] - 1)
            n_rows = subwords.offsets[word + 1] - subwords.offsets[word]
            of_sum = np.float32(scale * n_rows)
            add_scaled_row(ring.values, place, scratch.error, 0, of_sum, n_chunks)
            add_scaled_row(ring.others, place, scratch.error, 0, scale, n_chunks)


def subword_kernel(
    is_skipgram: bool,
    n_chunks: int,
    n_negative: int,
    has_paths: bool,
    is_mean: bool,
    holds_outputs: bool = False,
) -> SubwordKernel:
    """The kernel for rows of ``16 * n_chunks`` values, compiled for these six values.

    With ``holds_outputs``, noise outputs move as :attr:`.windows.Draws.moves` says.
    """
    n_slots = group_slots(1 + n_negative)
    holds = int(holds_outputs)
    one = np.float32(1.0)

    @compiled()
    def train_sentence(
        subwords: Subwords,
        ring: Ring,
        n_kept: int,
        matrices: Matrices,
        draws: Draws,
        paths: Paths,
        step: np.float32,
        state: np.uint64,
        cursor: int,
        replica: Replica,
        scratch: Scratch,
    ) -> tuple[int, np.uint64, int]:
        """Train on the kept words; returns predictions, the next state, the next cursor."""
        kept, reach = scratch.kept, int(draws.window)
        n_predictions = n_seen = n_gone = 0
        for position in range(n_kept):
            while n_seen < min(n_kept, position + reach + 1):
                ahead = int(kept[min(n_seen + FETCHED_AHEAD, n_kept - 1)])
                fetch_ahead(matrices, subwords, replica, ahead, n_chunks)
                come_into_sight(
                    matrices, subwords, replica, ring, kept, n_seen, is_skipgram, n_chunks
                )
                n_seen += 1
            state = next_state(state)
            size, word = window_size(draws, state), int(kept[position])
            mask = ring.values.shape[0] - 1
            n_window = fill_places(position, size, n_kept, mask, scratch.window)
            following = int(kept[min(position + 1, n_kept - 1)])
            fetch_outputs(matrices, draws, replica, following, cursor, n_negative, n_chunks)
            if is_skipgram:
                n_predictions += n_window
                cursor = predict_from_window(
                    ring.values, word, n_window, matrices, draws, paths, step, cursor, replica,
                    scratch, has_paths, n_negative, n_chunks, n_slots, holds,
                )  # fmt: skip
            else:
                n_predictions += 1
                share = np.float32(1.0 / n_rows_near(subwords, kept, n_kept, position, size))
                sum_places(ring, n_window, share if is_mean else one, scratch, n_chunks)
                cursor = predict_from_hidden(
                    word, matrices, draws, paths, step, cursor, replica, scratch,
                    has_paths, n_negative, n_chunks, n_slots, holds,
                )  # fmt: skip
                scale = one if is_mean else share
                move_places(subwords, ring, kept, n_kept, position, size, scale, scratch, n_chunks)
            while n_gone < (n_kept if position == n_kept - 1 else position - reach + 1):
                go_out_of_sight(
                    matrices, subwords, replica, ring, kept, n_gone, is_skipgram, n_chunks
                )
                n_gone += 1
        return n_predictions, state, cursor

    @compiled()
    def train_span(
        subwords: Subwords,
        ring: Ring,
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
        cursor = below(state, np.uint64(draws.noise.shape[0]))
        n_predictions = n_since_exchange = 0
        exchange(matrices, replica, True)
        for s in range(offsets.shape[0] - 1):
            start, stop = offsets[s], offsets[s + 1]
            n_since_exchange += stop - start
            if n_since_exchange > EXCHANGE_TOKENS:
                exchange(matrices, replica, False)
                n_since_exchange = 0
            n_kept, state = keep_some(ids[start:stop], draws.keep_limits, state, scratch.kept)
            step = np.float32(max(rate.least, rate.first - rate.slope * (start - offsets[0])))
            if n_kept >= 2:
                n_new, state, cursor = train_sentence(
                    subwords, ring, n_kept, matrices, draws, paths, step, state, cursor,
                    replica, scratch,
                )  # fmt: skip
                n_predictions += n_new
        exchange(matrices, replica, False)
        return n_predictions

    return train_span
