"""Report: documents and tokens to the corpus report."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.reports import report_page
from tasks.stage import TASK_OPTIONS, perform


@task(name="report", **TASK_OPTIONS)
def report(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Measure the corpus, draw the page, log both to MLflow."""
    ref = perform(loaded, plan, step, provenance)
    report_page(loaded, ref)
    return ref
