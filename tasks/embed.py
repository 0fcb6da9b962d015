"""Embed: documents to vectors."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.reports import report_counts
from tasks.stage import TASK_OPTIONS, perform


@task(name="embed", **TASK_OPTIONS)
def embed(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Give every document a vector, by one of the models or by a pre-trained encoder."""
    ref = perform(loaded, plan, step, provenance)
    report_counts(ref)
    return ref
