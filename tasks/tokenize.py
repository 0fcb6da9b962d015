"""Tokenize: documents to sentences of token ids and the vocabulary."""

from __future__ import annotations

from prefect import task

from nightjar.config import LoadedConfig
from nightjar.pipeline import Plan, Provenance, Step
from nightjar.store import ArtifactRef
from tasks.reports import report_counts
from tasks.stage import TASK_OPTIONS, perform


@task(name="tokenize", **TASK_OPTIONS)
def tokenize(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Cut documents into sentences of tokens and count the vocabulary."""
    ref = perform(loaded, plan, step, provenance)
    report_counts(ref)
    return ref
