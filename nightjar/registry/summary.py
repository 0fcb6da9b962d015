"""What is known about a model when it is registered, gathered from its artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightjar.config import ModelConfig, PipelineConfig, RegistryConfig
from nightjar.errors import ArtifactDamaged
from nightjar.registry.registered_names import registered_name, registration_key
from nightjar.scoring.scores import Score, main_scores, read_scores
from nightjar.store import Artifact, Store
from nightjar.store.corpus_kinds import kept_by_source, kind_of
from nightjar.store.schemas import DOCUMENTS, EMBEDDINGS

BASE = "base_embeddings"
"""Key in lineages: the embeddings that a model was made from."""
_EXAMPLE_WORDS = ("king", "queen")


@dataclass(frozen=True)
class RegistrationRequest:
    """What to register, from which artifacts, and on whose behalf."""

    pipeline: PipelineConfig
    registry: RegistryConfig
    model_name: str
    model: ModelConfig
    source: Artifact | None
    """What the model was trained on: documents, a graph or events. With the tokens None for an
    imported model."""
    tokens: Artifact | None
    embeddings: Artifact
    evaluation: Artifact
    """Shown with the version as evidence, but no part of its key."""
    artifacts_dir: Path
    git_commit: str | None
    actor: str
    ledger_id: str
    """Id of the ledger that owns the registered model."""
    night: int | None = None
    is_trial: bool = False

    @property
    def registered_model(self) -> str:
        """Name of the registered MLflow model."""
        return registered_name(self.pipeline.name, self.model_name)

    @property
    def key(self) -> str:
        """The key that makes the version unique."""
        return registration_key(self.registered_model, self.embeddings.manifest.digest)


@dataclass(frozen=True)
class EpochLoss:
    """Mean loss of one epoch; epochs count from 1."""

    epoch: int
    mean_loss: float


@dataclass(frozen=True)
class Corpus:
    """What the model was trained on."""

    unit: str
    """What sources give, in the singular."""
    embeds: str
    """What has a vector, in the singular: word, node or item."""
    sentence: str
    """What a sentence of tokens is: sentence, walk or session."""
    n_by_source: Mapping[str, int]
    """Documents, edges or events."""
    n_sentences: int
    n_distinct_tokens: int

    @property
    def sources(self) -> str:
        """Names of the sources, sorted."""
        return ", ".join(sorted(self.n_by_source))

    @property
    def n_units(self) -> int:
        """Number of documents, edges or events over all sources."""
        return sum(self.n_by_source.values())


@dataclass(frozen=True)
class ModelSummary:
    """Everything that the run, the model card and the tags say about a model."""

    request: RegistrationRequest
    parameters: Mapping[str, Any]
    """Hyper-parameters under the config's names, the seed and whatever else shaped the training."""
    vector_size: int
    n_words: int
    example_words: tuple[str, ...]
    corpus: Corpus | None
    """None for an imported model."""
    losses: tuple[EpochLoss, ...]
    scores: tuple[Score, ...]
    main: Mapping[str, Score] = field(default_factory=dict)
    """The main score of each benchmark."""

    @property
    def versions(self) -> dict[str, str]:
        """Version of every artifact behind it, by stage."""
        request = self.request
        parents = (request.source, request.tokens, request.embeddings, request.evaluation)
        found = {
            artifact.ref.stage: artifact.ref.version for artifact in parents if artifact is not None
        }
        of_embeddings: dict[str, str] = dict(request.embeddings.manifest.identity["parents"])
        if EMBEDDINGS in of_embeddings:
            of_embeddings[BASE] = of_embeddings.pop(EMBEDDINGS)
        return {**of_embeddings, **found}

    @property
    def embeds(self) -> str:
        """What has a vector, in the singular: word, node or item."""
        return "word" if self.corpus is None else self.corpus.embeds

    @property
    def has_subwords(self) -> bool:
        """Whether unknown words get a vector from their n-grams."""
        return self.request.embeddings.has_table("ngrams")


def check_whole(request: RegistrationRequest) -> None:
    """Raise ArtifactDamaged unless the embeddings and the evaluation match their hashes."""
    store = Store(request.artifacts_dir)
    for artifact in (request.embeddings, request.evaluation):
        problems = store.verify(artifact.ref)
        if problems:
            raise ArtifactDamaged(
                f"{request.registered_model} is not registered: {'; '.join(problems)}. Set it "
                f"aside with 'nightjar verify --set-aside' and run again: it is rebuilt from "
                f"its parents"
            )


def summarize(request: RegistrationRequest) -> ModelSummary:
    """Summarize the model; holds its words, scores and losses in memory.

    The documents' ``source`` column is streamed.
    """
    tokens = request.embeddings.read("vectors", ["token"]).column("token").to_pylist()
    scores = read_scores(request.evaluation)
    vocabulary = set(tokens)
    known = tuple(word for word in _EXAMPLE_WORDS if word in vocabulary)
    return ModelSummary(
        request=request,
        parameters=_parameters(request),
        vector_size=request.embeddings.schema("vectors").field("vector").type.list_size,
        n_words=len(tokens),
        example_words=known or tuple(tokens[: len(_EXAMPLE_WORDS)]),
        corpus=_corpus(request),
        losses=_losses(request.embeddings),
        scores=scores,
        main=main_scores(scores),
    )


def _parameters(request: RegistrationRequest) -> dict[str, Any]:
    """The configured values, overridden by those that the embeddings' manifest says were used."""
    manifest = request.embeddings.manifest
    trained = manifest.identity.get("config", {})
    used = {name: trained[name] for name in ("deterministic",) if name in trained}
    used |= {name: manifest.report[name] for name in ("n_workers",) if name in manifest.report}
    optional = {"gate_benchmarks", "init_from", "corpus"}
    configured = {
        key: value
        for key, value in request.model.model_dump(mode="json").items()
        if value is not None or key not in optional
    }
    return {**configured, **trained.get("model", {}), **used}


def _corpus(request: RegistrationRequest) -> Corpus | None:
    source = request.source
    if source is None or request.tokens is None:
        return None
    kind = kind_of(source.ref.stage)
    return Corpus(
        unit=kind.unit,
        embeds=kind.embeds,
        sentence=kind.sentence,
        n_by_source=_documents_by_source(source)
        if source.ref.stage == DOCUMENTS
        else kept_by_source(source),
        n_sentences=request.tokens.rows("sentences"),
        n_distinct_tokens=request.tokens.rows("vocabulary"),
    )


def _documents_by_source(documents: Artifact) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in documents.batches("documents", ["source"]):
        for entry in batch.column("source").value_counts().to_pylist():
            counts[entry["values"]] += entry["counts"]
    return dict(sorted(counts.items()))


def _losses(embeddings: Artifact) -> tuple[EpochLoss, ...]:
    if not embeddings.has_table("losses"):
        return ()
    rows = embeddings.read("losses").to_pylist()
    return tuple(EpochLoss(row["epoch"], row["mean_loss"]) for row in rows)
