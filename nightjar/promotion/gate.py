"""The gate: may a version become the champion? Rules over scores, answers and facts.

Every rule must hold. Two of them compare the candidate with the champion and with the reference:
its weighted mean score may not be worse by more than what chance explains and the margin allows
(:mod:`.statistics`). The reference stays while champions come and go, so that small losses do not
add up; it moves by itself only to a version that is better beyond doubt. docs/gate.md has the
formulas.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from nightjar.config import Bounds, GateConfig
from nightjar.promotion.contenders import BenchmarkScore, Contender, Question
from nightjar.promotion.events import VersionRef
from nightjar.promotion.statistics import (
    BenchmarkDifference,
    PooledDifference,
    Variance,
    compare_answers,
    compare_recorded,
    fall_from,
    on_shared_items,
    pool,
    twice,
)
from nightjar.scoring.metrics import score
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
    PASSED = "passed"
    """It would be promoted, but a trial promotes nothing, or a command came between. The gate
    itself never says so."""


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
    """The champion's mean over the benchmarks and items that it shares with the candidate."""
    reference_score: float | None = None
    """The reference's, over those that it shares with the candidate."""
    moves_reference: bool = False
    """Whether the candidate becomes the reference once it is champion: it is better beyond doubt,
    or there is none to compare it with."""
    base_champion: VersionRef | None = None
    """For a derived model, the champion of its base at the time of the decision."""
    rules: tuple[RuleResult, ...] = ()
    remarks: tuple[str, ...] = ()
    """What the gate could see tonight, and what would help."""
    awaits_approval: bool = False
    """Whether it waits because the config wants a person's approval."""

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
    decides when the champion or the reference has no answers to the same items, or when the
    champion's words are no longer known.
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
        or not reference.is_possible
        or (
            reference.found is not None
            and reference.found.is_better_beyond_doubt
            and all(rule.holds for rule in rules)
        ),
        base_champion=base_champion,
        rules=rules,
        remarks=tuple(_remarks(question, against)),
        awaits_approval=outcome is Outcome.WAITING and not any(_undecided(question, against)),
    )


def decision_key(question: Question, base_champion: VersionRef | None = None) -> str:
    """The digest of everything that a decision depends on."""
    gate, base, facts = question.gate, question.base, question.facts
    return fingerprint(
        {
            "revision": REVISION,
            "model": question.model,
            # Decisions from before there was the key keep theirs.
            "gate": gate.model_dump(mode="json", exclude=_unset(gate)),
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
            **_on_record(question),
        }
    )


def _unset(gate: GateConfig) -> set[str]:
    return {"max_fall"} if gate.min_scores else {"min_scores", "max_fall"}


def _on_record(question: Question) -> dict[str, Any]:
    """What the rule ``max_fall`` rests on; nothing where it does not apply."""
    found = {
        f"{role}.{name}": [recorded.settings, recorded.metric, recorded.value]
        for role, name, recorded in _records(question)
    }
    return {"on_record": [question.gate.max_fall, found]} if found else {}


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
    """The candidate and another version, over the benchmarks and items that both cover."""

    role: str
    other: Contender
    found: PooledDifference | None
    """None when nothing can be compared."""
    has_prior: bool = False
    """Whether the noise of a training is the stated prior and not measured."""
    unscored: tuple[str, ...] = ()
    """Benchmarks on which the other version has a score and the candidate has none."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why a benchmark is not compared, by its name."""

    @property
    def theirs(self) -> float | None:
        return None if self.found is None else self.found.theirs

    @property
    def is_possible(self) -> bool:
        """Whether there is anything to compare."""
        return self.found is not None or bool(self.unscored)

    def rules(self) -> Iterator[RuleResult]:
        """The rule that it is not worse; none when nothing can be compared."""
        if not self.is_possible:
            return
        said, is_close = [], True
        if self.unscored:
            is_close = False
            said.append(
                f"no score of {_names(self.unscored)} where the {self.role} "
                f"({_label(self.other)}) has one: all the answers are equal or not numbers"
            )
        if self.found is not None:
            is_close = is_close and self.found.is_close
            said.append(self._describe(self.found))
        numbers = {} if self.found is None else self._numbers(self.found)
        yield RuleResult(self.role, is_close, "; ".join(said), numbers)

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

    Each pair is compared on the items that both cover. With the items that all three cover, an old
    reference that knows few words would hide what the candidate lost against the champion.
    """
    return {
        role: _against(question, role, other)
        for role, other in (("champion", question.champion), ("reference", question.reference))
        if other is not None
    }


def _against(question: Question, role: str, other: Contender) -> _Against:
    gate, own = question.gate, question.candidate
    differences: dict[str, BenchmarkDifference] = {}
    unscored: list[str] = []
    left_out: dict[str, str] = {}
    for name in gate.weights:
        found = _difference(question, other, name)
        if isinstance(found, BenchmarkDifference):
            differences[name] = found
        elif found is None:
            unscored.append(name)
        else:
            left_out[name] = found
    if not differences:
        return _Against(role, other, None, unscored=tuple(unscored), left_out=left_out)
    weights = {name: gate.weights[name] for name in differences}
    measured = [_noise(version, weights) for version in (own, other)]
    noise = _noise_of_both(own, other, measured, gate.noise_prior)
    comparison = pool(differences, weights, noise, gate.margin)
    return _Against(role, other, comparison, None in measured, tuple(unscored), left_out)


def _difference(
    question: Question, other: Contender, name: str
) -> BenchmarkDifference | str | None:
    """The candidate and another version on one benchmark, on the items that both cover.

    None when the other version has a score on them and the candidate has none; text that says why
    when the other version cannot be compared.
    """
    ours, theirs = (one.evaluation.get(name) for one in (question.candidate, other))
    if theirs is None or _finite(theirs.value) is None:
        return "it has no score"
    if ours is None or ours.answers is None:
        return "the candidate has no answers"
    if not ours.is_comparable(theirs):
        return "it answered other items or with other settings"
    if theirs.answers is None:
        recorded = _number(theirs.value)
        return compare_recorded(name, ours.metric, ours.answers, recorded, question.resampling)
    shared = on_shared_items([{name: ours.answers}, {name: theirs.answers}], [name])
    if name not in shared[0]:
        return "both cover no item of it"
    own, others = shared[0][name], shared[1][name]
    if score(ours.metric, others.values, others.gold) is None:
        return "its score on the items that both cover is not defined"
    return compare_answers(name, ours.metric, own, others, question.resampling)


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
    gate, facts = question.gate, question.facts
    if question.veto:
        yield RuleResult(VETO, False, question.veto)
    if question.base is not None:
        problem = _base_problem(question, base_champion)
        yield RuleResult("base", not problem, problem or "made from the champion of its base")
    if facts.unknown:
        yield RuleResult("vectors", False, facts.unknown)
    yield from _coverage_rules(question)
    yield from _vocabulary_rules(question)
    yield from _least_score_rules(question)
    yield from _fall_rules(question)
    for measure, bounds in gate.health.items():
        yield _health_rule(question, measure, bounds)
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


VETO = "corpus"
"""The rule that the corpus is accepted."""
_ALWAYS = frozenset((VETO, "base", "score"))
"""Rules without which nothing is promoted, not even with ``mode: warn``."""


def _coverage_rules(question: Question) -> Iterator[RuleResult]:
    """A score on each benchmark, enough of its items covered, and not fewer than before."""
    candidate, gate = question.candidate, question.gate
    missing = [name for name in gate.weights if _scored(candidate, name) is None]
    if missing:
        said = "; ".join(
            f"no score of {name}: {_why_unscored(candidate, name)}" for name in missing
        )
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
    lost = {
        f"{role}.{name}": _coverage_lost(candidate.evaluation[name], other.evaluation[name])
        for role, other in _others(question).items()
        for name in gate.weights
        if _scored(other, name) and candidate.evaluation[name].is_comparable(other.evaluation[name])
    }
    if lost:
        most = gate.max_coverage_lost
        worst = max(lost, key=lambda key: lost[key])
        role, _, name = worst.partition(".")
        of_champion = max(
            (share for key, share in lost.items() if key.startswith("champion.")), default=0.0
        )
        yield RuleResult(
            "max_coverage_lost",
            lost[worst] <= most + _TOLERANCE,
            f"{lost[worst]:.2%} of the {role}'s items of {name} are no longer covered, "
            f"{_allowed(question, lost[worst], of_champion, most)}",
            {**lost, "most": most},
        )


def _why_unscored(candidate: Contender, name: str) -> str:
    found = candidate.evaluation.get(name)
    if found is None:
        return "it was not evaluated"
    if found.coverage == 0:
        return "none of its items is in the vocabulary"
    return "its answers, or its gold values, are all equal or not numbers"


def _coverage_lost(ours: BenchmarkScore, theirs: BenchmarkScore) -> float:
    """The share of the items that the other version covers and the candidate does not.

    By their coverages alone when the answers of one are gone.
    """
    if ours.answers is None or theirs.answers is None or len(ours.answers) != len(theirs.answers):
        return max(0.0, 1.0 - ours.coverage / theirs.coverage) if theirs.coverage else 0.0
    is_covered = theirs.answers.is_covered
    n_covered = int(is_covered.sum())
    n_lost = int((is_covered & ~ours.answers.is_covered).sum())
    return n_lost / n_covered if n_covered else 0.0


def _vocabulary_rules(question: Question) -> Iterator[RuleResult]:
    known = {
        role: lost for role, lost in question.facts.vocabulary_lost.items() if lost is not None
    }
    if not known:
        return
    most = question.gate.max_vocabulary_lost
    role = max(known, key=lambda role: known[role])
    yield RuleResult(
        "max_vocabulary_lost",
        known[role] <= most + _TOLERANCE,
        f"{known[role]:.2%} of the {role}'s words, by their counts, are lost, "
        f"{_allowed(question, known[role], known.get('champion', 0.0), most)}",
        {**known, "most": most},
    )


def _allowed(question: Question, lost: float, of_champion: float, most: float) -> str:
    """How a loss compares with what is allowed, and the order that ends it where one does."""
    if lost <= most + _TOLERANCE:
        return f"allowed {most:.2%}"
    said = f"more than {most:.2%}"
    if of_champion <= most + _TOLERANCE:  # it is lost against an old reference alone
        said += (
            f"; if the text has changed for good, 'nightjar rebase {question.model}' measures "
            f"against the champion from now on"
        )
    return said


def _least_score_rules(question: Question) -> Iterator[RuleResult]:
    """Of the benchmarks that score this model; one without a score has a rule of its own."""
    for name, least in question.gate.min_scores.items():
        score = question.candidate.evaluation.get(name)
        if score is None or score.value is None:
            continue
        yield RuleResult(
            f"min_scores.{name}",
            score.value >= least - _TOLERANCE,
            f"{name} is {score.value:.4f}, required {least:g}",
            {"value": score.value, "min": least},
        )


_OF_TONIGHT = ("link_prediction", "next_item")
"""Types of benchmarks whose items come out of tonight's data: spoilt data spoil them, too."""


def _records(question: Question) -> Iterator[tuple[str, str, BenchmarkScore]]:
    """Role, benchmark and score on record, where tonight's score can be laid beside it."""
    gate = question.gate
    for role, other in _others(question).items():
        for name in gate.weights if gate.max_fall is not None else ():
            recorded, ours = other.recorded.get(name), question.candidate.evaluation.get(name)
            if (
                recorded is not None
                and ours is not None
                and recorded.settings == ours.settings
                and json.loads(ours.settings).get("type") in _OF_TONIGHT
                and _finite(recorded.value) is not None
            ):
                yield role, name, recorded


def _fall_rules(question: Question) -> Iterator[RuleResult]:
    """The level on record of champion and reference: spoilt data lower theirs tonight, too."""
    gate, resampling = question.gate, question.resampling
    for role, name, recorded in _records(question):
        answers = question.candidate.evaluation[name].answers
        if answers is None:
            continue
        measured = _noise(question.candidate, {name: 1.0})
        noise = twice(Variance(gate.noise_prior**2, PRIOR_DF) if measured is None else measured)
        found = fall_from(
            name,
            answers,
            (recorded.metric, _number(recorded.value)),
            gate.max_fall or 0.0,
            noise,
            resampling,
        )
        if found is None:
            continue
        other = _others(question)[role]
        said = (
            f"{name} is {found.value:.4f} on tonight's items, and the {role} ({_label(other)}) had "
            f"{found.recorded:.4f} when it was chosen; allowed is a fall of {found.limit:.4f}"
        )
        if not found.is_close:
            number = question.candidate.version.number
            said += (
                f". Its items come out of tonight's data: look at what changed in the sources. If "
                f"the new level is right, 'nightjar promote {question.model} {number} --force "
                f"--reason TEXT' accepts it"
            )
        numbers = {"value": found.value, "recorded": found.recorded, "limit": found.limit}
        yield RuleResult(f"max_fall.{name}.{role}", found.is_close, said, numbers)


_NOT_OF_EVERY_MODEL = ("known_ngrams", "text_coverage")
"""Measures of health that models without n-grams and imported vectors do not have."""


def _health_rule(question: Question, measure: str, bounds: Bounds) -> RuleResult:
    health = question.facts.health
    value = health.get(measure)
    low = bounds.min is None or (value is not None and value >= bounds.min - _TOLERANCE)
    high = bounds.max is None or (value is not None and value <= bounds.max + _TOLERANCE)
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("at least", bounds.min), ("at most", bounds.max))
        if limit is not None
    ]
    holds = low and high
    said = "not defined" if value is None else format(value, ".4f")
    if measure in _NOT_OF_EVERY_MODEL and measure not in health and health:
        holds, said = True, "not a measure of this model"
    return RuleResult(
        f"health.{measure}",
        holds,
        f"{measure} is {said}, required {' and '.join(limits)}",
        {"value": value, "min": bounds.min, "max": bounds.max},
    )


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
    compared = [rule for rule in rules if rule.rule in against]
    worse = [rule for rule in compared if not rule.holds]
    said = "; ".join(rule.said for rule in worse or compared)
    if worse and gate.mode != "warn":
        return Outcome.BLOCKED, f"{said}; {covered}"
    if undecided := list(_undecided(question, against)):
        return Outcome.WAITING, f"a person decides: {'; '.join(undecided)}; {covered}"
    waits_first = "champion" not in against and gate.first == "wait"
    if failed:
        warning = f"against the gate (mode: warn): {'; '.join(rule.said for rule in failed)}"
        if waits_first:
            return Outcome.WAITING, f"a person approves the first champion {warning}; {covered}"
        return Outcome.PROMOTED, f"promoted {warning}; {covered}"
    if "champion" in against:
        if gate.mode == "approve":
            return Outcome.WAITING, f"a person approves it (mode: approve): {said}; {covered}"
        return Outcome.PROMOTED, f"{said}; {covered}"
    own = f"mean score {_mean(question.candidate, gate):.4f} over {_names(list(gate.weights))}"
    first = f"first champion: {said or own}; {covered}"
    if waits_first or gate.mode == "approve":
        return Outcome.WAITING, f"a person approves the {first}"
    return Outcome.PROMOTED, first


def _undecided(question: Question, against: Mapping[str, _Against]) -> Iterator[str]:
    """What the gate cannot decide, with the order that does."""
    model = question.model
    for comparison in _distinct(question, against):
        if not comparison.is_possible:
            whys = "; ".join(f"{name}: {why}" for name, why in comparison.left_out.items())
            order = (
                f"'nightjar promote {model} {question.candidate.version.number}' promotes it"
                if comparison.role == "champion"
                else f"'nightjar rebase {model}' measures against the champion from now on"
            )
            yield (
                f"nothing to compare with the {comparison.role} ({_label(comparison.other)}): "
                f"{whys}; {order}"
            )
    if "champion" in against and question.facts.vocabulary_lost.get("champion", 0.0) is None:
        yield "the champion's vectors are gone, so nobody knows which of its words are lost"


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
        yield (
            f"a margin of {margin:.4f} cannot be decided with "
            f"{_names(list(comparison.by_benchmark))}: {_what_helps(question, worst, comparison)}"
        )
    for one, _ in found:
        if any(one.other.evaluation[name].answers is None for name in _compared(one)):
            yield (
                f"the {one.role}'s answers are gone: it is compared by its recorded score, which "
                f"is less certain"
            )
    for one, _ in found:
        for name, why in one.left_out.items():
            yield f"{name} is not compared with the {one.role}: {why}"
    if any(one.has_prior for one, _ in found) and question.gate.noise_prior > 0:
        yield (
            f"the noise of training is assumed ({question.gate.noise_prior:g}), not measured: "
            f"'nightjar noise {question.model}' measures it"
        )


def _what_helps(question: Question, against: _Against, found: PooledDifference) -> str:
    """What would make the margin decidable: s has to fall to what a difference of it shows."""
    margin = question.gate.margin
    needed = (margin / found.detectable) ** 2 * found.error**2 if margin else 0.0
    noise = found.noise_error**2
    if noise >= needed:
        smallest = found.detectable * found.noise_error / found.error
        advice = (
            f"'nightjar noise {question.model}' measures it"
            if against.has_prior
            else f"train for more epochs, or set a margin of {smallest:.4f} or more"
        )
        return f"no number of items suffices for the noise of training; {advice}"
    factor = (found.error**2 - noise) / (needed - noise)
    return f"some {factor:.1f} times as many items would do"


def _compared(against: _Against) -> Sequence[str]:
    return () if against.found is None else list(against.found.by_benchmark)


def _others(question: Question) -> dict[str, Contender]:
    """Champion and reference by role, those that there are; one in both roles counts once."""
    found = {"champion": question.champion, "reference": question.reference}
    if _version(question.champion) == _version(question.reference):
        del found["reference"]
    return {role: contender for role, contender in found.items() if contender is not None}


def _distinct(question: Question, against: Mapping[str, _Against]) -> list[_Against]:
    """The versions that the candidate is compared with; one in both roles counts once."""
    return [against[role] for role in _others(question)]


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
