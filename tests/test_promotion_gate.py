"""The gate: a table of candidates, champions and references, and what is decided."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from promotion_support import ITEMS, SHARE, score

from nightjar.config import GateConfig
from nightjar.config.registry_sections import Bounds
from nightjar.promotion import (
    BaseUse,
    BenchmarkScore,
    Contender,
    Facts,
    Noise,
    Outcome,
    Question,
    VersionRef,
)
from nightjar.promotion import decide as ask
from nightjar.promotion.gate import Decision
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers

GATE = GateConfig(benchmarks=["ws", "sl"], min_coverage=0.3, margin=0.05, noise_prior=0.0)


def contender(number: int, ws: float | None, sl: float | None, coverage: float = 0.9) -> Contender:
    version = VersionRef(number, f"e{number}", f"digest{number}")
    return Contender(version, {"ws": score(ws, coverage), "sl": score(sl, 1.0)})


def decide(
    candidate: Contender,
    champion: Contender | None = None,
    reference: Contender | None = None,
    gate: GateConfig = GATE,
    **more: Any,
) -> Decision:
    return ask(Question("w2v", candidate, champion, reference, gate, **more))


def with_items(found: Contender, **items: BenchmarkScore) -> Contender:
    return replace(found, evaluation={**found.evaluation, **items})


CANDIDATE = contender(9, 0.5, 0.3)


@pytest.mark.parametrize(
    ("candidate", "champion", "outcome", "reason"),
    [
        (
            CANDIDATE,
            None,
            "promoted",
            "first champion: mean score 0.4000 over ws, sl; coverage 0.9000, required 0.3000",
        ),
        (
            CANDIDATE,
            contender(3, 0.4, 0.2),
            "promoted",
            (
                "mean score 0.4000 over ws, sl is 0.1000 above the champion's 0.3000 (version 3); "
                "coverage 0.9000, required 0.3000"
            ),
        ),
        (
            CANDIDATE,
            contender(3, 0.5, 0.3),
            "promoted",
            (
                "mean score 0.4000 over ws, sl is equal to the champion's 0.4000 (version 3); "
                "coverage 0.9000, required 0.3000"
            ),
        ),
        (
            CANDIDATE,
            contender(3, 0.5, 0.36),
            "promoted",
            (
                "mean score 0.4000 over ws, sl is 0.0300 below the champion's 0.4300 (version 3), "
                "within the allowed 0.0500; coverage 0.9000, required 0.3000"
            ),
        ),
        (
            CANDIDATE,
            contender(3, 0.5, 0.5),
            "blocked",
            (
                "mean score 0.4000 over ws, sl is 0.1000 below the champion's 0.5000 (version 3), "
                "more than the allowed 0.0500; coverage 0.9000, required 0.3000"
            ),
        ),
        (
            contender(9, 0.9, 0.9, coverage=0.29),
            None,
            "blocked",
            "coverage below the required 0.3000: ws 0.2900",
        ),
        (
            contender(9, 0.5, None),
            None,
            "blocked",
            "no score of sl: its answers, or its gold values, are all equal or not numbers",
        ),
        (
            with_items(contender(9, 0.5, 0.3), ws=score(None, 0.0)),
            None,
            "blocked",
            "no score of ws: none of its items is in the vocabulary",
        ),
        (
            CANDIDATE,
            contender(3, None, None),
            "waiting",
            (
                "a person decides: nothing to compare with the champion (version 3): ws: it has no "
                "score; sl: it has no score; 'nightjar promote w2v 9' promotes it; coverage "
                "0.9000, required 0.3000"
            ),
        ),
        (
            CANDIDATE,
            contender(3, 0.6, None),
            "blocked",
            (
                "mean score 0.5000 over ws is 0.1000 below the champion's 0.6000 (version 3), "
                "more than the allowed 0.0500; coverage 0.9000, required 0.3000"
            ),
        ),
    ],
)
def test_decision_and_reason(
    candidate: Contender, champion: Contender | None, outcome: str, reason: str
) -> None:
    found = decide(candidate, champion, champion)
    assert (found.outcome, found.reason) == (outcome, reason)


@pytest.mark.parametrize("champion", [0.65, 0.45, 0.35, 0.3, 0.15, 0.05])
@pytest.mark.parametrize("role", ["champion", "reference"])
def test_score_exactly_at_the_limit_passes(champion: float, role: str) -> None:
    at_limit = round(champion - 0.05, 2)
    below = at_limit - 1e-6
    old = {role: contender(3, champion, champion)}
    assert decide(contender(9, at_limit, at_limit), **old).outcome is Outcome.PROMOTED
    assert decide(contender(9, below, below), **old).outcome is Outcome.BLOCKED


@pytest.mark.parametrize("n_covered", [3, 30, 99])
def test_coverage_exactly_at_the_limit_passes(n_covered: int) -> None:
    gate = GATE.model_copy(update={"min_coverage": n_covered / 100})
    at_limit = contender(9, 0.5, 0.5, coverage=sum([0.01] * n_covered))
    assert decide(at_limit, gate=gate).outcome is Outcome.PROMOTED
    below = contender(9, 0.5, 0.5, coverage=(n_covered - 1) / 100)
    assert decide(below, gate=gate).outcome is Outcome.BLOCKED


def test_numbers_of_the_decision() -> None:
    found = decide(
        contender(9, 0.5, 0.3, coverage=0.4), contender(3, 0.4, None), contender(2, 0.42, 0.3)
    )
    assert found.score == pytest.approx(0.4)
    assert found.coverage == 0.4
    assert found.champion_score == pytest.approx(0.4)
    # Each pair is compared on what both have: the champion has no score of the other one.
    assert found.reference_score == pytest.approx(0.36)
    assert "sl is not compared with the champion: it has no score" in found.remarks


def test_not_a_number_counts_as_no_score() -> None:
    assert decide(contender(9, math.nan, 0.3)).outcome is Outcome.BLOCKED
    found = decide(CANDIDATE, contender(3, math.nan, 0.3))
    assert found.champion_score == 0.3


def test_benchmark_that_was_never_scored_fails() -> None:
    candidate = Contender(CANDIDATE.version, {"ws": score(0.5)})
    found = decide(candidate)
    assert (found.outcome, found.score, found.coverage) == (Outcome.BLOCKED, None, 0.0)


def test_benchmarks_outside_the_gate_do_not_count() -> None:
    gate = GATE.model_copy(update={"benchmarks": ["sl"]})
    found = decide(contender(9, 0.0, 0.3, coverage=0.0), contender(3, 0.9, 0.3), gate=gate)
    assert found.outcome is Outcome.PROMOTED


# -- the reference ---------------------------------------------------------------------------


def test_score_cannot_sink_by_the_allowed_drop_every_night() -> None:
    reference = champion = contender(1, 0.33, 0.33)
    passed = [0.33]
    for night in range(2, 9):
        value = passed[-1] - 0.04
        candidate = contender(night, value, value)
        found = decide(candidate, champion, reference)
        if found.outcome is Outcome.PROMOTED:
            passed.append(value)
            champion = candidate
    assert passed == [0.33, pytest.approx(0.29)]
    assert found.reason.startswith(
        "mean score 0.2500 over ws, sl is 0.0800 below the reference's 0.3300 (version 1), "
        "more than the allowed 0.0500"
    )


def test_reference_moves_only_to_what_is_better_beyond_doubt() -> None:
    """The noise of two trainings is .0141 with 4 degrees of freedom: t(.999) is 7.17."""
    old = contender(1, 0.4, 0.4)
    gate = GATE.model_copy(update={"noise_prior": 0.01})
    for value, moves in ((0.501, False), (0.502, True), (0.6, True), (0.37, False)):
        found = decide(contender(9, value, value), old, old, gate)
        assert found.outcome is Outcome.PROMOTED
        assert found.moves_reference is moves, value


def test_first_champion_is_the_reference() -> None:
    assert decide(CANDIDATE).moves_reference


def test_champion_may_be_worse_than_the_reference_and_both_are_told() -> None:
    found = decide(CANDIDATE, contender(3, 0.36, 0.38), contender(1, 0.42, 0.44))
    assert found.reason == (
        "mean score 0.4000 over ws, sl is 0.0300 above the champion's 0.3700 (version 3); "
        "mean score 0.4000 over ws, sl is 0.0300 below the reference's 0.4300 (version 1), "
        "within the allowed 0.0500; coverage 0.9000, required 0.3000"
    )


def test_reference_without_a_champion_still_counts() -> None:
    assert decide(CANDIDATE, None, contender(1, 0.6, 0.6)).outcome is Outcome.BLOCKED
    found = decide(CANDIDATE, None, contender(1, 0.4, 0.4))
    assert found.outcome is Outcome.PROMOTED
    assert found.reason.startswith("first champion: mean score 0.4000 over ws, sl is equal")


# -- the same items --------------------------------------------------------------------------


def test_scores_on_other_items_are_not_compared() -> None:
    champion = with_items(contender(3, 0.9, 0.3), ws=score(0.9, items="b" * 64))
    found = decide(CANDIDATE, champion, champion)
    assert found.outcome is Outcome.PROMOTED
    assert (found.champion_score, found.reason[:30]) == (
        pytest.approx(0.3),
        "mean score 0.3000 over sl is e",
    )


def test_scores_of_another_type_of_benchmark_are_not_compared() -> None:
    other = replace(score(0.9), settings="another kind")
    champion = with_items(contender(3, 0.9, 0.3), ws=other)
    assert decide(CANDIDATE, champion, champion).champion_score == 0.3


@pytest.mark.parametrize("role", ["champion", "reference"])
def test_nothing_in_common_is_a_persons_to_decide(role: str) -> None:
    items = score(0.1, items="b" * 64)
    other = with_items(contender(3, 0.1, 0.1), ws=items, sl=items)
    roles = {"champion": contender(2, 0.4, 0.4), "reference": contender(1, 0.4, 0.4), role: other}
    found = decide(CANDIDATE, **roles)
    assert found.outcome is Outcome.WAITING
    assert f"nothing to compare with the {role} (version 3): ws: it answered other" in found.reason
    # When a person promotes it all the same, there is something to compare with again.
    assert found.moves_reference is (role == "reference")


def test_an_old_reference_that_knows_few_words_hides_no_loss_against_the_champion() -> None:
    """What the candidate lost is outside the items that the reference covers."""
    half = np.arange(100) < 50
    reference = with_items(contender(1, 0.9, 0.9), ws=score(0.9, 0.5), sl=score(0.9, 0.5))
    spoilt = answered(np.where(half, 0.9, 0.1))
    candidate = with_items(contender(9, 0.9, 0.9), ws=spoilt, sl=spoilt)
    found = decide(candidate, contender(3, 0.9, 0.9, 1.0), reference)
    assert found.outcome is Outcome.BLOCKED
    assert [rule.rule for rule in found.failed] == ["champion"]
    assert found.champion_score == pytest.approx(0.9)


def answered(values: NDArray[np.float64]) -> BenchmarkScore:
    """A benchmark with these answers; NaN is not covered."""
    answers = Answers(values, np.ones(len(values)), own_units(len(values)))
    value = float(np.nanmean(values)) if np.isfinite(values).any() else None
    coverage = float(answers.is_covered.mean())
    return BenchmarkScore(
        *(value, coverage, "a kind", ITEMS, SHARE, answers.sha256()), answers=answers
    )


def test_coverage_cannot_sink_a_little_every_night() -> None:
    """Items that are no longer covered leave every comparison, so they are counted."""

    def covering(number: int, n_items: int) -> Contender:
        shown = answered(np.where(np.arange(100) < n_items, 0.5, np.nan))
        return with_items(contender(number, 0.5, 0.3), ws=shown)

    reference = champion = covering(1, 100)
    promoted = []
    for night, n_items in enumerate((96, 93, 90), 2):
        found = decide(covering(night, n_items), champion, reference)
        promoted.append(found.outcome is Outcome.PROMOTED)
        if promoted[-1]:
            champion = covering(night, n_items)
    assert promoted == [True, False, False]
    assert "10.00% of the reference's items of ws are no longer covered" in found.reason
    # Of the champion's 96 items 6 are lost, too: measuring against it would not help.
    assert "rebase" not in found.reason
    assert "'nightjar rebase w2v' measures" in decide(covering(9, 93), champion, reference).reason
    # As many items, but others.
    others = with_items(CANDIDATE, ws=answered(np.where(np.arange(100) < 50, np.nan, 0.5)))
    swapped = decide(others, covering(3, 50), covering(3, 50))
    assert [rule.rule for rule in swapped.failed] == ["max_coverage_lost"]
    gone = with_items(champion, ws=replace(score(0.5, 1.0), answers=None))
    by_coverage = decide(covering(9, 90), gone, gone)
    assert "10.00% of the champion's items of ws are no longer covered" in by_coverage.reason


def test_a_benchmark_on_which_the_candidate_has_no_score_is_not_left_out() -> None:
    collapsed = answered(np.where(np.arange(100) < 90, np.nan, 0.5))
    equal = np.where(np.arange(100) < 96, 0.5, np.nan)
    undefined = with_items(CANDIDATE, ws=replace(answered(equal), metric="spearman"))
    champion = contender(3, 0.5, 0.3)
    ranked = replace(answered(np.linspace(0, 1, 100)), metric="spearman", answers=ranked_answers())
    old = with_items(champion, ws=ranked)
    found = decide(undefined, old, old)
    assert found.outcome is Outcome.BLOCKED
    assert "no score of ws where the champion (version 3) has one" in found.reason
    other_items = decide(with_items(CANDIDATE, ws=collapsed), champion, champion)
    assert "max_coverage_lost" in {rule.rule for rule in other_items.failed}


def ranked_answers() -> Answers:
    return Answers(np.linspace(0, 1, 100), np.arange(100.0), own_units(100))


@pytest.mark.parametrize("n_items", [1, 2, 4])
def test_a_few_items_are_no_proof(n_items: int) -> None:
    """They may agree by chance, so no resample varies."""

    def answering(number: int, value: float) -> Contender:
        shown = answered(np.full(n_items, value))
        return with_items(contender(number, value, value), ws=shown, sl=shown)

    better, worse = answering(9, 0.7), answering(3, 0.5)
    found = decide(better, worse, worse)
    assert (found.outcome, found.moves_reference) == (Outcome.PROMOTED, False)
    back = decide(worse, better, better)
    assert back.outcome is Outcome.PROMOTED
    assert "a margin of 0.0500 cannot be decided with ws, sl" in " ".join(back.remarks)
    spearman = decide(answering(9, -1.0), answering(3, 1.0), answering(3, 1.0))
    assert spearman.outcome is Outcome.BLOCKED


def test_a_champion_whose_words_are_unknown_is_a_persons_to_replace() -> None:
    old = contender(3, 0.5, 0.3)
    found = decide(CANDIDATE, old, old, facts=Facts(vocabulary_lost={"champion": None}))
    assert found.outcome is Outcome.WAITING
    assert "the champion's vectors are gone" in found.reason
    gone = Facts(vocabulary_lost={"champion": 0.0, "reference": None})
    assert decide(CANDIDATE, old, contender(1, 0.5, 0.3), facts=gone).outcome is Outcome.PROMOTED


def test_a_version_that_fails_a_rule_never_becomes_the_reference() -> None:
    """Not even with ``mode: warn``, which promotes it."""
    gate = GATE.model_copy(update={"mode": "warn"})
    old = contender(3, 0.1, 0.1)
    lost = Facts(vocabulary_lost={"champion": 0.5})
    assert decide(CANDIDATE, old, old, gate).moves_reference
    found = decide(CANDIDATE, old, old, gate, facts=lost)
    assert (found.outcome, found.moves_reference) == (Outcome.PROMOTED, False)


# -- first night, champion itself, derived models, veto ------------------------------------------


def test_first_champion_waits_where_the_config_says_so() -> None:
    gate = GATE.model_copy(update={"first": "wait"})
    found = decide(CANDIDATE, gate=gate)
    assert found.outcome is Outcome.WAITING
    assert found.reason.startswith("a person approves the first champion: mean score 0.4000")
    low = contender(9, 0.5, 0.5, coverage=0.1)
    assert decide(low, gate=gate).outcome is Outcome.BLOCKED
    assert decide(CANDIDATE, contender(3, 0.4, 0.3), gate=gate).outcome is Outcome.PROMOTED


def test_champion_itself_is_no_candidate() -> None:
    found = decide(CANDIDATE, CANDIDATE, contender(1, 0.9, 0.9))
    assert (found.outcome, found.reason) == (Outcome.UNCHANGED, "version 9 is the champion")


BASE = BaseUse("glove", "e5", "digest5")


@pytest.mark.parametrize(
    ("base_champion", "reason"),
    [
        (VersionRef(5, "e5", "digest5"), None),
        (None, "it was made from e5 of glove, but glove has no champion, so glove has to be"),
        (
            VersionRef(4, "e4", "digest4"),
            "it was made from e5 of glove, but glove has the champion version 4 (e4)",
        ),
        (
            VersionRef(6, "e5", "other bytes"),
            "it was made from e5 of glove, but glove has the champion version 6 (e5)",
        ),
    ],
)
def test_derived_model_needs_the_champion_of_its_base(
    base_champion: VersionRef | None, reason: str | None
) -> None:
    found = ask(Question("sif", CANDIDATE, None, None, GATE, BASE), base_champion)
    if reason is None:
        assert found.outcome is Outcome.PROMOTED
    else:
        assert found.outcome is Outcome.BLOCKED
        assert found.reason.startswith(reason)


def test_veto_blocks_whatever_the_score_is() -> None:
    found = decide(CANDIDATE, veto="the corpus reviews is not accepted: it lost 40 %")
    assert found.outcome is Outcome.BLOCKED
    assert found.reason == "the corpus reviews is not accepted: it lost 40 %"
    assert found.key != decide(CANDIDATE).key


# -- the key -----------------------------------------------------------------------------------


def test_same_question_has_the_same_key_whatever_the_numbers_in_the_registry_are() -> None:
    champion, reference = contender(3, 0.4, 0.4), contender(1, 0.4, 0.4)
    key = decide(CANDIDATE, champion, reference).key
    renumbered = replace(CANDIDATE, version=replace(CANDIDATE.version, number=12))
    assert decide(renumbered, champion, reference).key == key
    assert decide(CANDIDATE, champion, reference, GATE.model_copy()).key == key


def test_key_changes_with_everything_that_the_decision_rests_on() -> None:
    champion, reference = contender(3, 0.4, 0.4), contender(1, 0.4, 0.4)
    base = VersionRef(5, "e5", "digest5")
    questions = [
        Question("w2v", CANDIDATE, champion, reference, GATE),
        Question("glove", CANDIDATE, champion, reference, GATE),
        Question("w2v", contender(8, 0.5, 0.3), champion, reference, GATE),
        Question("w2v", CANDIDATE, contender(4, 0.4, 0.4), reference, GATE),
        Question("w2v", CANDIDATE, None, reference, GATE),
        Question("w2v", CANDIDATE, champion, contender(2, 0.4, 0.4), GATE),
        Question("w2v", CANDIDATE, champion, None, GATE),
        Question("w2v", CANDIDATE, champion, reference, GATE.model_copy(update={"margin": 0.1})),
        Question("w2v", CANDIDATE, champion, reference, GATE.model_copy(update={"first": "wait"})),
        Question(
            "w2v", CANDIDATE, with_items(champion, ws=score(0.4, items="b" * 64)), reference, GATE
        ),
        Question("w2v", CANDIDATE, champion, reference, GATE, BASE),
    ]
    keys = {ask(question).key for question in questions}
    keys.add(ask(questions[-1], base).key)
    assert len(keys) == len(questions) + 1


# -- the other rules, modes, noise -------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "facts", "failed"),
    [
        ({}, Facts(), ""),
        ({}, Facts(vocabulary_lost={"champion": 0.05}), ""),
        ({}, Facts(vocabulary_lost={"champion": 0.051}), "max_vocabulary_lost"),
        ({}, Facts(vocabulary_lost={"champion": 0.0, "reference": 0.051}), "max_vocabulary_lost"),
        ({"max_vocabulary_lost": 1.0}, Facts(vocabulary_lost={"champion": 1.0}), ""),
        ({"health": {"isotropy": Bounds(min=0.2)}}, Facts({"isotropy": 0.2}), ""),
        ({"health": {"isotropy": Bounds(min=0.2)}}, Facts({"isotropy": 0.1}), "health.isotropy"),
        ({"health": {"hubness": Bounds(max=5.0)}}, Facts({"hubness": 5.1}), "health.hubness"),
        ({"health": {"known_ngrams": Bounds(min=0.5)}}, Facts({"isotropy": 0.1}), ""),
        ({"health": {"known_ngrams": Bounds(min=0.5)}}, Facts(), "health.known_ngrams"),
        ({"health": {"isotropy": Bounds(min=0.5)}}, Facts({"isotropy": None}), "health.isotropy"),
        ({"health": {"isotropy": Bounds(max=0.5)}}, Facts({"hubness": 1.0}), "health.isotropy"),
        ({"min_scores": {"ws": 0.5, "other": 0.9}}, Facts(), ""),
        ({"min_scores": {"sl": 0.31}}, Facts(), "min_scores.sl"),
        ({}, Facts(unknown="its vectors are gone"), "vectors"),
        ({}, Facts(first_loss=2.0, last_loss=1.0), ""),
        ({}, Facts(first_loss=2.0, last_loss=2.0), "loss_must_fall"),
        ({}, Facts(first_loss=2.0, last_loss=math.inf), "loss_must_fall"),
        ({"loss_must_fall": False}, Facts(first_loss=2.0, last_loss=3.0), ""),
        ({"max_age_days": 30.0}, Facts(age_days=29.0), ""),
        ({"max_age_days": 30.0}, Facts(age_days=31.0), "max_age_days"),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "warn", "approve"])
def test_every_rule_must_hold(rules: dict[str, Any], facts: Facts, failed: str, mode: str) -> None:
    gate = GATE.model_copy(update={**rules, "mode": mode})
    old = contender(3, 0.5, 0.3)
    found = decide(CANDIDATE, old, old, gate, facts=facts)
    assert [rule.rule for rule in found.failed] == ([failed] if failed else [])
    passed = Outcome.WAITING if mode == "approve" else Outcome.PROMOTED
    blocked = Outcome.PROMOTED if mode == "warn" else Outcome.BLOCKED
    assert found.outcome is (blocked if failed else passed)
    if failed:
        assert found.failed[0].said in found.reason
        assert ("promoted against the gate (mode: warn)" in found.reason) is (mode == "warn")
    assert Decision.of_json(json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.parametrize("mode", ["warn", "approve"])
def test_a_worse_version_is_promoted_with_a_warning_alone(mode: str) -> None:
    gate = GATE.model_copy(update={"mode": mode})
    old = contender(3, 0.9, 0.9)
    found = decide(CANDIDATE, old, old, gate)
    assert found.outcome is (Outcome.PROMOTED if mode == "warn" else Outcome.BLOCKED)
    assert "0.5000 below the champion's 0.9000" in found.reason
    vetoed = decide(CANDIDATE, old, old, gate, veto="the corpus is not accepted")
    assert vetoed.outcome is Outcome.BLOCKED


def test_first_champion_waits_in_every_mode_where_the_config_says_so() -> None:
    for mode in ("enforce", "warn", "approve"):
        gate = GATE.model_copy(update={"mode": mode, "first": "wait"})
        assert decide(CANDIDATE, gate=gate).outcome is Outcome.WAITING
    gate = GATE.model_copy(update={"mode": "warn", "first": "wait"})
    found = decide(CANDIDATE, gate=gate, facts=Facts(first_loss=1.0, last_loss=2.0))
    assert found.outcome is Outcome.WAITING
    assert "against the gate (mode: warn): the mean loss went from" in found.reason


def test_age_asks_another_question_only_when_it_decides() -> None:
    gate = GATE.model_copy(update={"max_age_days": 30.0})
    keys = [decide(CANDIDATE, gate=gate, facts=Facts(age_days=days)).key for days in (1, 2, 31)]
    assert keys[0] == keys[1] != keys[2]


def test_measured_noise_replaces_the_prior_and_is_part_of_the_question() -> None:
    gate = GATE.model_copy(update={"noise_prior": 0.01})
    old = contender(3, 0.5, 0.3)
    prior = decide(CANDIDATE, old, old, gate)
    quiet = Noise({"ws": (0.5, 0.5001, 0.5), "sl": (0.3, 0.3, 0.3001)}, "quiet")
    measured = [replace(version, noise=quiet) for version in (CANDIDATE, old)]
    found = decide(measured[0], measured[1], measured[1], gate)
    assert found.key != prior.key
    numbers = [decision.rules[-1].numbers for decision in (prior, found)]
    assert numbers[0]["noise_error"] == pytest.approx(0.01 * math.sqrt(2))
    assert numbers[1]["noise_error"] == pytest.approx(0.0, abs=1e-4)
    assert "the noise of training is assumed (0.01), not measured" in " ".join(prior.remarks)
    assert "not measured" not in " ".join(found.remarks)
    assert [one["df"] for one in numbers] == [4, 2]  # one estimate holds for both versions
    loud = replace(old, noise=replace(quiet, digest="measured again"))
    two = decide(measured[0], loud, loud, gate).rules[-1].numbers
    assert (two["df"], two["error"]) == (pytest.approx(4), numbers[1]["error"])
    one_only = decide(measured[0], old, old, gate)
    assert "not measured" in " ".join(one_only.remarks)
    imported = [replace(version, is_trained=False) for version in (CANDIDATE, old)]
    without = decide(imported[0], imported[1], imported[1], gate)
    assert without.rules[-1].numbers["noise_error"] == 0
    assert "not measured" not in " ".join(without.remarks)


def test_what_cannot_be_decided_is_said_with_what_would_help() -> None:
    gate = GATE.model_copy(update={"noise_prior": 0.02})
    old = contender(3, 0.5, 0.3)
    said = " ".join(decide(CANDIDATE, old, old, gate).remarks)
    # s is .02 times the root of 2, with 4 degrees of freedom: t(.975) 2.776, t(.90) 1.533, and
    # t(.985) is 3.298.
    assert "a drop of 0.1219 below the champion is found nine times in ten (0.1718 if" in said
    assert "a margin of 0.0500 cannot be decided with ws, sl" in said
    assert "no number of items suffices for the noise of training; 'nightjar noise w2v'" in said
    clear = GATE.model_copy(update={"noise_prior": 0.02, "margin": 0.2})
    assert "cannot be decided" not in " ".join(decide(CANDIDATE, old, old, clear).remarks)


def test_so_many_more_items_would_do() -> None:
    """With f times the items, s is as large as the margin needs it."""
    values = np.random.default_rng(1).normal(0.5, 0.3, 100)
    own, other = (
        with_items(
            contender(number, 0.5, 0.5), ws=answered(values[::step]), sl=answered(values[::step])
        )
        for number, step in ((9, 1), (3, -1))
    )
    gate = GATE.model_copy(update={"margin": 0.08, "noise_prior": 0.005})
    found = decide(own, other, other, gate)
    said = next(remark for remark in found.remarks if "cannot be decided" in remark)
    factor = float(re.search(r"some ([\d.]+) times as many items would do", said)[1])
    numbers = found.rules[-1].numbers
    noise = numbers["noise_error"] ** 2
    error = math.sqrt((numbers["error"] ** 2 - noise) / factor + noise)
    detectable = numbers["detectable"] * error / numbers["error"]
    assert detectable == pytest.approx(0.08, rel=0.02)


def test_benchmarks_may_have_weights() -> None:
    gate = GATE.model_copy(update={"benchmarks": {"ws": 3.0, "sl": 1.0}})
    old = contender(3, 0.5, 0.5)
    found = decide(CANDIDATE, old, old, gate)
    assert (found.outcome, found.score) == (Outcome.PROMOTED, pytest.approx(0.45))
    assert decide(CANDIDATE, old, old).outcome is Outcome.BLOCKED


def test_consumers_decide_nothing() -> None:
    named = decide(CANDIDATE, consumers=("search (a@b)",))
    assert named == decide(CANDIDATE)
