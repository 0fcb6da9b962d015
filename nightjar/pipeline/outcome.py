"""What a night came to, read back from what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nightjar import schemas
from nightjar.config import LoadedConfig
from nightjar.pipeline.planning import Plan
from nightjar.promotion import Event, read_standing
from nightjar.registry import CHAMPION, RegistryReader, open_reader, registered_name, tracking_uri
from nightjar.scores import Score, main_scores, read_scores
from nightjar.store import Store


@dataclass(frozen=True)
class ModelOutcome:
    """One model: its scores, its decision, and where to find it.

    ``scores`` holds the main score of each benchmark; empty while the model is not
    evaluated. ``registry_version`` and ``decision`` are None while it is not registered.
    """

    model: str
    registered_model: str
    embeddings_version: str
    n_words: int | None
    scores: Mapping[str, Score]
    registry_version: int | None
    decision: str | None
    reason: str | None
    champion: int | None = None
    """The version that the alias points to now, None if it points nowhere."""


def read_outcomes(loaded: LoadedConfig, plan: Plan) -> tuple[ModelOutcome, ...]:
    """The outcome of every model of ``plan``, as far as it is published.

    Raises RegistryUnavailable when it cannot be asked who is champion.
    """
    store = Store(loaded.artifacts_dir)
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    return tuple(_outcome(loaded, plan, store, reader, model) for model in plan.models)


def _outcome(
    loaded: LoadedConfig, plan: Plan, store: Store, reader: RegistryReader, model: str
) -> ModelOutcome:
    embeddings, evaluation = (
        plan.step(stage, model).ref for stage in (schemas.EMBEDDINGS, schemas.EVALUATION)
    )
    n_words = None
    scores: Mapping[str, Score] = {}
    entry: Event | None = read_standing(loaded).model(model).last_decision
    if store.is_published(embeddings.stage, embeddings.version):
        n_words = store.open(embeddings).rows("vectors")
    if store.is_published(evaluation.stage, evaluation.version):
        scores = main_scores(read_scores(store.open(evaluation)))
    name = registered_name(loaded.config.pipeline.name, model)
    champion = reader.alias(name, CHAMPION)
    return ModelOutcome(
        model=model,
        registered_model=name,
        embeddings_version=embeddings.version,
        n_words=n_words,
        scores=scores,
        registry_version=entry.new.number if entry and entry.new else None,
        decision=entry.kind if entry else None,
        reason=entry.reason if entry else None,
        champion=None if champion is None else champion.version,
    )
