"""What an embeddings artifact depends on."""

from __future__ import annotations

from nightjar.config.models import ModelConfig, TrainingConfig
from nightjar.schemas import EMBEDDINGS, TOKENS
from nightjar.store import Identity
from nightjar.training.trainer import engine_of


def model_seed(model: ModelConfig, training: TrainingConfig) -> int:
    """The model's own seed, or that of all models."""
    return training.seed if model.seed is None else model.seed


def embeddings_identity(
    name: str, model: ModelConfig, training: TrainingConfig, tokens_version: str
) -> Identity:
    """The identity of the embeddings that ``model`` gives on those tokens.

    The number of workers is no part of it: it changes the result only as much as running
    again does, and not at all when ``training.deterministic`` is on.
    """
    seed = model_seed(model, training)
    return Identity(
        stage=EMBEDDINGS,
        name=name,
        config={
            "name": name,
            "model": {**model.model_dump(mode="json"), "seed": seed},
            "deterministic": training.deterministic,
        },
        parents={TOKENS: tokens_version},
        code=engine_of(model).code(),
    )
