"""Levels on record: data that are spoilt lower every version's score tonight, and are noticed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinds_support import KindsProject

from nightjar.config import GateConfig
from nightjar.pipeline.judging import judge_again
from nightjar.pipeline.provenance import read_provenance
from nightjar.promotion import (
    BenchmarkScore,
    Contender,
    Decision,
    Event,
    EventKind,
    Outcome,
    Question,
    Steward,
    VersionRef,
    chosen_scores,
    decide,
    read_standing,
)
from nightjar.promotion.events import DECISION
from nightjar.scoring.metrics import SHARE
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers

N_ITEMS = 400
NEXT = json.dumps({"type": "next_item"})


def score(value: float, settings: str = NEXT, items: str = "tonight") -> BenchmarkScore:
    """A share ``value`` of the items is answered rightly."""
    is_right = np.arange(N_ITEMS) < round(value * N_ITEMS)
    answers = Answers(is_right.astype(float), np.ones(N_ITEMS), own_units(N_ITEMS))
    return BenchmarkScore(value, 1.0, settings, items, SHARE, answers.sha256(), answers)


def contender(number: int, tonight: float, chosen: float | None = None, **kind: Any) -> Contender:
    """A version with its score tonight, and the one that it was chosen with."""
    recorded = {} if chosen is None else {"next": replace(score(chosen, **kind), answers=None)}
    found = {"next": score(tonight, kind.get("settings", NEXT))}
    return Contender(VersionRef(number, str(number), str(number)), found, recorded=recorded)


def asked(
    candidate: float, champion: Contender, reference: Contender | None = None, **gate: Any
) -> Decision:
    settings = champion.evaluation["next"].settings
    rules = GateConfig(benchmarks=["next"], margin=0.08, **gate)
    own = Contender(VersionRef(99, "99", "99"), {"next": score(candidate, settings)})
    return decide(Question("items", own, champion, reference or champion, rules))


@pytest.mark.parametrize(
    ("tonight", "chosen", "gate", "failed"),
    [
        (0.30, 0.60, {}, ["max_fall.next.champion"]),
        (0.45, 0.60, {}, []),
        (0.30, 0.60, {"max_fall": 0.6}, []),
        (0.30, 0.60, {"max_fall": None}, []),
        (0.60, 0.30, {}, []),
        (0.00, 0.02, {}, []),  # of 400 items eight: chance explains that none is left
    ],
)
def test_a_level_that_fell_for_everybody_is_noticed(
    tonight: float, chosen: float, gate: dict[str, Any], failed: list[str]
) -> None:
    found = asked(tonight, contender(1, tonight, chosen), **gate)
    assert [rule.rule for rule in found.failed] == failed
    assert found.outcome is (Outcome.BLOCKED if failed else Outcome.PROMOTED)
    if failed:
        assert "next is 0.3000 on tonight's items" in found.reason
        assert "had 0.6000 when it was chosen" in found.reason
        assert "'nightjar promote items 99 --force --reason TEXT' accepts it" in found.reason


def test_warn_promotes_all_the_same() -> None:
    found = asked(0.3, contender(1, 0.3, 0.6), mode="warn")
    assert found.outcome is Outcome.PROMOTED
    assert "max_fall.next.champion" in [rule.rule for rule in found.failed]


def test_benchmarks_of_files_and_other_settings_have_no_level() -> None:
    of_file = json.dumps({"type": "similarity"})
    assert asked(0.3, contender(1, 0.3, 0.6, settings=of_file)).outcome is Outcome.PROMOTED
    other = Contender(
        VersionRef(1, "1", "1"),
        {"next": score(0.3)},
        recorded={"next": score(0.6, json.dumps({"type": "next_item", "topn": 5}))},
    )
    assert asked(0.3, other).outcome is Outcome.PROMOTED


def test_the_level_is_part_of_the_question() -> None:
    keys = {asked(0.6, contender(1, 0.6, chosen)).key for chosen in (None, 0.6, 0.7)}
    assert len(keys) == 3


def test_a_slow_decline_is_not_followed_down() -> None:
    """Every night a tenth of the level goes; the reference remembers where it began."""
    reference = champion = contender(1, 0.6, 0.6)
    outcomes = []
    for night in range(1, 11):
        level = 0.6 * 0.9**night
        now = [replace(one, evaluation={"next": score(level)}) for one in (champion, reference)]
        found = asked(level, *now)
        outcomes.append(found.outcome)
        if found.outcome is Outcome.PROMOTED:
            champion = contender(night + 1, level, level)
    assert outcomes == [Outcome.PROMOTED] * 3 + [Outcome.BLOCKED] * 7
    assert champion.recorded["next"].value == pytest.approx(0.6 * 0.9**3)


def test_the_level_of_a_version_is_the_one_it_was_chosen_with() -> None:
    """Not the one of a later night in which it was a candidate again, or was brought back."""
    version = VersionRef(1, "1", "1")

    def event(kind: EventKind, value: float | None = None) -> Event:
        judged = {"next": replace(score(value or 0.0), answers=None).as_json()}
        evidence = {} if value is None else {DECISION: {"candidate": {"evaluation": judged}}}
        now = datetime(2026, 1, 1, tzinfo=UTC)
        return Event(1, now, kind, "items", None, version, None, "", "", evidence=evidence)

    def level(*events: Event) -> float | None:
        found = chosen_scores(events, "items", version)
        return found["next"].value if found else None

    promoted, blocked = event(EventKind.PROMOTED, 0.6), event(EventKind.BLOCKED, 0.2)
    assert level(blocked) is None
    assert level(promoted) == level(promoted, blocked) == 0.6
    assert level(promoted, blocked, event(EventKind.ROLLED_BACK)) == 0.6
    assert level(promoted, blocked, event(EventKind.PROMOTED, 0.5)) == 0.5
    assert level(promoted, blocked, event(EventKind.REBASED)) == 0.2
    assert level(blocked, event(EventKind.FORCED)) == 0.2
    assert level(event(EventKind.WAITING, 0.4), event(EventKind.APPROVED)) == 0.4


# -- whole nights ------------------------------------------------------------------------------


class Shop(KindsProject):
    """Users who walk along a ring of items, so that what stood near an item says what comes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        document = self.document
        del document["corpora"]["people"], document["models"]["nodes"]
        del document["evaluation"]["benchmarks"]["links"]
        document["corpora"]["clicks"]["held_out"] = {"share": 1.0, "validation": 0}
        document["models"]["items"] |= {"epochs": 1, "vector_size": 4}
        document["evaluation"]["benchmarks"]["next"]["by"] = "cooccurrence"
        document["registry"]["gate"] |= {"benchmarks": ["next"], "mode": "enforce"}
        self.save()
        self.log()

    def log(self, n_users: int = 150, shuffled: int = 0) -> None:
        """Tonight's log; with a seed the items are shuffled among all events."""
        self.write_events("clicks1.csv", range(n_users))
        if shuffled:
            path = self.directory / "clicks1.csv"
            first, *rows = path.read_text("utf-8").splitlines()
            columns = list(zip(*(row.split(",") for row in rows), strict=True))
            items = random.Random(shuffled).sample(columns[1], len(rows))
            lines = map(",".join, zip(columns[0], items, columns[2], strict=True))
            path.write_text("\n".join([first, *lines]) + "\n", encoding="utf-8")

    def decision(self) -> dict[str, Any]:
        (found,) = self.night(promotes=True).decisions
        return dict(found)

    def champion(self) -> int:
        found = read_standing(self.loaded).model("items").champion
        assert found is not None
        return found.number


def test_nights_of_a_log_that_is_spoilt_and_right_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "project")
    assert shop.decision()["outcome"] == "promoted"
    shop.log(shuffled=1)
    spoilt = shop.decision()
    assert spoilt["outcome"] == "blocked"
    assert "next is " in spoilt["reason"]
    assert "version 1) had" in spoilt["reason"]
    assert "champion's" not in spoilt["reason"]  # which fell with it: no comparison noticed
    shop.log(160)
    assert shop.decision()["outcome"] == "promoted"
    provenance = read_provenance(shop.loaded)
    steward = Steward(
        shop.loaded,
        "test",
        judge_again=lambda model, found: judge_again(shop.loaded, provenance, model, found),
    )
    steward.rollback("items")  # the level is that of the first night again
    steward.resume("items")
    assert shop.champion() == 1
    shop.log(160, shuffled=1)
    again = shop.decision()
    assert again["outcome"] == "blocked"
    assert "(version 1) had" in again["reason"]
    number = again["candidate"]["version"]
    steward.promote("items", number, is_forced=True, reason="the shop is another one now")
    shop.log(shuffled=2)
    assert shop.decision()["outcome"] == "promoted"  # as low as what a person accepted
