"""GloVe against independent references: brute-force counts and a float64 AdaGrad."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from training_support import (
    Sentences,
    column,
    matrix,
    model_config,
    publish_tokens,
    sentences_with_distinct_counts,
    topic_separation,
    train_model,
    two_topics,
    vocabulary_of,
)

from nightjar.config.models import GloVeConfig
from nightjar.errors import TrainingError, VocabularyError
from nightjar.progress import SILENT
from nightjar.schemas import EMBEDDINGS
from nightjar.store import Artifact, Store
from nightjar.training import cooccurrence
from nightjar.training.cooccurrence import ENTRY, count_cooccurrences
from nightjar.training.corpus import Corpus, CorpusSize
from nightjar.training.glove import Layer
from nightjar.training.kernels.adagrad import adagrad_pass
from nightjar.training.vocabulary import Vocabulary, select_vocabulary

Cells = dict[tuple[int, int], float]


# -- references, written from the paper and glove.c, sharing no code with the project ----------


def brute_force_counts(
    sentences: Sentences, window: int, is_symmetric: bool, has_distances: bool, n_words: int
) -> Cells:
    """X[i, j] over all pairs of the ``n_words`` most frequent words."""
    ids = {word: row for row, (word, _) in enumerate(vocabulary_of(sentences)[:n_words])}
    cells: Cells = defaultdict(float)
    for sentence in sentences:
        kept = [ids[token] for token in sentence if token in ids]
        for i, word in enumerate(kept):
            for j, other in enumerate(kept):
                if j < i and i - j <= window:
                    increment = 1.0 / (i - j) if has_distances else 1.0
                    cells[word, other] += increment
                    if is_symmetric:
                        cells[other, word] += increment
    return dict(cells)


@dataclass
class Reference:
    """GloVe's parameters in float64: rows hold the vector and, last, the bias."""

    words: NDArray[np.float64]
    contexts: NDArray[np.float64]
    word_squares: NDArray[np.float64]
    context_squares: NDArray[np.float64]

    @classmethod
    def like(cls, words: Layer, contexts: Layer) -> Reference:
        def rows(vectors: NDArray[Any], biases: NDArray[Any]) -> NDArray[np.float64]:
            return np.column_stack([vectors, biases]).astype(np.float64)

        return cls(
            rows(words.vectors, words.biases),
            rows(contexts.vectors, contexts.biases),
            rows(words.squares, words.bias_squares),
            rows(contexts.squares, contexts.bias_squares),
        )

    def loss(self, i: int, j: int, x: float, x_max: float, alpha: float) -> float:
        """Half the weighted squared error of one cell (equation 8)."""
        return 0.5 * weight(x, x_max, alpha) * self._difference(i, j, x) ** 2

    def _difference(self, i: int, j: int, x: float) -> float:
        w, c = self.words[i], self.contexts[j]
        return float(w[:-1] @ c[:-1] + w[-1] + c[-1] - np.log(x))

    def step(self, i: int, j: int, x: float, x_max: float, alpha: float, eta: float) -> None:
        """One AdaGrad step on the cell."""
        scale = eta * weight(x, x_max, alpha) * self._difference(i, j, x)
        word_gradient = scale * np.append(self.contexts[j][:-1], 1.0)
        context_gradient = scale * np.append(self.words[i][:-1], 1.0)
        self.words[i] -= word_gradient / np.sqrt(self.word_squares[i])
        self.contexts[j] -= context_gradient / np.sqrt(self.context_squares[j])
        self.word_squares[i] += word_gradient**2
        self.context_squares[j] += context_gradient**2


def weight(x: float, x_max: float, alpha: float) -> float:
    """f(x), equation 9."""
    return (x / x_max) ** alpha if x < x_max else 1.0


# -- counting ------------------------------------------------------------------------------------


def count(tokens: Artifact, **changes: Any) -> cooccurrence.Cooccurrences:
    model = model_config("glove", **changes)
    assert isinstance(model, GloVeConfig)
    corpus = Corpus(tokens, select_vocabulary(tokens, model))
    return count_cooccurrences(corpus, corpus.measure(SILENT), model, SILENT)


def as_cells(counted: cooccurrence.Cooccurrences) -> Cells:
    """The counts of the whole matrix, taken back out of the training entries."""
    cells: Cells = {}
    for entry in counted.entries(x_max=10.0, alpha=0.75):
        key = int(entry["row"]), int(entry["column"])
        assert key not in cells
        cells[key] = float(np.exp(np.float64(entry["log_count"])))
    return cells


AWKWARD: list[list[str]] = [
    ["a", "b", "a", "a", "c"],
    [],
    ["b"],
    ["c", "rare", "a", "b", "b", "d", "a", "c", "d", "d", "a"],
    ["d", "d"],
    ["b", "scarce", "c"],
    [],
]


@pytest.mark.parametrize("window", [1, 2, 3, 50])
@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize("has_distances", [True, False])
def test_counts_are_those_of_brute_force(
    tmp_path: Path, window: int, is_symmetric: bool, has_distances: bool
) -> None:
    tokens = publish_tokens(tmp_path, AWKWARD, row_group=2)
    counted = count(
        tokens,
        window=window,
        symmetric=is_symmetric,
        distance_weighting=has_distances,
        min_count=2,
    )
    expected = brute_force_counts(AWKWARD, window, is_symmetric, has_distances, n_words=4)
    assert as_cells(counted) == pytest.approx(expected, rel=1e-6)
    assert np.all(np.diff(counted.cells) > 0)


@pytest.mark.parametrize("batch_pairs", [7, 50, 1000])
def test_counts_do_not_depend_on_the_size_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_pairs: int
) -> None:
    tokens = publish_tokens(tmp_path, sentences_with_distinct_counts())
    whole = count(tokens, window=6)
    monkeypatch.setattr(cooccurrence, "BATCH_PAIRS", batch_pairs)
    pieces = count(tokens, window=6)
    np.testing.assert_array_equal(pieces.cells, whole.cells)
    np.testing.assert_allclose(pieces.counts, whole.counts, rtol=1e-12)


def test_sentence_of_25_000_words_is_counted_whole(tmp_path: Path) -> None:
    sentence = [f"w{row}" for row in np.random.default_rng(0).integers(0, 30, 25_000)]
    counted = count(publish_tokens(tmp_path, [sentence]), window=3, distance_weighting=False)
    assert counted.counts.sum() == 3 * 25_000 - (1 + 2 + 3)


def test_more_pairs_than_64_bits_number_is_refused(tmp_path: Path) -> None:
    n_words = 2**31
    tokens = publish_tokens(tmp_path, [["a", "b"]])

    class Huge(Vocabulary):
        def __len__(self) -> int:
            return n_words

    words = select_vocabulary(tokens, model_config("glove"))
    huge = Huge(words.words, words.counts, words.dropped, words.n_in_corpus)
    model = model_config("glove", window=1000)
    assert isinstance(model, GloVeConfig)
    with pytest.raises(VocabularyError, match="max_vocabulary"):
        count_cooccurrences(Corpus(tokens, huge), CorpusSize(1, 1, 2, 2), model, SILENT)


def test_entries_carry_the_logarithm_and_the_weight(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, [["a", "b"]] * 8 + [["a", "c"], ["b", "b"]])
    entries = count(tokens).entries(x_max=4.0, alpha=0.5)
    found = {(int(e["row"]), int(e["column"])): e for e in entries}
    assert set(found) == {(0, 0), (0, 1), (1, 0), (1, 2), (2, 1)}  # b is the most frequent
    assert found[0, 1]["log_count"] == pytest.approx(np.log(8.0))
    assert found[0, 1]["weight"] == 1.0
    assert found[0, 0]["log_count"] == pytest.approx(np.log(2.0))  # met from both sides
    assert found[1, 2]["log_count"] == 0.0
    assert found[1, 2]["weight"] == pytest.approx(0.5)


# -- AdaGrad -----------------------------------------------------------------------------------


def random_entries(n_words: int, n: int, x_max: float, alpha: float) -> tuple[Any, list[Any]]:
    """Training entries in random order, and the same as (i, j, x)."""
    generator = np.random.default_rng(3)
    cells = generator.choice(n_words * n_words, n, replace=False)
    counts = np.round(generator.lognormal(1.0, 2.0, n) + 0.1, 3)
    plain = [
        (int(cell) // n_words, int(cell) % n_words, float(x))
        for cell, x in zip(cells, counts, strict=True)
    ]
    entries = np.array([(i, j, np.log(x), weight(x, x_max, alpha)) for i, j, x in plain], ENTRY)
    return entries, plain


def run_pass(entries: NDArray[np.void], words: Layer, contexts: Layer, eta: float) -> float:
    return adagrad_pass(
        entries,
        words.vectors,
        contexts.vectors,
        words.biases,
        contexts.biases,
        words.squares,
        contexts.squares,
        words.bias_squares,
        contexts.bias_squares,
        np.float32(eta),
    )


@pytest.mark.parametrize("vector_size", [1, 7, 64])
def test_whole_epochs_follow_the_float64_reference(vector_size: int) -> None:
    n_words, x_max, alpha, eta = 12, 10.0, 0.75, 0.05
    entries, plain = random_entries(n_words, 100, x_max, alpha)
    generator = np.random.default_rng(5)
    words = Layer.initial(n_words, vector_size, generator)
    contexts = Layer.initial(n_words, vector_size, generator)
    reference = Reference.like(words, contexts)

    for _ in range(10):
        expected = 0.0
        for i, j, x in plain:
            expected += reference.loss(i, j, x, x_max, alpha)
            reference.step(i, j, x, x_max, alpha, eta)
        assert run_pass(entries, words, contexts, eta) == pytest.approx(expected, rel=2e-5)

    result = Reference.like(words, contexts)
    for name in ("words", "contexts", "word_squares", "context_squares"):
        np.testing.assert_allclose(
            getattr(result, name), getattr(reference, name), rtol=2e-4, atol=2e-5
        )


def test_start_values_are_small_and_accumulators_one() -> None:
    layer = Layer.initial(500, 9, np.random.default_rng(0))
    for values in (layer.vectors, layer.biases):
        assert 0.049 < values.max() <= 0.05
        assert -0.05 <= values.min() < -0.049
    assert np.all(layer.squares == 1.0)
    assert np.all(layer.bias_squares == 1.0)


def test_step_goes_down_the_numerical_gradient() -> None:
    x, x_max, alpha, eta, shift = 7.5, 10.0, 0.75, 1.0, 1e-5
    entries = np.array([(1, 2, np.log(x), weight(x, x_max, alpha))], ENTRY)
    generator = np.random.default_rng(1)
    words, contexts = Layer.initial(3, 5, generator), Layer.initial(3, 5, generator)
    start = Reference.like(words, contexts)
    run_pass(entries, words, contexts, eta)
    end = Reference.like(words, contexts)

    for name, row in (("words", 1), ("contexts", 2)):
        before, after = getattr(start, name), getattr(end, name)
        for k in range(6):
            kept = before[row, k]
            before[row, k] = kept + shift
            above = start.loss(1, 2, x, x_max, alpha)
            before[row, k] = kept - shift
            below = start.loss(1, 2, x, x_max, alpha)
            before[row, k] = kept
            gradient = (above - below) / (2 * shift)
            assert before[row, k] - after[row, k] == pytest.approx(eta * gradient, rel=1e-3)
        untouched = [other for other in range(3) if other != row]
        np.testing.assert_array_equal(before[untouched], after[untouched])


def test_compiled_pass_agrees_with_the_same_function_in_plain_python() -> None:
    entries, _ = random_entries(6, 30, 10.0, 0.75)
    layers = [
        [Layer.initial(6, 9, generator), Layer.initial(6, 9, generator)]
        for generator in (np.random.default_rng(2), np.random.default_rng(2))
    ]
    plain = entries.view(np.recarray)
    arguments = [
        getattr(layer, name)
        for name in ("vectors", "biases", "squares", "bias_squares")
        for layer in layers[1]
    ]
    expected = adagrad_pass.py_func(plain, *arguments, np.float32(0.05))  # type: ignore[attr-defined]
    assert run_pass(entries, *layers[0], 0.05) == pytest.approx(expected, rel=1e-5)
    for compiled, python in zip(*layers, strict=True):
        np.testing.assert_allclose(compiled.vectors, python.vectors, rtol=1e-4, atol=1e-6)


# -- the whole trainer --------------------------------------------------------------------------


def test_training_follows_the_reference_from_the_text_on(tmp_path: Path) -> None:
    sentences = sentences_with_distinct_counts(n_words=15)
    tokens = publish_tokens(tmp_path, sentences)
    trained = train_model(tokens, tmp_path, "glove", seed=11, window=5, epochs=6, x_max=20)

    cells = brute_force_counts(sentences, 5, True, True, n_words=15)
    order = [
        key
        for i, j in sorted(key for key in cells if key[0] <= key[1])
        for key in ([(i, j)] if i == j else [(i, j), (j, i)])
    ]
    generator = np.random.Generator(np.random.PCG64(11))
    shuffled = np.empty(len(order), ENTRY)
    shuffled["row"], shuffled["column"] = np.array(order).T
    generator.shuffle(shuffled)
    reference = Reference.like(Layer.initial(15, 8, generator), Layer.initial(15, 8, generator))
    losses = []
    for _ in range(6):
        total = 0.0
        for entry in shuffled:
            i, j = int(entry["row"]), int(entry["column"])
            total += reference.loss(i, j, cells[i, j], 20.0, 0.75)
            reference.step(i, j, cells[i, j], 20.0, 0.75, 0.05)
        losses.append(total / len(order))

    assert trained.manifest.counts["cooccurrences"] == len(order)
    assert column(trained, "losses", "epoch") == [1, 2, 3, 4, 5, 6]
    assert column(trained, "losses", "mean_loss") == pytest.approx(losses, rel=1e-4)
    words = matrix(trained, "parameters", kind="word")
    np.testing.assert_allclose(words, reference.words[:, :-1], rtol=1e-3, atol=1e-5)
    squares = matrix(trained, "parameters", "squared_gradient", kind="context")
    np.testing.assert_allclose(squares, reference.context_squares[:, :-1], rtol=1e-3)
    biases = column(trained, "parameters", "bias")
    expected = np.concatenate([reference.words[:, -1], reference.contexts[:, -1]])
    np.testing.assert_allclose(biases, expected, rtol=1e-3, atol=1e-5)
    bias_squares = column(trained, "parameters", "bias_squared_gradient")
    expected = np.concatenate([reference.word_squares[:, -1], reference.context_squares[:, -1]])
    np.testing.assert_allclose(bias_squares, expected, rtol=1e-3)


@pytest.mark.parametrize("combine", ["sum", "word"])
def test_combine_says_which_vectors_are_published(tmp_path: Path, combine: str) -> None:
    tokens = publish_tokens(tmp_path, two_topics(20))
    trained = train_model(tokens, tmp_path, "glove", combine=combine)
    words = matrix(trained, "parameters", kind="word")
    contexts = matrix(trained, "parameters", kind="context")
    expected = words + contexts if combine == "sum" else words
    np.testing.assert_array_equal(matrix(trained, "vectors"), expected)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_loss_falls_and_two_topics_separate(tmp_path: Path, n_workers: int) -> None:
    tokens = publish_tokens(tmp_path, two_topics())
    trained = train_model(tokens, tmp_path, "glove", epochs=60, x_max=50, n_workers=n_workers)
    losses = column(trained, "losses", "mean_loss")
    assert losses[-1] < losses[10] < losses[0]
    assert topic_separation(trained) > 0.5
    assert trained.manifest.report["last_mean_loss"] == losses[-1]


def test_divergence_names_the_epoch_and_publishes_nothing(tmp_path: Path) -> None:
    sentences = [[f"w{row}" for row in range(40)]] * 200
    tokens = publish_tokens(tmp_path, sentences)
    with pytest.raises(
        TrainingError, match=r"diverged in epoch \d: the loss is.*lower eta \(now 10\)"
    ):
        train_model(tokens, tmp_path, "glove", eta=10, epochs=50, vector_size=50, window=20)
    assert Store(tmp_path).versions(EMBEDDINGS) == []
    assert list((tmp_path / EMBEDDINGS).iterdir()) == []
