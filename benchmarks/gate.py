"""The error rates of the gate, from real scores of real trainings.

    python -m benchmarks.gate --json FILE [--seeds 24] [--draws 80] [--keep DIR]

The product's stages train each shipped model on the shipped corpus with many seeds (a quarter of an
hour on two idle cores for 24; ``--keep`` keeps the vectors, and a second run goes on from there).
Their answers to WordSim-353 and SimLex-999 are the only source of chance: no scores are simulated.

What is true is the mean over all seeds on all items, without a variance, quantile or distribution
of the gate. The trainings that are judged and those that estimate the noise have none in common.
Decisions are made over two kinds of items, because neither alone is right for everything:

- The items as they are, by ever new trainings. Every seed, and every seed of a damage, is lucky on
  other items, as in the product. But what is true of the config and not of the seed never varies.
- Items drawn from the real ones with replacement, as many as there are: a population whose truth
  is known. This is harder than life, for the seeds' luck with items counts twice: in the
  population, which is finite, and in the draw.

``false_block_rate``: candidate, champion and reference are the same config with three seeds, which
no gate should tell apart. ``equal_models`` is harder: two *different* models, the better one
damaged until both are equal on all items.

``miss_rate``: the candidate is damaged until its true drop is what the gate prints as the drop that
it finds nine times in ten. The damage is to the vectors, so what becomes of each item is not
assumed: ``noise`` blurs every vector, ``swaps`` gives some words each other's. The noise of the
training is measured before the damage, as in a night that goes wrong. ``foretold_misses`` is
harder: the true drop is what the gate prints for a sound candidate, as it did on the nights before.
Damage makes the candidate's answers less like the champion's, and so the difference less certain.
``other_models`` needs no damage: the candidate is another shipped model, and its true drop at least
the printed one.

``ratchet_stopped_share``: the first night's candidate is 60 % of the margin worse than the
champion, the second night's 120 %, the third night's 180 %, each another training on the same
items; whoever passes becomes champion. Stopped: one of the three does not pass.

Settings: ``shipped`` is the shipped gate, whose margin may be too small for these benchmarks;
``decidable`` has, for each model, the smallest margin in whole hundredths that the gate calls
decidable for nine of ten sound candidates on the items as they are; ``wordsim353`` has that
benchmark alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_answers import (
    BENCHMARKS,
    CONFIG,
    DAMAGES,
    MODELS,
    NOISE,
    Items,
    damaged,
    read_vectors,
    train_all,
)
from benchmarks.gate_decisions import Answering, Case, Judged, Sheet, Version, check
from benchmarks.gate_rates import Row, rate
from nightjar.config import GateConfig, load_config
from nightjar.promotion.contenders import DEFAULT_RESAMPLING
from nightjar.scoring.metrics import SPEARMAN, score
from nightjar.scoring.scores import Answers

SHIPPED, DECIDABLE, ALONE = "shipped", "decidable", "wordsim353"
FALSE_BLOCKS, EQUAL_MODELS = "false_blocks", "equal_models"
MISSES, FORETOLD = "misses", "foretold_misses"
OTHER_MODELS, RATCHET = "other_models", "ratchet"
AS_THEY_ARE = ", items as they are"
NOISE_TRAININGS = 5
JUDGED_TRAININGS = 6
"""So many trainings of a model answer each draw of items."""
ROUNDS = 50
"""So many choices of trainings answer the items as they are."""
DECISIONS_A_DRAW = 10
RATCHETS_A_DRAW = 5
MOST_STEPS = 10
"""To find a drop that is the one printed for it; with little to lose there may be none."""
LOST_A_NIGHT = 0.6
NIGHTS = 3
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "noise": (0, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 6),
    "swaps": (0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1),
}
CHECKED = 25
"""One draw in so many is decided by the gate itself, too."""

Floats = NDArray[np.float64]


# -- what is true ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """Mean scores over all seeds on all items: by model, damage and benchmark, each strength's."""

    scores: Mapping[str, Mapping[str, Mapping[str, tuple[float, ...]]]]

    def mean(self, model: str, weights: Mapping[str, float]) -> float:
        """The weighted mean score of an undamaged model."""
        return float(self._curve(model, NOISE, weights)[0])

    def drop(self, version: Version, weights: Mapping[str, float]) -> float:
        """By how much the damage makes a model worse."""
        if not version.damage:
            return 0.0
        curve = self._curve(version.model, version.damage, weights)
        return float(np.interp(version.strength, STRENGTHS[version.damage], curve[0] - curve))

    def strength(self, model: str, damage: str, drop: float, weights: Mapping[str, float]) -> float:
        """The strength that makes a model worse by ``drop``, or as near as there is one."""
        curve = self._curve(model, damage, weights)
        drops = np.maximum.accumulate(curve[0] - curve)
        return round(float(np.interp(drop, drops, STRENGTHS[damage])), 4)

    def _curve(self, model: str, damage: str, weights: Mapping[str, float]) -> Floats:
        found = self.scores[model][damage]
        return np.average([found[name] for name in weights], axis=0, weights=[*weights.values()])


def measure_truth(answering: Answering, models: Sequence[str], seeds: Sequence[int]) -> Truth:
    """Score every model with every seed and strength of damage on all items."""
    found: dict[str, dict[str, dict[str, tuple[float, ...]]]] = defaultdict(dict)
    for model in models:
        for damage in DAMAGES:
            scored = np.array(
                [
                    [
                        _scores(answering(Version(model, seed, damage, strength)))
                        for strength in STRENGTHS[damage]
                    ]
                    for seed in seeds
                ]
            )
            means = scored.mean(axis=0).T.tolist()
            found[model][damage] = {
                name: tuple(one) for name, one in zip(BENCHMARKS, means, strict=True)
            }
    return Truth(dict(found))


def _scores(answers: Mapping[str, Answers]) -> list[float]:
    return [score(SPEARMAN, answers[name].values, answers[name].gold) or 0.0 for name in BENCHMARKS]


@dataclass
class RealAnswers:
    """The answers of trainings and of damaged ones, to the items that every model covers."""

    directory: Path
    models: tuple[str, ...]
    seeds: tuple[int, ...]

    def __call__(self, version: Version) -> dict[str, Answers]:
        """The answers of one version."""
        vectors = self._vectors[version.model, version.seed]
        if version.damage:
            vectors = damaged(vectors, version.damage, version.strength, version.seed)
        found = self._items.answers(self._words, vectors)
        return {name: answers.only(self._is_shared[name]) for name, answers in found.items()}

    @cached_property
    def _items(self) -> Items:
        return Items.shipped()

    @cached_property
    def _words(self) -> list[str]:
        return self._items.words

    @cached_property
    def _vectors(self) -> dict[tuple[str, int], NDArray[np.float32]]:
        keys = [(model, seed) for model in self.models for seed in self.seeds]
        return {key: read_vectors(self.directory, *key) for key in keys}

    @cached_property
    def _is_shared(self) -> dict[str, NDArray[np.bool_]]:
        every = [self._items.answers(self._words, one) for one in self._vectors.values()]
        return {
            name: np.logical_and.reduce([answers[name].is_covered for answers in every])
            for name in BENCHMARKS
        }


# -- what is asked -----------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """Everything that decisions are drawn from."""

    answering: Answering
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    samples: int
    truth: Truth
    gates: Mapping[str, Mapping[str, GateConfig]]
    """By model and setting."""

    def table(self, model: str, number: int) -> Table:
        """One draw of the items; the number 0 is the items as they are."""
        generator = np.random.default_rng([self.models.index(model), number])
        answers = self.answering(Version(model, self.seeds[0]))
        places = {
            name: generator.integers(0, len(one), len(one)) if number else np.arange(len(one))
            for name, one in answers.items()
        }
        sheet = Sheet(self.answering, places, replace(DEFAULT_RESAMPLING, samples=self.samples))
        return Table(self, sheet, model, number, generator)


@dataclass
class Table:
    """One draw of the items, and the trainings of a model that answer them."""

    world: World
    sheet: Sheet
    model: str
    number: int
    generator: np.random.Generator

    def __post_init__(self) -> None:
        self.judged = self.some(self.world.seeds, JUDGED_TRAININGS if self.number else None)
        self._checked: set[tuple[str, str]] = set()

    def some(self, seeds: Sequence[int], n: int | None = None) -> list[int]:
        """``n`` of the seeds, or all, in random order."""
        found: list[int] = self.generator.permutation(seeds)[:n].tolist()
        return found

    def noise(self, model: str, judged: Sequence[int]) -> tuple[Version, ...]:
        """Trainings that estimate the noise, none of them ``judged``."""
        others = [seed for seed in self.world.seeds if seed not in judged]
        return tuple(Version(model, seed) for seed in self.some(others, NOISE_TRAININGS))

    def own_case(self, seeds: Sequence[int], noise: Sequence[Version] = ()) -> Case:
        """Three trainings of the model."""
        noise = tuple(noise) or self.noise(self.model, seeds)
        candidate, champion, reference = (Version(self.model, seed) for seed in seeds)
        return Case(candidate, champion, reference, noise, noise)

    def judge(self, what: str, setting: str, case: Case) -> Judged:
        """What the gate decides; now and then it is asked itself."""
        gate = self.world.gates[self.model][setting]
        if self.number % CHECKED == 0 and (what, setting) not in self._checked:
            check(self.sheet, case, gate)
            self._checked.add((what, setting))
        return self.sheet.judge(case, gate)

    def row(
        self, what: str, setting: str, case: Case, judged: Judged, *, is_event: bool, drop: float
    ) -> Row:
        """What is noted of a decision."""
        versions = (case.candidate, case.champion, case.reference)
        return Row(
            what=what,
            setting=setting,
            model=self.model,
            draw=self.number,
            trainings=tuple(f"{one.model} {one.seed}" for one in versions),
            is_event=is_event,
            true_drop=drop,
            printed_drop=judged.printed_drop,
            difference=judged.champion.difference,
            error=judged.champion.error,
        )


def false_blocks(table: Table, n: int) -> Iterator[Row]:
    """Three trainings of the same config; an event is that the candidate is blocked."""
    for _ in range(n):
        case = table.own_case(table.some(table.judged, 3))
        for setting in table.world.gates[table.model]:
            judged = table.judge(FALSE_BLOCKS, setting, case)
            yield table.row(
                FALSE_BLOCKS, setting, case, judged, is_event=judged.is_blocked, drop=0.0
            )


def other_models(table: Table) -> Iterator[Row]:
    """Two models, first made equal by damage and then as they are."""
    world, truth = table.world, table.world.truth
    weights = world.gates[table.model][SHIPPED].weights
    others = [one for one in world.models if one != table.model]
    if not others:
        return
    other = str(table.generator.choice(others))
    drop = truth.mean(table.model, weights) - truth.mean(other, weights)
    better, worse = (table.model, other) if drop > 0 else (other, table.model)
    strength = truth.strength(better, NOISE, abs(drop), weights)
    seeds = table.judged[:3]
    noise = {model: table.noise(model, seeds) for model in (better, worse)}
    blurred = partial(replace, damage=NOISE, strength=strength)
    for candidate, champion, reference in (seeds, seeds[1:] + seeds[:1]):
        good = [Version(better, seed) for seed in (candidate, champion, reference)]
        bad = [Version(worse, seed) for seed in (candidate, champion, reference)]
        equal, equal_noise = [blurred(one) for one in good], tuple(map(blurred, noise[better]))
        cases = (
            Case(equal[0], bad[1], bad[2], equal_noise, noise[worse]),
            Case(bad[0], equal[1], equal[2], noise[worse], equal_noise),
        )
        for setting in (SHIPPED, DECIDABLE):
            for case in cases:
                judged = table.judge(EQUAL_MODELS, setting, case)
                yield table.row(
                    EQUAL_MODELS, setting, case, judged, is_event=judged.is_blocked, drop=0.0
                )
            case = Case(bad[0], good[1], good[2], noise[worse], noise[better])
            judged = table.judge(OTHER_MODELS, setting, case)
            passes = not judged.is_blocked
            yield table.row(OTHER_MODELS, setting, case, judged, is_event=passes, drop=abs(drop))


def misses(table: Table, damage: str, setting: str) -> Iterator[Row]:
    """A candidate that is worse by what the gate prints; an event is that it passes.

    First by what it prints for a sound candidate, then by what it prints for the worse one itself.
    """
    truth, gate = table.world.truth, table.world.gates[table.model][setting]
    half = len(table.judged) // 2
    noise = table.noise(table.model, table.judged)
    sound = [
        table.own_case([candidate, *table.some(table.judged[half:], 2)], noise)
        for candidate in table.judged[:half]
        for _ in range(2)
    ]

    def judged_rows(what: str, cases: Sequence[Case]) -> Iterator[Row]:
        for case in cases:
            judged = table.judge(what, setting, case)
            drop = truth.drop(case.candidate, gate.weights)
            yield table.row(what, setting, case, judged, is_event=not judged.is_blocked, drop=drop)

    cases = sound
    for tried in range(MOST_STEPS):
        printed = statistics.mean(table.sheet.judge(case, gate).printed_drop for case in cases)
        drop = truth.drop(cases[0].candidate, gate.weights)
        if abs(printed - drop) < 0.01 * printed:
            break
        strength = truth.strength(table.model, damage, printed, gate.weights)
        cases = [_worse(case, damage, strength) for case in sound]
        if tried == 0:
            yield from judged_rows(f"{FORETOLD} {damage}", cases)
    yield from judged_rows(f"{MISSES} {damage}", cases)


def ratchet(table: Table, damage: str, setting: str) -> Iterator[Row]:
    """A loss every night; an event is that one of the nights does not pass."""
    truth, gate = table.world.truth, table.world.gates[table.model][setting]
    for _ in range(RATCHETS_A_DRAW):
        first, *seeds = table.some(table.judged, NIGHTS + 1)
        noise = table.noise(table.model, [first, *seeds])
        champion = reference = Version(table.model, first)
        trainings = [f"{table.model} {seed}" for seed in (first, *seeds)]
        is_stopped = False
        for night, seed in enumerate(seeds, 1):
            drop = LOST_A_NIGHT * gate.margin * night
            strength = truth.strength(table.model, damage, drop, gate.weights)
            candidate = Version(table.model, seed, damage, strength)
            case = Case(candidate, champion, reference, noise, noise)
            judged = table.judge(RATCHET, setting, case)
            is_stopped = judged.is_blocked
            if is_stopped:
                break
            champion = candidate
            if judged.reference.is_better_beyond_doubt:
                reference = candidate
        row = table.row(RATCHET, setting, case, judged, is_event=is_stopped, drop=drop)
        yield replace(row, trainings=tuple(trainings))


def _worse(case: Case, damage: str, strength: float) -> Case:
    return replace(case, candidate=replace(case.candidate, damage=damage, strength=strength))


def rows_of(world: World, model: str, number: int) -> list[Row]:
    """Every decision of one draw of the items; of the items as they are, of many trainings."""
    table = world.table(model, number)
    if number:
        return [*other_models(table), *_rows_of_one_model(table, DAMAGES[number % 2])]
    found: list[Row] = []
    for round_number in range(ROUNDS):
        table.judged = table.some(world.seeds, JUDGED_TRAININGS)
        found += _rows_of_one_model(table, DAMAGES[round_number % 2])
    return found


def _rows_of_one_model(table: Table, damage: str) -> Iterator[Row]:
    yield from false_blocks(table, DECISIONS_A_DRAW)
    for setting in table.world.gates[table.model]:
        for each in DAMAGES:
            yield from misses(table, each, setting)
        if setting != ALONE:
            yield from ratchet(table, damage, setting)


# -- settings ----------------------------------------------------------------------------------


def gates_of(world: World, model: str) -> dict[str, GateConfig]:
    """The gate in each setting, for one model."""
    shipped, table = world.gates[model][SHIPPED], world.table(model, 0)
    margins = [
        table.sheet.judge(table.own_case(table.some(table.judged, 3)), shipped).decidable_margin
        for _ in range(4 * DECISIONS_A_DRAW)
    ]
    margin = float(np.ceil(100 * np.quantile(margins, 0.9)) / 100)
    return {
        SHIPPED: shipped,
        DECIDABLE: shipped.model_copy(update={"margin": margin}),
        ALONE: shipped.model_copy(update={"benchmarks": [ALONE]}),
    }


def make_world(
    answering: Answering, models: Sequence[str], seeds: Sequence[int], samples: int
) -> World:
    """What is true of the answers, and the gates that judge them."""
    shipped = load_config(CONFIG).config.registry.gate
    truth = measure_truth(answering, models, seeds)
    only: dict[str, Mapping[str, GateConfig]] = {model: {SHIPPED: shipped} for model in models}
    world = World(answering, tuple(models), tuple(seeds), samples, truth, only)
    return replace(world, gates={model: gates_of(world, model) for model in models})


def decide_all(world: World, n_draws: int, n_processes: int | None = None) -> list[Row]:
    """The rows of every model and draw."""
    asked = [(model, number) for number in range(n_draws + 1) for model in world.models]
    if n_processes == 1:
        return [row for model, number in asked for row in rows_of(world, model, number)]
    spawn = get_context("spawn")
    with ProcessPoolExecutor(n_processes, spawn, _set_world, (world,)) as pool:
        return [row for rows in pool.map(_rows_of, asked, chunksize=1) for row in rows]


_worlds: list[World] = []
"""That of this process: it has all vectors, so it is sent once and not with every draw."""


def _set_world(world: World) -> None:
    _worlds[:] = [world]


def _rows_of(asked: tuple[str, int]) -> list[Row]:
    return rows_of(_worlds[0], *asked)


# -- report ------------------------------------------------------------------------------------


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Every rate by setting; those of the shipped gate first, each over the worse items for it."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.what != OTHER_MODELS or row.true_drop >= row.printed_drop:
            # Both kinds of damage together, too.
            for what in sorted({row.what, row.what.partition(" ")[0]}):
                groups[what + (AS_THEY_ARE if row.draw == 0 else ""), row.setting].append(row)
    found = {key: _figures(own) for key, own in groups.items()}
    rates: dict[str, Any] = {
        key: _worse_rate([found[what, SHIPPED], found[what + AS_THEY_ARE, SHIPPED]], is_bad=is_bad)
        for key, what, is_bad in (
            ("false_block_rate", FALSE_BLOCKS, True),
            ("miss_rate", MISSES, True),
            ("ratchet_stopped_share", RATCHET, False),
        )
    }
    rates["by_setting"] = defaultdict(dict)
    for (what, setting), numbers in sorted(found.items()):
        rates["by_setting"][setting][what] = numbers
    return rates


def _worse_rate(found: Sequence[Mapping[str, Any]], *, is_bad: bool) -> dict[str, Any]:
    """The rate that speaks less for the gate."""
    worse = (max if is_bad else min)(found, key=lambda numbers: float(numbers["value"]))
    return {part: worse[part] for part in ("value", "interval", "n")}


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    """A rate with what is behind it.

    ``scaled_mean`` and ``scaled_sd``: of the error of the difference divided by the standard error
    that the gate computes; 0 and 1 if the gate knows its error exactly.
    """
    scaled = [(row.difference + row.true_drop) / row.error for row in rows]
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_model[row.model].append(row)
    return {
        **asdict(rate(rows)),
        "printed_drop": statistics.mean(row.printed_drop for row in rows),
        "true_drop": statistics.mean(row.true_drop for row in rows),
        "standard_error": statistics.mean(row.error for row in rows),
        "scaled_mean": statistics.mean(scaled),
        "scaled_sd": statistics.pstdev(scaled),
        "by_model": {
            model: {
                **asdict(rate(own)),
                "printed_drop": statistics.mean(row.printed_drop for row in own),
                "true_drop": statistics.mean(row.true_drop for row in own),
            }
            for model, own in sorted(by_model.items())
        },
    }


def settings_of(world: World, options: argparse.Namespace) -> dict[str, Any]:
    """What was measured, for the JSON file."""
    n_items = {
        name: len(one)
        for name, one in world.answering(Version(world.models[0], world.seeds[0])).items()
    }
    return {
        "models": list(world.models),
        "seeds": list(world.seeds),
        "noise_trainings": NOISE_TRAININGS,
        "draws": options.draws,
        "rounds_over_items_as_they_are": ROUNDS,
        "bootstrap_samples": world.samples,
        "items": n_items,
        "lost_a_night": LOST_A_NIGHT,
        "nights": NIGHTS,
        "margins": {
            model: {setting: gate.margin for setting, gate in gates.items()}
            for model, gates in world.gates.items()
        },
        "mean_scores": {
            model: world.truth.mean(model, world.gates[model][SHIPPED].weights)
            for model in world.models
        },
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def summary(report: Mapping[str, Any]) -> Iterator[str]:
    """The figures in lines."""
    for setting, rates in report["by_setting"].items():
        for what, found in rates.items():
            low, high = found["interval"]
            yield (
                f"{setting:10} {what:35} {found['value']:7.2%} ({low:.2%} to {high:.2%}) of "
                f"{found['n']:,}; printed drop {found['printed_drop']:.4f}, true "
                f"{found['true_drop']:.4f}, error / s: {found['scaled_mean']:+.2f} "
                f"sd {found['scaled_sd']:.2f}"
            )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=24, help="trainings of each model")
    parser.add_argument("--draws", type=int, default=80, help="of the items, for each model")
    parser.add_argument("--samples", type=int, default=400, help="the gate's, 1000 when shipped")
    parser.add_argument("--keep", type=Path, help="keep the trained vectors here, and go on")
    parser.add_argument("--processes", type=int, help="default: one a core")
    return parser.parse_args(arguments)


def _measure(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    seeds = tuple(range(1, options.seeds + 1))
    for name in train_all(directory, options.models, seeds, options.processes):
        print(f"trained {name}", flush=True)
    answering = RealAnswers(directory, tuple(options.models), seeds)
    world = make_world(answering, options.models, seeds, options.samples)
    rows = decide_all(world, options.draws, options.processes or os.cpu_count())
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **_rounded(figures(rows)),
        "settings": _rounded(settings_of(world, options)),
    }


def main(arguments: list[str] | None = None) -> None:
    """Train, decide, print, write the JSON file."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="nightjar-") as name:
        report = _measure(options, options.keep or Path(name))
    options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(summary(report)))


if __name__ == "__main__":
    main()
