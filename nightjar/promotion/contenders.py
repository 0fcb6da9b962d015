"""What the gate compares: versions of a model, their scores and answers, and facts about them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import variance
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.config import GateConfig
from nightjar.errors import StoreError
from nightjar.promotion.events import DECISION, Event, EventKind, VersionRef
from nightjar.promotion.statistics import Variance
from nightjar.scoring.resampling import Resampling
from nightjar.scoring.scores import Answers, items_of, main_scores, read_answers, read_scores
from nightjar.store import Artifact, Store
from nightjar.store.schemas import EMBEDDINGS

DEFAULT_RESAMPLING = Resampling(1_000, 0.95, 1)


@dataclass(frozen=True)
class BenchmarkScore:
    """The main score on one benchmark."""

    value: float | None
    """None: no item is covered."""
    coverage: float
    """Share of the items that are covered, 0 to 1."""
    settings: str
    """The benchmark's settings in the config that shape its score, as JSON."""
    items_sha256: str
    """Sha256 of the benchmark's file."""
    metric: str
    answers_sha256: str
    answers: Answers | None = field(default=None, compare=False, repr=False)
    """The answer to each item; None when they are no longer there."""

    def is_comparable(self, other: BenchmarkScore) -> bool:
        """Whether both are scores of the same kind on the same items."""
        return (self.settings, self.items_sha256) == (other.settings, other.items_sha256)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, without the answers."""
        return {name: getattr(self, name) for name in _RECORDED}


_CHOOSING = frozenset((EventKind.PROMOTED, EventKind.FORCED, EventKind.REBASED))
"""What makes the scores of the last decision the level of a version."""
_RECORDED = ("value", "coverage", "settings", "items_sha256", "metric", "answers_sha256")


@dataclass(frozen=True)
class Noise:
    """How scores differ between trainings of a version's config with other seeds."""

    scores: Mapping[str, tuple[float, ...]]
    """By benchmark: the score of each training, in the same order of seeds."""
    digest: str
    """Digest of the artifact that measured them."""

    def of_mean(self, weights: Mapping[str, float]) -> Variance | None:
        """The variance of the weighted mean score; None when a benchmark was not measured."""
        if not weights or any(len(self.scores.get(name, ())) < 2 for name in weights):
            return None
        columns = [[weight * one for one in self.scores[name]] for name, weight in weights.items()]
        total = sum(weights.values())
        means = [sum(scores) / total for scores in zip(*columns, strict=True)]
        return Variance(variance(means), len(means) - 1)


@dataclass(frozen=True)
class Facts:
    """What is known of a version besides its scores; None or empty: unknown."""

    health: Mapping[str, float | None] = field(default_factory=dict)
    """By measure."""
    first_loss: float | None = None
    last_loss: float | None = None
    """Mean losses of the first and the last epoch."""
    age_days: float | None = None
    """How long ago its vectors were trained."""
    vocabulary_lost: Mapping[str, float | None] = field(default_factory=dict)
    """By role (champion, reference): the share of that version's words that it does not have,
    weighted by their counts; None when that version's vectors are gone."""
    unknown: str = ""
    """Why nothing of this is known: its vectors are gone."""


@dataclass(frozen=True)
class Contender:
    """A registered version and its scores, by name of the benchmark.

    A version without scores cannot be compared; the gate then leaves the decision to a person.
    """

    version: VersionRef
    evaluation: Mapping[str, BenchmarkScore]
    noise: Noise | None = None
    """None: it was not measured."""
    is_trained: bool = True
    """False for imported vectors and what is made from them: no seed changes those."""
    recorded: Mapping[str, BenchmarkScore] = field(default_factory=dict)
    """The scores that it was chosen with (:func:`chosen_scores`), on the items of that night."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, for the evidence of a decision."""
        return {
            "version": asdict(self.version),
            "evaluation": {name: score.as_json() for name, score in self.evaluation.items()},
            "noise": None if self.noise is None else self.noise.digest,
        }


@dataclass(frozen=True)
class BaseUse:
    """Which embeddings of which model a derived model was made from."""

    model: str
    embeddings: str
    digest: str


@dataclass(frozen=True)
class Question:
    """Whether the candidate may become the champion of ``model``.

    ``champion`` and ``reference`` are those of the standing, scored tonight on the same items.
    """

    model: str
    candidate: Contender
    champion: Contender | None
    reference: Contender | None
    gate: GateConfig
    base: BaseUse | None = None
    """Only for a derived model."""
    veto: str = ""
    """Why no score can make the candidate champion: its corpus is not accepted."""
    facts: Facts = Facts()
    """Of the candidate."""
    resampling: Resampling = DEFAULT_RESAMPLING
    consumers: tuple[str, ...] = ()
    """Who uses the model, to be named when it is blocked. Decides nothing."""


def benchmark_scores(
    evaluation: Artifact, benchmarks: Sequence[str] = ()
) -> dict[str, BenchmarkScore]:
    """The main score of each benchmark of a published evaluation, with the items scored.

    Those of ``benchmarks`` have their answers, too.
    """
    identity = evaluation.manifest.identity
    settings: Mapping[str, Mapping[str, Any]] = identity["config"]["benchmarks"]
    items = items_of(evaluation.manifest)
    digests: Mapping[str, str] = evaluation.manifest.report["answers"]
    answers = read_answers(evaluation, benchmarks) if benchmarks else {}
    return {
        name: BenchmarkScore(
            value=score.value,
            coverage=score.coverage,
            settings=json.dumps(settings[name], sort_keys=True),
            items_sha256=items[name],
            metric=score.metric,
            answers_sha256=digests[name],
            answers=answers.get(name),
        )
        for name, score in main_scores(read_scores(evaluation)).items()
    }


def facts_of(
    store: Store,
    embeddings: Artifact,
    evaluation: Artifact,
    others: Mapping[str, VersionRef],
) -> Facts:
    """What is known of a candidate beside its scores, and how it differs from ``others``, by role.

    What the vectors of those would say is left out when they are gone.
    """
    losses = (
        embeddings.read("losses").column("mean_loss").to_pylist()
        if embeddings.has_table("losses")
        else []
    )
    made = datetime.fromisoformat(embeddings.manifest.created_at)
    return Facts(
        health=evaluation.manifest.report["health"],
        first_loss=losses[0] if len(losses) > 1 else None,
        last_loss=losses[-1] if len(losses) > 1 else None,
        # A clock that was set back makes it no younger than new.
        age_days=max(0.0, (datetime.now(UTC) - made).total_seconds() / 86_400),
        vocabulary_lost={
            role: _vocabulary_lost(store, embeddings, version) for role, version in others.items()
        },
    )


def _vocabulary_lost(store: Store, embeddings: Artifact, other: VersionRef) -> float | None:
    """The share of another version's words, by their counts, that ``embeddings`` does not have.

    Words of imported vectors that have no counts count alike. None when its vectors are gone.
    """
    if other.digest == embeddings.manifest.digest:
        return 0.0
    try:
        artifact = store.open(store.ref(EMBEDDINGS, other.embeddings))
    except StoreError:
        return None
    before = artifact.read("vectors", ["token", "count"])
    now = embeddings.read("vectors", ["token"]).column("token")
    is_lost = pc.invert(pc.is_in(before.column("token"), value_set=now.combine_chunks()))
    counts = before.column("count")
    if artifact.manifest.report.get("counts_are_ranks"):
        counts = pa.chunked_array([pa.array([1] * len(before), pa.int64())])
    total = pc.sum(counts).as_py()
    lost = pc.sum(pc.filter(counts, is_lost)).as_py() or 0
    return lost / total if total else 0.0


def find_vectors(store: Store, version: VersionRef) -> Artifact | None:
    """The vectors that were registered as ``version``; None if the store lost them or has others.

    One version of embeddings can be trained again with other bytes.
    """
    try:
        found = store.open(store.ref(EMBEDDINGS, version.embeddings))
    except StoreError:
        return None
    return found if found.manifest.digest == version.digest else None


def is_of(evaluation: Artifact, version: VersionRef) -> bool:
    """Whether an evaluation scored exactly the vectors of ``version``."""
    scored = evaluation.manifest.parent_digests.get(EMBEDDINGS)
    return evaluation.manifest.parents[EMBEDDINGS] == version.embeddings and scored in (
        version.digest,
        None,
    )


def chosen_scores(
    events: Sequence[Event], model: str, version: VersionRef
) -> dict[str, BenchmarkScore]:
    """The scores on record of the night or order that made a version champion or reference.

    Those of the last decision before ``promote --force`` or ``rebase``. Other decisions about it
    change nothing: it may have been a candidate again, and blocked. A rollback brings its level
    back. Empty if no decision is known.
    """
    judged: Mapping[str, Mapping[str, Any]] = {}
    chosen: Mapping[str, Mapping[str, Any]] = {}
    for event in events:
        if event.subject != model or event.new != version:
            continue
        if DECISION in event.evidence:
            judged = event.evidence[DECISION]["candidate"]["evaluation"]
        is_chosen = event.kind in _CHOOSING or (event.moves_alias and not chosen)
        if is_chosen:
            chosen = judged
    return {name: BenchmarkScore(**score) for name, score in chosen.items()}


def decided_scores(
    events: Sequence[Event], model: str, version: VersionRef
) -> dict[str, BenchmarkScore]:
    """The scores that a version was last judged with, by the ledger; empty if it never was."""
    for event in reversed(events):
        if event.subject == model and event.new == version and DECISION in event.evidence:
            found = event.evidence[DECISION]["candidate"]["evaluation"]
            return {name: BenchmarkScore(**score) for name, score in found.items()}
    return {}
