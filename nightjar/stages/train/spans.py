"""Spans, the units of work of a worker; and subsampling of frequent words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.stages.train.model_corpus import TokenBatch

_ALWAYS = 1 << 32


def keep_limits(counts: NDArray[np.int64], sample: float) -> NDArray[np.uint64]:
    """For each word, how many of 2**32 of its tokens to keep; all with ``sample`` 0.

    The probability is (sqrt(x) + 1) / x with x = count / (sample * total), as in word2vec.c.
    """
    if sample == 0:
        return np.full(len(counts), _ALWAYS, np.uint64)
    excess = np.maximum(counts, 1) / (sample * counts.sum())
    probabilities = np.minimum((np.sqrt(excess) + 1) / excess, 1.0)
    limits: NDArray[np.uint64] = (probabilities * _ALWAYS).astype(np.uint64)
    return limits


SPAN_TOKENS = 100_000
"""Tokens that a worker takes at a time: about a tenth of a second."""
MAX_SENTENCE_TOKENS = 10_000
"""Longer sentences are split; windows end at a split."""


@dataclass(frozen=True, eq=False)
class Span:
    """Sentences that one thread trains on; their tokens count for the learning rate."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    number: int
    n_tokens_before: int

    @property
    def n_tokens(self) -> int:
        """Tokens of the span."""
        return int(self.offsets[-1] - self.offsets[0])


def spans(batches: Iterator[TokenBatch]) -> Iterator[Span]:
    """The sentences with context of one epoch, about SPAN_TOKENS tokens per span.

    Tokens of sentences without context are left out and do not count.
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
    """Bounds of sentences, with more bounds within those that are too long."""
    lengths = np.diff(offsets)
    if len(lengths) == 0 or lengths.max() <= MAX_SENTENCE_TOKENS:
        return offsets
    more = [
        np.arange(offsets[s] + MAX_SENTENCE_TOKENS, offsets[s + 1], MAX_SENTENCE_TOKENS)
        for s in np.flatnonzero(lengths > MAX_SENTENCE_TOKENS)
    ]
    return np.sort(np.concatenate([offsets, *more]))
