"""The native FastText: kernels against a float64 oracle, n-gram rows, what is published."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fasttext_oracle import FastTextOracle
from gensim.models import FastText
from gensim.models.fasttext import ft_ngram_hashes
from training_support import (
    RecordedProgress,
    column,
    file_hashes,
    matrix,
    publish_tokens,
    sentences_with_distinct_counts,
    topic_separation,
    train_model,
    two_topics,
)
from word2vec_oracle import huffman_codes

from nightjar.config.models import FastTextConfig, Word2VecConfig
from nightjar.kernels.subword_steps import Subwords
from nightjar.kernels.windows import Draws, Matrices, Rate
from nightjar.stages.train import fasttext as native
from nightjar.stages.train import window_learner as windows
from nightjar.stages.train import word2vec
from nightjar.stages.train.model_corpus import Vocabulary
from nightjar.stages.train.output_layers import draw_noise
from nightjar.stages.train.spans import keep_limits
from nightjar.store import Artifact

SENTENCES = sentences_with_distinct_counts()
ODD_WORDS = [
    "a",
    "ab",
    "the",
    "naïve",
    "straße",
    "日本語",
    "\U0001d518\U0001d52b",
    "e\u0301",
    "x" * 60,
    "<",
    ">",
    "-",
]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_tokens(tmp_path_factory.mktemp("tokens"), SENTENCES, row_group=60)


def config(**changes: Any) -> FastTextConfig:
    settings = {"trainer": "fasttext", "vector_size": 7, "negative": 3, "bucket": 3000}
    return FastTextConfig.model_validate(settings | changes)


# -- n-gram rows -----------------------------------------------------------------------------


def vocabulary_of_words(words: list[str]) -> Vocabulary:
    counts = np.arange(len(words), 0, -1, dtype=np.int64)
    return Vocabulary(tuple(words), counts, Counter(), len(words))


@pytest.mark.parametrize(("min_n", "max_n", "bucket"), [(3, 6, 100), (1, 2, 7), (2, 4, 2_000_000)])
def test_words_use_the_buckets_that_gensim_hashes_their_ngrams_into(
    min_n: int, max_n: int, bucket: int
) -> None:
    model = config(min_n=min_n, max_n=max_n, bucket=bucket)
    rows = native.ngram_rows(model, vocabulary_of_words(ODD_WORDS))
    bucket_of_row = dict(zip(rows.row_of_bucket.tolist(), rows.buckets.tolist(), strict=True))
    for word, own in enumerate(rows.row_of_word.tolist()):
        start, stop = rows.subwords.offsets[word : word + 2]
        found = rows.subwords.rows[start:stop].tolist()
        assert found[0] == own
        expected = ft_ngram_hashes(ODD_WORDS[word], min_n, max_n, bucket)
        assert sorted(bucket_of_row[row] for row in found[1:]) == sorted(expected)
    assert sorted([*rows.row_of_word, *rows.row_of_bucket]) == list(range(rows.n_rows))
    assert np.all(np.diff(rows.buckets) > 0)


def test_without_ngrams_a_word_is_its_own_row_alone() -> None:
    rows = native.ngram_rows(config(max_n=0), vocabulary_of_words(ODD_WORDS))
    assert rows.n_rows == len(ODD_WORDS)
    assert len(rows.buckets) == 0
    assert rows.subwords.rows.tolist() == rows.row_of_word.tolist()


def test_the_busiest_rows_come_first() -> None:
    words = ["those", "this", "other"]
    rows = native.ngram_rows(config(min_n=3, max_n=3, sample=0), vocabulary_of_words(words))
    # "<th" is part of "those" and "this": 3 + 2 occurrences.
    bucket = ft_ngram_hashes("those", 3, 3, 3000)[0]
    assert rows.row_of_bucket[np.searchsorted(rows.buckets, bucket)] == 0
    uses = np.zeros(rows.n_rows)
    for word, count in enumerate((3, 2, 1)):
        start, stop = rows.subwords.offsets[word : word + 2]
        np.add.at(uses, rows.subwords.rows[start:stop], count)
    assert np.all(np.diff(uses) <= 0)


@pytest.mark.parametrize(("min_n", "max_n", "bucket"), [(3, 6, 2_000_000_000), (1, 100, 777)])
def test_any_text_is_hashed_as_by_gensim(min_n: int, max_n: int, bucket: int) -> None:
    generator = np.random.default_rng(0)
    letters = list("abcé日ж<> \U0001f426\u0301")
    lengths = generator.integers(0, 12, 300).tolist()
    drawn = {"".join(generator.choice(letters, length)) for length in lengths}
    words = sorted(drawn | {"x" * 500})
    offsets, buckets = native._buckets_of_words(
        config(min_n=min_n, max_n=max_n, bucket=bucket), words
    )
    for row, word in enumerate(words):
        found = buckets[offsets[row] + 1 : offsets[row + 1]].tolist()
        assert found == list(ft_ngram_hashes(word, min_n, max_n, bucket))
    assert offsets[-1] == len(buckets)


@pytest.mark.parametrize(("vector_size", "bucket"), [(7, 5000), (1, 64), (100, 100_000)])
def test_rows_start_where_those_of_gensim_do(vector_size: int, bucket: int) -> None:
    words = [word for word in ODD_WORDS if word not in "<>"]
    model = config(vector_size=vector_size, bucket=bucket)
    rows = native.ngram_rows(model, vocabulary_of_words(words))
    matrices = native.initial_matrices(model, rows, 2, seed=7)
    theirs = FastText(vector_size=vector_size, min_count=1, seed=7, bucket=bucket, sorted_vocab=0)
    theirs.build_vocab_from_freq({word: len(words) - row for row, word in enumerate(words)})
    inputs = matrices.inputs[:, :vector_size]
    np.testing.assert_array_equal(inputs[rows.row_of_word], theirs.wv.vectors_vocab)
    np.testing.assert_array_equal(
        inputs[rows.row_of_bucket], theirs.wv.vectors_ngrams[rows.buckets]
    )


def test_unknown_word_is_put_together_as_by_gensim(tokens: Artifact, tmp_path: Path) -> None:
    artifact = train_model(tokens, tmp_path, "fasttext", engine="native")
    theirs = FastText(vector_size=8, min_count=1, bucket=5000, sorted_vocab=0)
    known = column(artifact, "vectors", "token")
    theirs.build_vocab_from_freq(dict(zip(known, range(len(known), 0, -1), strict=True)))
    buckets, rows = column(artifact, "ngrams", "bucket"), matrix(artifact, "ngrams")
    theirs.wv.vectors_ngrams[:] = 0.0
    theirs.wv.vectors_ngrams[buckets] = rows
    row_of = dict(zip(buckets, rows, strict=True))
    for word in ("aword17", "bword16", "unrelated"):
        assert word not in known
        parts = [row_of.get(bucket, np.zeros(8)) for bucket in ft_ngram_hashes(word, 3, 6, 5000)]
        np.testing.assert_allclose(np.mean(parts, axis=0), theirs.wv[word], atol=1e-7)
    theirs.wv.vectors_vocab[:] = matrix(artifact, "word_rows")
    theirs.wv.adjust_vectors()
    np.testing.assert_allclose(matrix(artifact, "vectors"), theirs.wv.vectors, atol=1e-7)


# -- kernels against the oracle ------------------------------------------------------------


class Span:
    """One span of random sentences of words that share rows, for the kernel and the oracle."""

    def __init__(self, model: FastTextConfig, n_words: int, seed: int = 0) -> None:
        self.model, self.n_words = model, n_words
        generator = np.random.default_rng(seed)
        self.counts = np.sort(generator.integers(5, 500, n_words))[::-1].astype(np.int64)
        lengths = [6, 1, 0, 2, 9, 30, 3]
        share = self.counts / self.counts.sum()
        self.sentences = [generator.choice(n_words, n, p=share).tolist() for n in lengths]
        self.n_rows = 3 * n_words
        self.word_rows = [
            [word, *generator.integers(n_words, self.n_rows, generator.integers(0, 6)).tolist()]
            for word in range(n_words)
        ]
        self.matrices = windows.new_matrices(model, self.n_rows, n_words, 1)
        scale = 0.4 / max(1.0, np.sqrt(model.vector_size / 7))
        for rows in self.matrices:
            rows[:, : model.vector_size] = generator.normal(
                0, scale, (len(rows), model.vector_size)
            )
        self.limits = keep_limits(self.counts, model.sample)
        self.noise = draw_noise(self.counts, model.ns_exponent, generator, 64)
        self.state = 2**63 + 12345
        self.rate = Rate(0.1, 0.002, 0.05)

    def train(self, n_workers: int = 1, worker: int = 0) -> tuple[Matrices, float, int]:
        """By the kernel: matrices, loss, predictions."""
        model = self.model
        kernel = native.span_kernel(
            model.architecture, model.vector_size, model.negative, model.hs, model.cbow_mean
        )
        scratch = windows.new_scratch(model)
        matrices = windows.new_matrices(model, self.n_rows, self.n_words, n_workers)
        for rows, start in zip(matrices, self.matrices, strict=True):
            rows[: len(start)] = start
        subwords = Subwords(
            np.cumsum([0, *map(len, self.word_rows)]),
            np.array([row for rows in self.word_rows for row in rows], np.int32),
        )
        n_predictions = kernel(
            subwords,
            native.new_ring(model),
            np.array([word for sentence in self.sentences for word in sentence], np.int32),
            np.cumsum([0, *map(len, self.sentences)]),
            matrices,
            Draws(self.limits, self.noise, np.uint64(model.window), model.shrink_windows),
            windows.tree_paths(model, self.counts),
            self.rate,
            np.uint64(self.state),
            windows.new_replica(model, self.n_rows, self.n_words, n_workers, worker),
            scratch,
        )
        return matrices, float(scratch.losses.sum()), n_predictions

    def oracle(self) -> FastTextOracle:
        """The same by the oracle."""
        model = self.model
        oracle = FastTextOracle(
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
            word_rows=self.word_rows,
        )
        oracle.train(self.sentences, *self.rate, self.state)
        return oracle


def assert_agrees(span: Span) -> None:
    matrices, loss, n_predictions = span.train()
    oracle = span.oracle()
    assert n_predictions == oracle.n_predictions > 0
    assert loss == pytest.approx(oracle.loss, rel=1e-5)
    expected = (oracle.inputs, oracle.noise_outputs, oracle.node_outputs)
    for rows, right, before in zip(matrices, expected, span.matrices, strict=True):
        np.testing.assert_allclose(rows, right, rtol=1e-4, atol=3e-5)
        assert len(rows) == 0 or np.abs(right - before).max() > 0.001


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize(
    "changes",
    [
        {"sample": 0},
        {"sample": 0.05, "window": 2},
        {"negative": 0, "hs": True},
        {"negative": 12, "shrink_windows": False, "hs": True, "cbow_mean": False},
        {"window": 50, "shrink_windows": False, "sample": 0},
    ],
    ids=str,
)
def test_kernel_takes_the_steps_of_the_oracle(architecture: str, changes: dict[str, Any]) -> None:
    if architecture == "skipgram":  # it takes no mean, and each setting would be compiled
        changes = {key: value for key, value in changes.items() if key != "cbow_mean"}
    assert_agrees(Span(config(architecture=architecture, **changes), n_words=40))


@pytest.mark.parametrize("vector_size", [1, 1000])
@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
def test_rows_of_any_length(architecture: str, vector_size: int) -> None:
    model = config(architecture=architecture, vector_size=vector_size, sample=0)
    assert_agrees(Span(model, n_words=30))


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", [{}, {"negative": 0, "hs": True}], ids=str)
def test_vocabulary_of_two_words(architecture: str, objective: dict[str, Any]) -> None:
    assert_agrees(Span(config(architecture=architecture, sample=0, **objective), n_words=2))


def test_several_workers_add_their_changes_to_the_rows_they_copy() -> None:
    span = Span(config(sample=0), n_words=20)
    alone, _, _ = span.train()
    shared, _, _ = span.train(n_workers=2, worker=1)
    assert len(shared.inputs) > len(alone.inputs)
    np.testing.assert_allclose(shared.inputs[: span.n_rows], alone.inputs, atol=1e-6)
    np.testing.assert_allclose(shared.noise_outputs[:20], alone.noise_outputs, atol=1e-6)


def test_words_of_one_row_are_word2vec_but_for_when_rows_move() -> None:
    """With every word met once in sight, FastText without n-grams is Word2Vec exactly."""
    n_words, model = 30, config(sample=0, window=3)
    span = Span(model, n_words)
    span.word_rows = [[word] for word in range(n_words)]
    span.sentences = [list(range(n_words))]
    fasttext, loss, _ = span.train()
    plain = Word2VecConfig(trainer="word2vec", vector_size=7, negative=3, sample=0, window=3)
    kernel = word2vec.span_kernel("skipgram", 7, 3, False, True)
    matrices = Matrices(
        span.matrices.inputs[:n_words].copy(),
        span.matrices.noise_outputs.copy(),
        span.matrices.node_outputs,
    )
    scratch = windows.new_scratch(plain)
    kernel(
        np.arange(n_words, dtype=np.int32),
        np.array([0, n_words]),
        matrices,
        Draws(span.limits, span.noise, np.uint64(3), True),
        windows.tree_paths(plain, span.counts),
        span.rate,
        np.uint64(span.state),
        windows.new_replica(plain, n_words, n_words, 1, 0),
        scratch,
    )
    assert float(scratch.losses.sum()) == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(matrices.inputs, fasttext.inputs[:n_words], atol=1e-6)


# -- what is published -----------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("changes", [{}, {"negative": 0, "hs": True}, {"max_n": 0}], ids=str)
def test_two_topics_separate(
    tmp_path: Path, architecture: str, n_workers: int, changes: dict[str, Any]
) -> None:
    tokens = publish_tokens(tmp_path, two_topics())
    artifact = train_model(
        tokens,
        tmp_path,
        "fasttext",
        engine="native",
        architecture=architecture,
        n_workers=n_workers,
        epochs=25,
        alpha=0.1,
        sample=0,
        **changes,
    )
    assert topic_separation(artifact) > 0.5
    losses = column(artifact, "losses", "mean_loss")
    assert losses[-1] < losses[0]


def test_published_vectors_are_the_means_of_their_rows(tokens: Artifact, tmp_path: Path) -> None:
    artifact = train_model(tokens, tmp_path, "fasttext", engine="native")
    word_rows, ngrams = matrix(artifact, "word_rows"), matrix(artifact, "ngrams")
    row_of = {bucket: row for row, bucket in enumerate(column(artifact, "ngrams", "bucket"))}
    vectors = matrix(artifact, "vectors")
    for row, word in enumerate(column(artifact, "vectors", "token")):
        buckets = ft_ngram_hashes(word, 3, 6, 5000)
        parts = [word_rows[row], *(ngrams[row_of[bucket]] for bucket in buckets)]
        np.testing.assert_allclose(vectors[row], np.mean(parts, axis=0), atol=1e-6)
    assert artifact.manifest.counts["ngram_buckets_used"] == len(ngrams)


@pytest.mark.parametrize(
    "changes", [{}, {"architecture": "cbow"}, {"hs": True, "negative": 12}], ids=str
)
def test_one_worker_gives_the_same_bytes_again(
    tokens: Artifact, tmp_path: Path, changes: dict[str, Any]
) -> None:
    train = partial(train_model, tokens, trainer="fasttext", engine="native", **changes)
    once = train(root=tmp_path / "a")
    again = train(root=tmp_path / "b", n_workers=3, deterministic=False)
    assert file_hashes(once) == file_hashes(train(root=tmp_path / "c"))
    assert file_hashes(once).keys() == file_hashes(again).keys()


def test_tables_have_the_rows_of_the_gensim_engine(tokens: Artifact, tmp_path: Path) -> None:
    changes = {"hs": True, "negative": 12}
    ours = train_model(tokens, tmp_path, "fasttext", engine="native", **changes)
    theirs = train_model(tokens, tmp_path, "fasttext", engine="gensim", **changes)
    for table in ("vectors", "word_rows", "output_vectors", "ngrams"):
        assert ours.schema(table) == theirs.schema(table)
        assert ours.rows(table) == theirs.rows(table)
    assert column(ours, "ngrams", "bucket") == column(theirs, "ngrams", "bucket")
    assert column(ours, "vectors", "token") == column(theirs, "vectors", "token")


def test_progress_counts_every_token_with_context(tokens: Artifact, tmp_path: Path) -> None:
    progress = RecordedProgress()
    artifact = train_model(tokens, tmp_path, "fasttext", engine="native", progress=progress)
    assert progress.done["train"] == progress.totals["train"]
    assert progress.totals["train"] == 2 * artifact.manifest.counts["tokens_kept"]
