"""Ingest: sources to the documents artifact."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.reports import report_counts
from tasks.stage import TASK_OPTIONS, perform


@task(name="ingest", **TASK_OPTIONS)
def ingest(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Read every source, keep whole documents, quarantine the rest."""
    ref = perform(loaded, plan, step, provenance)
    report_counts(ref)
    return ref
