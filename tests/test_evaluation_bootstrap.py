"""Scores and their intervals against scipy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nightjar.stages.evaluate import bootstrap
from nightjar.stages.evaluate.bootstrap import (
    Correlations,
    Resampling,
    ScoreEstimate,
    estimate_accuracy,
    estimate_correlations,
)

RESAMPLING = Resampling(samples=500, confidence=0.95, seed=1)


def plain_loop(
    x: np.ndarray, y: np.ndarray, resampling: Resampling, name: str
) -> tuple[list[float], list[float]]:
    """Spearman's and Pearson's correlation of the same resamples, one by one, by scipy."""
    spearman, pearson = [], []
    generator = resampling.generator(name)
    for block in bootstrap._resamples(generator, resampling.samples, len(x)):
        for weights in block:
            drawn = np.repeat(np.arange(len(x)), weights.astype(int))
            if np.ptp(x[drawn]) and np.ptp(y[drawn]):
                spearman.append(float(stats.spearmanr(x[drawn], y[drawn]).statistic))
                pearson.append(float(stats.pearsonr(x[drawn], y[drawn]).statistic))
    return spearman, pearson


@pytest.mark.parametrize("decimals", [8, 1, 0])
def test_correlations_and_intervals_equal_those_of_a_plain_loop(decimals: int) -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=40).round(decimals)
    y = (0.5 * x + generator.normal(size=40)).round(decimals)
    found = estimate_correlations(x, y, RESAMPLING, "pairs")
    spearman, pearson = plain_loop(x, y, RESAMPLING, "pairs")
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert found.pearson.value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    for estimate, resampled in ((found.spearman, spearman), (found.pearson, pearson)):
        expected = np.quantile(resampled, [0.025, 0.975])
        assert [estimate.ci_low, estimate.ci_high] == pytest.approx(expected, abs=1e-12)


def test_intervals_agree_with_scipys_bootstrap() -> None:
    generator = np.random.default_rng(7)
    x = generator.normal(size=200)
    y = x + generator.normal(size=200)
    found = estimate_correlations(x, y, Resampling(4_000, 0.9, 1), "pairs").pearson
    expected = stats.bootstrap(
        (x, y),
        lambda a, b, axis: stats.pearsonr(a, b, axis=axis).statistic,
        paired=True,
        n_resamples=4_000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert found.ci_low == pytest.approx(expected.low, abs=0.01)
    assert found.ci_high == pytest.approx(expected.high, abs=0.01)


def test_accuracy_interval_agrees_with_scipys_bootstrap() -> None:
    is_right = np.arange(300) < 75
    found = estimate_accuracy(75, 300, Resampling(4_000, 0.95, 1), "google", "all")
    expected = stats.bootstrap(
        (is_right.astype(float),),
        np.mean,
        n_resamples=4_000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert found.value == 0.25
    assert found.ci_low == pytest.approx(expected.low, abs=0.008)
    assert found.ci_high == pytest.approx(expected.high, abs=0.008)


def test_blocks_of_resamples_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(11)
    x, y = generator.normal(size=(2, 30))
    whole = estimate_correlations(x, y, RESAMPLING, "pairs")
    monkeypatch.setattr(bootstrap, "_BLOCK_BYTES", 8 * 30 * 7)
    blocks = estimate_correlations(x, y, RESAMPLING, "pairs")
    assert blocks.spearman.ci_low == pytest.approx(whole.spearman.ci_low, abs=1e-12)
    assert blocks.spearman.ci_high == pytest.approx(whole.spearman.ci_high, abs=1e-12)


NOTHING = Correlations(ScoreEstimate(None), ScoreEstimate(None))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([1.0], [2.0]),
        ([1.0, 2.0], [2.0, 1.0]),
        ([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]),
        ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]),
    ],
)
def test_too_few_items_or_no_variance_is_null(x: list[float], y: list[float]) -> None:
    assert estimate_correlations(np.array(x), np.array(y), RESAMPLING, "pairs") == NOTHING


def test_interval_is_null_when_no_resample_has_a_correlation() -> None:
    x = np.array([0.0, 0.0, 0.0, 1.0])

    def is_constant(resampling: Resampling) -> bool:
        [weights] = bootstrap._resamples(resampling.generator("pairs"), 1, 4)
        return bool(weights[0, 3] == 0)

    one_constant = next(filter(is_constant, (Resampling(1, 0.95, seed) for seed in range(50))))
    found = estimate_correlations(x, x, one_constant, "pairs")
    assert found.spearman.value == pytest.approx(1.0)
    assert (found.spearman.ci_low, found.spearman.ci_high) == (None, None)


@pytest.mark.parametrize(
    ("n_correct", "n_items", "estimate"),
    [
        (0, 0, ScoreEstimate(None)),
        (1, 2, ScoreEstimate(0.5)),
        (0, 50, ScoreEstimate(0.0)),
        (50, 50, ScoreEstimate(1.0)),
    ],
)
def test_accuracy_without_variance_has_no_interval(
    n_correct: int, n_items: int, estimate: ScoreEstimate
) -> None:
    assert estimate_accuracy(n_correct, n_items, RESAMPLING, "google") == estimate


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-1, 1, width=32)), min_size=3, max_size=12))
def test_scores_are_never_nan_and_within_bounds(items: list[tuple[int, float]]) -> None:
    x, y = np.array(items, dtype=np.float64).T
    found = estimate_correlations(x, y, Resampling(20, 0.95, 1), "pairs")
    for estimate in (found.spearman, found.pearson):
        if estimate.value is None:
            assert estimate.ci_low is None
        else:
            assert -1 <= estimate.value <= 1
            if estimate.ci_low is not None and estimate.ci_high is not None:
                assert -1 <= estimate.ci_low <= estimate.ci_high <= 1


def test_generators_hang_on_seed_and_names_alone() -> None:
    def draw(seed: int, *names: str) -> int:
        return int(Resampling(1, 0.95, seed).generator(*names).integers(2**62))

    assert draw(1, "a", "b") == draw(1, "a", "b")
    assert len({draw(1, "a", "b"), draw(2, "a", "b"), draw(1, "a"), draw(1, "ab")}) == 4
