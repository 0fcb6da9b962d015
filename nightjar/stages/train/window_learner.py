"""The learner that Word2Vec and FastText share.

The corpus is divided into spans of sentences. Each has a random state derived from the seed, the
epoch and the span's number, and a learning rate that depends on the number of words before it. With
one worker the spans are trained in order, and the seed determines every bit of the result. With
more they are trained in parallel on shared matrices without locks (Hogwild): the draws are the
same, the order of the updates is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import FastTextConfig, Word2VecConfig
from nightjar.formats.embeddings import blocks
from nightjar.kernels.logistic_rows import MAX_SLOTS
from nightjar.kernels.vector_code import LANES
from nightjar.kernels.windows import (
    Draws,
    Matrices,
    Paths,
    Rate,
    Replica,
    Scratch,
    SpanKernel,
)
from nightjar.stages.train.epochs import SpanResult
from nightjar.stages.train.output_layers import draw_noise, huffman_paths
from nightjar.stages.train.spans import MAX_SENTENCE_TOKENS, Span, keep_limits, spans
from nightjar.stages.train.trainer import TrainingJob

WindowConfig = Word2VecConfig | FastTextConfig

COPIED_ROWS = 1_024
"""Number of busiest rows that each of several workers copies.

Two workers on shared rows are 1.25 times as fast as one; with copies of 512 to 2,048 rows,
exchanged every 32,768 tokens, 1.9 times, which is what two workers reach on separate matrices
(IMDB, 50,000 words).
"""
_CACHE_LINE = 64
_STRETCH_ROWS = 64
"""Initial rows that are drawn together even if not all are needed; an even number."""


def n_copied_rows(n_words: int, n_workers: int) -> int:
    """Number of rows that each worker copies; none for a single worker."""
    return min(n_words - 1, COPIED_ROWS) if n_workers > 1 else 0


def with_copies(moves: NDArray[np.float32] | None, n_workers: int) -> NDArray[np.float32]:
    """``moves`` of each word, then of the rows that each worker copies; empty without ``moves``."""
    if moves is None:
        return np.zeros(0, np.float32)
    n_copies = n_copied_rows(len(moves), n_workers)
    return np.concatenate([moves, *([moves[:n_copies]] * n_workers)])


def row_width(model: WindowConfig) -> int:
    """Values of a row with its padding."""
    return -(-model.vector_size // LANES) * LANES


def new_matrices(model: WindowConfig, n_inputs: int, n_words: int, n_workers: int) -> Matrices:
    """Zero rows, followed by room for the workers' copies of the busiest rows."""
    width = row_width(model)
    n_input_copies = n_workers * n_copied_rows(n_inputs, n_workers)
    n_copies = n_workers * n_copied_rows(n_words, n_workers)
    return Matrices(
        inputs=aligned_zeros(n_inputs + n_input_copies, width),
        noise_outputs=aligned_zeros(n_words + n_copies if model.negative else 0, width),
        node_outputs=aligned_zeros(n_words - 1 + n_copies if model.hs else 0, width),
    )


def initial_rows(
    n_rows: int, vector_size: int, generator: np.random.Generator
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Rows uniform within +-1 / vector_size, drawn as in gensim, a block at a time."""
    for rows in blocks(n_rows):
        yield rows, _draw_rows(rows.stop - rows.start, vector_size, generator)


def chosen_initial_rows(
    chosen: NDArray[np.int32], vector_size: int, generator: np.random.Generator
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The rows ``chosen`` (ascending) of those that :func:`initial_rows` would draw.

    Yields a slice of ``chosen`` and its rows at a time. Skips stretches without a chosen row
    instead of drawing them. ``generator`` is from ``np.random.default_rng``.
    """
    stretches = chosen // _STRETCH_ROWS
    bounds = np.flatnonzero(np.diff(stretches, prepend=-1, append=-1))
    n_passed = 0
    for first, stop in pairwise(bounds.tolist()):
        stretch = int(stretches[first])
        # Two float32 use one step of 64 bits.
        n_steps = (stretch - n_passed) * _STRETCH_ROWS * vector_size // 2
        cast("np.random.PCG64", generator.bit_generator).advance(n_steps)
        drawn = _draw_rows(_STRETCH_ROWS, vector_size, generator)
        n_passed = stretch + 1
        yield slice(first, stop), drawn[chosen[first:stop] - stretch * _STRETCH_ROWS]


def _draw_rows(
    n_rows: int, vector_size: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    drawn = generator.random((n_rows, vector_size), dtype=np.float32)
    drawn *= 2.0
    drawn -= 1.0
    drawn /= vector_size
    return drawn


def aligned_zeros(n_rows: int, width: int) -> NDArray[np.float32]:
    """Zero rows, aligned to cache lines."""
    n_values = n_rows * width
    room = np.zeros(n_values + _CACHE_LINE // 4, np.float32)
    start = -room.ctypes.data % _CACHE_LINE // 4
    return room[start : start + n_values].reshape(n_rows, width)


def tree_paths(model: WindowConfig, counts: NDArray[np.int64]) -> Paths:
    """The Huffman tree's paths, or empty arrays without hierarchical softmax."""
    if not model.hs:
        return Paths(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    tree = huffman_paths(counts)
    return Paths(tree.offsets, tree.nodes, tree.signs)


def new_replica(
    model: WindowConfig, n_inputs: int, n_words: int, n_workers: int, worker: int
) -> Replica:
    """The copies of one worker, numbered from 0."""
    width = row_width(model)
    n_input_copies = n_copied_rows(n_inputs, n_workers)
    n_copies = n_copied_rows(n_words, n_workers)
    return Replica(
        worker=worker,
        n_inputs=n_inputs,
        n_words=n_words,
        n_nodes=n_words - 1,
        inputs_before=aligned_zeros(n_input_copies, width),
        noise_outputs_before=aligned_zeros(n_copies if model.negative else 0, width),
        node_outputs_before=aligned_zeros(n_copies if model.hs else 0, width),
    )


def new_scratch(model: WindowConfig) -> Scratch:
    """Scratch memory for one worker."""
    width = row_width(model)
    return Scratch(
        kept=np.zeros(MAX_SENTENCE_TOKENS, np.int32),
        window=np.zeros(2 * model.window, np.int64),
        slots=np.zeros(MAX_SLOTS, np.int64),
        signs=np.zeros(MAX_SLOTS, np.float32),
        weights=np.zeros(MAX_SLOTS, np.float32),
        moves=np.ones(MAX_SLOTS, np.float32),
        hidden=aligned_zeros(1, width),
        error=aligned_zeros(1, width),
        losses=np.zeros(LANES, np.float64),
    )


class WindowLearner:
    """A model in training (:class:`.epochs.Learner`).

    ``matrices`` hold ``n_inputs`` input rows; ``kernels`` has one kernel per worker. ``moves`` is 0
    for each word whose output row stays as it is; None if all of them move.
    """

    unit = "words"

    def __init__(
        self,
        job: TrainingJob[Any],
        matrices: Matrices,
        n_inputs: int,
        kernels: Sequence[SpanKernel],
        moves: NDArray[np.float32] | None = None,
    ) -> None:
        model: WindowConfig = job.model
        self.matrices = matrices
        self._job = job
        self._n_inputs = n_inputs
        self._kernels = kernels
        self._counts = job.corpus.vocabulary.counts
        self._limits = keep_limits(self._counts, model.sample)
        self._paths = tree_paths(model, self._counts)
        n_words, n_workers = len(self._counts), job.n_workers
        self._replicas = [
            new_replica(model, n_inputs, n_words, n_workers, worker) for worker in range(n_workers)
        ]
        self._scratches = [new_scratch(model) for _ in range(n_workers)]
        self._draws: Draws
        self._moves = with_copies(moves, job.n_workers)
        self.n_units = job.size.n_tokens_with_context
        self.untrained_loss = untrained_loss(model, self._counts, self._paths)
        self.advice = f"lower alpha (now {model.alpha:g})"

    def spans(self, epoch: int, n_done: int) -> Iterator[Span]:
        """The sentences of the epoch; draws its noise words."""
        model = self._job.model
        noise = np.zeros(1, np.int32)
        if model.negative:
            generator = np.random.default_rng([self._job.seed, epoch])
            noise = draw_noise(self._counts, model.ns_exponent, generator)
        window = np.uint64(model.window)
        is_past = isinstance(model, Word2VecConfig) and model.window_side == "past"
        self._draws = Draws(self._limits, noise, window, model.shrink_windows, self._moves, is_past)
        return islice(spans(self._job.corpus.batches()), n_done, None)

    def learn(self, span: Span, epoch: int, worker: int) -> SpanResult:
        """Let the kernel train on the span."""
        scratch = self._scratches[worker]
        seed = np.random.SeedSequence([self._job.seed, epoch, span.number])
        n_predictions = self._kernels[worker](
            span.ids,
            span.offsets,
            self.matrices,
            self._draws,
            self._paths,
            self._rate(epoch, span.n_tokens_before),
            seed.generate_state(1, np.uint64)[0],
            self._replicas[worker],
            scratch,
        )
        loss_sum = float(scratch.losses.sum())
        scratch.losses[:] = 0.0
        return SpanResult(span.n_tokens, n_predictions, loss_sum)

    def learning_rate(self, epoch: int, n_units_done: int) -> float:
        """It decays linearly over all epochs."""
        return self._rate(epoch, n_units_done).first

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Rows with their padding, without the workers' copies."""
        n_words = len(self._counts)
        arrays = {"vectors": self.matrices.inputs[: self._n_inputs]}
        if self._job.model.negative:
            arrays["output vectors (negative)"] = self.matrices.noise_outputs[:n_words]
        if self._job.model.hs:
            arrays["output vectors (hs)"] = self.matrices.node_outputs[: n_words - 1]
        return arrays

    def _rate(self, epoch: int, n_units_done: int) -> Rate:
        model = self._job.model
        slope = (model.alpha - model.min_alpha) / (model.epochs * self.n_units)
        n_before = (epoch - 1) * self.n_units + n_units_done
        return Rate(model.alpha - slope * n_before, slope, model.min_alpha)


def untrained_loss(model: WindowConfig, counts: NDArray[np.int64], paths: Paths) -> float:
    """Mean loss of a prediction with zero outputs: log 2 for each output row that it uses.

    An upper bound if noise words repeat the centre; paths are weighted by the words' counts.
    """
    n_rows = 1.0 + model.negative if model.negative else 0.0
    if model.hs:
        n_rows += float(np.average(np.diff(paths.offsets), weights=counts))
    return math.log(2) * n_rows
