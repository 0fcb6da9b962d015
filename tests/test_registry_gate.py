"""The gate: a table of candidates, champions and what is decided."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from nightjar.config import GateConfig
from nightjar.registry import GateScores, RegisteredVersion, decide
from nightjar.registry.tags import (
    Verdict,
    gate_scores,
    read_verdict,
    verdict_tags,
)

GATE = GateConfig(benchmarks=["ws", "sl"], min_coverage=0.3, max_drop=0.05)


def scores(
    ws: float | None, sl: float | None, coverage: float = 0.9, label: str = "version 3"
) -> GateScores:
    return GateScores(label, {"ws": ws, "sl": sl}, {"ws": coverage, "sl": 1.0})


@pytest.mark.parametrize(
    ("candidate", "champion", "decision", "reason"),
    [
        (
            scores(0.5, 0.3),
            None,
            "champion",
            "first champion: mean score 0.4000 over ws, sl; coverage 0.9000, required 0.3000",
        ),
        (
            scores(0.5, 0.3),
            scores(0.4, 0.2),
            "champion",
            (
                "mean score 0.4000 over ws, sl is 0.1000 above the champion's 0.3000 (version 3); "
                "coverage 0.9000, required 0.3000"
            ),
        ),
        (
            scores(0.5, 0.3),
            scores(0.5, 0.3),
            "champion",
            (
                "mean score 0.4000 over ws, sl is equal to the champion's 0.4000 (version 3); "
                "coverage 0.9000, required 0.3000"
            ),
        ),
        (
            scores(0.5, 0.3),
            scores(0.5, 0.36),
            "champion",
            (
                "mean score 0.4000 over ws, sl is 0.0300 below the champion's 0.4300 (version 3), "
                "within the allowed 0.0500; coverage 0.9000, required 0.3000"
            ),
        ),
        (
            scores(0.5, 0.3),
            scores(0.5, 0.5),
            "challenger",
            (
                "mean score 0.4000 over ws, sl is 0.1000 below the champion's 0.5000 (version 3), "
                "more than the allowed 0.0500; coverage 0.9000, required 0.3000"
            ),
        ),
        (
            scores(0.9, 0.9, coverage=0.29),
            None,
            "challenger",
            "coverage below the required 0.3000: ws 0.2900",
        ),
        (
            scores(0.5, None),
            None,
            "challenger",
            "no score of sl: none of its items is in the vocabulary",
        ),
        (
            scores(0.5, 0.3),
            scores(None, None),
            "champion",
            (
                "coverage alone decided, the champion (version 3) has no score of ws, sl: "
                "mean score 0.4000; coverage 0.9000, required 0.3000"
            ),
        ),
        (
            scores(0.5, 0.3),
            scores(0.6, None),
            "challenger",
            (
                "mean score 0.5000 over ws is 0.1000 below the champion's 0.6000 (version 3), "
                "more than the allowed 0.0500; coverage 0.9000, required 0.3000"
            ),
        ),
    ],
)
def test_decision_and_reason(
    candidate: GateScores, champion: GateScores | None, decision: str, reason: str
) -> None:
    found = decide(candidate, champion, GATE)
    assert (found.decision, found.reason) == (decision, reason)


@pytest.mark.parametrize("champion", [0.65, 0.45, 0.35, 0.3, 0.15, 0.05])
def test_score_exactly_at_the_limit_passes(champion: float) -> None:
    at_limit = round(champion - 0.05, 2)
    below = at_limit - 1e-6
    old = scores(champion, champion)
    assert decide(scores(at_limit, at_limit), old, GATE).decision == "champion"
    assert decide(scores(below, below), old, GATE).decision == "challenger"


@pytest.mark.parametrize("n_covered", [3, 30, 99])
def test_coverage_exactly_at_the_limit_passes(n_covered: int) -> None:
    gate = GATE.model_copy(update={"min_coverage": n_covered / 100})
    at_limit = scores(0.5, 0.5, coverage=sum([0.01] * n_covered))
    assert decide(at_limit, None, gate).decision == "champion"
    below = scores(0.5, 0.5, coverage=(n_covered - 1) / 100)
    assert decide(below, None, gate).decision == "challenger"


def test_numbers_of_the_decision() -> None:
    decision = decide(scores(0.5, 0.3, coverage=0.4), scores(0.4, None), GATE)
    assert decision.score == pytest.approx(0.4)
    assert decision.coverage == 0.4
    assert decision.champion_score == 0.4


def test_not_a_number_counts_as_no_score() -> None:
    assert decide(scores(math.nan, 0.3), None, GATE).decision == "challenger"
    assert decide(scores(0.5, 0.3), scores(math.nan, 0.3), GATE).champion_score == 0.3


def test_benchmark_that_was_never_scored_fails() -> None:
    candidate = GateScores("this version", {"ws": 0.5}, {"ws": 0.9})
    decision = decide(candidate, None, GATE)
    assert (decision.decision, decision.score, decision.coverage) == ("challenger", None, 0.0)


def test_benchmarks_outside_the_gate_do_not_count() -> None:
    gate = GATE.model_copy(update={"benchmarks": ["sl"]})
    decision = decide(scores(0.0, 0.3, coverage=0.0), scores(0.9, 0.3), gate)
    assert (decision.decision, decision.score, decision.coverage) == ("champion", 0.3, 1.0)


@pytest.mark.parametrize("previous", [None, 7])
def test_verdict_survives_as_tags(previous: int | None) -> None:
    verdict = Verdict(decide(scores(0.1 + 0.2, 0.3), scores(0.2, 0.2), GATE), previous)
    assert read_verdict(verdict_tags(verdict)) == verdict
    failed = Verdict(decide(scores(None, 0.3), None, GATE), previous)
    assert read_verdict(verdict_tags(failed)) == failed


def test_no_verdict_in_foreign_tags() -> None:
    assert read_verdict({"stage": "champion"}) is None
    assert read_verdict({"nightjar.decision": "maybe", "nightjar.gate_coverage": "1"}) is None


def test_champion_scores_come_from_its_tags_and_unreadable_ones_are_none() -> None:
    version = RegisteredVersion(
        name="night-w2v",
        version=4,
        run_id=None,
        tags={"score.ws": "0.25", "score.sl": "good", "coverage.ws": "0.5", "team": "search"},
        aliases=("champion",),
    )
    found = gate_scores(version)
    assert found == GateScores("version 4", {"ws": 0.25, "sl": None}, {"ws": 0.5})
    assert decide(scores(0.5, 0.5), replace(found), GATE).champion_score == 0.25
