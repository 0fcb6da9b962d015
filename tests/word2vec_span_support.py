"""A span of sentences for the kernels of Word2Vec and for the oracle, without pytest and gensim."""

from __future__ import annotations

from typing import Any

import numpy as np
from word2vec_oracle import Oracle, huffman_codes

from nightjar.config.models import Word2VecConfig
from nightjar.kernels.windows import Draws, Matrices, Rate
from nightjar.stages.train import window_learner as windows
from nightjar.stages.train import word2vec as native
from nightjar.stages.train.output_layers import draw_noise
from nightjar.stages.train.spans import keep_limits


def config(**changes: Any) -> Word2VecConfig:
    """A small native model."""
    settings = {"trainer": "word2vec", "engine": "native", "vector_size": 7, "negative": 3}
    return Word2VecConfig.model_validate(settings | changes)


class Span:
    """One span of random sentences, for the kernel and for the oracle."""

    def __init__(self, model: Word2VecConfig, n_words: int, scale: float = 1.0) -> None:
        self.model, self.n_words = model, n_words
        generator = np.random.default_rng(0)
        self.counts = np.sort(generator.integers(5, 500, n_words))[::-1].astype(np.int64)
        lengths = [6, 1, 0, 2, 9, 30, 3]
        share = self.counts / self.counts.sum()
        self.sentences = [generator.choice(n_words, n, p=share).tolist() for n in lengths]
        self.matrices = native.initial_matrices(model, n_words, 1, 0)
        for rows in self.matrices:
            rows[:, : model.vector_size] += generator.normal(0, 0.4, (len(rows), model.vector_size))
            np.multiply(rows, scale, out=rows)
        self.limits = keep_limits(self.counts, model.sample)
        self.noise = draw_noise(self.counts, model.ns_exponent, generator, 64)
        self.state = 2**63 + 12345
        self.rate = Rate(0.2, 0.004, 0.05)

    def train(self) -> tuple[Matrices, float, int]:
        """By the kernel: matrices, loss, predictions."""
        model = self.model
        kernel = native.span_kernel(
            model.architecture, model.vector_size, model.negative, model.hs, model.cbow_mean
        )
        scratch = windows.new_scratch(model)
        matrices = Matrices(*(rows.copy() for rows in self.matrices))
        n_predictions = kernel(
            np.array([word for sentence in self.sentences for word in sentence], np.int32),
            np.cumsum([0, *map(len, self.sentences)]),
            matrices,
            Draws(
                self.limits,
                self.noise,
                np.uint64(model.window),
                model.shrink_windows,
                is_past=model.window_side == "past",
            ),
            windows.tree_paths(model, self.counts),
            self.rate,
            np.uint64(self.state),
            windows.new_replica(model, self.n_words, self.n_words, 1, 0),
            scratch,
        )
        return matrices, float(scratch.losses.sum()), n_predictions

    def oracle(self) -> Oracle:
        """The same by the oracle."""
        model = self.model
        oracle = Oracle(
            *(rows.astype(np.float64) for rows in self.matrices),
            keep_limits=self.limits.tolist(),
            noise=self.noise.tolist(),
            paths=huffman_codes(self.counts.tolist()),
            window=model.window,
            shrinks=model.shrink_windows,
            n_negative=model.negative,
            has_paths=model.hs,
            is_skipgram=model.architecture == "skipgram",
            is_mean=model.cbow_mean,
            is_past=model.window_side == "past",
        )
        oracle.train(self.sentences, *self.rate, self.state)
        return oracle


def assert_agrees(span: Span) -> None:
    """The kernel ends with the oracle's rows, loss and predictions."""
    matrices, loss, n_predictions = span.train()
    oracle = span.oracle()
    assert n_predictions == oracle.n_predictions > 0
    np.testing.assert_allclose(loss, oracle.loss, rtol=1e-5)
    expected = (oracle.inputs, oracle.noise_outputs, oracle.node_outputs)
    for rows, right, before in zip(matrices, expected, span.matrices, strict=True):
        np.testing.assert_allclose(rows, right, rtol=1e-4, atol=2e-5)
        assert len(rows) == 0 or np.abs(right - before).max() > 0.01
