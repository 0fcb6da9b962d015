"""A run's reports in the Prefect UI: counts, scores, decisions and links, as artifacts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from nightjar.config import LoadedConfig
from nightjar.core import Night
from nightjar.pipeline import ModelOutcome, Step
from nightjar.registry import RegisteredVersion, RegistrationRequest, masked, tracking_uri
from nightjar.store import Store


def report_step(loaded: LoadedConfig, step: Step) -> None:
    """Report what a stage read, kept and dropped, with links to its artifact and its page."""
    manifest = Store(loaded.artifacts_dir).open(step.ref).manifest
    rows = [{"what": name, "count": count} for name, count in manifest.counts.items()]
    key = _key(f"{step.stage}-{step.subject}")
    create_table_artifact(rows, key=f"{key}-counts", description=f"{step.ref}")
    create_link_artifact(
        f"file://{step.ref.path}/manifest.json",
        link_text=str(step.ref),
        key=f"{key}-artifact",
        description=f"manifest of {step.ref}",
    )
    if not step.work.page:
        return
    create_link_artifact(
        f"file://{step.ref.path}/{step.work.page}", link_text=step.label, key=f"{key}-page"
    )
    uri = masked(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    if uri.startswith(("http://", "https://")) and "run_id" in manifest.report:
        place = f"experiments/{manifest.report['experiment_id']}/runs/{manifest.report['run_id']}"
        create_link_artifact(
            f"{uri.rstrip('/')}/#/{place}/artifacts",
            link_text=f"{step.label} in MLflow",
            key=f"{key}-mlflow",
        )


def report_registered(request: RegistrationRequest, version: RegisteredVersion) -> None:
    """Report a link to the registered version."""
    uri = masked(tracking_uri(request.registry, request.artifacts_dir))
    if uri.startswith(("http://", "https://")):
        create_link_artifact(
            f"{uri.rstrip('/')}/#/models/{version.name}/versions/{version.version}",
            link_text=f"{version.name} version {version.version}",
            key=f"registry-{_key(request.model_name)}",
        )


def report_night(night: Night, outcomes: Sequence[ModelOutcome]) -> None:
    """Report the decisions of the night with their reasons, and its alarms."""
    lines = [
        f"- **{found['model']}** {found['outcome']}: {found['reason']}" for found in night.decisions
    ]
    lines += [f"- **alarm**: {alarm}" for alarm in night.alarms]
    create_markdown_artifact(
        "\n".join(lines) or "nothing was decided",
        key="decisions",
        description=f"night {night.number}",
    )
    report_scores(outcomes)


def report_scores(outcomes: Sequence[ModelOutcome]) -> None:
    """Report a table of the night: models, scores with coverage, decisions."""
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        row: dict[str, Any] = {"model": outcome.model}
        for benchmark, score in outcome.scores.items():
            row[benchmark] = None if score.value is None else round(score.value, 4)
            row[f"{benchmark} covered"] = f"{score.n_covered}/{score.n_items}"
        row |= {
            "version": outcome.registry_version,
            "decision": outcome.decision,
            "champion": outcome.champion,
            "reason": outcome.reason,
        }
        rows.append(row)
    create_table_artifact(rows, key="nightly-scores", description="Scores and decisions")


def _key(text: str) -> str:
    """Make a Prefect artifact key: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
