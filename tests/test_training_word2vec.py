"""The native Word2Vec: kernels against a float64 oracle, and what is published."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import Word2Vec
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
from word2vec_span_support import Span, assert_agrees, config

from nightjar.errors import TrainingError
from nightjar.kernels.windows import Draws, Matrices, Rate
from nightjar.stages.train import spans as span_module
from nightjar.stages.train import window_learner as windows
from nightjar.stages.train import word2vec as native
from nightjar.stages.train.model_corpus import TokenBatch
from nightjar.stages.train.output_layers import draw_noise, huffman_paths
from nightjar.stages.train.spans import keep_limits
from nightjar.store import Artifact

SENTENCES = sentences_with_distinct_counts()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_tokens(tmp_path_factory.mktemp("tokens"), SENTENCES, row_group=60)


# -- kernels against the oracle ------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize(
    "changes",
    [
        {"sample": 0},
        {"sample": 0.05, "window": 2},
        {"sample": 0, "window": 3, "window_side": "past"},
        {"negative": 12, "shrink_windows": False},
        {"negative": 1, "ns_exponent": -0.5},
        {"negative": 0, "hs": True},
        {"hs": True, "cbow_mean": False},
        {"window": 50, "shrink_windows": False, "sample": 0},
    ],
    ids=str,
)
def test_kernel_takes_the_steps_of_the_oracle(architecture: str, changes: dict[str, Any]) -> None:
    assert_agrees(Span(config(architecture=architecture, **changes), n_words=40))


@pytest.mark.parametrize("vector_size", [1, 16, 300])
@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
def test_rows_of_any_length(architecture: str, vector_size: int) -> None:
    model = config(architecture=architecture, vector_size=vector_size, sample=0)
    assert_agrees(Span(model, n_words=30, scale=1 / np.sqrt(vector_size)))


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", [{}, {"negative": 0, "hs": True}], ids=str)
def test_vocabulary_of_two_words(architecture: str, objective: dict[str, Any]) -> None:
    # Noise words equal the centre, or each other, all the time.
    assert_agrees(Span(config(architecture=architecture, sample=0, **objective), n_words=2))


def test_padding_stays_zero() -> None:
    matrices, _, _ = Span(config(hs=True), n_words=20).train()
    for rows in matrices:
        assert not rows[:, 7:].any()
        assert rows[:, :7].all()


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
def test_step_follows_the_gradient_of_the_loss(architecture: str) -> None:
    # With a single word in a window its mean is its sum.
    model = config(architecture=architecture, sample=0, vector_size=3, hs=True, cbow_mean=False)
    span = Span(model, n_words=5)
    span.sentences, span.rate = [[1, 4]], Rate(1e-3, 0.0, 0.0)
    matrices, loss, n_predictions = span.train()
    assert n_predictions == 2

    span.rate = Rate(0.0, 0.0, 0.0)
    assert span.oracle().loss == pytest.approx(loss, rel=1e-3)
    h = 1e-3
    for rows, before in zip(matrices, span.matrices, strict=True):
        gradient = np.zeros((len(rows), 3))
        for place in np.ndindex(gradient.shape):
            value = before[place]
            before[place] = value + h
            above = span.oracle().loss
            gradient[place] = above
            before[place] = value - h
            gradient[place] -= span.oracle().loss
            before[place] = value
        gradient /= 2 * h
        assert np.abs(gradient).max() > 0.1
        change = (rows - before)[:, :3] / 1e-3
        np.testing.assert_allclose(change, -gradient, atol=5e-3)


def test_several_workers_add_their_changes_to_the_rows_they_copy() -> None:
    # Both start from the same rows; one after the other, each sees what came before it.
    model = config(sample=0)
    span = Span(model, n_words=20)
    alone, _, _ = span.train()
    shared = native.initial_matrices(model, 20, 2, 0)
    n_rows = windows.n_copied_rows(20, 2)
    assert len(shared.inputs) == 20 + 2 * n_rows
    for rows, start in zip(shared, span.matrices, strict=True):
        rows[: len(start)] = start
    kernel = native.span_kernel("skipgram", 7, 3, False, True)
    kernel(
        np.array([word for sentence in span.sentences for word in sentence], np.int32),
        np.cumsum([0, *map(len, span.sentences)]),
        shared,
        Draws(span.limits, span.noise, np.uint64(5), True),
        windows.tree_paths(model, span.counts),
        span.rate,
        np.uint64(span.state),
        windows.new_replica(model, 20, 20, 2, 1),
        windows.new_scratch(model),
    )
    np.testing.assert_allclose(shared.inputs[:20], alone.inputs, atol=1e-6)
    np.testing.assert_allclose(shared.noise_outputs[:20], alone.noise_outputs, atol=1e-6)
    assert not shared.inputs[20 : 20 + n_rows].any()


# -- sampling, tree, spans -----------------------------------------------------------------


def test_tree_is_that_of_gensim() -> None:
    counts = np.array([50, 9, 9, 9, 9, 5, 5, 3, 3, 3, 3, 3, 1, 1])
    model = Word2Vec(vector_size=2, min_count=1, hs=1, negative=0, sorted_vocab=0)
    model.build_vocab_from_freq({str(row): int(count) for row, count in enumerate(counts)})
    paths = huffman_paths(counts)
    for word in range(len(counts)):
        steps = slice(paths.offsets[word], paths.offsets[word + 1])
        np.testing.assert_array_equal(paths.nodes[steps], model.wv.get_vecattr(word, "point"))
        codes = model.wv.get_vecattr(word, "code").astype(int)
        np.testing.assert_array_equal(paths.signs[steps], 1 - 2 * codes)


def test_subsampling_keeps_as_gensim_does() -> None:
    counts = np.array([9000, 700, 200, 90, 10])
    model = Word2Vec(vector_size=2, min_count=1, sample=0.02, sorted_vocab=0)
    model.build_vocab_from_freq({str(row): int(count) for row, count in enumerate(counts)})
    expected = [model.wv.get_vecattr(word, "sample_int") for word in range(5)]
    # gensim's certainty is 2**32 - 1.
    np.testing.assert_allclose(keep_limits(counts, 0.02).astype(float), expected, rtol=1e-6)
    assert keep_limits(counts, 0).tolist() == [2**32] * 5


def test_noise_words_appear_as_often_as_their_weight() -> None:
    counts = np.array([16, 81, 1, 256])
    noise = draw_noise(counts, 0.75, np.random.default_rng(0), 1000)
    expected = counts**0.75 / (counts**0.75).sum() * 1000
    assert np.abs(np.bincount(noise) - expected).max() < 1
    assert len(np.unique(noise[:100])) > 2


def test_spans_hold_all_sentences_with_context_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_module, "SPAN_TOKENS", 25)
    monkeypatch.setattr(span_module, "MAX_SENTENCE_TOKENS", 10)
    lengths = np.array([4, 1, 0, 37, 9, 2, 1, 20, 3])
    ids = np.arange(lengths.sum(), dtype=np.int32)
    batch = TokenBatch(ids, np.concatenate(([0], np.cumsum(lengths))))
    empty = TokenBatch(ids[:0], np.zeros(1, np.int64))
    found = list(span_module.spans(iter([batch, empty, batch])))
    assert [span.number for span in found] == list(range(len(found)))
    read = [span.ids[span.offsets[0] : span.offsets[-1]].tolist() for span in found]
    without_context = {4, 53}
    once = [token for token in ids.tolist() if token not in without_context]
    assert [token for span in read for token in span] == once + once
    before = [span.n_tokens_before for span in found]
    assert before == np.cumsum([0, *map(len, read)])[:-1].tolist()
    pieces = np.concatenate([np.diff(span.offsets) for span in found])
    assert pieces.max() == 10
    assert pieces.tolist().count(4) == 2


# -- what is published ---------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize(
    "objective",
    [{}, {"negative": 0, "hs": True}, {"hs": True, "cbow_mean": False}],
    ids=str,
)
@pytest.mark.parametrize("n_workers", [1, 2])
def test_two_topics_separate(
    tmp_path: Path, architecture: str, objective: dict[str, Any], n_workers: int
) -> None:
    corpus = publish_tokens(tmp_path, two_topics())
    trained = train_model(
        corpus, tmp_path, "word2vec", engine="native", architecture=architecture, sample=0,
        epochs=8, alpha=0.1, n_workers=n_workers, **objective,
    )  # fmt: skip
    assert topic_separation(trained) > 0.5
    losses = column(trained, "losses", "mean_loss")
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"architecture": "cbow", "hs": True, "cbow_mean": False},
        {"deterministic": True, "n_workers": 2},
    ],
)
def test_one_worker_gives_the_same_bytes_again(
    tokens: Artifact, tmp_path: Path, changes: dict[str, Any]
) -> None:
    runs = [
        train_model(tokens, tmp_path / str(run), "word2vec", engine="native", **changes)
        for run in range(2)
    ]
    assert file_hashes(runs[0]) == file_hashes(runs[1])
    other = train_model(tokens, tmp_path / "x", "word2vec", engine="native", **changes, seed=8)
    assert (matrix(other, "vectors") != matrix(runs[0], "vectors")).all()


def test_row_groups_do_not_change_the_loss_of_the_first_epoch(tmp_path: Path) -> None:
    found = []
    for row_group in (7, 1000):
        root = tmp_path / str(row_group)
        corpus = publish_tokens(root, SENTENCES, row_group=row_group)
        trained = train_model(corpus, root, "word2vec", engine="native", sample=0)
        found.append(column(trained, "losses", "mean_loss"))
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_tables_have_the_rows_of_the_gensim_engine(tokens: Artifact, tmp_path: Path) -> None:
    changes = {"hs": True, "vector_size": 5}
    ours, theirs = (
        train_model(tokens, tmp_path, "word2vec", engine=engine, **changes)
        for engine in ("native", "gensim")
    )
    for table, name in (("vectors", "token"), ("vectors", "count"), ("output_vectors", "kind")):
        assert column(ours, table, name) == column(theirs, table, name)
    assert column(ours, "output_vectors", "row") == column(theirs, "output_vectors", "row")
    for kind in ("negative", "hs"):
        assert matrix(ours, "output_vectors", kind=kind).any()
    assert column(ours, "losses", "epoch") == [1, 2]


def test_vectors_start_where_those_of_gensim_do(tokens: Artifact, tmp_path: Path) -> None:
    trained = train_model(tokens, tmp_path, "word2vec", engine="native", alpha=1e-9, min_alpha=1e-9)
    model = Word2Vec(vector_size=8, min_count=1, seed=7, sorted_vocab=0)
    counts = column(trained, "vectors", "count")
    model.build_vocab_from_freq(dict(zip(column(trained, "vectors", "token"), counts, strict=True)))
    np.testing.assert_allclose(matrix(trained, "vectors"), model.wv.vectors, atol=1e-6)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_model_that_diverges_is_named_with_its_epoch(
    tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_workers: int
) -> None:
    initial = native.initial_matrices

    def poisoned(*arguments: Any) -> Matrices:
        matrices = initial(*arguments)
        matrices.inputs[1] = np.inf
        return matrices

    monkeypatch.setattr(native, "initial_matrices", poisoned)
    with pytest.raises(TrainingError, match=r"diverged in epoch 1.*lower alpha"):
        train_model(tokens, tmp_path, "word2vec", engine="native", n_workers=n_workers)


def test_progress_counts_every_token_with_context(tokens: Artifact, tmp_path: Path) -> None:
    progress = RecordedProgress()
    train_model(tokens, tmp_path, "word2vec", engine="native", progress=progress)
    n_tokens = sum(map(len, SENTENCES))
    assert progress.totals["train"] == progress.done["train"] == 2 * n_tokens
    assert "epoch 2/2" in progress.notes[-1]
    assert "learning rate 0.0001" in progress.notes[-1]
    assert "loss" in progress.notes[-1]


_BOUNDS_CHECKED = """
import sys
from pathlib import Path
from training_support import publish_tokens, sentences_with_distinct_counts, train_model

tokens = publish_tokens(Path(sys.argv[1]), [["a"], [], *sentences_with_distinct_counts(8)])
for architecture in ("skipgram", "cbow"):
    train_model(
        tokens, Path(sys.argv[1]), "word2vec", engine="native", architecture=architecture,
        hs=True, negative=9, window=50, n_workers=2,
    )
    train_model(
        tokens, Path(sys.argv[1]), "fasttext", engine="native", architecture=architecture,
        hs=True, negative=9, window=50, n_workers=2,
    )
print("checked")
"""


def test_no_kernel_indexes_out_of_bounds(tmp_path: Path) -> None:
    """Nor one of FastText, which shares functions with those of Word2Vec."""
    done = subprocess.run(
        [sys.executable, "-c", _BOUNDS_CHECKED, str(tmp_path / "store")],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0"},  # numba caches none of it
    )
    assert done.stdout == "checked\n"


_ROW_OUTSIDE = """
import numpy as np
from nightjar.kernels.compilation import compiled
from nightjar.kernels.whole_rows import add_scaled_row, fetch_row

@compiled()
def add(rows, row):
    add_scaled_row(rows, 0, rows, row, np.float32(1), 1)

@compiled()
def fetch(rows, row):
    fetch_row(rows, row, 1)

rows = np.zeros((3, 16), np.float32)
for kernel in (add, fetch):
    kernel(rows, 2)
    for row in (3, -1):
        try:
            kernel(rows, row)
        except IndexError as error:
            print(error)
"""


def test_bounds_checks_reach_into_the_vector_code(tmp_path: Path) -> None:
    script = tmp_path / "outside.py"
    script.write_text(_ROW_OUTSIDE)
    paths = os.pathsep.join([str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, str(script)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ
        | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": paths},
    )
    assert done.stdout == "a row lies outside of its matrix\n" * 4


_AGREES = """
from word2vec_span_support import Span, assert_agrees, config
for architecture in ("skipgram", "cbow"):
    assert_agrees(Span(config(architecture=architecture, vector_size=17, sample=0), 30, scale=0.25))
print("agrees")
"""


@pytest.mark.parametrize("processor", ["haswell", "x86-64"])
def test_kernels_agree_with_the_oracle_on_processors_with_shorter_vectors(
    tmp_path: Path, processor: str
) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("this machine has another kind of processor")
    done = subprocess.run(
        [sys.executable, "-c", _AGREES],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=os.environ
        | {
            "NUMBA_CPU_NAME": processor,
            "NUMBA_CPU_FEATURES": "+avx2,+fma" if processor == "haswell" else "",
            "NUMBA_CACHE_DIR": str(tmp_path),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        },
    )
    assert done.stdout == "agrees\n", done.stderr
