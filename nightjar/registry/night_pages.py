"""The report of a night, as a file of the MLflow runs of the versions that the night registered.

MLflow shows HTML files of a run in a frame that may do nothing else. A version's page leads there
by a link within MLflow, which opens under whatever address somebody reads it.
"""

from __future__ import annotations

import re

from nightjar.registry.client import named_errors
from nightjar.registry.readers import RegisteredVersion, RegistryPlace
from nightjar.registry.writers import LEDGER_TAG, ClientWriter
from nightjar.store import delete

PAGE_TAG = "nightjar.night_page"
"""Tag of a version: the path of the report within MLflow's own pages."""
_LINK = re.compile(r"\n\nReport of night \d+: \[[^\]]*\]\([^)]*\)")
_GATE = "\n\nGate: "


def page_file(night: int) -> str:
    """The name of the report of a night among the files of a run."""
    return f"night-{night:06d}.html"


def log_night_page(place: RegistryPlace, version: RegisteredVersion, night: int, html: str) -> None:
    """Log the report to the run of a version, with a link to it on the version's page.

    Repeated calls replace it. Raises RegistryUnavailable.
    """
    if version.run_id is None:
        return
    client = ClientWriter(place).client
    with named_errors(place.uri):
        client.log_text(version.run_id, html, page_file(night))
        experiment = client.get_run(version.run_id).info.experiment_id
        path = f"experiments/{experiment}/runs/{version.run_id}/artifacts/{page_file(night)}"
        number = str(version.version)
        client.set_model_version_tag(version.name, number, PAGE_TAG, path)
        found = client.get_model_version(version.name, number).description or ""
        client.update_model_version(version.name, number, _linked(found, night, path))


def _linked(description: str, night: int, path: str) -> str:
    """The description with the link before the verdict, which stays at its end."""
    own, gate, verdict = _LINK.sub("", description).partition(_GATE)
    link = f"[{page_file(night)}](#/{path}?workflowType=machine_learning)"
    return f"{own}\n\nReport of night {night}: {link}{gate}{verdict}"


def delete_night_pages(place: RegistryPlace, ledger_id: str | None) -> None:
    """Delete the reports from the runs: they show words, which somebody wants erased.

    On this machine they are all deleted; on a server, those of the models that the ledger owns.
    Raises RegistryUnavailable.
    """
    if not place.is_server:
        for path in place.local_artifacts.glob("*/artifacts/night-*.html"):
            delete(path)
        return
    reader = place.reader()
    names = [] if ledger_id is None else reader.models_tagged(LEDGER_TAG, ledger_id)
    for version in (version for name in names for version in reader.versions(name)):
        page = version.tags.get(PAGE_TAG)
        if page is not None and version.run_id is not None:
            _delete_from_run(place, version.run_id, page.rpartition("/")[2])


def _delete_from_run(place: RegistryPlace, run_id: str, name: str) -> None:
    client = ClientWriter(place).client
    with named_errors(place.uri):
        from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415
            get_artifact_repository,
        )

        if any(found.path == name for found in client.list_artifacts(run_id)):
            address = client.get_run(run_id).info.artifact_uri
            repository = get_artifact_repository(address, place.uri)
            repository.delete_artifacts(name)  # type: ignore[no-untyped-call]
