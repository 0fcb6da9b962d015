"""What the gate compares: versions of a model, their scores, and the items scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nightjar.config import GateConfig
from nightjar.promotion.events import DECISION, Event, VersionRef
from nightjar.scoring.scores import main_scores, read_scores
from nightjar.store import Artifact
from nightjar.store.schemas import EMBEDDINGS


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

    def is_comparable(self, other: BenchmarkScore) -> bool:
        """Whether both are scores of the same kind on the same items."""
        return (self.settings, self.items_sha256) == (other.settings, other.items_sha256)


@dataclass(frozen=True)
class Contender:
    """A registered version and its scores, by name of the benchmark.

    A version without scores cannot be compared; the gate then leaves the decision to a person.
    """

    version: VersionRef
    evaluation: Mapping[str, BenchmarkScore]


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


def benchmark_scores(evaluation: Artifact) -> dict[str, BenchmarkScore]:
    """The main score of each benchmark of a published evaluation, with the items scored."""
    identity = evaluation.manifest.identity
    settings: Mapping[str, Mapping[str, Any]] = identity["config"]["benchmarks"]
    hashes = {_benchmark(entry): entry["sha256"] for entry in identity["inputs"]}
    return {
        name: BenchmarkScore(
            value=score.value,
            coverage=score.coverage,
            settings=json.dumps(settings[name], sort_keys=True),
            items_sha256=hashes[name],
        )
        for name, score in main_scores(read_scores(evaluation)).items()
    }


def is_of(evaluation: Artifact, version: VersionRef) -> bool:
    """Whether an evaluation scored exactly the vectors of ``version``."""
    scored = evaluation.manifest.parent_digests.get(EMBEDDINGS)
    return evaluation.manifest.parents[EMBEDDINGS] == version.embeddings and scored in (
        version.digest,
        None,
    )


def decided_scores(
    events: Sequence[Event], model: str, version: VersionRef
) -> dict[str, BenchmarkScore]:
    """The scores that a version was last judged with, by the ledger; empty if it never was."""
    for event in reversed(events):
        if event.subject == model and event.new == version and DECISION in event.evidence:
            found = event.evidence[DECISION]["candidate"]["evaluation"]
            return {name: BenchmarkScore(**score) for name, score in found.items()}
    return {}


def _benchmark(entry: Mapping[str, Any]) -> str:
    """The benchmark of an evaluation's input, which is named ``<benchmark>/<file>``."""
    name: str = entry["name"]
    return name.partition("/")[0]


def contender_evidence(contender: Contender | None) -> dict[str, Any] | None:
    """A contender in JSON types."""
    return None if contender is None else asdict(contender)
