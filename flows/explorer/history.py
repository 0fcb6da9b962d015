"""Scores by time, from the published evaluations, and what the gate decided, from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from nightjar import schemas
from nightjar.config import LoadedConfig
from nightjar.errors import StoreError
from nightjar.promotion import Event, EventKind, read_events
from nightjar.scores import Score, main_scores, read_scores
from nightjar.store import Store

_DECISIONS = frozenset((EventKind.PROMOTED, EventKind.BLOCKED, EventKind.WAITING))


@dataclass(frozen=True)
class Measurement:
    """The main score of one benchmark in one evaluation."""

    model: str
    time: datetime
    """Of the decision, else of the evaluation."""
    score: Score
    decision: Event | None
    """The last one of these embeddings."""


@dataclass(frozen=True)
class History:
    """All of it, oldest first; ``problems`` names the artifacts that cannot be read."""

    measurements: tuple[Measurement, ...]
    decisions: tuple[Event, ...]
    problems: tuple[str, ...]

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks, in the order in which they are met."""
        return list(dict.fromkeys(entry.score.benchmark for entry in self.measurements))


def read_history(loaded: LoadedConfig) -> History:
    """Every evaluation and every decision there is."""
    store = Store(loaded.artifacts_dir)
    problems: list[str] = []
    decisions: list[Event] = []
    try:
        decisions += (event for event in read_events(loaded) if event.kind in _DECISIONS)
    except StoreError as error:
        problems.append(str(error))
    by_embeddings = {event.new.embeddings: event for event in decisions if event.new is not None}
    measurements: list[Measurement] = []
    for ref in store.versions(schemas.EVALUATION):
        try:
            evaluation = store.open(ref)
            scores = main_scores(read_scores(evaluation))
        except StoreError as error:
            problems.append(str(error))
            continue
        entry = by_embeddings.get(evaluation.manifest.parents[schemas.EMBEDDINGS])
        time = entry.time if entry else _time(evaluation.manifest.created_at)
        name = evaluation.manifest.name
        measurements += [Measurement(name, time, score, entry) for score in scores.values()]
    measurements.sort(key=lambda measurement: measurement.time)
    return History(tuple(measurements), tuple(decisions), tuple(problems))


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
