"""Evaluate: the embeddings of one model to its scores."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.stage import TASK_OPTIONS, perform


@task(name="evaluate", **TASK_OPTIONS)
def evaluate(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Score one model on every benchmark."""
    return perform(loaded, plan, step, provenance)
