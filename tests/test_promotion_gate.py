"""The gate: a table of candidates, champions and references, and what is decided."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from promotion_support import score

from nightjar.config import GateConfig
from nightjar.promotion import BaseUse, BenchmarkScore, Contender, Outcome, Question, VersionRef
from nightjar.promotion import decide as ask
from nightjar.promotion.gate import Decision

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
            "no score of sl: none of its items is in the vocabulary",
        ),
        (
            CANDIDATE,
            contender(3, None, None),
            "waiting",
            (
                "nothing to compare with: the champion (version 3) has no score of ws, sl on the "
                "same items, so a person decides; coverage 0.9000, required 0.3000"
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
    # All three are compared on what all three have: the champion has no score of the other one.
    assert found.reference_score == pytest.approx(0.42)


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
    """The noise of two trainings is .0141 with 8 degrees of freedom: t(.999) is 4.50."""
    old = contender(1, 0.4, 0.4)
    gate = GATE.model_copy(update={"noise_prior": 0.01})
    for value, moves in ((0.463, False), (0.464, True), (0.6, True), (0.37, False)):
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


def with_items(found: Contender, **items: BenchmarkScore) -> Contender:
    return replace(found, evaluation={**found.evaluation, **items})


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
    assert f"the {role} (version 3) has no score of ws, sl on the same items" in found.reason
    assert not found.moves_reference or role == "champion"


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
