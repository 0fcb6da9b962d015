"""Deleting registered versions: for good where the registry is local, softly on a server.

MLflow deletes softly: it marks rows and keeps files until ``mlflow gc`` runs where the server's
database and files are; :func:`gc_command` returns that command while it is due. When the
registry is a database that we reach ourselves, files, runs and logged models are removed at
once. Only the row that MLflow marks as deleted stays, without tags, so that the version's
number is never used again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightjar.errors import InputError
from nightjar.registry.client import MISSING, ClientReader, error_code, named_errors
from nightjar.registry.readers import MODEL_URI, RegisteredVersion, RegistryPlace
from nightjar.registry.registered_files import downloads_dir, known_directories, local_directory
from nightjar.registry.registered_names import KEY_TAG
from nightjar.registry.tags import REGISTERED_MODEL_TAG
from nightjar.registry.uris import masked
from nightjar.registry.writers import ClientWriter
from nightjar.store import delete

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_FINISHED = "FINISHED"
_RUNNING = "RUNNING"
_ACTIVE = "active"
_MODEL_TAG = "nightjar.deleted_model"
"""Tag of a deleted run: the logged model that was deleted with it, for :func:`gc_command`."""


@dataclass(frozen=True)
class Deletion:
    """The result of deleting a version."""

    n_bytes: int
    """Bytes freed on the disk."""
    kept_for: tuple[str, ...] = ()
    """Other registered versions that use the same files, which were therefore kept."""


def delete_version(place: RegistryPlace, version: RegisteredVersion) -> Deletion:
    """Delete a version with its logged model and its run.

    It can be killed at any point and repeated. Raises InputError when an alias points to the
    version, RegistryUnavailable.
    """
    client = ClientWriter(place).client
    with named_errors(place.uri):
        current = ClientReader(client, place.uri).version(version.name, version.version)
        if current is None:
            return Deletion(0)
        if current.aliases:
            raise InputError(
                f"{version.name} version {version.version} is not deleted: the alias "
                f"{', '.join(current.aliases)} points to it"
            )
        if KEY_TAG in current.tags:  # from now on no registration finds it
            with _unless_missing():
                client.delete_model_version_tag(version.name, str(version.version), KEY_TAG)
        others = tuple(_made_of_the_same(client, version))
        deletion = Deletion(0, kept_for=others)
        if not others:
            deletion = _delete_origin(place, client, version)
        with _unless_missing():
            client.delete_model_version(version.name, str(version.version))
        if not place.is_server:
            _forget_tags(place, version.name)
    shutil.rmtree(downloads_dir(place, version), ignore_errors=True)
    logger.info("deleted %s version %d: %s", version.name, version.version, deletion)
    return deletion


def bytes_of_version(place: RegistryPlace, version: RegisteredVersion) -> int:
    """Bytes that the files of a version and of its run take on this disk."""
    models = known_directories(place, version)
    found = [next((path for path in models if path.is_dir()), None), downloads_dir(place, version)]
    n_bytes = sum(_bytes_below(path) for path in found if path is not None and not place.is_server)
    return n_bytes + (bytes_of_run(place, version.run_id) if version.run_id else 0)


def bytes_of_run(place: RegistryPlace, run_id: str) -> int:
    """Bytes that the files of a run take on this disk."""
    return 0 if place.is_server else _bytes_below(place.local_artifacts / run_id / "artifacts")


def _bytes_below(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def delete_run(place: RegistryPlace, run_id: str) -> int:
    """Delete a run that no version uses, with its files; return the bytes freed.

    A run that does not exist is not an error. Raises RegistryUnavailable.
    """
    client = ClientWriter(place).client
    with named_errors(place.uri):
        return _delete_run(place, client, run_id)


def gc_command(place: RegistryPlace, experiment: str) -> str | None:
    """The command that removes what was deleted in ``experiment`` from the server's disk.

    None when there is nothing to remove, or no server. Raises RegistryUnavailable.
    """
    if not place.is_server:
        return None
    client = ClientWriter(place).client
    with named_errors(place.uri):
        from mlflow.entities import ViewType  # noqa: PLC0415

        found = client.get_experiment_by_name(experiment)
        if found is None:
            return None
        search = partial(client.search_runs, run_view_type=ViewType.DELETED_ONLY)
        source = "tags.`mlflow.source.name` = 'nightjar'"
        runs = list(_pages(search, [found.experiment_id], source))
    if not runs:
        return None
    models = [run.data.tags[_MODEL_TAG] for run in runs if _MODEL_TAG in run.data.tags]
    ids = [("--run-ids", [run.info.run_id for run in runs]), ("--logged-model-ids", models)]
    options = "".join(f" {option} {','.join(found)}" for option, found in ids if found)
    return (
        f"mlflow gc --backend-store-uri DATABASE_OF_THE_SERVER "
        f"--tracking-uri {masked(place.uri)}{options}"
    )


def _made_of_the_same(client: MlflowClient, version: RegisteredVersion) -> Iterator[str]:
    """Other versions of the same logged model or run, as ``copy_model_version`` makes them."""
    sources = [version.source, f"{MODEL_URI}{version.name}/{version.version}"]
    conditions = [f"source_path = '{source}'" for source in sources if source]
    if version.run_id:
        conditions.append(f"run_id = '{version.run_id}'")
    found = {
        (other.name, int(other.version))
        for condition in conditions
        for other in client.search_model_versions(condition)
    }
    for name, number in sorted(found - {(version.name, version.version)}):
        yield f"{name} version {number}"


def _delete_origin(
    place: RegistryPlace, client: MlflowClient, version: RegisteredVersion
) -> Deletion:
    """Delete the logged model and the run behind a version."""
    model_id, run_id = version.model_id, version.run_id
    n_bytes = 0
    if model_id is not None:
        n_bytes += _delete_logged_model(place, client, model_id, known_directories(place, version))
    if run_id:
        n_bytes += _delete_run(place, client, run_id, model_id)
    return Deletion(n_bytes)


def _delete_logged_model(
    place: RegistryPlace, client: MlflowClient, model_id: str, directories: Iterable[Path]
) -> int:
    """Delete a logged model; return the bytes freed."""
    location = ""
    with _unless_missing():  # an earlier attempt may have got further
        location = client.get_logged_model(model_id).artifact_location
        client.delete_logged_model(model_id)
    if place.is_server:
        return 0
    n_bytes = _delete_files(place, location, directories)
    with _unless_missing():
        _tracking_store(place)._hard_delete_logged_model(model_id)  # noqa: SLF001 (as mlflow gc)
    return n_bytes


def _delete_run(
    place: RegistryPlace, client: MlflowClient, run_id: str, model_id: str | None = None
) -> int:
    """Delete a run that logged the deleted ``model_id``; return the bytes freed."""
    location = ""
    with _unless_missing():
        run = client.get_run(run_id)
        location = run.info.artifact_uri
        if run.info.lifecycle_stage == _ACTIVE:
            if place.is_server and model_id is not None:  # MLflow no longer finds a deleted model
                client.set_tag(run_id, _MODEL_TAG, model_id)
            client.delete_run(run_id)
    if place.is_server:
        return 0
    n_bytes = _delete_files(place, location, [place.local_artifacts / run_id / "artifacts"])
    with _unless_missing():
        _tracking_store(place)._hard_delete_run(run_id)  # noqa: SLF001 (as mlflow gc)
    return n_bytes


def _delete_files(place: RegistryPlace, location: str, directories: Iterable[Path]) -> int:
    """Delete the first of ``directories`` that exists, else ``location``; return the bytes freed.

    The first one is beside the artifacts: after a copy MLflow still names the original's.
    """
    named = local_directory(location)
    found = next((place for place in [*directories, *named] if place.is_dir()), None)
    if found is not None:
        n_bytes = _bytes_below(found)
        if not delete(found, place.artifacts_dir):
            shutil.rmtree(found)
        with suppress(OSError):  # MLflow's folder of the run or model, unless more is in it
            found.parent.rmdir()
        return n_bytes
    if location and not named:
        from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415
            get_artifact_repository,
        )

        repository: Any = get_artifact_repository(location)
        repository.delete_artifacts()
    return 0


def _forget_tags(place: RegistryPlace, name: str) -> None:
    """Delete the tags that MLflow keeps for deleted versions of a registered model."""
    from mlflow.entities.model_registry.model_version_stages import (  # noqa: PLC0415
        STAGE_DELETED_INTERNAL,
    )
    from mlflow.store.model_registry.dbmodels.models import (  # noqa: PLC0415
        SqlModelVersion,
        SqlModelVersionTag,
    )
    from mlflow.tracking._model_registry.utils import _get_store  # noqa: PLC0415

    store: Any = _get_store(place.uri)  # type: ignore[no-untyped-call]
    with store.ManagedSessionMaker(read_only=False) as session:
        deleted = session.query(SqlModelVersion.version).filter_by(
            name=name, current_stage=STAGE_DELETED_INTERNAL
        )
        session.query(SqlModelVersionTag).filter(
            SqlModelVersionTag.name == name, SqlModelVersionTag.version.in_(deleted)
        ).delete(synchronize_session=False)


def _tracking_store(place: RegistryPlace) -> Any:
    """MLflow's own store of the database, with the methods that ``mlflow gc`` calls."""
    from mlflow.tracking._tracking_service.utils import _get_store  # noqa: PLC0415

    artifacts = place.local_artifacts.absolute().as_uri()
    return _get_store(place.uri, artifacts)  # type: ignore[no-untyped-call]


@contextmanager
def _unless_missing() -> Iterator[None]:
    """Ignore that something is gone: by an earlier attempt, or by one whose answer was lost."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        yield
    except MlflowException as error:
        if error_code(error) != MISSING:
            raise


def remove_leftovers(
    place: RegistryPlace, client: MlflowClient, experiment: str, name: str
) -> list[str]:
    """Clean up after dead attempts to register ``name``; return the ids of removed models.

    A run that still counts as running was killed, unless it became a version; the logged model
    of an unfinished run is deleted. Only one process at a time registers ``name``.
    """
    known = {version.run_id for version in ClientReader(client, place.uri).versions(name)}
    condition = f"tags.`{REGISTERED_MODEL_TAG}` = '{name}'"
    died: set[str] = set()
    for run in _pages(client.search_runs, [experiment], f"{condition} AND status != 'FINISHED'"):
        run_id = run.info.run_id
        if run_id not in known:
            died.add(run_id)
        if run.info.status == _RUNNING:
            client.set_terminated(run_id, _FINISHED if run_id in known else "KILLED")
    removed = []
    if died:
        for model in _pages(client.search_logged_models, [experiment], condition):
            if model.source_run_id in died:
                directory = place.local_artifacts / "models" / model.model_id / "artifacts"
                _delete_logged_model(place, client, model.model_id, [directory])
                if place.is_server:
                    _delete_run(place, client, model.source_run_id, model.model_id)
                removed.append(model.model_id)
    return removed


def _pages(search: Callable[..., Any], experiments: list[str], condition: str) -> Iterator[Any]:
    """Every hit of one of MLflow's searches."""
    token: str | None = None
    while True:
        page = search(experiments, filter_string=condition, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
