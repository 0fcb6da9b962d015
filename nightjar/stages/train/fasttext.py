"""FastText by our own kernels (:mod:`nightjar.kernels.subword_steps`).

The character n-grams of ``<word>`` are hashed into ``bucket`` rows as in the authors' program and
gensim. Only rows that some word of the vocabulary uses are in memory: of 2,000,000 rows of 100
floats (800 MB), 50,000 words of film reviews use 226,000. In the matrix, the rows of words and
n-grams are mixed, the busiest first: those are copied for each worker, and should be close
together.

Differences from fastText's program: those of :mod:`.word2vec`, and that words within the same
window see each other's updates late (see the kernels).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.models import FastTextConfig
from nightjar.formats.embeddings import (
    stretches,
    write_ngrams,
    write_output_vectors,
    write_vectors,
    write_word_rows,
)
from nightjar.kernels.ngrams import (
    add_uses,
    hash_ngrams,
    list_buckets,
    mark_buckets,
    number_rows,
    renumber,
)
from nightjar.kernels.subword_steps import (
    Ring,
    SubwordKernel,
    Subwords,
    subword_kernel,
)
from nightjar.kernels.vector_code import LANES
from nightjar.kernels.windows import Matrices
from nightjar.stages.train.epochs import fit
from nightjar.stages.train.model_corpus import Vocabulary
from nightjar.stages.train.spans import keep_limits
from nightjar.stages.train.starting_point import (
    hold_outputs,
    start_ngrams,
    start_outputs,
    start_words,
)
from nightjar.stages.train.trainer import TrainingJob
from nightjar.stages.train.window_learner import (
    WindowLearner,
    aligned_zeros,
    chosen_initial_rows,
    initial_rows,
    new_matrices,
    row_width,
)
from nightjar.stages.train.word2vec import output_layers
from nightjar.store import Artifact

_ALWAYS = float(1 << 32)
_MEANS_AT_ONCE = 512
"""Words whose rows are summed at once for publishing: about 4 MB."""


@dataclass(frozen=True, eq=False)
class SubwordRows:
    """The rows that make up a word: its own, and those of its n-grams.

    ``subwords`` is for the kernels; ``row_of_word`` int64 (n_words,) and ``row_of_bucket`` int64
    (n_buckets,) are positions in the matrix; ``buckets`` int32, ascending, are those that some word
    uses.
    """

    subwords: Subwords
    row_of_word: NDArray[np.int64]
    row_of_bucket: NDArray[np.int64]
    buckets: NDArray[np.int32]

    @property
    def n_rows(self) -> int:
        """Rows of the matrix."""
        return len(self.row_of_word) + len(self.row_of_bucket)


def train_fasttext(job: TrainingJob[FastTextConfig]) -> None:
    """Train FastText and write its four tables and ``losses``.

    Memory: the rows of words and n-grams, two or three matrices with the output rows, the row
    numbers of each word (about 80 bytes per word), one row group of sentences.
    """
    model, vocabulary = job.model, job.corpus.vocabulary
    n_words = len(vocabulary)
    rows = ngram_rows(model, vocabulary)
    matrices = initial_matrices(model, rows, job.n_workers, job.seed)
    if job.base is not None:
        _start(job.base, vocabulary, rows, matrices, model.vector_size)
    moves = None
    if job.compass is not None:
        outputs = matrices.noise_outputs[:, : model.vector_size]
        moves = hold_outputs(job.compass, vocabulary, outputs)
    kernel = span_kernel(
        *(model.architecture, model.vector_size, model.negative, model.hs, model.cbow_mean),
        holds_outputs=moves is not None,
    )
    kernels = [partial(kernel, rows.subwords, new_ring(model)) for _ in range(job.n_workers)]
    fit(job, WindowLearner(job, matrices, rows.n_rows, kernels, moves))
    job.staging.counts["ngram_buckets_used"] = len(rows.buckets)
    inputs = matrices.inputs[:, : model.vector_size]
    staging, size = job.staging, model.vector_size
    means = word_means(rows.subwords, inputs)
    write_vectors(staging, vocabulary.words, vocabulary.counts, size, means)
    write_word_rows(staging, vocabulary.words, size, stretches(inputs, rows.row_of_word))
    write_ngrams(staging, rows.buckets, size, stretches(inputs, rows.row_of_bucket))
    layers = output_layers(model, matrices, n_words)
    write_output_vectors(staging, size, {kind: stretches(layers[kind]) for kind in layers})


def _start(
    base: Artifact, vocabulary: Vocabulary, rows: SubwordRows, matrices: Matrices, vector_size: int
) -> None:
    """Initialize words and n-grams from the vectors of ``base``, and outputs from its outputs.

    A word's own row is set so that the mean of all its rows is the word's vector.
    """
    inputs = matrices.inputs[:, :vector_size]
    start_ngrams(base, rows.buckets, rows.row_of_bucket, inputs)
    vectors = np.full((len(vocabulary), vector_size), np.nan, np.float32)
    start_words(base, vocabulary, vectors)
    is_known = ~np.isnan(vectors[:, 0])
    inputs[rows.row_of_word[is_known]] = 0.0
    n_rows = np.diff(rows.subwords.offsets)
    for words, means in word_means(rows.subwords, inputs):
        known = is_known[words]
        own = (vectors[words] - means) * n_rows[words, np.newaxis]
        inputs[rows.row_of_word[words][known]] = own[known]
    start_outputs(base, vocabulary, matrices.noise_outputs[:, :vector_size])


def ngram_rows(model: FastTextConfig, vocabulary: Vocabulary) -> SubwordRows:
    """Number the rows of words and n-grams, the busiest first.

    A row is as busy as its words are frequent, after subsampling. A million words take a second or
    two and, beside the result, 50 bytes per row.
    """
    offsets, rows = _buckets_of_words(model, vocabulary.words)
    n_words = len(vocabulary)
    bits = np.zeros(-(-model.bucket // 64), np.uint64)
    n_before = np.empty(len(bits), np.int32)
    buckets = np.empty(mark_buckets(offsets, rows, bits, n_before), np.int32)
    list_buckets(bits, buckets)
    number_rows(offsets, rows, bits, n_before)
    uses_of_word = vocabulary.counts * (keep_limits(vocabulary.counts, model.sample) / _ALWAYS)
    uses = np.zeros(n_words + len(buckets))
    add_uses(offsets, rows, uses_of_word, uses)
    by_use = np.argsort(-uses, kind="stable")
    place = np.empty(len(by_use), np.int64)
    place[by_use] = np.arange(len(by_use))
    renumber(rows, place)
    return SubwordRows(Subwords(offsets, rows), place[:n_words], place[n_words:], buckets)


def _buckets_of_words(
    model: FastTextConfig, words: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where each word's rows start, and its n-grams' buckets after a slot for its own row."""
    strings = pa.array(words, pa.large_string())
    _, starts_buffer, text_buffer = strings.buffers()
    starts = np.frombuffer(starts_buffer, np.int64, len(words) + 1)
    text = np.frombuffer(text_buffer, np.uint8, starts[-1])
    lengths = model.min_n, model.max_n
    offsets = np.empty(len(words) + 1, np.int64)
    bucket = max(model.bucket, 1)
    hash_ngrams(text, starts, *lengths, bucket, offsets, np.empty(0, np.int32), True)
    buckets = np.empty(offsets[-1], np.int32)
    hash_ngrams(text, starts, *lengths, bucket, offsets, buckets, False)
    return offsets, buckets


def initial_matrices(
    model: FastTextConfig, rows: SubwordRows, n_workers: int, seed: int
) -> Matrices:
    """Input rows uniform within +-1 / vector_size, as in gensim for the same seed; outputs zero."""
    n_words, vector_size = len(rows.row_of_word), model.vector_size
    matrices = new_matrices(model, rows.n_rows, n_words, n_workers)
    own, of_buckets = (np.random.default_rng(seed + number) for number in range(2))
    for block, drawn in initial_rows(n_words, vector_size, own):
        matrices.inputs[rows.row_of_word[block], :vector_size] = drawn
    for block, drawn in chosen_initial_rows(rows.buckets, vector_size, of_buckets):
        matrices.inputs[rows.row_of_bucket[block], :vector_size] = drawn
    return matrices


def new_ring(model: FastTextConfig) -> Ring:
    """A new ring buffer for one worker."""
    n_places = 1 << (2 * model.window).bit_length()
    width = row_width(model)
    return Ring(aligned_zeros(n_places, width), aligned_zeros(n_places, width))


@lru_cache(maxsize=8)
def span_kernel(
    architecture: str,
    vector_size: int,
    n_negative: int,
    has_paths: bool,
    is_mean: bool,
    holds_outputs: bool = False,
) -> SubwordKernel:
    """The kernel for that architecture, compiled for these sizes on first use.

    With ``holds_outputs``, rows of :attr:`.Draws.moves` 0 stay as they are.
    """
    n_chunks = -(-vector_size // LANES)
    is_skipgram = architecture == "skipgram"
    return subword_kernel(is_skipgram, n_chunks, n_negative, has_paths, is_mean, holds_outputs)


def word_means(
    subwords: Subwords, inputs: NDArray[np.float32]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The mean of each word's rows, a block of words at a time."""
    n_words = len(subwords.offsets) - 1
    for first in range(0, n_words, _MEANS_AT_ONCE):
        offsets = subwords.offsets[first : first + _MEANS_AT_ONCE + 1]
        rows = inputs[subwords.rows[offsets[0] : offsets[-1]]]
        sums = np.add.reduceat(rows, offsets[:-1] - offsets[0], axis=0)
        sums /= np.diff(offsets)[:, None]
        yield slice(first, first + len(sums)), sums
