"""The gate: may a new version become the champion? Pure arithmetic over scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from nightjar.config import GateConfig

CHAMPION: Literal["champion"] = "champion"
CHALLENGER: Literal["challenger"] = "challenger"

_TOLERANCE = 1e-9
"""A score exactly at the limit passes, whatever binary fractions make of it."""


@dataclass(frozen=True)
class GateScores:
    """What the gate looks at: the main score and coverage (0 to 1) of each benchmark.

    A benchmark without a score (none of its items is covered) has the score None or is
    missing. ``label`` names the version in the reason ("version 3").
    """

    label: str
    scores: Mapping[str, float | None]
    coverage: Mapping[str, float]

    def mean(self, benchmarks: Sequence[str]) -> float | None:
        """The mean score over ``benchmarks``; None when one of them has no score."""
        values = [self._score(name) for name in benchmarks]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None

    def min_coverage(self, benchmarks: Sequence[str]) -> float:
        """The lowest coverage over ``benchmarks``; a missing one counts as 0."""
        return min(self.coverage.get(name, 0.0) for name in benchmarks)

    def scored(self, benchmarks: Sequence[str]) -> tuple[str, ...]:
        """Those of ``benchmarks`` that have a score."""
        return tuple(name for name in benchmarks if self._score(name) is not None)

    def _score(self, benchmark: str) -> float | None:
        value = self.scores.get(benchmark)
        return None if value is None or math.isnan(value) else value


@dataclass(frozen=True)
class Decision:
    """What the gate says, and why, in words with numbers.

    ``score`` is the candidate's mean over the gate's benchmarks, ``coverage`` the lowest of
    them, ``champion_score`` the champion's mean over the benchmarks that both have.
    """

    decision: Literal["champion", "challenger"]
    reason: str
    score: float | None
    coverage: float
    champion_score: float | None


def decide(candidate: GateScores, champion: GateScores | None, gate: GateConfig) -> Decision:
    """Whether ``candidate`` takes the champion's place.

    It must have a score on every benchmark of the gate, cover at least ``min_coverage`` of
    each, and its mean score may lie at most ``max_drop`` below the champion's over the
    benchmarks that both have a score for. Without a champion, or without a benchmark in
    common, coverage alone decides.
    """
    score = candidate.mean(gate.benchmarks)
    coverage = candidate.min_coverage(gate.benchmarks)
    shared = champion.scored(candidate.scored(gate.benchmarks)) if champion else ()
    champion_score = champion.mean(shared) if champion and shared else None
    problem = _own_problem(candidate, gate)
    if problem:
        return Decision(CHALLENGER, problem, score, coverage, champion_score)
    covered = f"coverage {coverage:.4f}, required {gate.min_coverage:.4f}"
    if champion is None:
        reason = f"first champion: mean score {score:.4f} over {_names(gate.benchmarks)}; {covered}"
        return Decision(CHAMPION, reason, score, coverage, None)
    if champion_score is None:
        reason = (
            f"coverage alone decided, the champion ({champion.label}) has no score of "
            f"{_names(gate.benchmarks)}: mean score {score:.4f}; {covered}"
        )
        return Decision(CHAMPION, reason, score, coverage, None)
    is_close, comparison = _compare(candidate, champion, shared, gate.max_drop)
    decision = CHAMPION if is_close else CHALLENGER
    return Decision(decision, f"{comparison}; {covered}", score, coverage, champion_score)


def _own_problem(candidate: GateScores, gate: GateConfig) -> str | None:
    """Why the candidate fails whatever the champion is."""
    scored = candidate.scored(gate.benchmarks)
    missing = [name for name in gate.benchmarks if name not in scored]
    if missing:
        return f"no score of {_names(missing)}: none of its items is in the vocabulary"
    low = [
        f"{name} {candidate.coverage.get(name, 0.0):.4f}"
        for name in gate.benchmarks
        if candidate.coverage.get(name, 0.0) + _TOLERANCE < gate.min_coverage
    ]
    if low:
        return f"coverage below the required {gate.min_coverage:.4f}: {', '.join(low)}"
    return None


def _compare(
    candidate: GateScores, champion: GateScores, shared: Sequence[str], max_drop: float
) -> tuple[bool, str]:
    ours, theirs = candidate.mean(shared), champion.mean(shared)
    if ours is None or theirs is None:
        raise ValueError(f"both must have a score of each of {shared}")
    change = ours - theirs
    start = f"mean score {ours:.4f} over {_names(shared)} is"
    end = f"the champion's {theirs:.4f} ({champion.label})"
    if change >= 0:
        return True, f"{start} {change:.4f} above {end}" if change else f"{start} equal to {end}"
    is_close = -change <= max_drop + _TOLERANCE
    limit = "within the allowed" if is_close else "more than the allowed"
    return is_close, f"{start} {-change:.4f} below {end}, {limit} {max_drop:.4f}"


def _names(benchmarks: Sequence[str]) -> str:
    return ", ".join(benchmarks)
