"""The version of a registration: what it registers, under which gate, by which code."""

from __future__ import annotations

from pathlib import Path

from nightjar import schemas
from nightjar.code_digest import code_digest
from nightjar.config import PipelineConfig, RegistryConfig
from nightjar.model_files import model_code_digest
from nightjar.store import Identity

REVISION = 2
"""Raise it when this package registers the same inputs differently."""

MODEL_CODE_PATH = Path(__file__).with_name("model_code.py")
"""The code that MLflow runs to load a registered model."""


def registered_name(pipeline_name: str, model_name: str) -> str:
    """Name of the registered MLflow model."""
    return f"{pipeline_name}-{model_name}"


def experiment_name(pipeline: PipelineConfig, registry: RegistryConfig) -> str:
    """The MLflow experiment that the runs belong to."""
    return registry.experiment or pipeline.name


def registration_identity(
    pipeline: PipelineConfig,
    model_name: str,
    registry: RegistryConfig,
    embeddings_version: str,
    evaluation_version: str,
    replaces: str | None = None,
) -> Identity:
    """What a registration is made of; where MLflow is, is no part of it.

    ``replaces`` is the version of an earlier registration whose registry version no longer
    exists: a published artifact is never modified, so the repeated one gets a version of
    its own.
    """
    return Identity(
        stage=schemas.REGISTRATION,
        name=model_name,
        config={
            "registered_model": registered_name(pipeline.name, model_name),
            "experiment": experiment_name(pipeline, registry),
            "gate": registry.gate.model_dump(mode="json"),
            "replaces": replaces,
        },
        parents={
            schemas.EMBEDDINGS: embeddings_version,
            schemas.EVALUATION: evaluation_version,
        },
        code={
            "revision": REVISION,
            "model_code": code_digest("nightjar.registry.model_code"),
            "lookup": model_code_digest(),
        },
    )
