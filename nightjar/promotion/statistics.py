"""The statistics of a decision: how far two versions differ, and how sure that is.

docs/gate.md derives the formulas and says what they assume. Everything here is arithmetic over
answers to benchmarks (:class:`nightjar.scoring.scores.Answers`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.scoring.metrics import METRICS, score
from nightjar.scoring.resampling import Resampling
from nightjar.scoring.scores import Answers

Floats = NDArray[np.float64]

FEW_ITEMS = 5
"""Resamples of fewer items (or pairs, of analogies) show too little of what chance does."""
MISSED = 0.10
"""A drop as large as :attr:`PooledDifference.detectable` is missed at most this often."""
FALSE_BLOCK = 0.025
"""Each of the two comparisons blocks an equal candidate at most this often."""
BEYOND_DOUBT = 0.999
"""How sure it must be that a version is better than the reference before it takes its place."""
_TOLERANCE = 1e-9
"""Lets a value exactly at its limit pass despite floating-point rounding."""
RETRIED = 0.985
"""Seven tries of a week, each passing with 1 - this, pass with one in ten."""


@dataclass(frozen=True)
class Variance:
    """An estimated variance and its degrees of freedom."""

    value: float
    df: float

    def __post_init__(self) -> None:
        if self.value < 0 or self.df <= 0:
            raise ValueError(f"a variance of {self.value} with {self.df} degrees of freedom")


def pooled(parts: Sequence[Variance]) -> Variance:
    """The sum of independent variances, with Satterthwaite's degrees of freedom.

    Satterthwaite 1946, equation 17. Parts of zero add nothing.
    """
    total = sum(part.value for part in parts)
    doubt = sum(part.value**2 / part.df for part in parts)
    return Variance(total, math.inf if doubt == 0 else total**2 / doubt)


def twice(variance: Variance) -> Variance:
    """Two independent errors whose variance is known from one estimate: no more is known of it."""
    return Variance(2 * variance.value, variance.df)


def t_quantile(level: float, df: float) -> float:
    """The quantile of Student's t distribution."""
    from scipy.special import ndtri, stdtrit  # noqa: PLC0415  # takes a tenth of a second

    return float(ndtri(level) if math.isinf(df) else stdtrit(df, level))


@dataclass(frozen=True)
class BenchmarkDifference:
    """Two versions on one benchmark, over the items that every version of the question covers."""

    ours: float
    theirs: float
    n_items: int
    variance: Variance
    """Of ``ours - theirs``, from resampling the items."""

    @property
    def difference(self) -> float:
        """Positive when ours is better."""
        return self.ours - self.theirs


def compare_answers(
    name: str, metric: str, ours: Answers, theirs: Answers, resampling: Resampling
) -> BenchmarkDifference | None:
    """The paired difference on the same items in the same order, all of them covered.

    Both versions are scored on the same resamples, so that what is hard for both cancels. None when
    a score is not defined.
    """
    own = score(metric, ours.values, ours.gold)
    other = score(metric, theirs.values, theirs.gold)
    if own is None or other is None:
        return None
    measure = METRICS[metric].measure
    blocks = [
        measure(ours.values, ours.gold, weights) - measure(theirs.values, theirs.gold, weights)
        for weights in resampling.weights(ours.units, name)
    ]
    differences = np.concatenate(blocks)
    variance = _variance(differences, len(np.unique(ours.units)))
    return BenchmarkDifference(own, other, len(ours), variance)


def _variance(resampled: Floats, n_units: int) -> Variance:
    """The variance of a difference, from its resamples.

    Both the items and the resamples are a sample, from which it is estimated. Of few items, which
    may all agree by chance, it is at least that of answers that are right half of the time.
    """
    resampled = resampled[~np.isnan(resampled)]
    value = float(resampled.var(ddof=1)) if len(resampled) > 1 else 0.0
    if n_units < FEW_ITEMS:
        return Variance(max(value, 0.5 / n_units), math.inf)
    return Variance(value, 1 / sum(1 / max(1, n - 1) for n in (n_units, len(resampled))))


def compare_recorded(
    name: str, metric: str, ours: Answers, recorded: float, resampling: Resampling
) -> BenchmarkDifference | None:
    """The difference to a score whose answers are gone: not paired, so it is less certain.

    The other version's variance is taken to be ours, on the items that we cover. None when our
    score is not defined.
    """
    covered = ours.only(ours.is_covered)
    own = score(metric, covered.values, covered.gold)
    if own is None:
        return None
    measure = METRICS[metric].measure
    blocks = [
        measure(covered.values, covered.gold, weights)
        for weights in resampling.weights(covered.units, name)
    ]
    scores = np.concatenate(blocks)
    variance = twice(_variance(scores, len(np.unique(covered.units))))
    return BenchmarkDifference(own, recorded, len(covered), variance)


CHANCE = {"auc": 0.5, "average_precision": 0.5}
"""What vectors without any sense score, where that is not 0: of as many edges as other pairs."""


@dataclass(frozen=True)
class Fall:
    """How far a score is below one on record, which was made on other items of the same kind."""

    value: float
    recorded: float
    limit: float
    """The largest fall that is allowed: what chance explains, or the stated share."""

    @property
    def is_close(self) -> bool:
        """Whether it fell no farther than that."""
        return self.recorded - self.value <= self.limit + _TOLERANCE


def fall_from(
    name: str,
    ours: Answers,
    recorded: tuple[str, float],
    share: float,
    noise: Variance,
    resampling: Resampling,
) -> Fall | None:
    """How far our score is below the metric and value on record, and how far it may be.

    A fall counts once it is more than ``share`` of what the recorded score had above chance, and
    beyond doubt more than nothing. The variance of our score is that of its resampled items; of the
    recorded one, whose answers are not at hand, p(1 - p)/n, the most that a mean p of n numbers
    from 0 to 1 has. ``noise`` is what two trainings add. None when our score is not defined, or the
    recorded one is not above chance.
    """
    metric, value = recorded
    covered = ours.only(ours.is_covered)
    own = score(metric, covered.values, covered.gold)
    above_chance = value - CHANCE.get(metric, 0.0)
    if own is None or above_chance <= 0:
        return None
    measure = METRICS[metric].measure
    blocks = [
        measure(covered.values, covered.gold, weights)
        for weights in resampling.weights(covered.units, name)
    ]
    n_units = len(np.unique(covered.units))
    of_record = Variance(value * (1 - value) / n_units if value < 1 else 0.0, math.inf)
    variance = pooled([_variance(np.concatenate(blocks), n_units), of_record, noise])
    by_chance = t_quantile(BEYOND_DOUBT, variance.df) * math.sqrt(variance.value)
    return Fall(own, value, max(share * above_chance, by_chance))


@dataclass(frozen=True)
class PooledDifference:
    """The pooled difference of two versions, and what can be concluded from it."""

    difference: float
    """Weighted mean over the benchmarks; positive when ours is better."""
    error: float
    """Its standard error: items and trainings."""
    df: float
    margin: float
    by_benchmark: Mapping[str, BenchmarkDifference]
    noise_error: float
    """The part of the standard error that trainings with other seeds make."""
    shares: Mapping[str, float]
    """Weight of each benchmark; the sum is 1."""

    @property
    def ours(self) -> float:
        """Our weighted mean score."""
        return sum(share * self.by_benchmark[name].ours for name, share in self.shares.items())

    @property
    def theirs(self) -> float:
        """Their weighted mean score."""
        return sum(share * self.by_benchmark[name].theirs for name, share in self.shares.items())

    def quantile(self, level: float) -> float:
        """A quantile of t, times the standard error."""
        return t_quantile(level, self.df) * self.error

    @property
    def limit(self) -> float:
        """The largest drop that passes.

        ``max(m - t(.90) s, t(.975) s)``: with enough items a drop of the margin m is missed one
        time in ten; with too few, an equal candidate is still blocked only 2.5 % of the time.
        """
        return max(
            self.margin - self.quantile(1 - MISSED),
            self.quantile(1 - FALSE_BLOCK),
        )

    @property
    def is_close(self) -> bool:
        """Whether the candidate is no worse than the margin allows."""
        return self.difference >= -self.limit - 1e-9

    @property
    def detectable(self) -> float:
        """The drop that is found nine times in ten."""
        return self.limit + self.quantile(1 - MISSED)

    @property
    def detectable_when_retried(self) -> float:
        """The drop that is found nine times in ten although somebody tries all week."""
        return self.limit + self.quantile(RETRIED)

    @property
    def is_decidable(self) -> bool:
        """Whether a drop of the margin is found nine times in ten."""
        return self.detectable <= self.margin + 1e-9

    @property
    def is_better_beyond_doubt(self) -> bool:
        """Whether the 99.9 % bound of the difference is above zero."""
        return self.difference - self.quantile(BEYOND_DOUBT) > 0


def pool(
    differences: Mapping[str, BenchmarkDifference],
    weights: Mapping[str, float],
    noise: Sequence[Variance],
    margin: float,
) -> PooledDifference:
    """The weighted mean of the benchmarks' differences, with the variance of items and trainings.

    ``noise`` are the variances of the pooled scores of both versions between trainings, as
    independent estimates; one that holds for both comes :func:`twice`, as one.
    ``weights`` are those of the config; they are scaled to the benchmarks that are compared.
    """
    total = sum(weights[name] for name in differences)
    shares = {name: weights[name] / total for name in differences}
    items = [
        Variance(share**2 * differences[name].variance.value, differences[name].variance.df)
        for name, share in shares.items()
    ]
    variance = pooled([*items, *noise])
    return PooledDifference(
        difference=sum(share * differences[name].difference for name, share in shares.items()),
        error=math.sqrt(variance.value),
        df=variance.df,
        margin=margin,
        by_benchmark=dict(differences),
        noise_error=math.sqrt(sum(part.value for part in noise)),
        shares=shares,
    )


def on_shared_items(
    answers: Sequence[Mapping[str, Answers]], names: Sequence[str]
) -> list[dict[str, Answers]]:
    """Each version's answers to the items that all versions cover, for the benchmarks they share.

    A benchmark counts as shared when all have it with the same items; one without a shared item is
    left out.
    """
    found: list[dict[str, Answers]] = [{} for _ in answers]
    for name in names:
        own = [version[name] for version in answers if name in version]
        if len(own) < len(answers) or any(not _has_items_of(other, own[0]) for other in own):
            continue
        is_covered = np.logical_and.reduce([version.is_covered for version in own])
        if is_covered.any():
            for kept, version in zip(found, own, strict=True):
                kept[name] = version.only(is_covered)
    return found


def _has_items_of(ours: Answers, theirs: Answers) -> bool:
    return len(ours) == len(theirs) and np.array_equal(ours.units, theirs.units)
