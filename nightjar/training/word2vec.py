"""Word2Vec by our own kernels (:mod:`nightjar.training.kernels.windows`).

The corpus is cut into spans of sentences, each with a random state derived from the seed,
the epoch and its number, and a learning rate that follows from the words before it. With
one worker the spans are trained in order: the seed fixes every bit of the result. With more
they are trained at the same time on shared matrices without locks (Hogwild): the draws are
the same, the order of the updates is not.

Differences from word2vec.c: noise words are shared by a window; a sigmoid is computed, not
looked up, and errors beyond 6 count; noise words come from 4,194,304 drawn ahead in each
epoch; sentences are split at 10,000 words instead of 1,000.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import Word2VecConfig
from nightjar.training.epochs import SpanResult, fit
from nightjar.training.huffman import huffman_paths
from nightjar.training.kernels.logistic_rows import MAX_SLOTS
from nightjar.training.kernels.vector_code import LANES
from nightjar.training.kernels.windows import (
    Draws,
    Matrices,
    Paths,
    Rate,
    Replica,
    Scratch,
    SpanKernel,
    cbow_kernel,
    skipgram_kernel,
)
from nightjar.training.sampling import draw_noise, keep_limits
from nightjar.training.spans import MAX_SENTENCE_TOKENS, Span, spans
from nightjar.training.tables import blocks, write_output_vectors, write_vectors
from nightjar.training.trainer import TrainingJob

COPIED_ROWS = 1_024
"""Busiest rows of which each of several workers has a copy.

Two workers on plainly shared rows reach 1.25 times the speed of one; with copies of 512 to
2,048 rows, exchanged every 32,768 tokens, 1.9 times, which is what two workers on matrices
of their own reach (IMDB, 50,000 words).
"""
_CACHE_LINE = 64


def train_word2vec(job: TrainingJob[Word2VecConfig]) -> None:
    """Train Word2Vec and write ``vectors``, ``output_vectors`` and ``losses``.

    In memory: two or three matrices (input rows; output rows of negative sampling, of the
    Huffman tree), one row group of sentences, 16 MiB of noise words.
    """
    model, vocabulary = job.model, job.corpus.vocabulary
    learner = Word2VecLearner(job)
    fit(job, learner)
    layers = _published(model, learner.matrices, len(vocabulary))
    write_vectors(job.staging, vocabulary, layers.pop("vectors"))
    write_output_vectors(job.staging, model.vector_size, layers)


def n_copied_rows(n_words: int, n_workers: int) -> int:
    """Rows of which each worker has a copy; a single one has none."""
    return min(n_words - 1, COPIED_ROWS) if n_workers > 1 else 0


def initial_matrices(model: Word2VecConfig, n_words: int, n_workers: int, seed: int) -> Matrices:
    """Input rows uniform within +-1 / vector_size, gensim's for the same seed; outputs zero.

    Behind them is room for the workers' copies of the busiest rows.
    """
    width = -(-model.vector_size // LANES) * LANES
    n_copies = n_workers * n_copied_rows(n_words, n_workers)
    inputs = _aligned_zeros(n_words + n_copies, width)
    generator = np.random.default_rng(seed)
    for rows in blocks(n_words):
        shape = (rows.stop - rows.start, model.vector_size)
        drawn = generator.random(shape, dtype=np.float32)
        inputs[rows, : model.vector_size] = (drawn * 2.0 - 1.0) / model.vector_size
    return Matrices(
        inputs=inputs,
        noise_outputs=_aligned_zeros(n_words + n_copies if model.negative else 0, width),
        node_outputs=_aligned_zeros(n_words - 1 + n_copies if model.hs else 0, width),
    )


def _aligned_zeros(n_rows: int, width: int) -> NDArray[np.float32]:
    """Rows that begin with a cache line."""
    n_values = n_rows * width
    room = np.zeros(n_values + _CACHE_LINE // 4, np.float32)
    start = -room.ctypes.data % _CACHE_LINE // 4
    return room[start : start + n_values].reshape(n_rows, width)


@lru_cache(maxsize=8)
def span_kernel(
    architecture: str, vector_size: int, n_negative: int, has_paths: bool, is_mean: bool
) -> SpanKernel:
    """The kernel of that architecture, compiled for these sizes at its first call."""
    n_chunks = -(-vector_size // LANES)
    if architecture == "skipgram":
        return skipgram_kernel(n_chunks, n_negative, has_paths)
    return cbow_kernel(n_chunks, n_negative, has_paths, is_mean)


def _published(
    model: Word2VecConfig, matrices: Matrices, n_words: int
) -> dict[str, NDArray[np.float32]]:
    """What was learned, without padding and copies: ``vectors`` and the output layers."""
    columns = slice(model.vector_size)
    layers = {"vectors": matrices.inputs[:n_words, columns]}
    if model.negative:
        layers["negative"] = matrices.noise_outputs[:n_words, columns]
    if model.hs:
        layers["hs"] = matrices.node_outputs[: n_words - 1, columns]
    return layers


def tree_paths(model: Word2VecConfig, counts: NDArray[np.int64]) -> Paths:
    """The Huffman tree's paths, or empty arrays without hierarchical softmax."""
    if not model.hs:
        return Paths(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    tree = huffman_paths(counts)
    return Paths(tree.offsets, tree.nodes, tree.signs)


def new_replica(
    model: Word2VecConfig, n_words: int, n_workers: int, worker: int, width: int
) -> Replica:
    """The copies of one worker, numbered from 0."""
    n_rows = n_copied_rows(n_words, n_workers)
    return Replica(
        n_rows=n_rows,
        first_copy=worker * n_rows,
        n_words=n_words,
        n_nodes=n_words - 1,
        inputs_before=_aligned_zeros(n_rows, width),
        noise_outputs_before=_aligned_zeros(n_rows if model.negative else 0, width),
        node_outputs_before=_aligned_zeros(n_rows if model.hs else 0, width),
    )


def new_scratch(model: Word2VecConfig, width: int) -> Scratch:
    """Working memory of one thread."""
    return Scratch(
        kept=np.zeros(MAX_SENTENCE_TOKENS, np.int32),
        window=np.zeros(2 * model.window, np.int64),
        slots=np.zeros(MAX_SLOTS, np.int64),
        signs=np.zeros(MAX_SLOTS, np.float32),
        weights=np.zeros(MAX_SLOTS, np.float32),
        hidden=_aligned_zeros(1, width),
        error=_aligned_zeros(1, width),
        losses=np.zeros(LANES, np.float64),
    )


class Word2VecLearner:
    """Word2Vec in training (:class:`nightjar.training.epochs.Learner`)."""

    unit = "words"

    def __init__(self, job: TrainingJob[Word2VecConfig]) -> None:
        model = job.model
        self._job = job
        self._counts = job.corpus.vocabulary.counts
        self._limits = keep_limits(self._counts, model.sample)
        self._paths = tree_paths(model, self._counts)
        self._kernel = span_kernel(
            model.architecture, model.vector_size, model.negative, model.hs, model.cbow_mean
        )
        n_words, n_workers = len(self._counts), job.n_workers
        self.matrices = initial_matrices(model, n_words, n_workers, job.seed)
        width = self.matrices.inputs.shape[1]
        self._replicas = [
            new_replica(model, n_words, n_workers, worker, width) for worker in range(n_workers)
        ]
        self._scratches = [new_scratch(model, width) for _ in range(n_workers)]
        self._draws: Draws
        self.n_units = job.size.n_tokens_with_context
        self.untrained_loss = untrained_loss(model, self._counts, self._paths)
        self.advice = f"lower alpha (now {model.alpha:g})"

    def spans(self, epoch: int, n_done: int) -> Iterator[Span]:
        """The sentences of the epoch; its noise words are drawn anew."""
        model = self._job.model
        noise = np.zeros(1, np.int32)
        if model.negative:
            generator = np.random.default_rng([self._job.seed, epoch])
            noise = draw_noise(self._counts, model.ns_exponent, generator)
        window = np.uint64(model.window)
        self._draws = Draws(self._limits, noise, window, model.shrink_windows)
        return islice(spans(self._job.corpus.batches()), n_done, None)

    def learn(self, span: Span, epoch: int, worker: int) -> SpanResult:
        """Let the kernel train on the span."""
        scratch = self._scratches[worker]
        seed = np.random.SeedSequence([self._job.seed, epoch, span.number])
        n_predictions = self._kernel(
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
        """It falls linearly over all epochs."""
        return self._rate(epoch, n_units_done).first

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Rows with their padding, without the workers' copies."""
        n_words = len(self._counts)
        arrays = {"vectors": self.matrices.inputs[:n_words]}
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


def untrained_loss(model: Word2VecConfig, counts: NDArray[np.int64], paths: Paths) -> float:
    """Mean loss of a prediction with zero outputs: log 2 for each output row it meets.

    An upper bound where noise words repeat the centre; paths weigh by the words' counts.
    """
    n_rows = 1.0 + model.negative if model.negative else 0.0
    if model.hs:
        n_rows += float(np.average(np.diff(paths.offsets), weights=counts))
    return math.log(2) * n_rows
