"""The gate: may a version become the champion? Rules over scores, answers and facts.

Every rule must hold. Two of them compare the candidate with the champion and with the reference:
its weighted mean score may not be worse by more than what chance explains and the margin allows
(:mod:`.statistics`). The reference stays while champions come and go, so that small losses do not
add up; it moves by itself only to a version that is better beyond doubt. docs/gate.md has the
formulas.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from nightjar.config import GateConfig
from nightjar.promotion.contenders import BenchmarkScore, Contender, Question
from nightjar.promotion.events import VersionRef
from nightjar.promotion.statistics import (
    BenchmarkDifference,
    PooledDifference,
    Variance,
    compare_answers,
    compare_recorded,
    on_shared_items,
    pool,
    twice,
)
from nightjar.store import fingerprint

REVISION = 3
"""Raise it when the same question gets a different answer than before."""

PRIOR_DF = 4
"""Degrees of freedom of the prior of noise: as if five trainings had been compared."""
_TOLERANCE = 1e-9
"""Lets a value exactly at its limit pass despite floating-point rounding."""


class Outcome(StrEnum):
    """What the gate says about a candidate."""

    PROMOTED = "promoted"
    BLOCKED = "blocked"
    WAITING = "waiting"
    """A person decides."""
    UNCHANGED = "unchanged"
    """The candidate is the champion."""


@dataclass(frozen=True)
class RuleResult:
    """One rule of the gate, with what it found."""

    rule: str
    """The key of the config that sets it, or what it asks."""
    holds: bool
    said: str
    """In words and numbers."""
    numbers: Mapping[str, float | None] = field(default_factory=dict)


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
    """The champion's mean over the benchmarks and items that all versions share; the reference's
    likewise."""
    reference_score: float | None = None
    moves_reference: bool = False
    """Whether the candidate becomes the reference: better beyond doubt, or the first one."""
    base_champion: VersionRef | None = None
    """For a derived model, the champion of its base at the time of the decision."""
    rules: tuple[RuleResult, ...] = ()
    remarks: tuple[str, ...] = ()
    """What the gate could see tonight, and what would help."""

    @property
    def failed(self) -> tuple[RuleResult, ...]:
        """The rules that do not hold."""
        return tuple(rule for rule in self.rules if not rule.holds)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def of_json(cls, evidence: Mapping[str, Any]) -> Decision:
        """From what :meth:`as_json` gave, with other keys beside it."""
        own = {name: evidence[name] for name in cls.__dataclass_fields__}
        base = own["base_champion"]
        return cls(
            **{
                **own,
                "outcome": Outcome(own["outcome"]),
                "base_champion": None if base is None else VersionRef(**base),
                "rules": tuple(RuleResult(**rule) for rule in own["rules"]),
                "remarks": tuple(own["remarks"]),
            }
        )


def decide(question: Question, base_champion: VersionRef | None = None) -> Decision:
    """Decide whether the candidate replaces the champion.

    ``base_champion`` is the champion of the model that a derived model is made from. Without a
    champion the other rules decide, or a person if the gate says ``first: wait``. A person also
    decides when the champion or the reference has no answers to the same items.
    """
    key = decision_key(question, base_champion)
    own = question.candidate
    if question.champion is not None and own.version.number == question.champion.version.number:
        reason = f"{_label(own)} is the champion"
        numbers = _own_numbers(own, question.gate)
        return Decision(Outcome.UNCHANGED, reason, key, *numbers, base_champion=base_champion)
    against = _comparisons(question)
    rules = tuple(_rules(question, base_champion, against))
    outcome, reason = _outcome(question, rules, against)
    champion, reference = against.get("champion"), against.get("reference")
    return Decision(
        outcome,
        reason,
        key,
        *_own_numbers(own, question.gate),
        champion_score=champion.theirs if champion else None,
        reference_score=reference.theirs if reference else None,
        moves_reference=reference is None
        or (reference.found is not None and reference.found.is_better_beyond_doubt),
        base_champion=base_champion,
        rules=rules,
        remarks=tuple(_remarks(question, against)),
    )


def decision_key(question: Question, base_champion: VersionRef | None = None) -> str:
    """The digest of everything that a decision depends on."""
    gate, base, facts = question.gate, question.base, question.facts
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
            "facts": {
                **{name: str(value) for name, value in asdict(facts).items()},
                # Tomorrow it is a day older, and the same question.
                "age_days": _is_too_old(question),
                "health": {name: facts.health.get(name) for name in gate.health},
            },
            "resampling": [question.resampling.samples, question.resampling.seed],
        }
    )


def _resting_on(contender: Contender | None, gate: GateConfig) -> dict[str, Any] | None:
    if contender is None:
        return None
    scores = {
        name: [
            *(score.settings, score.items_sha256, score.answers_sha256),
            *(_finite(score.value), score.coverage, score.answers is None),
        ]
        for name in gate.weights
        if (score := contender.evaluation.get(name)) is not None
    }
    noise = None if contender.noise is None else contender.noise.digest
    noise = noise if contender.is_trained else "none"
    return {"digest": contender.version.digest, "scores": scores, "noise": noise}


def _digest(version: VersionRef | None) -> str | None:
    return None if version is None else version.digest


# -- comparing ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Against:
    """The candidate and another version, over the benchmarks and items that all versions share."""

    role: str
    other: Contender
    found: PooledDifference | None
    """None when nothing can be compared."""
    has_prior: bool = False
    """Whether the noise of a training is the stated prior and not measured."""

    @property
    def theirs(self) -> float | None:
        return None if self.found is None else self.found.theirs

    def rules(self) -> Iterator[RuleResult]:
        """The rule that it is not worse; none when nothing can be compared."""
        if self.found is not None:
            said = self._describe(self.found)
            yield RuleResult(self.role, self.found.is_close, said, self._numbers(self.found))

    def _describe(self, found: PooledDifference) -> str:
        start = f"mean score {found.ours:.4f} over {_names(list(found.by_benchmark))} is"
        end = f"the {self.role}'s {found.theirs:.4f} ({_label(self.other)})"
        change, limit = found.difference, found.limit
        if abs(change) < _TOLERANCE:
            return f"{start} equal to {end}"
        if change > 0:
            return f"{start} {change:.4f} above {end}"
        within = "within the allowed" if found.is_close else "more than the allowed"
        return f"{start} {-change:.4f} below {end}, {within} {limit:.4f}"

    def _numbers(self, found: PooledDifference) -> dict[str, float | None]:
        return {
            "difference": found.difference,
            "error": found.error,
            "noise_error": found.noise_error,
            "df": found.df if math.isfinite(found.df) else None,
            "limit": found.limit,
            "detectable": found.detectable,
            "detectable_when_retried": found.detectable_when_retried,
        } | {f"difference.{name}": one.difference for name, one in found.by_benchmark.items()}


def _comparisons(question: Question) -> dict[str, _Against]:
    """The candidate against the champion and the reference, by role, where there are such.

    All are compared on the items that all of them cover.
    """
    roles = {
        role: contender
        for role, contender in (("champion", question.champion), ("reference", question.reference))
        if contender is not None
    }
    own = question.candidate
    found: dict[str, _Against] = {}
    everybody = [own, *roles.values()]
    together = _shared(question.gate, everybody)
    for role, other in roles.items():
        # Where the three share nothing, two of them may.
        versions = everybody if together else [own, other]
        names = together or _shared(question.gate, versions)
        differences = {
            name: difference
            for name in names
            if (difference := _difference(question, versions, other, name)) is not None
        }
        if not differences:
            found[role] = _Against(role, other, None)
            continue
        weights = {name: question.gate.weights[name] for name in differences}
        measured = [_noise(version, weights) for version in (own, other)]
        noise = _noise_of_both(own, other, measured, question.gate.noise_prior)
        comparison = pool(differences, weights, noise, question.gate.margin)
        found[role] = _Against(role, other, comparison, has_prior=None in measured)
    return found


def _shared(gate: GateConfig, versions: Sequence[Contender]) -> list[str]:
    """The benchmarks that every version answered with the same settings on the same items."""
    return [
        name
        for name in gate.weights
        if all(
            (score := _scored(version, name)) is not None
            and (first := _scored(versions[0], name)) is not None
            and score.is_comparable(first)
            for version in versions
        )
    ]


def _difference(
    question: Question, versions: Sequence[Contender], other: Contender, name: str
) -> BenchmarkDifference | None:
    """The candidate and another version on one benchmark; None when nothing can be compared."""
    ours, theirs = (one.evaluation[name] for one in (question.candidate, other))
    if ours.answers is None:
        return None
    if theirs.answers is None:
        recorded = _number(theirs.value)
        return compare_recorded(name, ours.metric, ours.answers, recorded, question.resampling)
    answers = {
        place: answered
        for place, version in enumerate(versions)
        if (answered := version.evaluation[name].answers) is not None
    }
    shared = on_shared_items([{name: answered} for answered in answers.values()], [name])
    by_place = dict(zip(answers, shared, strict=True))
    own, others = by_place[0], by_place[versions.index(other)]
    if name not in own:
        return None
    return compare_answers(name, ours.metric, own[name], others[name], question.resampling)


def _noise(contender: Contender, weights: Mapping[str, float]) -> Variance | None:
    """The variance of the mean score between trainings; None when it was not measured."""
    if not contender.is_trained:
        return Variance(0.0, PRIOR_DF)
    return None if contender.noise is None else contender.noise.of_mean(weights)


def _noise_of_both(
    ours: Contender, theirs: Contender, measured: Sequence[Variance | None], prior: float
) -> list[Variance]:
    """The variances that trainings add to both scores; an estimate for both counts as one."""
    assumed = Variance(prior**2, PRIOR_DF)
    own, other = (assumed if noise is None else noise for noise in measured)
    if not (ours.is_trained and theirs.is_trained):
        return [own, other]
    sources = {
        "assumed" if noise is None or contender.noise is None else contender.noise.digest
        for contender, noise in zip((ours, theirs), measured, strict=True)
    }
    return [twice(own)] if len(sources) == 1 else [own, other]


# -- rules -------------------------------------------------------------------------------------


def _rules(
    question: Question, base_champion: VersionRef | None, against: Mapping[str, _Against]
) -> Iterator[RuleResult]:
    """Every rule of the gate."""
    gate, candidate, facts = question.gate, question.candidate, question.facts
    if question.veto:
        yield RuleResult("corpus", False, question.veto)
    if question.base is not None:
        problem = _base_problem(question, base_champion)
        yield RuleResult("base", not problem, problem or "made from the champion of its base")
    yield from _coverage_rules(candidate, gate)
    if facts.vocabulary_lost is not None:
        lost, most = facts.vocabulary_lost, gate.max_vocabulary_lost
        yield RuleResult(
            "max_vocabulary_lost",
            lost <= most + _TOLERANCE,
            f"{lost:.2%} of the champion's words, by their counts, are lost, "
            f"{'allowed' if lost <= most + _TOLERANCE else 'more than'} {most:.2%}",
            {"lost": lost, "most": most},
        )
    for measure, bounds in gate.health.items():
        value = facts.health.get(measure)
        low = bounds.min is None or (value is not None and value >= bounds.min - _TOLERANCE)
        high = bounds.max is None or (value is not None and value <= bounds.max + _TOLERANCE)
        limits = [
            f"{word} {limit:g}"
            for word, limit in (("at least", bounds.min), ("at most", bounds.max))
            if limit is not None
        ]
        is_defined = value is not None
        # A model without n-grams has no share of known ones.
        yield RuleResult(
            f"health.{measure}",
            (low and high) or not is_defined,
            f"{measure} is {'not defined' if value is None else format(value, '.4f')}, required "
            f"{' and '.join(limits)}",
            {"value": value, "min": bounds.min, "max": bounds.max},
        )
    if gate.loss_must_fall and facts.first_loss is not None and facts.last_loss is not None:
        falls = math.isfinite(facts.last_loss) and facts.last_loss < facts.first_loss
        yield RuleResult(
            "loss_must_fall",
            falls,
            f"the mean loss went from {facts.first_loss:.4f} in the first epoch to "
            f"{facts.last_loss:.4f} in the last",
            {"first": _finite(facts.first_loss), "last": _finite(facts.last_loss)},
        )
    if gate.max_age_days is not None and facts.age_days is not None:
        yield RuleResult(
            "max_age_days",
            not _is_too_old(question),
            f"its vectors were trained {facts.age_days:.1f} days ago, allowed "
            f"{gate.max_age_days:g}",
            {"days": facts.age_days, "most": gate.max_age_days},
        )
    for comparison in _distinct(question, against):
        yield from comparison.rules()


_ALWAYS = frozenset(("corpus", "base", "score"))
"""Rules without which nothing is promoted, not even with ``mode: warn``."""


def _coverage_rules(candidate: Contender, gate: GateConfig) -> Iterator[RuleResult]:
    missing = [name for name in gate.weights if _scored(candidate, name) is None]
    if missing:
        said = f"no score of {_names(missing)}: none of its items is in the vocabulary"
        yield RuleResult("score", False, said)
        return
    shares = {name: candidate.evaluation[name].coverage for name in gate.weights}
    low = {name: share for name, share in shares.items() if share + _TOLERANCE < gate.min_coverage}
    if low:
        listed = ", ".join(f"{name} {share:.4f}" for name, share in low.items())
        said = f"coverage below the required {gate.min_coverage:.4f}: {listed}"
    else:
        said = f"coverage {min(shares.values()):.4f}, required {gate.min_coverage:.4f}"
    yield RuleResult("min_coverage", not low, said, dict(shares))


def _is_too_old(question: Question) -> bool:
    most, age = question.gate.max_age_days, question.facts.age_days
    return most is not None and age is not None and age > most


def _outcome(
    question: Question, rules: Sequence[RuleResult], against: Mapping[str, _Against]
) -> tuple[Outcome, str]:
    gate = question.gate
    failed = [rule for rule in rules if not rule.holds]
    floors = [rule for rule in failed if rule.rule not in against]
    covered = next((rule.said for rule in rules if rule.rule == "min_coverage"), "")
    must = [rule for rule in failed if rule.rule in _ALWAYS]
    if must or (floors and gate.mode != "warn"):
        return Outcome.BLOCKED, "; ".join(rule.said for rule in must or floors)
    for comparison in _distinct(question, against):
        if comparison.found is None:
            return Outcome.WAITING, (
                f"nothing to compare with: the {comparison.role} ({_label(comparison.other)}) has "
                f"no score of {_names(list(gate.weights))} on the same items, so a person decides; "
                f"{covered}"
            )
    compared = [rule for rule in rules if rule.rule in against]
    worse = [rule for rule in compared if not rule.holds]
    said = "; ".join(rule.said for rule in worse or compared)
    waits_first = "champion" not in against and gate.first == "wait"
    if failed and gate.mode == "warn":
        warning = f"against the gate (mode: warn): {'; '.join(rule.said for rule in failed)}"
        if waits_first:
            return Outcome.WAITING, f"a person approves the first champion {warning}; {covered}"
        return Outcome.PROMOTED, f"promoted {warning}; {covered}"
    if worse:
        return Outcome.BLOCKED, f"{said}; {covered}"
    if "champion" in against:
        if gate.mode == "approve":
            return Outcome.WAITING, f"a person approves it (mode: approve): {said}; {covered}"
        return Outcome.PROMOTED, f"{said}; {covered}"
    score = f"mean score {_mean(question.candidate, gate):.4f} over {_names(list(gate.weights))}"
    first = f"first champion: {said or score}; {covered}"
    if waits_first or gate.mode == "approve":
        return Outcome.WAITING, f"a person approves the {first}"
    return Outcome.PROMOTED, first


def _remarks(question: Question, against: Mapping[str, _Against]) -> Iterator[str]:
    """What the gate could see tonight, said once for the comparison that sees least."""
    found = [(one, one.found) for one in _distinct(question, against) if one.found is not None]
    if not found:
        return
    worst, comparison = max(found, key=lambda pair: pair[1].detectable)
    margin = question.gate.margin
    yield (
        f"a drop of {comparison.detectable:.4f} below the {worst.role} is found nine times in ten "
        f"({comparison.detectable_when_retried:.4f} if somebody retries all week), in a candidate "
        f"that is as uncertain as this one"
    )
    if not comparison.is_decidable and comparison.error > 0:
        factor = (comparison.detectable / margin) ** 2 if margin else math.inf
        more = f", some {factor:.1f} times as many" if margin else ""
        is_noise = comparison.noise_error**2 > comparison.error**2 / 2
        helps = (
            "most of the doubt is the noise of training: more epochs, or 'nightjar noise', help"
            if is_noise
            else f"benchmarks with more items would help{more}"
        )
        yield (
            f"a margin of {margin:.4f} cannot be decided with "
            f"{_names(list(comparison.by_benchmark))}: {helps}"
        )
    for one, _ in found:
        if any(one.other.evaluation[name].answers is None for name in _compared(one)):
            yield (
                f"the {one.role}'s answers are gone: it is compared by its recorded score, which "
                f"is less certain"
            )
    if any(one.has_prior for one, _ in found) and question.gate.noise_prior > 0:
        yield (
            f"the noise of training is assumed ({question.gate.noise_prior:g}), not measured: "
            f"'nightjar noise {question.model}' measures it"
        )


def _compared(against: _Against) -> Sequence[str]:
    return () if against.found is None else list(against.found.by_benchmark)


def _distinct(question: Question, against: Mapping[str, _Against]) -> list[_Against]:
    """The versions that the candidate is compared with; one in both roles counts once."""
    champion, reference = question.champion, question.reference
    is_same = champion is not None and reference is not None
    is_same = is_same and _version(champion) == _version(reference)
    return [one for role, one in against.items() if role == "champion" or not is_same]


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


def _own_numbers(candidate: Contender, gate: GateConfig) -> tuple[float | None, float]:
    """The candidate's mean score (None when one is missing) and its lowest coverage."""
    is_scored = all(_scored(candidate, name) is not None for name in gate.weights)
    coverage = min(_coverage(candidate.evaluation, name) for name in gate.weights)
    return (_mean(candidate, gate) if is_scored else None), coverage


def _coverage(evaluation: Mapping[str, BenchmarkScore], name: str) -> float:
    return evaluation[name].coverage if name in evaluation else 0.0


def _scored(contender: Contender, name: str) -> BenchmarkScore | None:
    """The score on a benchmark; None when it is missing or not a number."""
    score = contender.evaluation.get(name)
    return None if score is None or _finite(score.value) is None else score


def _mean(contender: Contender, gate: GateConfig) -> float:
    """The weighted mean score over the gate's benchmarks, each of which must have one."""
    total = sum(gate.weights.values())
    return sum(
        weight * _number(contender.evaluation[name].value) / total
        for name, weight in gate.weights.items()
    )


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
