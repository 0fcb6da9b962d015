"""Metrics: what a benchmark's answers are worth.

Every kind of benchmark gives each item an ``answer`` and a ``gold`` value, two numbers, and a
metric is a function of both and of the items' weights. So scores, their intervals and the gate's
paired differences come from the same few functions, whatever the kind:

| kind | answer | gold |
|---|---|---|
| similarity, sts | cosine similarity | human score |
| analogy | 1 if the answer is right, else 0 | 1 |
| categorization | cluster | category |
| outlier | place of the outlier, by falling closeness to the others | last place |
| classification | predicted class | class |
| neighbors | expected words among the nearest | expected words |
| next_item | place of the item among the recommendations, from 0 | their number |
| node_classification | predicted label of a node, numbered anew in each split | its label |
| link_prediction | cosine similarity | 1 for an edge, 0 for none |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPEARMAN = "spearman"
PEARSON = "pearson"
ACCURACY = "accuracy"
SHARE = "share"
PURITY = "purity"
NORMALIZED_INFORMATION = "normalized_information"
ADJUSTED_INFORMATION = "adjusted_information"
MACRO_F1 = "macro_f1"
HIT_RATE = "hit_rate"
NDCG = "ndcg"
MICRO_F1 = "micro_f1"
AUC = "auc"
AVERAGE_PRECISION = "average_precision"

MIN_ITEMS = 3
"""With fewer covered items there is no correlation and no interval."""


@dataclass(frozen=True)
class Metric:
    """A metric of :data:`METRICS`. For each of them, higher is better."""

    about: str
    measure: Callable[[Floats, Floats, Floats], Floats]
    """From answers (n,), gold (n,) and weights (m, n) to scores (m,), NaN where undefined."""
    min_items: int = 1
    is_resampled: bool = True
    """Whether intervals are made: not of the adjusted information, which used to be too slow."""


def score(name: str, answers: Floats, gold: Floats) -> float | None:
    """The score of a metric over all items once; None where it is undefined."""
    metric = METRICS[name]
    if len(answers) < metric.min_items:
        return None
    value = float(metric.measure(answers, gold, np.ones((1, len(answers))))[0])
    return None if np.isnan(value) else value


def accuracy(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """The share of items whose answer is right."""
    return _mean((answers == gold).astype(np.float64), weights)


def share(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """The mean of what was reached of what could be reached."""
    return _mean(answers / gold, weights)


def pearson(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """Pearson's correlation."""
    is_defined = _varies(_Groups.of(answers), weights) & _varies(_Groups.of(gold), weights)
    return _where(is_defined, weights, lambda some: _correlate(some, answers, gold))


def spearman(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """Spearman's correlation; ties have average ranks."""
    ours, theirs = _Groups.of(answers), _Groups.of(gold)
    is_defined = _varies(ours, weights) & _varies(theirs, weights)
    return _where(
        is_defined, weights, lambda some: _correlate(some, ours.ranks(some), theirs.ranks(some))
    )


def purity(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """The share of items in their cluster's largest category (Baroni et al. 2014)."""
    counts = _contingency(answers, gold, weights)
    totals: Floats = weights.sum(axis=1)
    return _ratio(counts.max(axis=2).sum(axis=1), totals)


def normalized_information(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """Mutual information of clusters and categories over the mean of their entropies."""
    counts = _contingency(answers, gold, weights)
    totals = counts.sum(axis=(1, 2))
    ours, theirs = _entropy(counts.sum(axis=2), totals), _entropy(counts.sum(axis=1), totals)
    both = _entropy(counts.reshape(len(counts), -1), totals)
    return _ratio(2 * (ours + theirs - both), ours + theirs)


def adjusted_information(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """Mutual information adjusted for chance (Vinh, Epps and Bailey 2010), for whole weights.

    As scikit-learn's ``adjusted_mutual_info_score``: 1 for a perfect match, 0 where only clusters
    or only categories are several.
    """
    counts = _contingency(answers, gold, np.floor(weights))
    totals = counts.sum(axis=(1, 2))
    ours, theirs = counts.sum(axis=2), counts.sum(axis=1)
    own, other = _entropy(ours, totals), _entropy(theirs, totals)
    both = _entropy(counts.reshape(len(counts), -1), totals)
    expected = _expected_information(ours, theirs, totals)
    n_ours, n_theirs = ((sizes > 0).sum(axis=1) for sizes in (ours, theirs))
    # Where all items differ, chance gives as much as a perfect match: 0 / 0 but for rounding.
    is_perfect = (n_ours == n_theirs) & (n_ours == (counts > 0).sum(axis=(1, 2)))
    found: Floats = is_perfect.astype(np.float64)
    is_between = (n_ours > 1) & (n_theirs > 1) & ~is_perfect
    above, below = own + other - both - expected, (own + other) / 2 - expected
    np.divide(above, below, out=found, where=is_between)
    return found


def macro_f1(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """The mean over the classes of F1, the harmonic mean of precision and recall."""
    classes, codes = np.unique(np.concatenate([answers, gold]), return_inverse=True)
    ours, theirs = codes[: len(answers)], codes[len(answers) :]
    is_right = ours == theirs
    n_classes = len(classes)
    found = np.full(len(weights), np.nan)
    for place, drawn in enumerate(weights):
        right = np.bincount(ours[is_right], drawn[is_right], n_classes)
        both = np.bincount(ours, drawn, n_classes) + np.bincount(theirs, drawn, n_classes)
        is_there = both > 0
        if is_there.any():
            found[place] = np.mean(2 * right[is_there] / both[is_there])
    return found


def auc(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """The chance that an item of gold 1 has a larger answer than one of gold 0; ties count half.

    The area under the ROC curve (Hanley and McNeil 1982).
    """
    groups = _Groups.of(answers)
    ones, zeros = groups.sizes(weights * (gold > 0)), groups.sizes(weights * (gold <= 0))
    below = np.cumsum(zeros, axis=1) - zeros / 2
    return _ratio((ones * below).sum(axis=1), ones.sum(axis=1) * zeros.sum(axis=1))


def average_precision(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """The mean over the items of gold 1 of the share of gold 1 among answers as large as theirs."""
    groups = _Groups.of(answers)
    ones = groups.sizes(weights * (gold > 0))[:, ::-1]
    all_drawn = np.cumsum(groups.sizes(weights)[:, ::-1], axis=1)
    precision = np.divide(
        np.cumsum(ones, axis=1), all_drawn, out=np.zeros_like(ones), where=all_drawn > 0
    )
    return _ratio((ones * precision).sum(axis=1), ones.sum(axis=1))


def hit_rate(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """The share of items whose answer is among the first ``gold`` places."""
    return _mean((answers < gold).astype(np.float64), weights)


def ndcg(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """The mean of 1 / log2(place + 2), 0 beyond the first ``gold`` places.

    Normalised discounted cumulative gain of one right answer (Järvelin and Kekäläinen 2002,
    doi:10.1145/582415.582418).
    """
    gains = np.where(answers < gold, 1 / np.log2(np.maximum(answers, 0) + 2), 0.0)
    return _mean(gains, weights)


METRICS: Mapping[str, Metric] = {
    SPEARMAN: Metric("Spearman's correlation", spearman, MIN_ITEMS),
    PEARSON: Metric("Pearson's correlation", pearson, MIN_ITEMS),
    ACCURACY: Metric("share of right answers", accuracy),
    SHARE: Metric("mean share of what could be reached", share),
    PURITY: Metric("share in the largest category of each cluster", purity, MIN_ITEMS),
    NORMALIZED_INFORMATION: Metric("mutual information, 0 to 1", normalized_information, MIN_ITEMS),
    ADJUSTED_INFORMATION: Metric(
        "mutual information, 0 by chance", adjusted_information, MIN_ITEMS, is_resampled=False
    ),
    MACRO_F1: Metric("mean F1 of the classes", macro_f1),
    HIT_RATE: Metric("share of next items among the recommendations", hit_rate),
    NDCG: Metric("the same, discounted by the place among them", ndcg),
    MICRO_F1: Metric("F1 over all labels at once", accuracy),
    AUC: Metric("chance that an edge scores above a pair that is none", auc),
    AVERAGE_PRECISION: Metric("mean precision at the edges", average_precision),
}


@dataclass(frozen=True, eq=False)
class _Groups:
    """Items grouped by their value.

    ``order`` sorts the items, ``starts`` are the positions in it of the first item of each distinct
    value, and ``group_of`` is each item's group.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    group_of: NDArray[np.int64]

    @classmethod
    def of(cls, values: Floats) -> _Groups:
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        is_start = np.concatenate([[True], ascending[1:] != ascending[:-1]])
        group_of = np.empty(len(values), np.int64)
        group_of[order] = np.cumsum(is_start) - 1
        return cls(order, np.flatnonzero(is_start), group_of)

    def sizes(self, weights: Floats) -> Floats:
        """Total weight of each group, shape (resamples, groups)."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def ranks(self, weights: Floats) -> Floats:
        """Average rank, from 1, of each item among the items drawn."""
        sizes = self.sizes(weights)
        group_ranks = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
        return group_ranks[:, self.group_of]


def _varies(groups: _Groups, weights: Floats) -> NDArray[np.bool_]:
    """In which resamples more than one value is drawn."""
    varies: NDArray[np.bool_] = (groups.sizes(weights) > 0).sum(axis=1) > 1
    return varies


def _where(
    is_defined: NDArray[np.bool_], weights: Floats, measure: Callable[[Floats], Floats]
) -> Floats:
    found = np.full(len(weights), np.nan)
    if is_defined.any():
        found[is_defined] = measure(weights[is_defined])
    return found


def _correlate(weights: Floats, x: Floats, y: Floats) -> Floats:
    totals = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / totals
    y = y - (weights * y).sum(axis=1, keepdims=True) / totals
    covariance = (weights * x * y).sum(axis=1)
    scale = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    correlation: Floats = np.clip(_ratio(covariance, scale), -1.0, 1.0)
    return correlation


def _mean(values: Floats, weights: Floats) -> Floats:
    totals: Floats = weights.sum(axis=1)
    return _ratio(weights @ values, totals)


def _ratio(above: Floats, below: Floats) -> Floats:
    """``above / below``, NaN where ``below`` is zero."""
    found = np.full(len(above), np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def _contingency(answers: Floats, gold: Floats, weights: Floats) -> Floats:
    """Weight of each cluster and category, shape (resamples, clusters, categories)."""
    _, cluster = np.unique(answers, return_inverse=True)
    _, category = np.unique(gold, return_inverse=True)
    n_clusters, n_categories = cluster.max() + 1, category.max() + 1
    cells = np.zeros((len(answers), n_clusters * n_categories))
    cells[np.arange(len(answers)), cluster * n_categories + category] = 1
    return (weights @ cells).reshape(len(weights), n_clusters, n_categories)


def _entropy(counts: Floats, totals: Floats) -> Floats:
    """Entropy of each row of counts, in nats."""
    shares = counts / np.maximum(totals, 1e-300)[:, np.newaxis]
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy: Floats = -(shares * logs).sum(axis=1)
    return entropy


def _expected_information(ours: Floats, theirs: Floats, totals: Floats) -> Floats:
    """Expected mutual information of unrelated clusters and categories of these sizes.

    Shapes (resamples, clusters), (resamples, categories) and (resamples,). Vinh, Epps and Bailey
    2010, equation 24a: a sum over the cells. A cell's part depends on the sizes of its cluster and
    its category alone, and resamples repeat those: each combination is computed once.
    """
    shape = (len(ours), ours.shape[1], theirs.shape[1])
    rows, columns = ours[:, :, np.newaxis], theirs[:, np.newaxis, :]
    larger, smaller, total = (
        np.broadcast_to(sizes, shape).astype(np.int64)
        for sizes in (
            np.maximum(rows, columns),
            np.minimum(rows, columns),
            totals[:, np.newaxis, np.newaxis],
        )
    )
    base = int(totals.max()) + 1
    codes, places = np.unique((smaller * base + larger) * base + total, return_inverse=True)
    parts = _expected_parts(codes // base**2, codes // base % base, codes % base)
    expected: Floats = parts[places].reshape(len(ours), -1).sum(axis=1)
    return expected


def _expected_parts(
    smaller: NDArray[np.int64], larger: NDArray[np.int64], total: NDArray[np.int64]
) -> Floats:
    """What cells add to the expected mutual information, by the two sizes and the total.

    Over each count that a cell can have, the sum of its hypergeometric probability times what a
    cell with that count adds. ``smaller`` ascends, so that later counts concern the last cells.
    """
    log_factorials = np.array([math.lgamma(n + 1) for n in range(int(total.max()) + 1)])
    logs = -log_factorials[total]
    for size in (smaller, larger):
        logs += log_factorials[size] + log_factorials[total - size]
    products = np.log(np.maximum(smaller * larger, 1))
    found = np.zeros(len(total))
    for count in range(1, int(smaller.max()) + 1):
        some = slice(int(np.searchsorted(smaller, count)), None)
        a, b, n = smaller[some], larger[some], total[some]
        rest = n - a - b + count  # items in neither, less than none where both are large
        ways = log_factorials[count] + log_factorials[np.maximum(rest, 0)]
        ways = ways + log_factorials[a - count] + log_factorials[b - count]
        adds = count / n * (np.log(count * n) - products[some])
        found[some] += np.where(rest < 0, 0.0, np.exp(logs[some] - ways) * adds)
    return found
