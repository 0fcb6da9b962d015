"""The MLflow run of a corpus report: figures as metrics, the page and its tables as files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nightjar.config import PipelineConfig, RegistryConfig
from nightjar.registry.client import connect, named_errors
from nightjar.registry.runs import experiment_id
from nightjar.registry.uris import is_server, mlflow_dir, tracking_uri

REPORT_TAG = "nightjar.corpus_report_version"


@dataclass(frozen=True)
class CorpusRun:
    """What is logged about a corpus report."""

    pipeline: PipelineConfig
    registry: RegistryConfig
    artifacts_dir: Path
    version: str
    """Version of the report."""
    tags: Mapping[str, str]
    metrics: Mapping[str, int]
    files: tuple[Path, ...]
    actor: str


@dataclass(frozen=True)
class LoggedRun:
    """Where it was logged."""

    experiment_id: str
    run_id: str


def log_corpus(run: CorpusRun) -> LoggedRun:
    """Log the report to the pipeline's experiment; repeated calls log it only once.

    Raises RegistryUnavailable when MLflow does not answer.
    """
    uri = tracking_uri(run.registry, run.artifacts_dir)
    artifacts = mlflow_dir(run.artifacts_dir) / "artifacts"
    client = connect(uri, artifacts)
    with named_errors(uri):
        from mlflow.entities import Metric  # noqa: PLC0415

        local = None if is_server(uri) else artifacts
        experiment = experiment_id(client, run.pipeline, run.registry, local)
        for found in client.search_runs([experiment], f"tags.`{REPORT_TAG}` = '{run.version}'"):
            if found.info.status == "FINISHED":
                return LoggedRun(experiment, found.info.run_id)
            client.set_terminated(found.info.run_id, "KILLED")
        tags = {
            **run.tags,
            REPORT_TAG: run.version,
            "mlflow.user": run.actor,
            "mlflow.source.name": "nightjar",
            "mlflow.source.type": "JOB",
        }
        run_id: str = client.create_run(experiment, tags=tags, run_name="corpus").info.run_id
        now = int(time.time() * 1000)
        metrics = [Metric(f"corpus.{key}", value, now, 0) for key, value in run.metrics.items()]
        client.log_batch(run_id, metrics=metrics)
        for path in run.files:
            client.log_artifact(run_id, str(path), "corpus")
        client.set_terminated(run_id, "FINISHED")
    return LoggedRun(experiment, run_id)
