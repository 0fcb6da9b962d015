"""Scores by time, and what the gate decided: read from the published artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from nightjar import schemas
from nightjar.errors import StoreError
from nightjar.registry import LedgerEntry, read_entry
from nightjar.scores import Score, main_scores, read_scores
from nightjar.store import Store


@dataclass(frozen=True)
class Measurement:
    """The main score of one benchmark in one evaluation."""

    model: str
    time: datetime
    """Of the registration, else of the evaluation."""
    score: Score
    registration: LedgerEntry | None


@dataclass(frozen=True)
class History:
    """All of it, oldest first; ``problems`` names the artifacts that cannot be read."""

    measurements: tuple[Measurement, ...]
    decisions: tuple[LedgerEntry, ...]
    problems: tuple[str, ...]

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks, in the order in which they are met."""
        return list(dict.fromkeys(entry.score.benchmark for entry in self.measurements))


def read_history(store: Store) -> History:
    """Every evaluation and every registration there is."""
    problems: list[str] = []
    decisions: list[LedgerEntry] = []
    for ref in store.versions(schemas.REGISTRATION):
        try:
            decisions.append(read_entry(store.open(ref)))
        except StoreError as error:
            problems.append(str(error))
    decisions.sort(key=lambda entry: (entry.time, entry.registry_version))
    by_evaluation = {entry.evaluation_version: entry for entry in decisions}
    measurements: list[Measurement] = []
    for ref in store.versions(schemas.EVALUATION):
        try:
            evaluation = store.open(ref)
            scores = main_scores(read_scores(evaluation))
        except StoreError as error:
            problems.append(str(error))
            continue
        entry = by_evaluation.get(ref.version)
        time = entry.time if entry else _time(evaluation.manifest.created_at)
        name = evaluation.manifest.name
        measurements += [Measurement(name, time, score, entry) for score in scores.values()]
    measurements.sort(key=lambda measurement: measurement.time)
    return History(tuple(measurements), tuple(decisions), tuple(problems))


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
