"""Registering: turns an evaluated model into one version in MLflow. Decides nothing.

Registering can be killed at any point and repeated. First the run, then the model with the list
of its files is logged; the version is made last, in one call with all its tags, one of which is
the registration key. So a version with that tag is complete, and a repeated registration finds
it. The next attempt removes what a dead one left behind.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nightjar.progress import Progress
from nightjar.registry.client import asked_once, named_errors
from nightjar.registry.model_card import short_description
from nightjar.registry.packaging import active_run, log_model
from nightjar.registry.readers import RegisteredVersion, RegistryPlace
from nightjar.registry.registered_files import FILES_TAG, check_files_whole
from nightjar.registry.registered_names import KEY_TAG, find_registered
from nightjar.registry.removal import remove_leftovers
from nightjar.registry.runs import experiment_id, log_run, start_run
from nightjar.registry.summary import (
    ModelSummary,
    RegistrationRequest,
    check_whole,
    summarize,
)
from nightjar.registry.tags import NIGHT_TAG, TRIAL_TAG, lineage_tags
from nightjar.registry.writers import ClientWriter, check_owner, load_address, open_writer

logger = logging.getLogger(__name__)
_ATTEMPTS = 4


def ensure_registered(request: RegistrationRequest, progress: Progress) -> RegisteredVersion:
    """Return the version of these embeddings packaged by this code; make it unless it is intact.

    Moves no alias. Holds the model's words and, to check them, its vectors in memory. Raises
    ArtifactDamaged before anything is registered when the embeddings fail their hashes,
    ForeignModel when another ledger owns the registered model, RegistryUnavailable when MLflow does
    not answer.
    """
    place = RegistryPlace.of(request.registry, request.artifacts_dir)
    progress.start(f"register {request.model_name}", 4, "steps")
    reader, name = place.reader(), request.registered_model
    check_owner(place, name, reader.model_tags(name), request.ledger_id)
    found = find_registered(reader, name, request.embeddings.manifest.digest)
    if found is not None:
        problems = check_files_whole(place, found)
        if not problems:
            progress.advance(4, f"version {found.version}")
            return _claimed(place, found, request)
        logger.warning("%s; it is registered again", problems[0])
        open_writer(place).set_aside(found)
    check_whole(request)
    progress.advance(1, "artifacts verified")
    summary = summarize(request)
    registrar = _Registrar(place, ClientWriter(place), summary)
    progress.advance(1, "registry reached")
    with named_errors(place.uri):
        version = registrar.register(progress)
    progress.advance(1, f"version {version.version}")
    logger.info("registered %s version %d", version.name, version.version)
    return version


def _claimed(
    place: RegistryPlace, found: RegisteredVersion, request: RegistrationRequest
) -> RegisteredVersion:
    """Hand a version that a trial made over to the first night that needs it."""
    if request.is_trial or TRIAL_TAG not in found.tags:
        return found
    client = ClientWriter(place).client
    number = str(found.version)
    with named_errors(place.uri):
        if request.night is not None:
            client.set_model_version_tag(found.name, number, NIGHT_TAG, str(request.night))
        client.delete_model_version_tag(found.name, number, TRIAL_TAG)
    claimed = place.reader().version(found.name, found.version)
    return claimed or found


@dataclass(frozen=True)
class _Registrar:
    """A registration with its connection to MLflow."""

    place: RegistryPlace
    writer: ClientWriter
    summary: ModelSummary

    def register(self, progress: Progress) -> RegisteredVersion:
        """Log run and model, then make the version."""
        request, client = self.summary.request, self.writer.client
        self._claim()
        experiment = experiment_id(
            client, request.pipeline, request.registry, self._local_artifacts
        )
        remove_leftovers(self.place, client, experiment, request.registered_model)
        run_id = start_run(client, self.summary, experiment)
        tags = lineage_tags(self.summary)
        with active_run(self.place.uri, run_id):
            log_run(client, self.summary, run_id)
            logged = log_model(self.place, client, self.summary, tags)
            progress.advance(1, "model stored")
            tags[FILES_TAG] = logged.files_sha256
            return self._create_version(run_id, logged.model_id, tags)

    @property
    def _local_artifacts(self) -> Path | None:
        return None if self.place.is_server else self.place.local_artifacts

    def _claim(self) -> None:
        request = self.summary.request
        name = request.registered_model
        description = (
            f"Word vectors of the model {request.model_name} of the Nightjar pipeline "
            f"{request.pipeline.name}. Load {load_address(name)}."
        )
        self.writer.claim(name, request.ledger_id, description)

    def _create_version(
        self, run_id: str, model_id: str, tags: dict[str, str]
    ) -> RegisteredVersion:
        """Make one version, however often an answer of the server is lost."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        name = self.summary.request.registered_model
        for attempt in range(_ATTEMPTS):
            try:
                with asked_once():
                    self.writer.client.create_model_version(
                        name,
                        f"models:/{model_id}",
                        run_id,
                        tags=tags,
                        description=short_description(self.summary),
                        model_id=model_id,
                    )
                break
            except (MlflowException, OSError):
                # Perhaps the version was made, and only the answer was lost.
                if self._made(name, run_id, tags):
                    break
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(2**attempt)
        first, *more = self._made(name, run_id, tags)
        for version in more:  # a request that seemed lost was only late
            self.writer.client.delete_model_version(name, str(version.version))
        return first

    def _made(self, name: str, run_id: str, tags: Mapping[str, str]) -> list[RegisteredVersion]:
        """The versions that were made of the run, in ascending order."""
        found = self.place.reader().tagged(name, KEY_TAG, tags[KEY_TAG])
        return [version for version in found if version.run_id == run_id]
