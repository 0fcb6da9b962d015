"""The stage: an evaluated model becomes a registered version, and the gate decides.

Registering can be killed at any point and repeated. The run, then the model, are logged
first; the registered version is made last, in one call with all its tags, and carries this
registration's version as a tag. So a version with that tag is complete, and a repeated
registration goes on with it: it applies the recorded decision again, unless the champion
has changed meanwhile.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from nightjar import schemas
from nightjar.progress import Progress
from nightjar.registry.client import EXISTS, ClientReader, connect, error_code, named_errors
from nightjar.registry.gate import CHALLENGER, CHAMPION, decide
from nightjar.registry.model_card import short_description
from nightjar.registry.packaging import active_run, log_model
from nightjar.registry.reading import RegisteredVersion
from nightjar.registry.runs import experiment_id, log_run, start_run
from nightjar.registry.summary import (
    ModelSummary,
    RegistrationRequest,
    check_whole,
    summarize,
)
from nightjar.registry.tags import (
    REGISTRATION_TAG,
    Verdict,
    gate_scores,
    lineage_tags,
    read_verdict,
    verdict_tags,
)
from nightjar.registry.uris import is_server, masked, mlflow_dir, tracking_uri
from nightjar.store import Staging

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Registrar:
    """One registration's connection to MLflow."""

    client: MlflowClient
    reader: ClientReader
    uri: str
    local_artifacts: Path | None
    summary: ModelSummary

    @property
    def name(self) -> str:
        return self.summary.request.registered_model


def register(request: RegistrationRequest, staging: Staging, progress: Progress) -> None:
    """Register one model, let the gate decide, and write the row ``registrations``.

    Raises ArtifactDamaged before anything is registered when the embeddings do not have
    their hashes, and RegistryUnavailable when MLflow does not answer. In memory: the
    model's vectors, which are loaded back, and its words.
    """
    progress.start(f"register {request.model_name}", 4, "steps")
    check_whole(request)
    progress.advance(1, "artifacts verified")
    summary = summarize(request)
    registrar = _connect(summary)
    progress.advance(1, "registry reached")
    with named_errors(registrar.uri):
        version = _registered_before(registrar)
        if version is None:
            version = _register_new(registrar)
        progress.advance(1, f"version {version.version}")
        verdict = _settle(registrar, version)
    _write(registrar, version, verdict, staging)
    progress.advance(1, verdict.decision.decision)
    logger.info(
        "registered %s version %d as %s: %s",
        version.name,
        version.version,
        verdict.decision.decision,
        verdict.decision.reason,
    )


def _connect(summary: ModelSummary) -> _Registrar:
    request = summary.request
    uri = tracking_uri(request.registry, request.artifacts_dir)
    artifacts = mlflow_dir(request.artifacts_dir) / "artifacts"
    client = connect(uri, artifacts)
    return _Registrar(
        client=client,
        reader=ClientReader(client, uri),
        uri=uri,
        local_artifacts=None if is_server(uri) else artifacts,
        summary=summary,
    )


def _registered_before(registrar: _Registrar) -> RegisteredVersion | None:
    """The version that an earlier, interrupted attempt made; its run is marked finished."""
    version = registrar.summary.request.identity.version
    found = registrar.reader.tagged(registrar.name, REGISTRATION_TAG, version)
    if not found:
        return None
    run_id = found[0].run_id
    if run_id and registrar.client.get_run(run_id).info.status == "RUNNING":
        registrar.client.set_terminated(run_id, "FINISHED")
    return found[0]


def _register_new(registrar: _Registrar) -> RegisteredVersion:
    """Log run and model, then make the version."""
    client, summary = registrar.client, registrar.summary
    request = summary.request
    experiment = experiment_id(
        client, request.pipeline, request.registry, registrar.local_artifacts
    )
    run_id = start_run(client, summary, experiment)
    tags = lineage_tags(summary)
    with active_run(registrar.uri, run_id):
        log_run(client, summary, run_id)
        model_uri = log_model(summary, tags)
        _ensure_registered_model(registrar)
        return _create_version(registrar, run_id, model_uri, tags)


def _ensure_registered_model(registrar: _Registrar) -> None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    request = registrar.summary.request
    try:
        registrar.client.create_registered_model(
            registrar.name,
            description=(
                f"Word vectors of the model {request.model_name} of the Nightjar pipeline "
                f"{request.pipeline.name}. Load models:/{registrar.name}@{CHAMPION}."
            ),
        )
    except MlflowException as error:
        if error_code(error) != EXISTS:
            raise


def _create_version(
    registrar: _Registrar, run_id: str, model_uri: str, tags: dict[str, str]
) -> RegisteredVersion:
    verdict = _judge(registrar, registrar.reader.alias(registrar.name, CHAMPION))
    created = registrar.client.create_model_version(
        registrar.name,
        model_uri,
        run_id,
        tags={**tags, **verdict_tags(verdict)},
        description=short_description(registrar.summary, verdict.decision),
        model_id=model_uri.removeprefix("models:/"),
    )
    return RegisteredVersion(
        name=registrar.name,
        version=int(created.version),
        run_id=run_id,
        tags=dict(created.tags),
        aliases=(),
    )


def _judge(registrar: _Registrar, champion: RegisteredVersion | None) -> Verdict:
    decision = decide(
        registrar.summary.gate_scores(),
        None if champion is None else gate_scores(champion),
        registrar.summary.request.registry.gate,
    )
    return Verdict(decision, None if champion is None else champion.version)


def _settle(registrar: _Registrar, version: RegisteredVersion) -> Verdict:
    """Point the alias where the decision says.

    The recorded decision holds while the champion is the one it was taken against, or is
    this version already; else the gate decides again, against today's champion.
    """
    client = registrar.client
    verdict = read_verdict(version.tags)
    champion = registrar.reader.alias(registrar.name, CHAMPION)
    current = None if champion is None else champion.version
    if verdict is None or current not in (verdict.previous_champion, version.version):
        verdict = _judge(registrar, champion)
        for key, value in verdict_tags(verdict).items():
            client.set_model_version_tag(registrar.name, str(version.version), key, value)
    _point_alias(registrar, verdict.decision.decision, version.version)
    if verdict.decision.decision == CHAMPION and CHALLENGER in version.aliases:
        client.delete_registered_model_alias(registrar.name, CHALLENGER)
    return verdict


def _point_alias(registrar: _Registrar, alias: str, number: int) -> None:
    registrar.client.set_registered_model_alias(registrar.name, alias, str(number))


def _write(
    registrar: _Registrar, version: RegisteredVersion, verdict: Verdict, staging: Staging
) -> None:
    request, decision = registrar.summary.request, verdict.decision
    row = {
        "model": request.model_name,
        "registered_model": version.name,
        "embeddings_version": request.embeddings.ref.version,
        "evaluation_version": request.evaluation.ref.version,
        "registry_version": version.version,
        "run_id": version.run_id,
        "decision": decision.decision,
        "reason": decision.reason,
        "score": decision.score,
        "coverage": decision.coverage,
        "champion_score": decision.champion_score,
        "previous_champion": verdict.previous_champion,
        "actor": request.actor,
        "time": datetime.now(UTC),
    }
    staging.write("registrations", pa.Table.from_pylist([row], schema=schemas.REGISTRATIONS_SCHEMA))
    staging.counts["registrations"] = 1
    staging.report.update(
        tracking_uri=masked(registrar.uri),
        registered_model=version.name,
        registry_version=version.version,
        decision=decision.decision,
    )
