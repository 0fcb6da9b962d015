"""Index: document vectors to what searches them."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.stage import TASK_OPTIONS, perform


@task(name="index", **TASK_OPTIONS)
def index(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Make one collection of documents searchable."""
    return perform(loaded, plan, step, provenance)
