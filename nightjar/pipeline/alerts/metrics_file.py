"""A text file for Prometheus: scores, times and sizes, for node_exporter's textfile collector.

Times are timestamps. A query computes the age, as in
``time() - nightjar_champion_since_timestamp_seconds``; it goes on growing when no night runs. All
samples have the label ``pipeline``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nightjar.config import LoadedConfig
from nightjar.core import Night, Nights, NightStatus, StepRecord
from nightjar.core.nights import moment
from nightjar.errors import InputError, StoreError
from nightjar.files.harmless_text import visible
from nightjar.pipeline.alerts.outbox import Outbox
from nightjar.pipeline.retention.disk import bytes_below
from nightjar.promotion import Event, Outcome, Standing, amounts_in, read_events, standing_of
from nightjar.promotion.events import DECISION
from nightjar.scoring.scores import main_scores, read_scores
from nightjar.store import Artifact, Store, names, schemas
from nightjar.store.corpus_kinds import AMOUNTS

CANDIDATE, CHAMPION, REFERENCE = "candidate", "champion", "reference"


@dataclass
class _Gauge:
    """One metric; samples with the same labels are added up."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    samples: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, value: float | None, *labels: str) -> None:
        """Add to a sample; nothing is written for None."""
        if value is not None:
            shown = tuple(visible(label, None) for label in labels)
            self.samples[shown] = self.samples.get(shown, 0.0) + value

    def family(self, pipeline: str) -> GaugeMetricFamily:
        """As prometheus_client writes it."""
        found = GaugeMetricFamily(
            f"nightjar_{self.name}", self.help, labels=("pipeline", *self.labels)
        )
        for labels, value in self.samples.items():
            found.add_metric((pipeline, *labels), value)
        return found


def write_metrics(loaded: LoadedConfig) -> Path | None:
    """Write the file that ``alerts.metrics`` names, atomically; return its path.

    None when the config names none. Raises StoreError when a record cannot be read, InputError
    when the file cannot be written.
    """
    if loaded.config.alerts.metrics is None:
        return None
    try:
        path = loaded.base_dir / Path(loaded.config.alerts.metrics).expanduser()
        registry = CollectorRegistry(auto_describe=False)
        pipeline = loaded.config.pipeline.name
        registry.register(_Once([gauge.family(pipeline) for gauge in gauges(loaded)]))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(path), registry)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"alerts.metrics: {loaded.config.alerts.metrics} cannot be written ({reason})"
        ) from error
    return path


class _Once(Collector):
    """Metrics that were made beforehand."""

    def __init__(self, families: Sequence[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Sequence[GaugeMetricFamily]:
        return self._families


def gauges(loaded: LoadedConfig) -> list[_Gauge]:
    """Every metric of a pipeline, by its records and artifacts; those without a sample left out."""
    facts = _Facts(loaded)
    found = [
        *_of_nights(facts),
        *_of_corpora(facts),
        *_of_models(facts),
        *_of_decisions(facts),
        *_of_disk(facts),
    ]
    return [gauge for gauge in found if gauge.samples]


@dataclass
class _Facts:
    """What the records of a pipeline say, each read once."""

    loaded: LoadedConfig

    @cached_property
    def store(self) -> Store:
        return Store(self.loaded.artifacts_dir)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        return read_events(self.loaded)

    @cached_property
    def standing(self) -> Standing:
        return standing_of(self.events)

    @cached_property
    def last(self) -> Night | None:
        """The newest night that has ended and is no trial."""
        return next((night for night in self._nights() if night.ended_at is not None), None)

    @cached_property
    def last_well(self) -> Night | None:
        """The newest one that completed."""
        return next((night for night in self._nights() if night.ended_well), None)

    def _nights(self) -> Iterator[Night]:
        nights = Nights(self.loaded.pipeline_dir).newest_first()
        return (night for night in nights if not night.is_trial)

    def artifact(self, stage: str, subject: str) -> Artifact | None:
        """The last night's artifact; None if it was not made, or is gone."""
        version = None if self.last is None else self.last.version(stage, subject)
        if version is None or not self.store.is_published(stage, version):
            return None
        return self.store.open(self.store.ref(stage, version))

    def decisions(self) -> Sequence[Mapping[str, Any]]:
        """What the last night decided."""
        return () if self.last is None else self.last.decisions


def _seconds(time: str | None) -> float | None:
    """Seconds since 1970 of a record's time."""
    return None if time is None else moment(time).timestamp()


def _of_nights(facts: _Facts) -> Iterator[_Gauge]:
    success = _Gauge(
        "night_last_success_timestamp_seconds", "When the last night that completed ended."
    )
    success.add(None if facts.last_well is None else _seconds(facts.last_well.ended_at))
    yield success
    night = facts.last
    if night is None:
        return
    for name, text, value in (
        ("number", "Number of the last night.", night.number),
        ("started_timestamp_seconds", "When the last night began.", _seconds(night.started_at)),
        ("ended_timestamp_seconds", "When the last night ended.", _seconds(night.ended_at)),
        ("duration_seconds", "How long the last night took.", night.seconds),
        ("alarms", "Alarms of the last night.", len(night.alarms)),
    ):
        gauge = _Gauge(f"night_{name}", text)
        gauge.add(value)
        yield gauge
    status = _Gauge("night_status", "1 for how the last night ended.", ("status",))
    for known in NightStatus:
        if known is not NightStatus.RUNNING:
            status.add(float(night.status is known), known.value)
    yield status
    yield from _of_steps([step for step in night.steps if step.seconds])


def _of_steps(steps: Sequence[StepRecord]) -> Iterator[_Gauge]:
    labels = ("stage", "step")
    seconds = _Gauge("step_seconds", "How long each step took that ran in the last night.", labels)
    memory = _Gauge("step_memory_bytes", "Largest resident size during each of them.", labels)
    largest: dict[tuple[str, str], int] = {}
    for step in steps:
        key = (step.stage, step.label)
        seconds.add(step.seconds, *key)
        largest[key] = max(step.memory_bytes, largest.get(key, 0))
    for key, n_bytes in largest.items():
        memory.add(n_bytes or None, *key)
    yield from (seconds, memory)


def _of_corpora(facts: _Facts) -> Iterator[_Gauge]:
    labels = ("corpus",)
    amounts = {
        name: _Gauge(f"corpus_{name}", f"{name.capitalize()} of the last night.", labels)
        for name in AMOUNTS
    }
    words = _Gauge("corpus_vocabulary_words", "Words in the corpus' vocabulary.", labels)
    accepted = _Gauge("corpus_accepted", "1 if the last night was accepted for it.", labels)
    for corpus, verdict in ({} if facts.last is None else facts.last.accepted).items():
        for name, n in amounts_in(verdict).items():
            amounts[name].add(n, corpus)
        accepted.add(float(verdict["is_accepted"]), corpus)
        made = facts.artifact(schemas.TOKENS, corpus)
        words.add(None if made is None else made.rows("vocabulary"), corpus)
    yield from (*(gauge for gauge in amounts.values() if gauge.samples), words, accepted)


def _of_models(facts: _Facts) -> Iterator[_Gauge]:
    words = _Gauge(
        "model_vocabulary_words", "Words with a vector in the last night's candidate.", ("model",)
    )
    score = _Gauge("model_score", "Main score on each benchmark.", ("model", "benchmark", "role"))
    version = _Gauge("champion_version", "Number of the version that is champion.", ("model",))
    since = _Gauge("champion_since_timestamp_seconds", "When it became champion.", ("model",))
    held = _Gauge("model_held", "1 while nights promote nothing of it.", ("model",))
    for model in facts.loaded.config.models:
        made = facts.artifact(schemas.EMBEDDINGS, model)
        words.add(None if made is None else made.rows("vectors"), model)
        for role, scores in _scores(facts, model).items():
            for benchmark, value in scores.items():
                score.add(value, model, benchmark, role)
        standing = facts.standing.model(model)
        held.add(float(standing.is_held), model)
        if standing.champion is not None and standing.last_move is not None:
            version.add(standing.champion.number, model)
            since.add(standing.last_move.time.timestamp(), model)
    yield from (words, score, version, since, held)


def _scores(facts: _Facts, model: str) -> dict[str, dict[str, float | None]]:
    """The scores by role and benchmark: tonight's candidate, and the champion.

    The champion's are those that it was compared by last.
    """
    found: dict[str, dict[str, float | None]] = {}
    evaluation = facts.artifact(schemas.EVALUATION, model)
    if evaluation is not None:
        scores = main_scores(read_scores(evaluation))
        found[CANDIDATE] = {name: score.value for name, score in scores.items()}
    champion = facts.standing.model(model).champion
    decision = next((each for each in facts.decisions() if each["model"] == model), None)
    if champion is None:
        return found
    if decision is not None and decision["candidate"]["digest"] == champion.digest and found:
        return found | {CHAMPION: found[CANDIDATE]}
    for event in reversed(facts.events):
        evidence = event.evidence.get(DECISION, {}) if event.subject == model else {}
        for role in (CANDIDATE, CHAMPION):
            judged = evidence.get(role)
            if judged and judged["version"]["digest"] == champion.digest:
                known = judged["evaluation"].items()
                return found | {CHAMPION: {name: score["value"] for name, score in known}}
    return found


def _of_decisions(facts: _Facts) -> Iterator[_Gauge]:
    of_model = ("model",)
    decision = _Gauge(
        "model_decision", "1 for what the last night decided on a model.", ("model", "outcome")
    )
    mean = _Gauge(
        "model_mean_score", "Weighted mean score that the gate compares.", ("model", "role")
    )
    lost = _Gauge(
        "drift_lost_neighbors_ratio",
        "Share of the champion's neighbours gone in the candidate, beyond what another seed does.",
        of_model,
    )
    alarm = _Gauge("drift_alarm", "1 if more is lost than the model tolerates.", of_model)
    for found in facts.decisions():
        model = found["model"]
        for outcome in Outcome:
            decision.add(float(found["outcome"] == outcome), model, outcome.value)
        for role, key in (
            (CANDIDATE, "score"),
            (CHAMPION, "champion_score"),
            (REFERENCE, "reference_score"),
        ):
            mean.add(found.get(key), model, role)
        drift = found.get("drift") or {}  # records of earlier releases have none
        lost.add(drift.get("lost"), model)
        if "is_alarm" in drift:
            alarm.add(float(drift["is_alarm"]), model)
    yield from (decision, mean, lost, alarm)


def _of_disk(facts: _Facts) -> Iterator[_Gauge]:
    size = _Gauge(
        "artifacts_bytes", "Size of what is below artifacts_dir, by its folders.", ("folder",)
    )
    for folder in names(facts.loaded.artifacts_dir):
        size.add(bytes_below(facts.loaded.artifacts_dir / folder), folder)
    undelivered = _Gauge("alerts_undelivered", "Messages that no server has taken yet.")
    with suppress(StoreError):  # 'nightjar check' says so
        undelivered.add(len(Outbox(facts.loaded.pipeline_dir).entries()))
    yield from (size, undelivered)
