"""Decisions of the gate over drawn items, quick enough for thousands of them.

A decision compares resamples of the items. Versions that answer the same items share the resamples,
so each version is resampled once (:class:`Sheet`) and not once a decision. All else is the gate's
own code: :func:`~nightjar.promotion.statistics.pool` and its :class:`PooledDifference`.
:func:`check` asks the gate itself and raises if it says anything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nightjar.config import GateConfig
from nightjar.promotion import BenchmarkScore, Contender, Outcome, Question, VersionRef, decide
from nightjar.promotion.contenders import Noise
from nightjar.promotion.statistics import (
    BenchmarkDifference,
    PooledDifference,
    Variance,
    pool,
    twice,
)
from nightjar.scoring.metrics import METRICS, SPEARMAN
from nightjar.scoring.resampling import Resampling, own_units
from nightjar.scoring.scores import Answers

Floats = NDArray[np.float64]
Places = Mapping[str, NDArray[np.int64]]
"""By benchmark: the items that are drawn; one may be drawn several times."""


@dataclass(frozen=True)
class Version:
    """One training, or a damaged copy of it."""

    model: str
    seed: int
    damage: str = ""
    strength: float = 0.0


Answering = Callable[[Version], Mapping[str, Answers]]


@dataclass(frozen=True)
class Case:
    """What the gate is asked, and the trainings that estimate the noise of both configs."""

    candidate: Version
    champion: Version
    reference: Version
    candidate_noise: tuple[Version, ...]
    noise: tuple[Version, ...]
    """Of the champion and of the reference."""


@dataclass(frozen=True)
class Judged:
    """The two comparisons of a decision."""

    champion: PooledDifference
    reference: PooledDifference

    @property
    def is_blocked(self) -> bool:
        """Whether the candidate does not pass."""
        return not (self.champion.is_close and self.reference.is_close)

    @property
    def printed_drop(self) -> float:
        """The drop that the gate says is found nine times in ten: the larger of the two."""
        return max(self.champion.detectable, self.reference.detectable)

    @property
    def decidable_margin(self) -> float:
        """The smallest margin that the gate would call decidable."""
        found = (self.champion, self.reference)
        return max(one.quantile(0.975) + one.quantile(0.90) for one in found)


@dataclass
class Sheet:
    """What versions answer to the drawn items, each scored and resampled once."""

    answering: Answering
    places: Places
    resampling: Resampling
    _weights: dict[str, list[Floats]] = field(default_factory=dict)
    _answers: dict[Version, dict[str, Answers]] = field(default_factory=dict)
    _scores: dict[tuple[Version, str], float] = field(default_factory=dict)
    _resampled: dict[tuple[Version, str], Floats] = field(default_factory=dict)

    def answers(self, version: Version) -> dict[str, Answers]:
        """The answers to the drawn items, each an item of its own."""
        if version not in self._answers:
            every = self.answering(version)
            self._answers[version] = {
                name: Answers(
                    every[name].values[places], every[name].gold[places], own_units(len(places))
                )
                for name, places in self.places.items()
            }
        return self._answers[version]

    def score(self, version: Version, name: str) -> float:
        """The score on the drawn items."""
        if (version, name) not in self._scores:
            ones = np.ones((1, len(self.places[name])))
            self._scores[version, name] = float(self._measured(version, name, ones)[0])
        return self._scores[version, name]

    def resampled(self, version: Version, name: str) -> Floats:
        """The score on each resample of the drawn items."""
        if (version, name) not in self._resampled:
            if name not in self._weights:
                units = own_units(len(self.places[name]))
                self._weights[name] = list(self.resampling.weights(units, name))
            blocks = [self._measured(version, name, weights) for weights in self._weights[name]]
            self._resampled[version, name] = np.concatenate(blocks)
        return self._resampled[version, name]

    def noise(self, versions: Sequence[Version]) -> Noise:
        """The scores of trainings, as the artifact of the noise has them."""
        scores = {
            name: tuple(self.score(version, name) for version in versions) for name in self.places
        }
        return Noise(scores, repr(versions))

    def judge(self, case: Case, gate: GateConfig) -> Judged:
        """Both comparisons of the gate."""
        if case.candidate_noise == case.noise:
            noise = [twice(self._variance(case.noise, gate))]
        else:
            noise = [self._variance(one, gate) for one in (case.candidate_noise, case.noise)]
        found = [
            pool(
                {name: self._difference(case.candidate, other, name) for name in gate.weights},
                gate.weights,
                noise,
                gate.margin,
            )
            for other in (case.champion, case.reference)
        ]
        return Judged(*found)

    def _variance(self, versions: Sequence[Version], gate: GateConfig) -> Variance:
        found = self.noise(versions).of_mean(gate.weights)
        if found is None:
            raise ValueError("noise needs two trainings")
        return found

    def _measured(self, version: Version, name: str, weights: Floats) -> Floats:
        answers = self.answers(version)[name]
        return METRICS[SPEARMAN].measure(answers.values, answers.gold, weights)

    def _difference(self, ours: Version, theirs: Version, name: str) -> BenchmarkDifference:
        """As :func:`nightjar.promotion.statistics.compare_answers`."""
        differences = self.resampled(ours, name) - self.resampled(theirs, name)
        n_items = len(self.places[name])
        doubt = sum(1 / max(1, n - 1) for n in (n_items, len(differences)))
        return BenchmarkDifference(
            self.score(ours, name),
            self.score(theirs, name),
            n_items,
            Variance(float(differences.var(ddof=1)), 1 / doubt),
        )


def question(sheet: Sheet, case: Case, gate: GateConfig) -> Question:
    """The case as the product would ask it."""
    versions = (case.candidate, case.champion, case.reference)
    noise = [sheet.noise(one) for one in (case.candidate_noise, case.noise, case.noise)]
    contenders = [
        Contender(
            VersionRef(number, f"e{number}", f"{version}"),
            {name: _score(sheet, version, name) for name in gate.weights},
            own_noise,
        )
        for number, (version, own_noise) in enumerate(zip(versions, noise, strict=True), 1)
    ]
    candidate, champion, reference = contenders
    return Question("model", candidate, champion, reference, gate, resampling=sheet.resampling)


def _score(sheet: Sheet, version: Version, name: str) -> BenchmarkScore:
    answers = sheet.answers(version)[name]
    value = sheet.score(version, name)
    return BenchmarkScore(value, 1.0, "", name, SPEARMAN, answers.sha256(), answers)


def check(sheet: Sheet, case: Case, gate: GateConfig) -> None:
    """Ask the gate itself. Raises RuntimeError if it decides otherwise or with other numbers."""
    decision = decide(question(sheet, case, gate))
    judged = sheet.judge(case, gate)
    numbers = {rule.rule: rule.numbers for rule in decision.rules}
    are_equal = (decision.outcome is Outcome.BLOCKED) == judged.is_blocked and all(
        math.isclose(numbers[role][key] or 0.0, getattr(found, key), rel_tol=1e-6, abs_tol=1e-9)
        for role, found in (("champion", judged.champion), ("reference", judged.reference))
        for key in ("difference", "error", "df", "limit", "detectable")
    )
    if not are_equal:
        raise RuntimeError(f"the gate says {decision.reason!r}, the benchmark found {judged}")
