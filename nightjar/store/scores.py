"""Reading the scores of an evaluation artifact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nightjar.store import Artifact

SPEARMAN = "spearman"
PEARSON = "pearson"
ACCURACY = "accuracy"

ALL = "all"
"""The category of a score over every item of its benchmark."""

MAIN_METRICS = (SPEARMAN, ACCURACY)
"""The main metrics of similarity and of analogy benchmarks."""


@dataclass(frozen=True)
class Score:
    """One row of the table ``scores``.

    ``value`` is None when it is undefined for the covered items, ``ci_low`` and ``ci_high`` when
    the interval is.
    """

    model: str
    benchmark: str
    category: str
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n_items: int
    n_covered: int
    max_vocabulary: int
    seconds: float

    @property
    def coverage(self) -> float:
        """Share of the items whose words all have a vector, 0 to 1."""
        return self.n_covered / self.n_items if self.n_items else 0.0


def read_scores(evaluation: Artifact) -> tuple[Score, ...]:
    """Every score of an evaluation artifact, in the order of its table."""
    columns = list(Score.__dataclass_fields__)
    return tuple(Score(**row) for row in evaluation.read("scores", columns).to_pylist())


def main_scores(scores: Iterable[Score]) -> dict[str, Score]:
    """The one score that represents each benchmark, over all of its items."""
    return {
        score.benchmark: score
        for score in scores
        if score.category == ALL and score.metric in MAIN_METRICS
    }
