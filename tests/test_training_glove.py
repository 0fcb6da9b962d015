"""GloVe against an independent reference: AdaGrad in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stage_support import context_of
from training_support import (
    column,
    file_hashes,
    matrix,
    model_config,
    publish_cooccurrences,
    publish_tokens,
    sentences_with_distinct_counts,
    topic_separation,
    train_model,
    two_topics,
)

from nightjar.config.models import TrainingConfig
from nightjar.errors import ArtifactDamaged, TrainingError
from nightjar.kernels.adagrad import (
    Cells,
    Weighting,
    adagrad_kernel,
    draw_order,
    untrained_losses,
)
from nightjar.stages.train import (
    Lessons,
    Parents,
    checkpoint_path,
    cooccurrence,
    train,
    trained_identity,
)
from nightjar.stages.train.epochs import SpanResult
from nightjar.stages.train.glove import GloVeLearner, Layers, initial_parameters, n_chunks
from nightjar.store import Staging, Store, publish
from nightjar.store.schemas import COOCCURRENCES, EMBEDDINGS

# -- the reference, written from the paper and glove.c, sharing no code with the project --------


@dataclass
class Reference:
    """GloVe's parameters in float64: rows hold the vector and, last, the bias."""

    words: NDArray[np.float64]
    contexts: NDArray[np.float64]
    word_squares: NDArray[np.float64]
    context_squares: NDArray[np.float64]

    @classmethod
    def like(cls, parameters: NDArray[np.float32], vector_size: int) -> Reference:
        layers = Layers(parameters, vector_size)

        def rows(values: NDArray[Any], biases: NDArray[Any]) -> NDArray[np.float64]:
            return np.column_stack([values, biases]).astype(np.float64)

        return cls(
            rows(layers.vectors("word"), layers.biases("word")),
            rows(layers.vectors("context"), layers.biases("context")),
            rows(layers.squares("word"), layers.bias_squares("word")),
            rows(layers.squares("context"), layers.bias_squares("context")),
        )

    def pass_over(
        self, order: list[tuple[int, int, float]], x_max: float, alpha: float, eta: float
    ) -> float:
        """A step on each entry (i, j, x); the sum of their losses, each before its step."""
        total = 0.0
        for i, j, x in order:
            total += self.loss(i, j, x, x_max, alpha)
            self.step(i, j, x, x_max, alpha, eta)
        return total

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


# -- AdaGrad -----------------------------------------------------------------------------------


def random_cells(n_words: int, n: int, is_symmetric: bool) -> Cells:
    """Random cells in ascending order; symmetric: with row <= column."""
    generator = np.random.default_rng(3)
    numbers = np.sort(generator.choice(n_words * n_words, n, replace=False))
    rows, columns = (numbers // n_words).astype(np.int32), (numbers % n_words).astype(np.int32)
    if is_symmetric:
        is_upper = rows <= columns
        rows, columns = rows[is_upper], columns[is_upper]
    counts = np.round(generator.lognormal(1.0, 2.0, len(rows)) + 0.1, 3)
    return Cells(rows, columns, counts, is_symmetric)


def entries_of(cells: Cells, order: NDArray[np.int32]) -> list[tuple[int, int, float]]:
    """The entries (i, j, x) of cells in that order: both of a symmetric pair, then the next."""
    entries = []
    for n in order:
        i, j, x = int(cells.rows[n]), int(cells.columns[n]), float(cells.counts[n])
        if not cells.is_symmetric:
            entries.append((i, j, x))
        elif i == j:
            entries.append((i, j, 2 * x))
        else:
            entries += [(i, j, x), (j, i, x)]
    return entries


def weighting(x_max: float, alpha: float) -> Weighting:
    return Weighting(np.float32(math.log(x_max)), np.float32(alpha))


def assert_same(parameters: NDArray[np.float32], vector_size: int, reference: Reference) -> None:
    result = Reference.like(parameters, vector_size)
    for name in ("words", "contexts", "word_squares", "context_squares"):
        np.testing.assert_allclose(
            getattr(result, name), getattr(reference, name), rtol=2e-4, atol=2e-5
        )


@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize("vector_size", [1, 7, 14, 15, 64])
def test_whole_epochs_follow_the_float64_reference(vector_size: int, is_symmetric: bool) -> None:
    n_words, x_max, alpha, eta = 12, 10.0, 0.75, 0.05
    cells = random_cells(n_words, 100, is_symmetric)
    order = np.random.default_rng(5).permutation(len(cells.rows)).astype(np.int32)
    entries = entries_of(cells, order)
    parameters = initial_parameters(n_words, vector_size, seed=2)
    reference = Reference.like(parameters, vector_size)
    kernel = adagrad_kernel(n_chunks(vector_size))

    for _ in range(10):
        expected = reference.pass_over(entries, x_max, alpha, eta)
        loss = kernel(cells, order, parameters, weighting(x_max, alpha), np.float32(eta))
        assert loss == pytest.approx(expected, rel=2e-5)

    assert_same(parameters, vector_size, reference)
    layers = Layers(parameters, vector_size)
    for kind in ("word", "context"):
        np.testing.assert_array_equal(layers.ones(kind), 1.0)


def test_untrained_loss_is_that_of_zero_products() -> None:
    for is_symmetric in (True, False):
        cells = random_cells(12, 100, is_symmetric)
        entries = entries_of(cells, np.arange(len(cells.rows), dtype=np.int32))
        expected = sum(0.5 * weight(x, 10.0, 0.75) * math.log(x) ** 2 for _, _, x in entries)
        n_entries, loss = untrained_losses(cells, weighting(10.0, 0.75))
        assert n_entries == len(entries)
        assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("vector_size", [9, 14, 30])
def test_start_values_are_small_and_accumulators_one(vector_size: int) -> None:
    layers = Layers(initial_parameters(500, vector_size, seed=0), vector_size)
    bound = 0.5 / (vector_size + 1)
    for kind in ("word", "context"):
        for values in (layers.vectors(kind), layers.biases(kind)):
            assert 0.98 * bound < values.max() <= bound
            assert -bound <= values.min() < -0.98 * bound
        assert np.all(layers.squares(kind) == 1.0)
        assert np.all(layers.bias_squares(kind) == 1.0)
        assert np.all(layers.ones(kind) == 1.0)
    assert not np.array_equal(layers.vectors("word"), layers.vectors("context"))


def test_step_goes_down_the_numerical_gradient() -> None:
    x, x_max, alpha, eta, shift = 7.5, 10.0, 0.75, 1.0, 1e-5
    one = np.array([1], np.int32), np.array([2], np.int32), np.array([x])
    cells = Cells(*one, is_symmetric=False)
    parameters = initial_parameters(3, 5, seed=1)
    start = Reference.like(parameters, 5)
    kernel = adagrad_kernel(n_chunks(5))
    kernel(cells, np.zeros(1, np.int32), parameters, weighting(x_max, alpha), np.float32(eta))
    end = Reference.like(parameters, 5)

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


def test_order_keeps_tiles_and_their_blocks_together_and_shuffles_all_else() -> None:
    generator = np.random.default_rng(4)
    numbers = np.sort(generator.choice(3000 * 3000, 20_000, replace=False))
    rows, columns = (numbers // 3000).astype(np.int32), (numbers % 3000).astype(np.int32)
    ascending = np.lexsort((columns, rows, columns >> 10, rows >> 10))
    rows, columns = rows[ascending], columns[ascending]
    order = draw_order(rows, columns, np.uint64(1))

    np.testing.assert_array_equal(np.sort(order), np.arange(20_000))
    tiles = list(zip(rows[order] >> 10, columns[order] >> 10, strict=True))
    blocks = list(zip(rows[order] >> 4, columns[order] >> 10, strict=True))
    for places in (tiles, blocks):
        changes = sum(a != b for a, b in pairwise(places))
        assert changes == len(set(places)) - 1
        assert list(dict.fromkeys(places)) != sorted(set(places))
    # Within a block, neighbours of the order are no more often ascending than descending.
    steps = [
        b - a for (a, b), (p, q) in zip(pairwise(order), pairwise(blocks), strict=True) if p == q
    ]
    assert 0.45 < np.mean(np.array(steps) > 0) < 0.55
    assert not np.array_equal(order, draw_order(rows, columns, np.uint64(2)))
    np.testing.assert_array_equal(order, draw_order(rows, columns, np.uint64(1)))


# -- the whole trainer --------------------------------------------------------------------------


def test_training_follows_the_reference_from_the_counts_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooccurrence, "GROUP_CELLS", 16)
    tokens = publish_tokens(tmp_path, sentences_with_distinct_counts(n_words=15))
    trained = train_model(tokens, tmp_path, "glove", seed=11, window=5, epochs=6, x_max=20)

    counted = Store(tmp_path).open(Store(tmp_path).versions(COOCCURRENCES)[0])
    with counted.row_groups("cooccurrences") as groups:
        assert len(groups) > 4
        cells = [
            Cells(*(groups.read(n).column(k).to_numpy() for k in range(3)), is_symmetric=True)
            for n in range(len(groups))
        ]
    parameters = initial_parameters(15, 8, seed=11)
    reference = Reference.like(parameters, 8)
    losses = []
    n_entries = sum(len(entries_of(c, np.arange(len(c.rows), dtype=np.int32))) for c in cells)
    for epoch in range(1, 7):
        total = 0.0
        for group in np.random.default_rng([11, epoch]).permutation(len(cells)):
            state = np.random.SeedSequence([11, epoch, int(group)]).generate_state(1, np.uint64)[0]
            of_group = cells[group]
            order = draw_order(of_group.rows, of_group.columns, state)
            total += reference.pass_over(entries_of(of_group, order), 20.0, 0.75, 0.05)
        losses.append(total / n_entries)

    assert trained.manifest.counts["cooccurrences"] == n_entries
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


def test_interrupted_training_ends_bit_for_bit_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooccurrence, "GROUP_CELLS", 16)
    tokens = publish_tokens(tmp_path, sentences_with_distinct_counts(n_words=15))
    whole = train_model(tokens, tmp_path / "whole", "glove", epochs=4)
    counted = publish_cooccurrences(tokens, tmp_path)
    learned = GloVeLearner.learn

    def dies(self: GloVeLearner, span: int, epoch: int, worker: int) -> SpanResult:
        if epoch == 3 and checkpoint.exists():
            raise KeyboardInterrupt
        return learned(self, span, epoch, worker)

    model = model_config("glove", epochs=4)
    training = TrainingConfig(seed=7, checkpoint_minutes=1e-9)
    identity = trained_identity("glove", model, training, Parents(tokens.ref.version))
    checkpoint = checkpoint_path(tmp_path / identity.stage, identity.version)

    def write(staging: Staging) -> None:
        lessons = Lessons(tokens, counted)
        train("glove", model, training, lessons, context_of(staging, identity))

    monkeypatch.setattr(GloVeLearner, "learn", dies)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, identity, write)
    monkeypatch.setattr(GloVeLearner, "learn", learned)
    resumed = Store(tmp_path).open(publish(tmp_path, identity, write))

    assert "resumed" in resumed.manifest.report
    assert file_hashes(resumed) == file_hashes(whole)


@pytest.mark.parametrize("is_symmetric", [True, False])
def test_cell_of_an_unknown_word_is_damage(tmp_path: Path, is_symmetric: bool) -> None:
    tokens = publish_tokens(tmp_path, two_topics(20))
    counted = publish_cooccurrences(tokens, tmp_path)
    model, training = (
        model_config("glove", symmetric=is_symmetric, max_vocabulary=5),
        TrainingConfig(),
    )
    identity = trained_identity("glove", model, training, Parents(tokens.ref.version))

    def write(staging: Staging) -> None:
        train("glove", model, training, Lessons(tokens, counted), context_of(staging, identity))

    with pytest.raises(ArtifactDamaged, match="of a word that the vocabulary lacks"):
        publish(tmp_path, identity, write)


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
    separations = []
    for seed in range(4):  # twelve words fall into place or not, as chance has it
        trained = train_model(
            tokens, tmp_path, "glove", epochs=60, x_max=50, n_workers=n_workers, seed=seed
        )
        separations.append(topic_separation(trained))
        losses = column(trained, "losses", "mean_loss")
        assert losses[-1] < losses[10] < losses[0]
        assert trained.manifest.report["last_mean_loss"] == losses[-1]
    assert np.mean(separations) > 0.5


def test_divergence_names_the_epoch_and_publishes_nothing(tmp_path: Path) -> None:
    sentences = [[f"w{row}" for row in range(40)]] * 200
    tokens = publish_tokens(tmp_path, sentences)
    with pytest.raises(TrainingError, match=r"diverged in epoch \d: .*lower eta \(now 10\)"):
        train_model(tokens, tmp_path, "glove", eta=10, epochs=50, vector_size=50, window=20)
    assert Store(tmp_path).versions(EMBEDDINGS) == []
    assert list((tmp_path / EMBEDDINGS).iterdir()) == []
