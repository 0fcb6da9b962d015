"""The outcome of a night, read back from its record and from what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nightjar.config import LoadedConfig
from nightjar.core import Night
from nightjar.registry import CHAMPION, open_reader, registered_name, tracking_uri
from nightjar.store import Store, schemas
from nightjar.store.scores import Score, main_scores, read_scores


@dataclass(frozen=True)
class ModelOutcome:
    """One model: its scores, its decision, and where to find it.

    ``scores`` holds the main score of each benchmark, empty until the model is evaluated.
    ``registry_version`` and ``decision`` are None until it is judged.
    """

    model: str
    registered_model: str
    embeddings_version: str | None
    n_words: int | None
    scores: Mapping[str, Score]
    registry_version: int | None
    decision: str | None
    """"promoted", "blocked", "waiting" or "unchanged" (it is the champion)."""
    reason: str | None
    note: str = ""
    """A remark, such as held or trial."""
    champion: int | None = None
    """The version that the alias points to now; None if it points nowhere."""


def read_outcomes(loaded: LoadedConfig, night: Night) -> tuple[ModelOutcome, ...]:
    """Read the outcome of every configured model in ``night``, as far as it got.

    Raises RegistryUnavailable when the champions cannot be looked up.
    """
    return tuple(_outcome(loaded, night, model) for model in loaded.config.models)


def _outcome(loaded: LoadedConfig, night: Night, model: str) -> ModelOutcome:
    store = Store(loaded.artifacts_dir)
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    embeddings = night.version(schemas.EMBEDDINGS, model)
    evaluation = night.version(schemas.EVALUATION, model)
    n_words = None
    if embeddings is not None and store.is_published(schemas.EMBEDDINGS, embeddings):
        n_words = store.open(store.ref(schemas.EMBEDDINGS, embeddings)).rows("vectors")
    scores: Mapping[str, Score] = {}
    if evaluation is not None and store.is_published(schemas.EVALUATION, evaluation):
        scores = main_scores(read_scores(store.open(store.ref(schemas.EVALUATION, evaluation))))
    decision = next((found for found in night.decisions if found["model"] == model), None)
    name = registered_name(loaded.config.pipeline.name, model)
    champion = reader.alias(name, CHAMPION)
    return ModelOutcome(
        model=model,
        registered_model=name,
        embeddings_version=embeddings,
        n_words=n_words,
        scores=scores,
        registry_version=None if decision is None else decision["candidate"]["version"],
        decision=None if decision is None else decision["outcome"],
        reason=None if decision is None else decision["reason"],
        note="" if decision is None else decision["note"],
        champion=None if champion is None else champion.version,
    )
