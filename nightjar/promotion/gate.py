"""The gate: may a version become the champion? Pure arithmetic over scores.

A candidate needs a score and enough coverage on every benchmark of the gate (the floors), and its
mean score may be at most ``max_drop`` below the champion's and below the reference's. The reference
stays while champions come and go, so that the score cannot sink by ``max_drop`` every night; it
moves by itself only to a version that is better by more than ``max_drop``. Scores are compared only
if they were computed on the same items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

from nightjar.config import GateConfig
from nightjar.promotion.contenders import BenchmarkScore, Contender, Question
from nightjar.promotion.events import VersionRef
from nightjar.store import fingerprint

REVISION = 1
"""Raise it when the same question gets a different answer than before."""

_TOLERANCE = 1e-9
"""Lets a score exactly at the limit pass despite floating-point rounding."""


class Outcome(StrEnum):
    """What the gate says about a candidate."""

    PROMOTED = "promoted"
    BLOCKED = "blocked"
    WAITING = "waiting"
    """A person decides."""
    UNCHANGED = "unchanged"
    """The candidate is the champion."""


@dataclass(frozen=True)
class Decision:
    """The gate's answer, with its reason in words and numbers."""

    outcome: Outcome
    reason: str
    key: str
    """Digest of everything that the decision depends on: same key, same decision."""
    score: float | None
    """The candidate's mean over the gate's benchmarks; None when one of them has no score."""
    coverage: float
    """The candidate's lowest coverage."""
    champion_score: float | None = None
    """The champion's mean over the benchmarks where both were scored on the same items; the
    reference's likewise."""
    reference_score: float | None = None
    moves_reference: bool = False
    """Whether the candidate becomes the reference: clearly better than it, or the first one."""
    base_champion: VersionRef | None = None
    """For a derived model, the champion of its base at the time of the decision."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def decide(question: Question, base_champion: VersionRef | None = None) -> Decision:
    """Decide whether the candidate replaces the champion.

    ``base_champion`` is the champion of the model that a derived model is made from. Without a
    champion the floors decide, or a person if the gate says ``first: wait``. A person also
    decides when the champion or the reference has no score on the same items.
    """
    key = decision_key(question, base_champion)
    own = question.candidate
    if question.champion is not None and own.version.number == question.champion.version.number:
        reason = f"{_label(own)} is the champion"
        numbers = _own_numbers(own, question.gate)
        return Decision(Outcome.UNCHANGED, reason, key, *numbers, base_champion=base_champion)
    against_champion = _compare(own, question.champion, "champion", question.gate)
    against_reference = _compare(own, question.reference, "reference", question.gate)
    outcome, reason = _outcome(question, base_champion, against_champion, against_reference)
    return Decision(
        outcome,
        reason,
        key,
        *_own_numbers(own, question.gate),
        champion_score=against_champion.theirs if against_champion else None,
        reference_score=against_reference.theirs if against_reference else None,
        moves_reference=against_reference is None
        or against_reference.change > question.gate.max_drop + _TOLERANCE,
        base_champion=base_champion,
    )


def decision_key(question: Question, base_champion: VersionRef | None = None) -> str:
    """The digest of everything that a decision depends on."""
    gate, base = question.gate, question.base
    return fingerprint(
        {
            "revision": REVISION,
            "model": question.model,
            "gate": gate.model_dump(mode="json"),
            "contenders": {
                role: _resting_on(contender, gate)
                for role, contender in (
                    ("candidate", question.candidate),
                    ("champion", question.champion),
                    ("reference", question.reference),
                )
            },
            "base": None if base is None else [base.model, base.digest, _digest(base_champion)],
            "veto": question.veto,
        }
    )


def _resting_on(contender: Contender | None, gate: GateConfig) -> dict[str, Any] | None:
    if contender is None:
        return None
    scores = {
        name: [score.settings, score.items_sha256, _finite(score.value), score.coverage]
        for name in gate.benchmarks
        if (score := contender.evaluation.get(name)) is not None
    }
    return {"digest": contender.version.digest, "scores": scores}


def _digest(version: VersionRef | None) -> str | None:
    return None if version is None else version.digest


@dataclass(frozen=True)
class _Comparison:
    """The candidate and another version, over the benchmarks that both were scored on."""

    shared: Sequence[str]
    """Empty when nothing can be compared."""
    ours: float
    theirs: float | None
    other: str

    @property
    def change(self) -> float:
        return 0.0 if self.theirs is None else self.ours - self.theirs

    def is_close(self, max_drop: float) -> bool:
        return self.change >= -max_drop - _TOLERANCE

    def describe(self, max_drop: float) -> str:
        """Describe both scores in words."""
        start = f"mean score {self.ours:.4f} over {_names(self.shared)} is"
        end = f"the {self.other}"
        if self.change == 0:
            return f"{start} equal to {end}"
        if self.change > 0:
            return f"{start} {self.change:.4f} above {end}"
        limit = "within the allowed" if self.is_close(max_drop) else "more than the allowed"
        return f"{start} {-self.change:.4f} below {end}, {limit} {max_drop:.4f}"


def _compare(
    candidate: Contender, other: Contender | None, role: str, gate: GateConfig
) -> _Comparison | None:
    """Compare the candidate with another version; None when there is none."""
    if other is None:
        return None
    shared = tuple(
        name
        for name in gate.benchmarks
        if (own := _scored(candidate, name)) is not None
        and (others := _scored(other, name)) is not None
        and own.is_comparable(others)
    )
    if not shared:
        return _Comparison((), 0.0, None, f"{role} ({_label(other)})")
    ours, theirs = _mean(candidate, shared), _mean(other, shared)
    return _Comparison(shared, ours, theirs, f"{role}'s {theirs:.4f} ({_label(other)})")


def _outcome(
    question: Question,
    base_champion: VersionRef | None,
    against_champion: _Comparison | None,
    against_reference: _Comparison | None,
) -> tuple[Outcome, str]:
    gate, candidate = question.gate, question.candidate
    problem = question.veto or _base_problem(question, base_champion)
    problem = problem or _floor_problem(candidate, gate)
    if problem:
        return Outcome.BLOCKED, problem
    coverage = min(candidate.evaluation[name].coverage for name in gate.benchmarks)
    covered = f"coverage {coverage:.4f}, required {gate.min_coverage:.4f}"
    comparisons = _distinct(question, against_champion, against_reference)
    for comparison in comparisons:
        if not comparison.shared:
            return Outcome.WAITING, (
                f"nothing to compare with: the {comparison.other} has no score of "
                f"{_names(gate.benchmarks)} on the same items, so a person decides; {covered}"
            )
    failed = [found for found in comparisons if not found.is_close(gate.max_drop)]
    said = "; ".join(found.describe(gate.max_drop) for found in failed or comparisons)
    if failed:
        return Outcome.BLOCKED, f"{said}; {covered}"
    if against_champion is not None:
        return Outcome.PROMOTED, f"{said}; {covered}"
    score = f"mean score {_mean(candidate, gate.benchmarks):.4f} over {_names(gate.benchmarks)}"
    first = f"first champion: {said or score}; {covered}"
    if gate.first == "wait":
        return Outcome.WAITING, f"a person approves the {first}"
    return Outcome.PROMOTED, first


def _distinct(
    question: Question, against_champion: _Comparison | None, against_reference: _Comparison | None
) -> list[_Comparison]:
    """The versions that the candidate is compared with; one in both roles counts once."""
    champion, reference = question.champion, question.reference
    is_same = champion is not None and reference is not None
    is_same = is_same and _version(champion) == _version(reference)
    found = [against_champion, None if is_same else against_reference]
    return [comparison for comparison in found if comparison is not None]


def _version(contender: Contender | None) -> VersionRef | None:
    return None if contender is None else contender.version


def _base_problem(question: Question, base_champion: VersionRef | None) -> str | None:
    """Why a derived model does not fit the champion of its base; None when it does."""
    base = question.base
    if base is None or _digest(base_champion) == base.digest:
        return None
    champion = (
        f"has no champion, so {base.model} has to be promoted first"
        if base_champion is None
        else f"has the champion version {base_champion.number} ({base_champion.embeddings})"
    )
    return f"it was made from {base.embeddings} of {base.model}, but {base.model} {champion}"


def _floor_problem(candidate: Contender, gate: GateConfig) -> str | None:
    """Why the candidate fails regardless of the champion; None when it does not."""
    missing = [name for name in gate.benchmarks if _scored(candidate, name) is None]
    if missing:
        return f"no score of {_names(missing)}: none of its items is in the vocabulary"
    coverage = {name: candidate.evaluation[name].coverage for name in gate.benchmarks}
    low = [
        f"{name} {share:.4f}"
        for name, share in coverage.items()
        if share + _TOLERANCE < gate.min_coverage
    ]
    if low:
        return f"coverage below the required {gate.min_coverage:.4f}: {', '.join(low)}"
    return None


def _own_numbers(candidate: Contender, gate: GateConfig) -> tuple[float | None, float]:
    """The candidate's mean score (None when one is missing) and its lowest coverage."""
    is_scored = all(_scored(candidate, name) is not None for name in gate.benchmarks)
    coverage = min(_coverage(candidate.evaluation, name) for name in gate.benchmarks)
    return (_mean(candidate, gate.benchmarks) if is_scored else None), coverage


def _coverage(evaluation: Mapping[str, BenchmarkScore], name: str) -> float:
    return evaluation[name].coverage if name in evaluation else 0.0


def _scored(contender: Contender, name: str) -> BenchmarkScore | None:
    """The score on a benchmark; None when it is missing or not a number."""
    score = contender.evaluation.get(name)
    return None if score is None or _finite(score.value) is None else score


def _mean(contender: Contender, benchmarks: Sequence[str]) -> float:
    """The mean score over ``benchmarks``, each of which must have a score."""
    return fmean(_number(contender.evaluation[name].value) for name in benchmarks)


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("a benchmark has no score")
    return value


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _label(contender: Contender) -> str:
    return f"version {contender.version.number}"


def _names(benchmarks: Sequence[str]) -> str:
    return ", ".join(benchmarks)
