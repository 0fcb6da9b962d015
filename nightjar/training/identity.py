"""What the artifacts of training depend on."""

from __future__ import annotations

from nightjar.config.models import GloVeConfig, ModelConfig, TrainingConfig
from nightjar.schemas import COOCCURRENCES, EMBEDDINGS, TOKENS
from nightjar.store import Identity, library_versions
from nightjar.training.kernels import sources_sha256
from nightjar.training.trainer import engine_of

COUNTING_REVISION = 1
"""Raised whenever a change of our own code changes the counts."""


def model_seed(model: ModelConfig, training: TrainingConfig) -> int:
    """The model's own seed, or that of all models."""
    return training.seed if model.seed is None else model.seed


def cooccurrences_identity(model: ModelConfig, tokens_version: str) -> Identity | None:
    """The identity of the co-occurrences that ``model`` learns from; None if from none.

    Only what shapes the counts: models that differ in anything else share them.
    """
    if not isinstance(model, GloVeConfig):
        return None
    config = model.model_dump(
        mode="json",
        include={"min_count", "max_vocabulary", "window", "symmetric", "distance_weighting"},
    )
    return Identity(
        stage=COOCCURRENCES,
        name="",
        config=config,
        parents={TOKENS: tokens_version},
        code={
            "revision": COUNTING_REVISION,
            "libraries": library_versions("numba", "numpy"),
            "kernels": sources_sha256(),
        },
    )


def embeddings_identity(
    name: str, model: ModelConfig, training: TrainingConfig, tokens_version: str
) -> Identity:
    """The identity of the embeddings that ``model`` gives on those tokens.

    The number of workers is no part of it: it changes the result only as much as running
    again does, and not at all when ``training.deterministic`` is on.
    """
    seed = model_seed(model, training)
    parents = {TOKENS: tokens_version}
    cooccurrences = cooccurrences_identity(model, tokens_version)
    if cooccurrences is not None:
        parents[COOCCURRENCES] = cooccurrences.version
    return Identity(
        stage=EMBEDDINGS,
        name=name,
        config={
            "name": name,
            "model": {**model.model_dump(mode="json"), "seed": seed},
            "deterministic": training.deterministic,
        },
        parents=parents,
        code=engine_of(model).code(),
    )
