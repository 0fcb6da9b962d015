"""Metrics and intervals against scipy, scikit-learn and plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as peers

from nightjar.scoring import metrics, resampling
from nightjar.scoring.metrics import METRICS, score
from nightjar.scoring.resampling import Resampling, ScoreEstimate, own_units

RESAMPLING = Resampling(samples=500, confidence=0.95, seed=1)
Values = NDArray[np.float64]


def estimate(
    metric: str, x: Values, y: Values, draws: Resampling = RESAMPLING, name: str = "pairs"
) -> ScoreEstimate:
    return draws.estimate(metric, x, y, own_units(len(x)), name)


def purity(gold: Values, found: Values) -> float:
    table = peers.cluster.contingency_matrix(gold, found)
    return float(table.max(axis=0).sum() / table.sum())


def gains(topns: Values, places: Values) -> list[float]:
    """NDCG of one right answer at each place, from 0."""
    pairs = zip(topns, places, strict=True)
    return [1 / math.log2(place + 2) if place < topn else 0.0 for topn, place in pairs]


PEERS: dict[str, Callable[[Values, Values], float]] = {
    "spearman": lambda gold, found: float(stats.spearmanr(gold, found).statistic),
    "pearson": lambda gold, found: float(stats.pearsonr(gold, found).statistic),
    "accuracy": lambda gold, found: float(peers.accuracy_score(gold, found)),
    "purity": purity,
    "normalized_information": lambda gold, found: float(
        peers.normalized_mutual_info_score(gold, found)
    ),
    "adjusted_information": lambda gold, found: float(
        peers.adjusted_mutual_info_score(gold, found)
    ),
    "macro_f1": lambda gold, found: float(peers.f1_score(gold, found, average="macro")),
    "micro_f1": lambda gold, found: float(peers.f1_score(gold, found, average="micro")),
    "auc": lambda gold, found: float(peers.roc_auc_score(gold, found)),
    "average_precision": lambda gold, found: float(peers.average_precision_score(gold, found)),
    "share": lambda gold, found: float(np.mean(found / gold)),
    "hit_rate": lambda gold, found: float(np.mean(np.array(gains(gold, found)) > 0)),
    "ndcg": lambda gold, found: float(np.mean(gains(gold, found))),
}


def sample(metric: str, n_items: int = 60) -> tuple[Values, Values]:
    """Answers and gold values that agree in part."""
    generator = np.random.default_rng(3)
    if metric in ("spearman", "pearson"):
        gold = generator.normal(size=n_items).round(1)
        return (0.5 * gold + generator.normal(size=n_items)).round(1), gold
    if metric in ("auc", "average_precision"):
        gold = generator.integers(0, 2, n_items).astype(np.float64)
        return (0.5 * gold + generator.normal(size=n_items)).round(1), gold
    gold = generator.integers(1, 5, n_items).astype(np.float64)
    other = generator.integers(1, 5, n_items)
    return np.where(generator.random(n_items) < 0.5, gold, other).astype(np.float64), gold


def test_every_metric_has_a_peer() -> None:
    assert set(PEERS) == set(METRICS)


@pytest.mark.parametrize("metric", sorted(PEERS))
def test_a_metric_is_its_peers(metric: str) -> None:
    found, gold = sample(metric)
    assert score(metric, found, gold) == pytest.approx(PEERS[metric](gold, found), abs=1e-12)


@pytest.mark.parametrize("metric", sorted(PEERS))
def test_a_weight_is_a_repetition(metric: str) -> None:
    found, gold = sample(metric)
    weights = np.random.default_rng(5).integers(0, 4, (3, len(found))).astype(np.float64)
    expected = [
        PEERS[metric](np.repeat(gold, times.astype(int)), np.repeat(found, times.astype(int)))
        for times in weights
    ]
    measured = METRICS[metric].measure(found, gold, weights)
    np.testing.assert_allclose(measured, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("clusters", "categories"),
    [
        ([0, 0, 0], [0, 0, 0]),
        ([0, 1, 2], [0, 0, 0]),
        ([0, 0, 0], [0, 1, 2]),
        ([0, 1, 2], [0, 1, 1]),
        ([0, 0, 1, 1, 2], [2, 2, 0, 0, 1]),
        ([0] * 9 + [1], [0] * 8 + [1] * 2),
        (range(10), range(10)),
        (range(100), range(100)),
    ],
)
def test_adjusted_information_of_extremes_is_scikit_learns(
    clusters: Sequence[int], categories: Sequence[int]
) -> None:
    found, gold = np.array(clusters, np.float64), np.array(categories, np.float64)
    measured = score("adjusted_information", found, gold)
    assert measured == pytest.approx(PEERS["adjusted_information"](gold, found), abs=1e-12)


@settings(deadline=None, max_examples=examples(60))
@given(data=st.data())
def test_adjusted_information_is_scikit_learns(data: st.DataObject) -> None:
    n_items = data.draw(st.integers(3, 40))
    column = st.lists(st.integers(0, 6), min_size=n_items, max_size=n_items)
    found, gold, times = (np.array(data.draw(column), np.float64) for _ in range(3))
    measured = METRICS["adjusted_information"].measure(found, gold, times[np.newaxis])
    drawn = np.repeat(np.arange(n_items), times.astype(int))
    expected = PEERS["adjusted_information"](gold[drawn], found[drawn])
    assert measured.tolist() == pytest.approx([expected], abs=1e-9)


def test_what_chance_gives_is_computed_once_for_resamples_with_the_same_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The parts of cells are counted: a thousand resamples of 5 x 5 cells repeat nearly all."""
    n_parts = []
    compute = metrics._expected_parts

    def counting(*sizes: NDArray[np.int64]) -> Values:
        n_parts.append(len(sizes[0]))
        return compute(*sizes)

    monkeypatch.setattr(metrics, "_expected_parts", counting)
    found, gold = sample("adjusted_information")
    for weights in Resampling(1_000, 0.95, 1).weights(own_units(60), "pairs"):
        METRICS["adjusted_information"].measure(found, gold, weights)
    assert sum(n_parts) < 1_000


@pytest.mark.parametrize("metric", [name for name in sorted(PEERS) if METRICS[name].is_resampled])
def test_an_interval_is_that_of_a_plain_loop(metric: str) -> None:
    found, gold = sample(metric, 40)
    resampled = []
    for block in RESAMPLING.weights(own_units(40), "pairs"):
        for times in block:
            drawn = np.repeat(np.arange(40), times.astype(int))
            if metric not in ("spearman", "pearson") or (
                np.ptp(found[drawn]) and np.ptp(gold[drawn])
            ):
                resampled.append(PEERS[metric](gold[drawn], found[drawn]))
    measured = estimate(metric, found, gold)
    expected = np.quantile(resampled, [0.025, 0.975])
    assert [measured.ci_low, measured.ci_high] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "peer"),
    [
        ("pearson", lambda a, b, axis: stats.pearsonr(a, b, axis=axis).statistic),
        ("accuracy", lambda a, b, axis: np.mean(a == b, axis=axis)),
    ],
)
def test_intervals_agree_with_scipys_bootstrap(
    metric: str, peer: Callable[..., NDArray[np.float64]]
) -> None:
    found, gold = sample(metric, 300)
    measured = estimate(metric, found, gold, Resampling(4_000, 0.9, 1))
    expected = stats.bootstrap(
        (found, gold),
        peer,
        paired=True,
        n_resamples=4_000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert measured.ci_low == pytest.approx(expected.low, abs=0.01)
    assert measured.ci_high == pytest.approx(expected.high, abs=0.01)


def test_items_that_share_parts_are_drawn_by_their_parts() -> None:
    """Twenty pairs make 190 questions; half of the pairs are known, which decides a question."""
    pairs = np.array([(a, b) for a in range(20) for b in range(a)])
    is_right = ((pairs < 10).all(axis=1)).astype(np.float64)
    ones = np.ones(len(pairs))
    alone = RESAMPLING.estimate("accuracy", is_right, ones, own_units(len(pairs)), "google")
    shared = RESAMPLING.estimate("accuracy", is_right, ones, pairs, "google")
    assert shared.value == alone.value
    widths = [found.ci_high - found.ci_low for found in (alone, shared)]  # type: ignore[operator]
    # Between samples of twenty pairs from as many more, the share differs as the wider one says.
    generator = np.random.default_rng(2)
    shares = []
    for _ in range(2_000):
        knows = generator.random(20) < 0.5
        shares.append(np.mean(knows[pairs[:, 0]] & knows[pairs[:, 1]]))
    low, high = np.quantile(shares, [0.025, 0.975])
    assert widths[0] < 0.6 * (high - low)
    assert widths[1] == pytest.approx(high - low, rel=0.35)


def test_blocks_of_resamples_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.random.default_rng(11).normal(size=(2, 30))
    whole = estimate("spearman", x, y)
    monkeypatch.setattr(resampling, "_BLOCK_BYTES", 8 * 30 * 7)
    blocks = estimate("spearman", x, y)
    assert blocks.ci_low == pytest.approx(whole.ci_low, abs=1e-12)
    assert blocks.ci_high == pytest.approx(whole.ci_high, abs=1e-12)


@pytest.mark.parametrize("metric", ["spearman", "pearson"])
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
def test_too_few_items_or_no_variance_is_null(metric: str, x: list[float], y: list[float]) -> None:
    assert estimate(metric, np.array(x), np.array(y)) == ScoreEstimate(None)


def test_interval_is_null_when_no_resample_has_a_correlation() -> None:
    x = np.array([0.0, 0.0, 0.0, 1.0])

    def is_constant(draws: Resampling) -> bool:
        [weights] = draws.weights(own_units(4), "pairs")
        return bool(weights[0, 3] == 0)

    one_constant = next(filter(is_constant, (Resampling(1, 0.95, seed) for seed in range(50))))
    found = estimate("spearman", x, x, one_constant)
    assert found.value == pytest.approx(1.0)
    assert (found.ci_low, found.ci_high) == (None, None)


@pytest.mark.parametrize(
    ("n_correct", "n_items", "expected"),
    [
        (0, 0, ScoreEstimate(None)),
        (1, 2, ScoreEstimate(0.5)),
        (0, 50, ScoreEstimate(0.0)),
        (50, 50, ScoreEstimate(1.0)),
    ],
)
def test_accuracy_without_variance_has_no_interval(
    n_correct: int, n_items: int, expected: ScoreEstimate
) -> None:
    answers = (np.arange(n_items) < n_correct).astype(np.float64)
    assert estimate("accuracy", answers, np.ones(n_items)) == expected


@settings(deadline=None, max_examples=examples(50))
@given(
    st.sampled_from(sorted(set(METRICS) - {"share"})),
    st.lists(st.tuples(st.integers(-3, 3), st.floats(-1, 1, width=32)), min_size=3, max_size=12),
)
def test_scores_are_never_nan_and_within_bounds(
    metric: str, items: list[tuple[int, float]]
) -> None:
    x, y = np.array(items, dtype=np.float64).T
    found = estimate(metric, x, y, Resampling(20, 0.95, 1))
    if found.value is None:
        assert found.ci_low is None
    else:
        assert -1 <= found.value <= 1 + 1e-12
        if found.ci_low is not None and found.ci_high is not None:
            assert -1 <= found.ci_low <= found.ci_high <= 1 + 1e-12


def test_generators_hang_on_seed_and_names_alone() -> None:
    def draw(seed: int, *names: str) -> int:
        return int(Resampling(1, 0.95, seed).generator(*names).integers(2**62))

    assert draw(1, "a", "b") == draw(1, "a", "b")
    assert len({draw(1, "a", "b"), draw(2, "a", "b"), draw(1, "a"), draw(1, "ab")}) == 4


@pytest.mark.parametrize("metric", ["auc", "average_precision"])
def test_a_metric_of_two_kinds_is_undefined_where_one_is_not_drawn(metric: str) -> None:
    found, gold = np.array([0.1, 0.2, 0.3]), np.array([0.0, 1.0, 1.0])
    weights = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    measured = METRICS[metric].measure(found, gold, weights)
    # Without edges neither is defined; edges alone have a precision.
    assert np.isnan(measured).tolist() == [True, metric == "auc", True]
