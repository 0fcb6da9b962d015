"""The MLflow run of a model: parameters, metrics, datasets, scores, card."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightjar.config import PipelineConfig, RegistryConfig
from nightjar.errors import ConfigError
from nightjar.registry.client import EXISTS, error_code
from nightjar.registry.model_card import CARD_NAME, model_card, parameter_text
from nightjar.registry.registered_names import experiment_name
from nightjar.registry.score_plot import score_plot
from nightjar.registry.summary import ModelSummary
from nightjar.registry.tags import lineage_tags
from nightjar.scoring.scores import ALL, Score
from nightjar.store import Artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Experiment

logger = logging.getLogger(__name__)

SCORES_FILE = "scores.json"
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
"""Lets MLflow's page show runs, metrics and models, in releases that ask the experiment for its
mode. Others ask the address: :func:`~.uris.page_of`."""
_MAX_PARAMS = 100
_MAX_METRICS = 1_000
_MAX_KEY = 250
_ILLEGAL = re.compile(r"[^\w\-. ]")


@dataclass(frozen=True)
class RunMetric:
    """One value of a metric; ``step`` is the epoch, 0 where there is none."""

    key: str
    value: float
    step: int = 0


def experiment_id(
    client: MlflowClient,
    pipeline: PipelineConfig,
    registry: RegistryConfig,
    artifacts: Path | None,
) -> str:
    """Return the id of the pipeline's experiment, which is made if it is missing.

    ``artifacts`` is the place for its files; None leaves that to the tracking server. An
    experiment keeps its original place even when the database is moved.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    name = experiment_name(pipeline, registry)
    found: Experiment | None = client.get_experiment_by_name(name)
    if found is None:
        location = None if artifacts is None else artifacts.absolute().as_uri()
        try:
            tags = {KIND_TAG: KIND}
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException as error:
            if error_code(error) != EXISTS:
                raise
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise ConfigError(
            f"the MLflow experiment {name!r} is deleted; restore it in MLflow, or name another "
            f"one in registry.experiment"
        )
    if KIND_TAG not in found.tags:  # made by an earlier release, or by hand
        client.set_experiment_tag(found.experiment_id, KIND_TAG, KIND)
    if artifacts is not None and found.artifact_location != artifacts.absolute().as_uri():
        logger.warning(
            "the MLflow experiment %r keeps its files in %s, not in %s: the artifact directory "
            "was moved or copied",
            name,
            found.artifact_location,
            artifacts,
        )
    return str(found.experiment_id)


def start_run(client: MlflowClient, summary: ModelSummary, experiment: str) -> str:
    """Create the run and return its id."""
    tags = {
        **lineage_tags(summary),
        "mlflow.user": summary.request.actor,
        "mlflow.source.name": "nightjar",
        "mlflow.source.type": "JOB",
        "mlflow.loggedArtifacts": json.dumps([{"path": SCORES_FILE, "type": "table"}]),
    }
    if summary.request.git_commit:
        tags["mlflow.source.git.commit"] = summary.request.git_commit
    run_name = summary.request.model_name
    return str(client.create_run(experiment, tags=tags, run_name=run_name).info.run_id)


def log_run(client: MlflowClient, summary: ModelSummary, run_id: str) -> None:
    """Log everything except the model itself."""
    from mlflow.entities import Metric, Param  # noqa: PLC0415

    now = int(time.time() * 1000)
    found = [Metric(entry.key, entry.value, now, entry.step) for entry in metrics(summary)]
    for start in range(0, len(found), _MAX_METRICS):
        client.log_batch(run_id, metrics=found[start : start + _MAX_METRICS])
    values = [Param(key, parameter_text(value)) for key, value in summary.parameters.items()]
    for start in range(0, len(values), _MAX_PARAMS):
        client.log_batch(run_id, params=values[start : start + _MAX_PARAMS])
    client.log_inputs(run_id, datasets=_datasets(summary))
    client.log_text(run_id, model_card(summary), CARD_NAME)
    client.log_text(run_id, score_plot(summary), "scores.svg")
    client.log_dict(run_id, _score_table(summary), SCORES_FILE)


def _score_table(summary: ModelSummary) -> dict[str, list[Any]]:
    """Every score, as a table for MLflow (``mlflow.load_table``)."""
    columns = [*Score.__dataclass_fields__, "coverage"]
    rows = [[getattr(score, column) for column in columns] for score in summary.scores]
    return {"columns": columns, "data": rows}


def metrics(summary: ModelSummary) -> Iterator[RunMetric]:
    """Yield every score with its interval and coverage, the losses, seconds and sizes.

    ``wordsim353.spearman`` covers all items of a benchmark,
    ``google-analogies.family.accuracy`` one category.
    """
    named: dict[str, float | None] = {}
    for score in summary.scores:
        named |= _score_metrics(score)
    named["training.seconds"] = summary.request.embeddings.manifest.seconds
    named["vocabulary.words"] = summary.n_words
    for key, value in named.items():
        if value is not None:
            yield RunMetric(key, float(value))
    for loss in summary.losses:
        yield RunMetric("training.mean_loss", loss.mean_loss, loss.epoch)


def _score_metrics(score: Score) -> dict[str, float | None]:
    category = "" if score.category == ALL else f".{score.category}"
    prefix = _ILLEGAL.sub("_", f"{score.benchmark}{category}")[: _MAX_KEY - 50]
    return {
        f"{prefix}.{score.metric}": score.value,
        f"{prefix}.{score.metric}.ci_low": score.ci_low,
        f"{prefix}.{score.metric}.ci_high": score.ci_high,
        f"{prefix}.coverage": score.coverage,
        f"{prefix}.n_items": score.n_items,
        f"{prefix}.n_covered": score.n_covered,
    }


def _datasets(summary: ModelSummary) -> list[DatasetInput]:
    corpus, request = summary.corpus, summary.request
    if corpus is None or request.source is None or request.tokens is None:
        return []  # imported
    sizes = {"num_rows": corpus.n_sentences, "vocabulary": corpus.n_distinct_tokens}
    name = request.pipeline.name
    return [
        _dataset(
            f"{name}-{request.source.ref.stage}", request.source, {"num_rows": corpus.n_units}
        ),
        _dataset(f"{name}-tokens", request.tokens, sizes),
    ]


def _dataset(name: str, artifact: Artifact, size: dict[str, int]) -> DatasetInput:
    """An artifact as an MLflow input: its location, and its version as digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

    return DatasetInput(
        dataset=Dataset(
            name=name,
            digest=artifact.ref.version,
            source_type="local",
            source=json.dumps({"uri": artifact.directory.absolute().as_uri()}),
            profile=json.dumps(size),
        ),
        tags=[InputTag("mlflow.data.context", "training")],
    )
