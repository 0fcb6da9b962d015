"""The statistics of a decision against scipy and plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from nightjar.promotion.contenders import Noise
from nightjar.promotion.statistics import (
    BenchmarkDifference,
    PooledDifference,
    Variance,
    compare_answers,
    on_shared_items,
    pool,
    pooled,
    t_quantile,
)
from nightjar.scoring.resampling import Resampling, own_units
from nightjar.scoring.scores import Answers

RESAMPLING = Resampling(400, 0.95, 1)
Values = NDArray[np.float64]


def answers(values: Values, gold: Values | None = None) -> Answers:
    gold = np.ones(len(values)) if gold is None else gold
    return Answers(values, gold, own_units(len(values)))


@pytest.mark.parametrize("df", [1.0, 4.0, 7.5, 200.0, math.inf])
@pytest.mark.parametrize("level", [0.9, 0.975, 0.985, 0.999])
def test_quantiles_are_scipys(level: float, df: float) -> None:
    expected = stats.norm.ppf(level) if math.isinf(df) else stats.t.ppf(level, df)
    assert t_quantile(level, df) == pytest.approx(expected)


def test_degrees_of_freedom_are_those_of_welchs_test() -> None:
    """Satterthwaite's formula for two variances of means is Welch's."""
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=12), generator.normal(scale=3, size=7)
    found = pooled([Variance(a.var(ddof=1) / 12, 11), Variance(b.var(ddof=1) / 7, 6)])
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert found.df == pytest.approx(welch.df)
    assert (a.mean() - b.mean()) / math.sqrt(found.value) == pytest.approx(welch.statistic)


def test_nothing_varies_with_certainty() -> None:
    assert pooled([]) == Variance(0, math.inf)
    assert pooled([Variance(0.0, 4), Variance(0.0, 9)]).value == 0
    with pytest.raises(ValueError, match="a variance of -1"):
        Variance(-1.0, 4)


@pytest.mark.parametrize("metric", ["spearman", "accuracy"])
def test_a_difference_is_resampled_in_pairs(metric: str) -> None:
    generator = np.random.default_rng(2)
    gold = generator.normal(size=80).round(2) if metric == "spearman" else np.ones(80)
    if metric == "spearman":
        ours, theirs = (gold + generator.normal(scale=0.8, size=80) for _ in range(2))
    else:
        ours, theirs = (generator.integers(0, 2, 80).astype(float) for _ in range(2))
    found = compare_answers("b", metric, answers(ours, gold), answers(theirs, gold), RESAMPLING)
    assert found is not None
    plain = []
    for block in RESAMPLING.weights(own_units(80), "b"):
        for times in block:
            rows = np.repeat(np.arange(80), times.astype(int))
            scores = [
                stats.spearmanr(side[rows], gold[rows]).statistic
                if metric == "spearman"
                else np.mean(side[rows] == gold[rows])
                for side in (ours, theirs)
            ]
            plain.append(scores[0] - scores[1])
    assert found.variance.value == pytest.approx(np.var(plain, ddof=1))
    assert found.variance.df == pytest.approx(1 / (1 / 79 + 1 / 399))
    same = compare_answers("b", metric, answers(ours, gold), answers(ours, gold), RESAMPLING)
    assert same is not None
    assert (same.difference, same.variance.value) == (0, 0)


def test_pairing_removes_what_is_hard_for_both() -> None:
    generator = np.random.default_rng(3)
    gold = generator.normal(size=300)
    shared = gold + generator.normal(size=300)
    ours, theirs = (shared + 0.1 * generator.normal(size=300) for _ in range(2))
    paired = compare_answers(
        "b", "spearman", answers(ours, gold), answers(theirs, gold), RESAMPLING
    )
    apart = [
        RESAMPLING.estimate("spearman", side, gold, own_units(300), "b") for side in (ours, theirs)
    ]
    widths = [one.ci_high - one.ci_low for one in apart]  # type: ignore[operator]
    assert paired is not None
    assert math.sqrt(paired.variance.value) < 0.2 * min(widths) / (2 * 1.96)


def test_only_items_that_all_cover_are_compared() -> None:
    nan = np.nan
    versions = [
        {"a": answers(np.array([1, nan, 3, 4])), "b": answers(np.array([1.0, 2, 3]))},
        {"a": answers(np.array([1, 2, nan, 5])), "b": answers(np.array([1.0, 2]))},
        {"a": answers(np.array([1, 2, 3, 6])), "c": answers(np.array([1.0]))},
    ]
    found = on_shared_items(versions, ["a", "b", "c"])
    assert [list(version) for version in found] == [["a"], ["a"], ["a"]]
    assert [version["a"].values.tolist() for version in found] == [[1, 4], [1, 5], [1, 6]]
    nothing = [{"a": answers(np.array([nan, 1]))}, {"a": answers(np.array([1, nan]))}]
    assert on_shared_items(nothing, ["a"]) == [{}, {}]


def comparison(d: float, s: float, df: float = math.inf, margin: float = 0.05) -> PooledDifference:
    one = BenchmarkDifference(0.5 + d, 0.5, 100, Variance(s**2, df))
    return pool({"b": one}, {"b": 2.0}, [], margin)


@pytest.mark.parametrize(
    ("s", "limit", "detectable", "is_decidable"),
    [
        (0.0, 0.05, 0.05, True),
        (0.01, 0.05 - 1.2816 * 0.01, 0.05, True),  # the margin is missed one time in ten
        (0.02, 1.9600 * 0.02, (1.9600 + 1.2816) * 0.02, False),  # an equal one is blocked rarely
    ],
)
def test_the_limit_keeps_the_error_rates(
    s: float, limit: float, detectable: float, is_decidable: bool
) -> None:
    found = comparison(0.0, s)
    assert found.limit == pytest.approx(limit, abs=1e-5)
    assert found.detectable == pytest.approx(detectable, abs=1e-5)
    assert found.is_decidable is is_decidable
    assert comparison(-limit + 1e-5, s).is_close
    assert not comparison(-limit - 2e-5, s).is_close
    assert found.detectable_when_retried >= found.detectable


def test_few_trainings_widen_the_limit() -> None:
    assert comparison(0, 0.02, df=4).limit == pytest.approx(2.7764 * 0.02, abs=1e-5)


def test_better_beyond_doubt_is_better_by_the_bound_of_999_in_1000() -> None:
    assert comparison(0.0310, 0.01).is_better_beyond_doubt
    assert not comparison(0.0308, 0.01).is_better_beyond_doubt


def test_weights_are_those_of_the_config() -> None:
    differences = {
        "a": BenchmarkDifference(0.6, 0.5, 10, Variance(0.01, 9)),
        "b": BenchmarkDifference(0.2, 0.5, 10, Variance(0.04, 9)),
    }
    found = pool(differences, {"a": 3.0, "b": 1.0}, [Variance(0.001, 4)], 0.05)
    assert found.difference == pytest.approx(0.75 * 0.1 - 0.25 * 0.3)
    assert found.error**2 == pytest.approx(0.5625 * 0.01 + 0.0625 * 0.04 + 0.001)
    assert found.noise_error**2 == pytest.approx(0.001)
    assert (found.ours, found.theirs) == (pytest.approx(0.5), pytest.approx(0.5))


def test_noise_is_that_of_the_weighted_mean() -> None:
    """Scores of two benchmarks go together: the variance of their mean is not that of each."""
    noise = Noise({"a": (0.1, 0.2, 0.3), "b": (0.3, 0.2, 0.1), "c": (0.1,)}, "digest")
    weights: list[tuple[dict[str, float], float]] = [
        ({"a": 1.0}, 0.01),
        ({"a": 1.0, "b": 1.0}, 0.0),
        ({"a": 3.0, "b": 1.0}, 0.0025),
    ]
    for given, expected in weights:
        found = noise.of_mean(given)
        assert found is not None
        assert (found.value, found.df) == (pytest.approx(expected, abs=1e-15), 2)
    assert noise.of_mean({"a": 1.0, "c": 1.0}) is None
    assert noise.of_mean({"a": 1.0, "d": 1.0}) is None
    assert replace(noise, scores={}).of_mean({}) is None
