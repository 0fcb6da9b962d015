"""Register: one evaluated model to a version in the registry, through the gate."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.reports import report_registration
from tasks.stage import TASK_OPTIONS, perform


@task(name="register", **TASK_OPTIONS)
def register(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Register one model; the alias champion moves only through the gate."""
    ref = perform(loaded, plan, step, provenance)
    report_registration(loaded, ref)
    return ref
