"""What a run leaves in the Prefect UI: counts, scores, decisions and links, as artifacts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_table_artifact,
)

from nightjar.config import LoadedConfig
from nightjar.corpus_report import PAGE
from nightjar.pipeline import ModelOutcome
from nightjar.registry import masked, tracking_uri
from nightjar.store import Artifact, ArtifactRef, Store


def report_counts(ref: ArtifactRef) -> None:
    """A table of what the stage read, kept and dropped, and a link to the artifact."""
    manifest = _open(ref).manifest
    rows = [{"what": name, "count": count} for name, count in manifest.counts.items()]
    key = _key(f"{ref.stage}-{manifest.name}-counts")
    create_table_artifact(rows, key=key, description=f"{ref}")
    _link(ref, manifest.name)


def report_page(loaded: LoadedConfig, ref: ArtifactRef) -> None:
    """The figures of the corpus, and links to the page and to its MLflow run."""
    manifest = _open(ref).manifest
    rows = [{"what": name, "count": count} for name, count in manifest.counts.items()]
    create_table_artifact(rows, key="corpus-figures", description=f"{ref}")
    create_link_artifact(
        f"file://{ref.path}/{PAGE}", link_text="the corpus report", key="corpus-report"
    )
    uri = masked(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    if uri.startswith(("http://", "https://")):
        place = f"experiments/{manifest.report['experiment_id']}/runs/{manifest.report['run_id']}"
        create_link_artifact(
            f"{uri.rstrip('/')}/#/{place}/artifacts",
            link_text="the corpus report in MLflow",
            key="corpus-report-mlflow",
        )


def report_scores(outcomes: Sequence[ModelOutcome]) -> None:
    """One table of the night: models, scores with coverage, decisions."""
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        row: dict[str, Any] = {"model": outcome.model}
        for benchmark, score in outcome.scores.items():
            row[benchmark] = None if score.value is None else round(score.value, 4)
            row[f"{benchmark} covered"] = f"{score.n_covered}/{score.n_items}"
        row |= {
            "version": outcome.registry_version,
            "decision": outcome.decision,
            "reason": outcome.reason,
        }
        rows.append(row)
    create_table_artifact(rows, key="nightly-scores", description="Scores and decisions")


def _open(ref: ArtifactRef) -> Artifact:
    return Store(Path(ref.path).parents[1]).open(ref)


def _link(ref: ArtifactRef, model: str = "") -> None:
    create_link_artifact(
        f"file://{ref.path}/manifest.json",
        link_text=str(ref),
        key=_key(f"{ref.stage}-{model}" if model else f"{ref.stage}-artifact"),
        description=f"manifest of {ref}",
    )


def _key(text: str) -> str:
    """A Prefect artifact key: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
