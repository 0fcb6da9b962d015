"""The files of a registered version: where they are, their hashes, and whether they are intact.

``files.json`` in the model's folder names every other file with its bytes and sha256; the tag
``nightjar.files_sha256`` of the version holds the sha256 of the list. Where the registry is a
SQLite file, nothing here imports MLflow.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from nightjar.errors import ModelFilesDamaged
from nightjar.files.scratch import ScratchDirectory
from nightjar.registry.readers import RegisteredVersion, RegistryPlace
from nightjar.registry.uris import mlflow_dir
from nightjar.store import damage_at_first_reading, file_identity, only_writes

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILES_NAME = "files.json"
FILES_TAG = "nightjar.files_sha256"
LOOKUP = "artifacts/lookup"
"""The lookup files, within the model's folder."""
_DOWNLOADS = "downloads"
_CACHES = "__pycache__"
_ADVICE = "train it again, or use another version ('nightjar history' lists them)"
_OTHERS = "'nightjar rollback' restores the previous champion; 'nightjar history' lists others"


@dataclass(frozen=True)
class ListedFile:
    """A file as it was registered."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class FileList:
    """Every file of a model's folder, by its path there."""

    files: Mapping[str, ListedFile]

    @classmethod
    def of(cls, directory: Path) -> FileList:
        """List the files in ``directory``, except compiled Python and the list itself."""
        found = {}
        for path in sorted(directory.rglob("*")):
            name = path.relative_to(directory).as_posix()
            if path.is_file() and _CACHES not in path.parts and name != FILES_NAME:
                identity = file_identity(path)
                found[name] = ListedFile(identity.bytes, identity.sha256)
        return cls(found)

    @classmethod
    def read(cls, directory: Path, version: RegisteredVersion) -> FileList:
        """Read the list in ``directory``. Raises ModelFilesDamaged when it is not the version's."""
        wanted = version.tags.get(FILES_TAG)
        if wanted is None:
            raise ModelFilesDamaged(
                f"{_label(version)} was not registered by Nightjar: it has no list of its files"
            )
        try:
            content = (directory / FILES_NAME).read_bytes()
        except OSError as error:
            raise ModelFilesDamaged(
                f"{_label(version)}: {directory / FILES_NAME} cannot be read "
                f"({error.strerror}); {_ADVICE}"
            ) from error
        if hashlib.sha256(content).hexdigest() != wanted:
            raise ModelFilesDamaged(
                f"{_label(version)}: {directory / FILES_NAME} was changed after it was registered; "
                f"{_ADVICE}"
            )
        return cls({name: ListedFile(*entry) for name, entry in json.loads(content).items()})

    def below(self, directory: str) -> FileList:
        """The files in one subdirectory of the folder."""
        prefix = f"{directory}/"
        return FileList(
            {name: entry for name, entry in self.files.items() if name.startswith(prefix)}
        )

    def to_text(self) -> str:
        """The content of ``files.json``."""
        entries = {name: [entry.bytes, entry.sha256] for name, entry in self.files.items()}
        return json.dumps(entries, indent=0) + "\n"

    def problems(self, directory: Path, *, reads_bytes: bool = True) -> Iterator[str]:
        """How the files in ``directory`` differ; without ``reads_bytes`` only by size."""
        for name, entry in self.files.items():
            path = directory / name
            if not path.is_file():
                yield f"{path} is missing"
            elif (size := path.stat().st_size) != entry.bytes:
                yield f"{path} has {size} bytes instead of {entry.bytes}"
            elif reads_bytes and file_identity(path).sha256 != entry.sha256:
                yield f"{path} was changed"

    def problems_at_first_reading(self, artifacts_dir: Path, directory: Path) -> list[str]:
        """How the files in ``directory`` differ, unless they were read in full before."""
        sha256s = {name: entry.sha256 for name, entry in self.files.items()}
        return damage_at_first_reading(artifacts_dir, directory, sha256s)


# -- checking ----------------------------------------------------------------------------------


def check_files_whole(
    place: RegistryPlace, version: RegisteredVersion, *, reads_bytes: bool = True
) -> list[str]:
    """Return what is wrong with the files of a version, one line each; empty when they are intact.

    Reads every byte of local files, about 1 GB/s. Without ``reads_bytes`` it compares only the
    sizes, and so it does for the files on a server; the copies downloaded from there, which answer
    here, are read. Raises RegistryUnavailable.
    """
    try:
        if place.is_server:
            copied = list(_copy_problems(place, version)) if reads_bytes else []
            return [*_server_problems(place, version), *copied]
        directory = model_directory(place, version)
        listed = FileList.read(directory, version)
    except ModelFilesDamaged as error:
        return [str(error)]
    return [
        f"{_label(version)}: {problem}"
        for problem in listed.problems(directory, reads_bytes=reads_bytes)
    ]


def _server_problems(place: RegistryPlace, version: RegisteredVersion) -> list[str]:
    from nightjar.registry.client import connect, named_errors  # noqa: PLC0415 (imports MLflow)

    client = connect(place.uri)
    with named_errors(place.uri), ScratchDirectory() as temporary:
        repository = _repository(client, place, version)
        repository.download_artifacts(FILES_NAME, temporary)
        listed = FileList.read(Path(temporary), version)
        directories = {Path(name).parent.as_posix() for name in listed.files}
        sizes = dict(_listed_sizes(repository, sorted(directories)))
    return [
        f"{_label(version)}: {name} has {sizes.get(name, 'no')} bytes on the server instead of "
        f"{entry.bytes}"
        for name, entry in listed.files.items()
        if sizes.get(name) != entry.bytes
    ]


def _copy_problems(place: RegistryPlace, version: RegisteredVersion) -> Iterator[str]:
    """What is wrong with the downloaded copy, if there is one."""
    directory = downloads_dir(place, version)
    if not directory.is_dir():
        return
    advice = "delete this copy: it is fetched again"
    try:
        listed = FileList.read(directory, version).below(LOOKUP)
    except ModelFilesDamaged:
        yield f"{_label(version)}: {directory / FILES_NAME} was changed; {advice}"
        return
    for problem in listed.problems(directory):
        yield f"{_label(version)}: {problem}; {advice}"


def _listed_sizes(repository: Any, directories: Iterable[str]) -> Iterator[tuple[str, int]]:
    for directory in directories:
        for entry in repository.list_artifacts(None if directory == "." else directory):
            if not entry.is_dir:
                yield entry.path, int(entry.file_size or 0)


# -- finding -----------------------------------------------------------------------------------


def model_files(place: RegistryPlace, version: RegisteredVersion) -> Path:
    """The directory of a version's lookup files, for ``nightjar.model.lookup.VectorModel.open``.

    A server's files are downloaded into the artifact store on first use. The first time that files
    are used, all their bytes are compared with the list (:mod:`nightjar.store.first_reading`).
    Raises ModelFilesDamaged when files are missing or differ from those that were registered;
    RegistryUnavailable.
    """
    directory = _download(place, version) if place.is_server else model_directory(place, version)
    lookup = directory / LOOKUP
    if not lookup.is_dir():
        raise ModelFilesDamaged(f"{_label(version)}: {lookup} is missing; {_ADVICE}")
    listed = FileList.read(directory, version).below(LOOKUP)
    for problem in (
        *listed.problems(directory, reads_bytes=False),
        *listed.problems_at_first_reading(place.artifacts_dir, directory),
    ):
        raise ModelFilesDamaged(f"{_label(version)}: {problem}; {_OTHERS}")
    return lookup


def model_directory(place: RegistryPlace, version: RegisteredVersion) -> Path:
    """The local folder of a version's model. Raises ModelFilesDamaged when it is gone."""
    candidates = known_directories(place, version)
    if not version.location and not any(map(Path.is_dir, candidates)):
        candidates += local_directory(_asked_location(place, version))
    found = next((directory for directory in candidates if directory.is_dir()), None)
    if found is None:
        where = f"{candidates[0]} is missing" if candidates else "MLflow knows no files of it"
        raise ModelFilesDamaged(f"{_label(version)}: {where}; {_ADVICE}")
    return found


def known_directories(place: RegistryPlace, version: RegisteredVersion) -> list[Path]:
    """Where the folder may be, found without MLflow.

    The place beside the artifacts comes first: MLflow still names the old one after a move or
    a copy.
    """
    beside = []
    if version.model_id is not None:
        beside.append(place.local_artifacts / "models" / version.model_id / "artifacts")
    return beside + local_directory(version.location)


def local_directory(location: str) -> list[Path]:
    """The directory behind one of MLflow's addresses; none when it is not a local one."""
    parts = urlsplit(location)
    return [Path(unquote(parts.path))] if location and parts.scheme in {"", "file"} else []


def _asked_location(place: RegistryPlace, version: RegisteredVersion) -> str:
    """Where MLflow says the files are, for versions not read from its table."""
    if version.model_id is None:
        return ""
    from nightjar.registry.client import connect, named_errors  # noqa: PLC0415 (imports MLflow)

    client = connect(place.uri, place.local_artifacts)
    with named_errors(place.uri):
        return str(client.get_logged_model(version.model_id).artifact_location)


def downloads_dir(place: RegistryPlace, version: RegisteredVersion) -> Path:
    """The download directory for the files of a version that a server keeps."""
    return mlflow_dir(place.artifacts_dir) / _DOWNLOADS / f"{version.name}-{version.version}"


def _download(place: RegistryPlace, version: RegisteredVersion) -> Path:
    target = downloads_dir(place, version)
    with suppress(ModelFilesDamaged):  # it is fetched again
        listed = FileList.read(target, version).below(LOOKUP)
        if not listed.problems_at_first_reading(place.artifacts_dir, target):
            return target
    from nightjar.registry.client import connect, named_errors  # noqa: PLC0415 (imports MLflow)

    client = connect(place.uri)
    with only_writes(place.artifacts_dir):
        target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as temporary:
        fetched = Path(temporary) / "model"
        fetched.mkdir()
        with named_errors(place.uri):
            repository = _repository(client, place, version)
            for name in (FILES_NAME, LOOKUP):
                repository.download_artifacts(name, str(fetched))
        problems = list(FileList.read(fetched, version).below(LOOKUP).problems(fetched))
        if problems:
            raise ModelFilesDamaged(f"{_label(version)} as the server has it: {problems[0]}")
        with only_writes(place.artifacts_dir):
            shutil.rmtree(target, ignore_errors=True)
            fetched.rename(target)
    return target


@contextmanager
def stored_model(client: MlflowClient, place: RegistryPlace, model_id: str) -> Iterator[Path]:
    """The folder of a logged model as stored; a server's is downloaded for the block."""
    repository = _logged(client, place, model_id)
    if not place.is_server:
        yield Path(repository.download_artifacts(""))
        return
    with ScratchDirectory() as temporary:
        yield Path(repository.download_artifacts("", temporary))


def _repository(client: MlflowClient, place: RegistryPlace, version: RegisteredVersion) -> Any:
    if version.model_id is None:
        raise ModelFilesDamaged(f"{_label(version)} was not registered by Nightjar")
    return _logged(client, place, version.model_id)


def _logged(client: MlflowClient, place: RegistryPlace, model_id: str) -> Any:
    """MLflow's ArtifactRepository of a logged model."""
    from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415
        get_artifact_repository,
    )

    location = client.get_logged_model(model_id).artifact_location
    return get_artifact_repository(location, tracking_uri=place.uri, registry_uri=place.uri)


def _label(version: RegisteredVersion) -> str:
    return f"{version.name} version {version.version}"
