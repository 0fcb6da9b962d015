"""The names of a registration: model, experiment, and the key that makes it unique."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from nightjar.config import PipelineConfig, RegistryConfig
from nightjar.formats.model_files import model_code_digest
from nightjar.kernels.code_digest import code_digest
from nightjar.registry.readers import RegisteredVersion, RegistryReader
from nightjar.store import fingerprint

REVISION = 3
"""Raise it when this package starts to register the same embeddings differently."""

MODEL_CODE_PATH = Path(__file__).with_name("model_code.py")
"""The code that MLflow runs to load a registered model."""

KEY_TAG = "nightjar.registration_key"


def registered_name(pipeline_name: str, model_name: str) -> str:
    """Name of the registered MLflow model."""
    return f"{pipeline_name}-{model_name}"


def experiment_name(pipeline: PipelineConfig, registry: RegistryConfig) -> str:
    """The MLflow experiment that the runs belong to."""
    return registry.experiment or pipeline.name


def registration_key(name: str, embeddings_digest: str) -> str:
    """The key under which one version is made: these bytes, this name, this packaging code."""
    return fingerprint(
        {"registered_model": name, "embeddings": embeddings_digest, "code": _packaging_code()}
    )


@cache
def _packaging_code() -> str:
    return fingerprint(
        {
            "revision": REVISION,
            "model_code": code_digest("nightjar.registry.model_code"),
            "lookup": model_code_digest(),
        }
    )


def find_registered(
    reader: RegistryReader, name: str, embeddings_digest: str
) -> RegisteredVersion | None:
    """The newest version of ``name`` that was made for these embeddings by this code."""
    found = reader.tagged(name, KEY_TAG, registration_key(name, embeddings_digest))
    return found[-1] if found else None
