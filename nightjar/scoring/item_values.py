"""What each single answer of a benchmark is worth, from 0 to 1, to compare two models by items.

A metric judges all answers at once; these values only say where it went up or down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.scoring.metrics import (
    ACCURACY,
    AUC,
    AVERAGE_PRECISION,
    HIT_RATE,
    MACRO_F1,
    MICRO_F1,
    NDCG,
    PEARSON,
    SHARE,
    SPEARMAN,
    Floats,
)

ABOUT = {
    SPEARMAN: "how near the rank of the pair is to its rank by people, from 0 to 1",
    PEARSON: "how near the rank of the pair is to its rank by people, from 0 to 1",
    ACCURACY: "1 if the answer is right, else 0",
    MACRO_F1: "1 if the answer is right, else 0",
    MICRO_F1: "1 if the label is found, else 0",
    AUC: "of an edge the share of the other pairs that score lower, of those the share of edges "
    "that score higher",
    AVERAGE_PRECISION: "of an edge the share of the other pairs that score lower, of those the "
    "share of edges that score higher",
    SHARE: "the share of the answer that is right",
    HIT_RATE: "1 if the next item is among the recommendations, else 0",
    NDCG: "1 / log2(place + 2) of the next item, places from 0, and 0 if it is not recommended",
}
"""What the values of a metric say."""
OF_A_CLUSTER = "1 if most words of its cluster are of its category, else 0"


def item_values(metric: str, answers: Floats, gold: Floats) -> Floats:
    """The worth of each covered item's answer, (n,), given those of all ``n`` items."""
    if not len(answers):
        return np.zeros(0)
    if metric in (SPEARMAN, PEARSON):
        near: Floats = 1.0 - np.abs(_ranks(answers) - _ranks(gold)) / max(1, len(answers) - 1)
        return near
    if metric in (ACCURACY, MACRO_F1, MICRO_F1):
        right: Floats = np.equal(answers, gold).astype(np.float64)
        return right
    if metric in (HIT_RATE, NDCG):  # answers are places, the first one is 0
        gains = np.ones(len(answers)) if metric == HIT_RATE else 1 / np.log2(answers + 2)
        return np.where(answers < gold, gains, 0.0)
    if metric == SHARE:
        return np.clip(np.divide(answers, gold, out=np.zeros_like(gold), where=gold > 0), 0.0, 1.0)
    if metric in (AUC, AVERAGE_PRECISION):
        return _on_the_right_side(answers, gold)
    return _is_of_majority(answers, gold)


def _on_the_right_side(answers: Floats, gold: Floats) -> Floats:
    """The share of the items of the other kind that an item is on the right side of; ties half."""
    found = np.full(len(answers), 0.5)
    is_one = gold > 0
    ones, zeros = np.sort(answers[is_one]), np.sort(answers[~is_one])
    for is_asked, others, is_above in ((is_one, zeros, True), (~is_one, ones, False)):
        if len(others):
            asked = answers[is_asked]
            below, upto = (np.searchsorted(others, asked, side) for side in ("left", "right"))
            share = (below + upto) / (2 * len(others))
            found[is_asked] = share if is_above else 1.0 - share
    return found


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, ties at their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means = (ends - 1) - (counts - 1) / 2
    ranks: NDArray[np.float64] = means[places]
    return ranks


def _is_of_majority(clusters: Floats, categories: Floats) -> Floats:
    found = np.zeros(len(clusters))
    for cluster in np.unique(clusters):
        is_in = clusters == cluster
        names, counts = np.unique(categories[is_in], return_counts=True)
        found[is_in] = categories[is_in] == names[np.argmax(counts)]
    return found
