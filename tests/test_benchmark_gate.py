"""The benchmark of the gate's error rates: decisions over made-up answers, without training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT_ROOT

from benchmarks import gate, gate_rates
from benchmarks.gate_answers import BENCHMARKS, NOISE, SWAPS, Items, damaged
from benchmarks.gate_decisions import Case, Sheet, Version, check
from benchmarks.gate_rates import Row, rate
from nightjar.config import load_config
from nightjar.promotion.statistics import Variance
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers

MODELS = ("glove", "fasttext")
SEEDS = tuple(range(1, 13))


def answers(version: Version) -> Mapping[str, Answers]:
    """GloVe is a little worse than FastText; damage brings both down to nothing."""
    found = {}
    for number, name in enumerate(BENCHMARKS):
        items = np.random.default_rng([number, 8])
        gold = items.normal(size=80)
        own = np.random.default_rng([number, MODELS.index(version.model), 6]).normal(size=80)
        seed = np.random.default_rng([number, version.seed, 9]).normal(size=80)
        damage = np.random.default_rng([number, version.seed, 7]).normal(size=80)
        values = gold + (1 - 0.2 * MODELS.index(version.model)) * own + 0.2 * seed
        values = values + version.strength * (3 if version.damage == SWAPS else 1) * damage
        found[name] = Answers(values, gold, own_units(80))
    return found


@pytest.fixture(scope="module")
def world() -> gate.World:
    return gate.make_world(answers, MODELS, SEEDS, samples=50)


@pytest.fixture
def case() -> Case:
    candidate, champion, reference, *noise = (Version("glove", seed) for seed in SEEDS[:8])
    return Case(candidate, champion, reference, tuple(noise), tuple(noise))


def test_the_strength_of_a_damage_is_that_of_the_true_drop(world: gate.World) -> None:
    weights = world.gates["glove"][gate.SHIPPED].weights
    strength = world.truth.strength("glove", NOISE, 0.1, weights)
    drop = world.truth.drop(Version("glove", 1, NOISE, strength), weights)
    assert drop == pytest.approx(0.1, abs=1e-3)
    assert world.truth.mean("fasttext", weights) > world.truth.mean("glove", weights)


def test_the_page_of_the_gate_says_what_was_measured() -> None:
    docs = PROJECT_ROOT / "docs"
    page = (docs / "gate.md").read_text(encoding="utf-8")
    measured = json.loads((docs / "gate.json").read_text(encoding="utf-8"))
    shipped = measured["by_setting"]["shipped"]
    for what, row in (
        ("false_blocks", "an equal candidate is blocked"),
        ("misses", "a drop of the size printed that night passes"),
        ("ratchet", "60 % of the margin lost every night, stopped by the third"),
    ):
        (line,) = (line for line in page.splitlines() if line.startswith(f"| {row} |"))
        cells = [cell.strip() for cell in line.split("|")[2:4]]
        found = [shipped[key]["value"] for key in (f"{what}, items as they are", what)]
        assert cells == [f"{100 * value:.1f} %" for value in found]
    gate = load_config(PROJECT_ROOT / "pipeline_config.yaml").config.registry.gate
    assert {margins["shipped"] for margins in measured["settings"]["margins"].values()} == {
        gate.margin
    }


def test_the_report_has_every_rate_with_its_interval(
    world: gate.World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_training(*_: object) -> Iterator[str]:
        yield "nothing"

    monkeypatch.setattr(gate, "train_all", no_training)
    monkeypatch.setattr(gate, "RealAnswers", lambda *_: answers)
    monkeypatch.setattr(gate, "make_world", lambda *_: world)
    monkeypatch.setattr(gate_rates, "RESAMPLES", 100)
    monkeypatch.setattr(gate, "ROUNDS", 2)
    path = tmp_path / "figures.json"
    gate.main(["--json", str(path), "--draws", "2", "--processes", "1"])
    report = json.loads(path.read_text(encoding="utf-8"))
    for key in ("false_block_rate", "miss_rate", "ratchet_stopped_share"):
        low, high = report[key]["interval"]
        assert 0 <= low <= report[key]["value"] <= high <= 1
    assert report["false_block_rate"]["n"] == 2 * len(MODELS) * gate.DECISIONS_A_DRAW
    assert report["false_block_rate"]["value"] < 0.2
    assert 0 < report["miss_rate"]["value"] < 0.5
    shipped = report["by_setting"][gate.SHIPPED]
    # A miss is one at the drop that was printed, so the candidates have to have it.
    missed = shipped[gate.MISSES]
    assert missed["true_drop"] == pytest.approx(missed["printed_drop"], rel=0.05)
    assert report["settings"]["items"] == dict.fromkeys(BENCHMARKS, 80)
    assert "shipped    false_blocks" in capsys.readouterr().out


def test_the_gate_itself_is_asked_and_a_different_answer_is_an_error(
    world: gate.World, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = world.gates["glove"][gate.SHIPPED]
    sheet = world.table("glove", 1).sheet
    check(sheet, case, shipped)
    monkeypatch.setattr(Sheet, "_variance", lambda *_: Variance(0.0, 4))
    with pytest.raises(RuntimeError, match="the gate says"):
        check(sheet, case, shipped)


def test_a_worse_candidate_is_blocked_and_an_equal_one_is_not(
    world: gate.World, case: Case
) -> None:
    shipped = world.gates["glove"][gate.SHIPPED]
    sheet = world.table("glove", 0).sheet
    assert not sheet.judge(case, shipped).is_blocked
    worse = replace(case.candidate, damage=NOISE, strength=3.0)
    assert sheet.judge(replace(case, candidate=worse), shipped).is_blocked


def test_the_interval_of_a_rate_is_wider_where_decisions_share_trainings() -> None:
    def rows(n_seeds: int) -> list[Row]:
        return [
            Row(
                "x",
                "s",
                "m",
                draw,
                (f"m {draw % n_seeds}",),
                draw % n_seeds < n_seeds // 2,
                0.0,
                0.1,
                0.0,
                0.1,
            )
            for draw in range(400)
        ]

    few, many = rate(rows(4)), rate(rows(200))
    assert (few.value, few.n) == (0.5, 400)
    assert few.interval[1] - few.interval[0] > 2 * (many.interval[1] - many.interval[0])
    never = rate([replace(row, is_event=False) for row in rows(200)])
    assert never.interval == pytest.approx((0.0, 1 - 0.05 ** (1 / 200)))


def test_damage_is_the_stronger_the_more_of_it_and_spares_unknown_words() -> None:
    vectors = np.eye(40, 20, dtype=np.float32)
    vectors[3] = np.nan
    for damage in (NOISE, SWAPS):
        weak, strong = (damaged(vectors, damage, strength, 1) for strength in (0.2, 0.8))
        assert np.isnan(weak[3]).all()
        assert not np.isnan(np.delete(strong, 3, 0)).any()
        change = [np.nansum((one - vectors) ** 2) for one in (weak, strong)]
        assert 0 < change[0] < change[1]
    assert sorted(map(tuple, np.delete(strong, 3, 0).tolist())) == sorted(
        map(tuple, np.delete(vectors, 3, 0).tolist())
    )


def test_the_items_are_those_of_the_shipped_benchmarks() -> None:
    items = Items.shipped()
    assert {name: len(pairs) for name, pairs in items.pairs.items()} == {
        "wordsim353": 353,
        "simlex999": 999,
    }
    found = items.answers(items.words, np.ones((len(items.words), 2), np.float32))
    assert found["wordsim353"].is_covered.all()
