"""What stands: models with their champions, corpora, and the last nights with their alarms.

The ledger says what stands, the records of the last nights what happened. Of earlier nights only
those are read that a champion comes from, so that five hundred nights cost no more than ten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core import Night, Nights, NightStatus
from nightjar.core.nights import StepOutcome
from nightjar.errors import InputError, RegistryUnavailable, StoreError
from nightjar.pipeline import is_running
from nightjar.promotion import (
    Event,
    ModelStanding,
    Outcome,
    Standing,
    VersionRef,
    read_events,
    read_standing,
    standing_of,
)
from nightjar.scoring.scores import Score, main_scores, read_scores
from nightjar.store import Artifact, Store, schemas

N_NIGHTS = 10
REPORT = "report.html"
"""The page of a night, beside its record."""
_IS_THERE = (StepOutcome.REUSED, StepOutcome.PUBLISHED)


@dataclass(frozen=True)
class ChampionNow:
    """A model's champion."""

    version: VersionRef
    event: Event
    """What made it champion."""
    mean: float | None
    """Its mean score over the gate's benchmarks, in the decision that let it through."""
    scores: tuple[Score, ...]
    """The main scores on the gate's benchmarks; empty when they are no longer kept."""


@dataclass(frozen=True)
class Challenger:
    """The version judged last, which is not champion."""

    number: int
    outcome: str
    reason: str
    night: int | None


@dataclass(frozen=True)
class ModelNow:
    """What stands for a model."""

    model: str
    champion: ChampionNow | None
    before: VersionRef | None
    """The champion before."""
    challenger: Challenger | None
    hold: str
    """Why nights promote nothing; "" when they do."""
    is_configured: bool
    drift: Mapping[str, Any] | None
    """How far the last night's candidate moved from the champion, by that night's record."""


@dataclass(frozen=True)
class CorpusNow:
    """What stands for a corpus."""

    corpus: str
    night: int | None
    """The last accepted one; None when a person accepted it, or there is none."""
    time: datetime | None
    """When it was accepted; None when no night was."""
    amounts: Mapping[str, int]
    """By what is counted: documents and tokens of a text."""
    refused: str
    """Why the last night is not accepted; "" when it is."""


@dataclass(frozen=True)
class Overview:
    """What stands, and the last nights, newest first; ``problems`` lists what cannot be read."""

    models: tuple[ModelNow, ...]
    corpora: tuple[CorpusNow, ...]
    nights: tuple[Night, ...]
    n_nights: int
    reports: frozenset[int]
    """The nights that have a page."""
    moved: tuple[str, ...]
    """What to tell of aliases that were moved by hand."""
    problems: tuple[str, ...]

    @property
    def last(self) -> Night | None:
        """The newest night that has ended and is no trial; without one, the newest."""
        ended = [night for night in self.nights if night.status is not NightStatus.RUNNING]
        for nights in ([night for night in ended if not night.is_trial], ended, self.nights):
            if nights:
                return nights[0]
        return None


def read_overview(loaded: LoadedConfig) -> Overview:
    """Read what stands now. Raises nothing for what is missing or damaged: it is a problem."""
    problems: list[str] = []
    events, standing = _standing(loaded, problems)
    records = Nights(loaded.pipeline_dir)
    numbers = records.numbers()
    newest = _Records(loaded, records, problems)
    nights = [night for n in reversed(numbers[-N_NIGHTS:]) if (night := newest.get(n)) is not None]
    by_model = _by_subject(events)
    scores = _Scores(Store(loaded.artifacts_dir), newest, nights)
    gone = standing.gone(loaded.config.models)
    models = tuple(
        _model(loaded, name, standing.model(name), by_model.get(name, ()), scores)
        for name in dict.fromkeys((*loaded.config.models, *gone))
    )
    corpora = tuple(
        _corpus(name, standing, events, nights)
        for name in dict.fromkeys((*loaded.config.corpora, *standing.corpora))
    )
    reports = frozenset(
        night.number for night in nights if (records.path(night.number) / REPORT).is_file()
    )
    moved = tuple(standing.moved.values())
    return Overview(models, corpora, tuple(nights), len(numbers), reports, moved, tuple(problems))


def _standing(loaded: LoadedConfig, problems: list[str]) -> tuple[tuple[Event, ...], Standing]:
    try:
        events = read_events(loaded)
    except StoreError as error:
        problems.append(str(error))
        return (), Standing()
    try:
        return events, read_standing(loaded)
    except (RegistryUnavailable, StoreError) as error:
        problems.append(f"what follows is by the ledger alone: {error}")
        return events, standing_of(events)


def _by_subject(events: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.subject, []).append(event)
    return found


class _Records:
    """The nights' records, each read once."""

    def __init__(self, loaded: LoadedConfig, records: Nights, problems: list[str]) -> None:
        self._records = records
        self._problems = problems
        self._found: dict[int, Night | None] = {}
        self._is_running = is_running(loaded)

    def get(self, number: int) -> Night | None:
        """A night; None when it is not kept, or cannot be read, which is a problem."""
        if number not in self._found:
            self._found[number] = None
            try:
                self._found[number] = self._records.get(number).as_known(self._is_running)
            except InputError:  # no longer kept
                pass
            except StoreError as error:
                self._problems.append(str(error))
        return self._found[number]


class _Scores:
    """The scores of champions, from the newest night that has them."""

    def __init__(self, store: Store, records: _Records, nights: Sequence[Night]) -> None:
        self._store = store
        self._records = records
        self.nights = nights
        self._opened: dict[str, Artifact | None] = {}

    def of(self, model: str, champion: VersionRef, events: Iterable[Event]) -> tuple[Score, ...]:
        """The main scores of the champion's vectors; none when they are no longer kept."""
        for night in self._candidates(champion, events):
            for step in reversed(night.steps):
                is_its = step.stage == schemas.EVALUATION and model in step.subjects
                if is_its and step.outcome in _IS_THERE:
                    found = self._evaluation(step.version, champion)
                    if found is not None:
                        return tuple(main_scores(read_scores(found)).values())
        return ()

    def _candidates(self, champion: VersionRef, events: Iterable[Event]) -> Iterator[Night]:
        yield from self.nights
        for event in events:
            is_about = event.new is not None and event.new.digest == champion.digest
            if is_about and event.night is not None:
                night = self._records.get(event.night)
                if night is not None:
                    yield night

    def _evaluation(self, version: str, champion: VersionRef) -> Artifact | None:
        if version not in self._opened:
            self._opened[version] = None
            try:
                ref = self._store.ref(schemas.EVALUATION, version)
                self._opened[version] = self._store.open(ref)
            except StoreError:  # no longer kept; 'nightjar verify' names damage
                return None
        found = self._opened[version]
        is_its = (
            found is not None
            and found.manifest.parents.get(schemas.EMBEDDINGS) == champion.embeddings
        )
        return found if is_its else None


def _model(
    loaded: LoadedConfig,
    name: str,
    standing: ModelStanding,
    events: Sequence[Event],
    scores: _Scores,
) -> ModelNow:
    champion, move = standing.champion, standing.last_move
    now = None
    if champion is not None and move is not None:
        wanted: tuple[str, ...] = ()
        if name in loaded.config.models:
            wanted = tuple(loaded.config.registry_of(name).gate.benchmarks)
        main = scores.of(name, champion, events)
        now = ChampionNow(
            champion,
            move,
            _mean(champion, events),
            tuple(score for score in main if not wanted or score.benchmark in wanted),
        )
    night, decision = _last_decision(name, scores.nights)
    return ModelNow(
        model=name,
        champion=now,
        before=next(iter(standing.previous), None),
        challenger=_challenger(standing, night, decision),
        hold=standing.hold_reason if standing.is_held else "",
        is_configured=name in loaded.config.models,
        drift=decision.get("drift"),
    )


def _mean(champion: VersionRef, events: Sequence[Event]) -> float | None:
    for event in reversed(events):
        decision = event.evidence.get("decision")
        if event.new == champion and decision is not None:
            score: float | None = decision.get("score")
            return score
    return None


def _last_decision(model: str, nights: Iterable[Night]) -> tuple[int | None, Mapping[str, Any]]:
    """The newest decision on a model that is not that of a trial, and its night."""
    for night in nights:
        for decision in night.decisions:
            if decision["model"] == model and not night.is_trial:
                return night.number, decision
    return None, {}


def _challenger(
    standing: ModelStanding, night: int | None, decision: Mapping[str, Any]
) -> Challenger | None:
    """The version that the last night judged, or the ledger knows, unless it is the champion."""
    champion = None if standing.champion is None else standing.champion.number
    waiting = standing.waiting
    if waiting is not None and waiting.new is not None:
        return Challenger(waiting.new.number, "waiting", waiting.reason, waiting.night)
    if decision:
        number = decision["candidate"]["version"]
        is_champion = decision["outcome"] == Outcome.UNCHANGED or number == champion
        if is_champion:
            return None
        return Challenger(number, decision["outcome"], decision["reason"], night)
    judged, last = standing.challenger, standing.last_decision
    if judged is None or last is None:
        return None
    return Challenger(judged.number, last.kind.value, last.reason, last.night)


def _corpus(
    name: str, standing: Standing, events: Sequence[Event], nights: Iterable[Night]
) -> CorpusNow:
    accepted = next(iter(standing.corpora.get(name, ())), None)
    judged = (night for night in nights if name in night.accepted and not night.is_trial)
    last = next(judged, None)
    refused = ""
    if last is not None and not last.accepted[name]["is_accepted"]:
        is_settled = accepted is not None and accepted.night == last.number  # by a person
        refused = "" if is_settled else str(last.accepted[name]["reason"])
    if accepted is None:
        return CorpusNow(name, None, None, {}, refused)
    return CorpusNow(
        name,
        accepted.night,
        events[accepted.event - 1].time,
        accepted.amounts,
        refused,
    )
