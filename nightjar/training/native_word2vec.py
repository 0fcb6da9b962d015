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
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from threading import local

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import Word2VecConfig
from nightjar.training.corpus import TokenBatch
from nightjar.training.huffman import huffman_paths
from nightjar.training.kernels.logistic_rows import LANES, MAX_SLOTS
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
from nightjar.training.tables import (
    blocks,
    check_finite,
    diverged,
    write_losses,
    write_output_vectors,
    write_vectors,
)
from nightjar.training.trainer import TrainingJob

SPAN_TOKENS = 100_000
"""Tokens a thread takes at a time: about a tenth of a second."""
MAX_SENTENCE_TOKENS = 10_000
"""Longer sentences are split; at a split, windows end."""
COPIED_ROWS = 512
"""Busiest rows of which each of several workers has a copy: a third of all accesses."""
_CACHE_LINE = 64


def train_word2vec(job: TrainingJob[Word2VecConfig]) -> None:
    """Train Word2Vec and write ``vectors``, ``output_vectors`` and ``losses``.

    In memory: two or three matrices (input rows; output rows of negative sampling, of the
    Huffman tree), one row group of sentences, 16 MiB of noise words.
    """
    model, vocabulary = job.model, job.corpus.vocabulary
    matrices = initial_matrices(model, len(vocabulary), job.n_workers, job.seed)
    _fit(job, matrices)
    layers = _published(model, matrices, len(vocabulary))
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


@dataclass(frozen=True, eq=False)
class Span:
    """Sentences that one thread trains on; ``n_tokens`` of them count for the rate."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    number: int
    n_tokens_before: int

    @property
    def n_tokens(self) -> int:
        """Tokens of the span."""
        return int(self.offsets[-1] - self.offsets[0])


@dataclass(frozen=True)
class SpanResult:
    """What a span has learned from."""

    n_tokens: int
    n_predictions: int
    loss_sum: float


def spans(batches: Iterator[TokenBatch]) -> Iterator[Span]:
    """The sentences with context of one epoch, about SPAN_TOKENS a span.

    Tokens of sentences without context are left out, so that they do not count.
    """
    number = n_before = 0
    for batch in map(_with_context, batches):
        offsets = _split_long(batch.offsets)
        first = 0
        while first < len(offsets) - 1:
            last = int(np.searchsorted(offsets, offsets[first] + SPAN_TOKENS))
            last = min(max(last, first + 1), len(offsets) - 1)
            span = Span(batch.ids, offsets[first : last + 1], number, n_before)
            yield span
            number += 1
            n_before += span.n_tokens
            first = last


def _with_context(batch: TokenBatch) -> TokenBatch:
    lengths = batch.lengths
    has_context = lengths >= 2
    if has_context.all():
        return batch
    ids = batch.ids[np.repeat(has_context, lengths)]
    return TokenBatch(ids, np.concatenate(([0], np.cumsum(lengths[has_context]))))


def _split_long(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bounds of sentences, with more of them within those that are too long."""
    lengths = np.diff(offsets)
    if len(lengths) == 0 or lengths.max() <= MAX_SENTENCE_TOKENS:
        return offsets
    more = [
        np.arange(offsets[s] + MAX_SENTENCE_TOKENS, offsets[s + 1], MAX_SENTENCE_TOKENS)
        for s in np.flatnonzero(lengths > MAX_SENTENCE_TOKENS)
    ]
    return np.sort(np.concatenate([offsets, *more]))


class _Epochs:
    """Trains epoch after epoch: what does not change, and the threads' working memory."""

    def __init__(self, job: TrainingJob[Word2VecConfig], matrices: Matrices) -> None:
        model = job.model
        self._job = job
        self._matrices = matrices
        self._counts = job.corpus.vocabulary.counts
        self._limits = keep_limits(self._counts, model.sample)
        self._paths = tree_paths(model, self._counts)
        self._kernel = span_kernel(
            model.architecture, model.vector_size, model.negative, model.hs, model.cbow_mean
        )
        self._of_thread = local()
        self._numbers = count()
        self._n_tokens = job.size.n_tokens_with_context

    def train(self, epoch: int, executor: ThreadPoolExecutor) -> Iterator[SpanResult]:
        """Train one epoch (from 1); results of the spans in order.

        At most two spans a worker wait: their row groups are in memory.
        """
        model, job = self._job.model, self._job
        noise = np.zeros(1, np.int32)
        if model.negative:
            generator = np.random.default_rng([job.seed, epoch])
            noise = draw_noise(self._counts, model.ns_exponent, generator)
        draws = Draws(self._limits, noise, np.uint64(model.window), model.shrink_windows)
        waiting: deque[Future[SpanResult]] = deque()
        for span in spans(job.corpus.batches()):
            waiting.append(executor.submit(self._train_span, span, draws, epoch))
            if len(waiting) > 2 * job.n_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def learning_rate(self, epoch: int, n_tokens_before: int) -> Rate:
        """The rate at a token of an epoch: it falls linearly over all epochs."""
        model = self._job.model
        slope = (model.alpha - model.min_alpha) / (model.epochs * self._n_tokens)
        n_before = (epoch - 1) * self._n_tokens + n_tokens_before
        return Rate(model.alpha - slope * n_before, slope, model.min_alpha)

    def _train_span(self, span: Span, draws: Draws, epoch: int) -> SpanResult:
        replica, scratch = self._working_memory()
        seed = np.random.SeedSequence([self._job.seed, epoch, span.number])
        n_predictions = self._kernel(
            span.ids,
            span.offsets,
            self._matrices,
            draws,
            self._paths,
            self.learning_rate(epoch, span.n_tokens_before),
            seed.generate_state(1, np.uint64)[0],
            replica,
            scratch,
        )
        loss_sum = float(scratch.losses.sum())
        scratch.losses[:] = 0.0
        return SpanResult(span.n_tokens, n_predictions, loss_sum)

    def _working_memory(self) -> tuple[Replica, Scratch]:
        """Of the thread that calls; the same for all of its spans."""
        mine = self._of_thread
        if not hasattr(mine, "scratch"):
            model, width = self._job.model, self._matrices.inputs.shape[1]
            n_words, worker = len(self._counts), next(self._numbers)
            mine.replica = new_replica(model, n_words, self._job.n_workers, worker, width)
            mine.scratch = new_scratch(model, width)
        return mine.replica, mine.scratch


def _fit(job: TrainingJob[Word2VecConfig], matrices: Matrices) -> None:
    """Train in place; report the mean loss of each epoch and stop when it is not finite."""
    n_epochs, advice = job.model.epochs, f"lower alpha (now {job.model.alpha:g})"
    n_tokens = job.size.n_tokens_with_context
    epochs = _Epochs(job, matrices)
    mean_losses: list[float] = []
    epoch_seconds: list[float] = []
    job.progress.start("train", n_tokens * n_epochs, "words")
    with ThreadPoolExecutor(job.n_workers, thread_name_prefix="word2vec") as executor:
        for epoch in range(1, n_epochs + 1):
            started_at = time.monotonic()
            loss_sum, n_predictions, n_done = 0.0, 0, 0
            for result in epochs.train(epoch, executor):
                if not math.isfinite(result.loss_sum):
                    raise diverged(f"the loss is {result.loss_sum}", epoch, advice)
                loss_sum += result.loss_sum
                n_predictions += result.n_predictions
                n_done += result.n_tokens
                seconds = max(time.monotonic() - started_at, 1e-9)
                rate = epochs.learning_rate(epoch, n_done)
                job.progress.advance(
                    result.n_tokens,
                    f"epoch {epoch}/{n_epochs}, {n_done / seconds:,.0f} words/s, "
                    f"loss {loss_sum / max(n_predictions, 1):.4f}, "
                    f"learning rate {rate.first:.4f}",
                )
            mean_losses.append(loss_sum / max(n_predictions, 1))
            epoch_seconds.append(round(time.monotonic() - started_at, 3))
            layers = _published(job.model, matrices, len(job.corpus.vocabulary))
            named = {
                name if name == "vectors" else f"output vectors ({name})": rows
                for name, rows in layers.items()
            }
            check_finite(named, epoch, advice)
    write_losses(job.staging, mean_losses)
    job.staging.report.update(
        epoch_seconds=epoch_seconds,
        words_per_second=round(n_tokens * n_epochs / max(sum(epoch_seconds), 1e-9)),
        first_mean_loss=mean_losses[0],
        last_mean_loss=mean_losses[-1],
    )
