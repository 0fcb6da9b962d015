"""Train: tokens to the embeddings of one model."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.stage import TASK_OPTIONS, perform


@task(name="train", **TASK_OPTIONS)
def train(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Train one model."""
    return perform(loaded, plan, step, provenance)
