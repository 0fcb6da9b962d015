"""Word2Vec by our own kernels (:mod:`nightjar.kernels.windows`).

Differences from word2vec.c: all predictions of a window share their noise words; sigmoids are
computed, not looked up, and errors beyond 6 count; noise words come from 4,194,304 that are drawn
at the start of each epoch; sentences are split at 10,000 words instead of 1,000.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import Word2VecConfig
from nightjar.formats.embeddings import stretches, write_output_vectors, write_vectors
from nightjar.kernels.vector_code import LANES
from nightjar.kernels.windows import Matrices, SpanKernel, cbow_kernel, skipgram_kernel
from nightjar.stages.train.epochs import fit
from nightjar.stages.train.starting_point import hold_outputs, start_outputs, start_words
from nightjar.stages.train.trainer import TrainingJob
from nightjar.stages.train.window_learner import (
    WindowConfig,
    WindowLearner,
    initial_rows,
    new_matrices,
)


def train_word2vec(job: TrainingJob[Word2VecConfig]) -> None:
    """Train Word2Vec and write ``vectors``, ``output_vectors`` and ``losses``.

    Memory: two or three matrices (input rows; output rows of negative sampling, of the Huffman
    tree), one row group of sentences, 16 MiB of noise words.
    """
    model, vocabulary = job.model, job.corpus.vocabulary
    n_words = len(vocabulary)
    matrices = initial_matrices(model, n_words, job.n_workers, job.seed)
    if job.base is not None:
        start_words(job.base, vocabulary, matrices.inputs[:, : model.vector_size])
        start_outputs(job.base, vocabulary, matrices.noise_outputs[:, : model.vector_size])
    moves = None
    if job.compass is not None:
        outputs = matrices.noise_outputs[:, : model.vector_size]
        moves = hold_outputs(job.compass, vocabulary, outputs)
    kernel = span_kernel(
        *(model.architecture, model.vector_size, model.negative, model.hs, model.cbow_mean),
        holds_outputs=moves is not None,
    )
    fit(job, WindowLearner(job, matrices, n_words, [kernel] * job.n_workers, moves))
    size = model.vector_size
    vectors = stretches(matrices.inputs[:n_words, :size])
    write_vectors(job.staging, vocabulary.words, vocabulary.counts, size, vectors)
    layers = output_layers(model, matrices, n_words)
    write_output_vectors(job.staging, size, {kind: stretches(layers[kind]) for kind in layers})


def initial_matrices(model: Word2VecConfig, n_words: int, n_workers: int, seed: int) -> Matrices:
    """Input rows as in gensim for the same seed, outputs zero, room for copies."""
    matrices = new_matrices(model, n_words, n_words, n_workers)
    generator = np.random.default_rng(seed)
    for rows, drawn in initial_rows(n_words, model.vector_size, generator):
        matrices.inputs[rows, : model.vector_size] = drawn
    return matrices


@lru_cache(maxsize=8)
def span_kernel(
    architecture: str,
    vector_size: int,
    n_negative: int,
    has_paths: bool,
    is_mean: bool,
    holds_outputs: bool = False,
) -> SpanKernel:
    """The kernel for that architecture, compiled for these sizes on first use.

    With ``holds_outputs``, rows of :attr:`.Draws.moves` 0 stay as they are.
    """
    n_chunks = -(-vector_size // LANES)
    if architecture == "skipgram":
        return skipgram_kernel(n_chunks, n_negative, has_paths, holds_outputs)
    return cbow_kernel(n_chunks, n_negative, has_paths, is_mean, holds_outputs)


def output_layers(
    model: WindowConfig, matrices: Matrices, n_words: int
) -> dict[str, NDArray[np.float32]]:
    """The output rows by kind, without padding and copies."""
    layers = {}
    if model.negative:
        layers["negative"] = matrices.noise_outputs[:n_words, : model.vector_size]
    if model.hs:
        layers["hs"] = matrices.node_outputs[: n_words - 1, : model.vector_size]
    return layers
