"""Scores by night, from the nights' records, and events, from the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from nightjar.config import LoadedConfig
from nightjar.core import Night, Nights, NightStatus
from nightjar.errors import ArtifactMissing, StoreError
from nightjar.pipeline.answerers import version_at_end
from nightjar.promotion import Event, read_events
from nightjar.scoring.scores import Score, main_scores, read_scores
from nightjar.store import Store, schemas


@dataclass(frozen=True)
class Judged:
    """A model in one night: its candidate's scores, and the decision."""

    model: str
    night: int
    time: datetime
    is_trial: bool
    evaluation: str
    """Version of the evaluation artifact."""
    scores: Mapping[str, Score]
    """The main score of each benchmark."""
    version: int | None
    """Number of the candidate; None if the night got no further than its scores."""
    outcome: str | None


@dataclass(frozen=True)
class Measurement:
    """The main score of one benchmark in one night."""

    judged: Judged
    score: Score
    has_been_champion: bool
    """Whether the version became champion, that night or later."""


@dataclass(frozen=True)
class History:
    """All scores and events, oldest first; ``problems`` lists what cannot be read."""

    measurements: tuple[Measurement, ...]
    events: tuple[Event, ...]
    problems: tuple[str, ...]

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks, in order of first appearance."""
        return list(dict.fromkeys(entry.score.benchmark for entry in self.measurements))


def read_history(
    loaded: LoadedConfig,
    known: dict[int, tuple[Judged, ...]],
    *,
    until: int | None = None,
    most_nights: int | None = None,
) -> History:
    """Read every score of every night, and every event.

    A candidate that is the same as the night before is listed only once. ``known`` caches nights
    that have ended, which do not change. ``until`` is the last night that is read; with
    ``most_nights`` earlier ones are left out.
    """
    problems: list[str] = []
    events: tuple[Event, ...] = ()
    try:
        events = tuple(
            event
            for event in read_events(loaded)
            if until is None or event.night is None or event.night <= until
        )
    except StoreError as error:
        problems.append(str(error))
    crowned = {
        (event.subject, event.new.number)
        for event in events
        if event.moves_alias and event.new is not None
    }
    measurements = []
    last: dict[str, str] = {}
    numbers = Nights(loaded.pipeline_dir).numbers()
    numbers = [number for number in numbers if until is None or number <= until]
    for judged in _nights(loaded, numbers[-(most_nights or len(numbers)) :], known, problems):
        if last.get(judged.model) == judged.evaluation:
            continue
        last[judged.model] = judged.evaluation
        is_crowned = (judged.model, judged.version) in crowned
        measurements += [Measurement(judged, score, is_crowned) for score in judged.scores.values()]
    return History(tuple(measurements), events, tuple(problems))


def _nights(
    loaded: LoadedConfig,
    numbers: list[int],
    known: dict[int, tuple[Judged, ...]],
    problems: list[str],
) -> Iterator[Judged]:
    nights, store = Nights(loaded.pipeline_dir), Store(loaded.artifacts_dir)
    for number in numbers:
        found = known.get(number)
        if found is None:
            n_problems = len(problems)
            try:
                night = nights.get(number)
            except StoreError as error:
                problems.append(str(error))
                continue
            found = tuple(_judged(store, night, problems))
            if night.status is not NightStatus.RUNNING and len(problems) == n_problems:
                known[number] = found
        yield from found


def _judged(store: Store, night: Night, problems: list[str]) -> Iterator[Judged]:
    """The models of a night whose scores still exist."""
    subjects = [
        s for step in night.steps if step.stage == schemas.EVALUATION for s in step.subjects
    ]
    decisions = {decision["model"]: decision for decision in night.decisions}
    for model in dict.fromkeys(subjects):
        version = night.version(schemas.EVALUATION, model)
        if version is None:
            continue
        try:
            evaluation = store.open(store.ref(schemas.EVALUATION, version))
            scores = main_scores(read_scores(evaluation))
        except ArtifactMissing:  # no longer kept
            continue
        except StoreError as error:
            problems.append(str(error))
            continue
        trained = version_at_end(night, schemas.EMBEDDINGS, model)
        if evaluation.manifest.parents[schemas.EMBEDDINGS] != trained:
            continue  # the champion's, scored on that night's items
        decision = decisions.get(model)
        yield Judged(
            model=model,
            night=night.number,
            time=datetime.fromisoformat(night.started_at),
            is_trial=night.is_trial,
            evaluation=version,
            scores=scores,
            version=None if decision is None else decision["candidate"]["version"],
            outcome=None if decision is None else decision["outcome"],
        )
