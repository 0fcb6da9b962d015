"""Count: tokens to the co-occurrences that GloVe learns from."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.stage import TASK_OPTIONS, perform


@task(name="count", **TASK_OPTIONS)
def count(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Count which words occur near each other, for every model that shares the counts."""
    return perform(loaded, plan, step, provenance)
