"""The libraries and files of a pre-trained encoder, for its identity.

A local folder is read without any request. ``hub:OWNER/NAME`` is fetched once into the cache of
huggingface_hub; with ``HF_HUB_OFFLINE=1`` only that cache is used.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal

from nightjar.config import DocumentVectorsConfig
from nightjar.errors import EncoderError, HubUnavailable, SourceError
from nightjar.files.paths import resolve_pattern
from nightjar.store import FileIdentity, file_identity, library_versions

logger = logging.getLogger(__name__)


_LIBRARIES = {
    "sentence-transformers": ("sentence-transformers", "transformers", "tokenizers", "torch"),
    "model2vec": ("model2vec", "tokenizers"),
}
"""The libraries that shape the vectors of each kind of encoder."""


def encoder_versions(encoder: Literal["sentence-transformers", "model2vec"]) -> dict[str, str]:
    """Versions of the libraries that compute the vectors, without importing them.

    Raises EncoderError when one is missing.
    """
    try:
        return library_versions(*_LIBRARIES[encoder])
    except metadata.PackageNotFoundError as error:
        raise _missing(str(error.name)) from error


def import_extra(name: str) -> Any:
    """Import the module ``name`` of an extra. Raises EncoderError when it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(error.name or name) from error


def _missing(name: str) -> EncoderError:
    return EncoderError(
        f"pre-trained encoders need {name}, which is not installed: "
        f"pip install 'nightjar[encoders]'"
    )


HUB = "hub:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NOT_READ = (".md", ".lock")
_OTHER_FORMATS = ("onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite")
"""Copies of the weights in formats that we do not load."""


def is_hub_path(path: str) -> bool:
    """Whether ``path`` names an encoder on the hub."""
    return path.startswith(HUB)


def local_folder(path: str, base_dir: Path) -> Path:
    """The folder that ``path`` names. Raises SourceError when there is none."""
    folder = resolve_pattern(path, base_dir)
    if not folder.is_dir():
        found = "is a file, not a folder" if folder.is_file() else "there is no such folder"
        raise SourceError(
            f"{path}: {found} ({folder}); give the folder of an encoder, or hub:OWNER/NAME to "
            f"fetch one"
        )
    return folder


def folder_files(folder: Path) -> tuple[FileIdentity, ...]:
    """Path within ``folder``, size and sha256 of every file, except hidden ones and *.md.

    Raises SourceError when a file cannot be read.
    """
    return tuple(
        replace(file_identity(path), name=path.relative_to(folder).as_posix())
        for path in sorted(_files(folder))
    )


def _files(folder: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(".") and name != "__pycache__"]
        for name in files:
            if not name.startswith(".") and not name.endswith(_NOT_READ):
                yield Path(directory, name)


def hub_commit(config: DocumentVectorsConfig) -> str:
    """The commit that ``config.revision`` names on the hub.

    A commit hash is used as it is. Otherwise the hub is asked, and without an answer the local
    cache. Raises HubUnavailable when neither knows, EncoderError when the hub has no such name or
    revision.
    """
    revision = config.revision or "main"
    if _COMMIT.fullmatch(revision):
        return revision
    hub = import_extra("huggingface_hub")
    errors = import_module("huggingface_hub.errors")
    name = str(config.path).removeprefix(HUB)
    if not hub.is_offline_mode():
        try:
            return str(hub.HfApi().model_info(name, revision=revision).sha)
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise EncoderError(
                f"{config.path}: the hub has no such model at revision {revision}, or it is "
                f"private; check path and revision"
            ) from error
        except _unreachable() as error:
            logger.warning("%s: the hub cannot be asked, the cache is: %s", config.path, error)
    return _fetched(hub, name, revision, is_offline=True).name


def hub_folder(config: DocumentVectorsConfig, commit: str) -> Path:
    """The folder with the encoder's files at ``commit``, fetched if they are not in the cache.

    Raises HubUnavailable when they are neither in the cache nor can be fetched.
    """
    hub = import_extra("huggingface_hub")
    name = str(config.path).removeprefix(HUB)
    return _fetched(hub, name, commit, is_offline=hub.is_offline_mode())


def _fetched(hub: Any, name: str, revision: str, *, is_offline: bool) -> Path:
    try:
        return Path(
            hub.snapshot_download(
                name,
                revision=revision,
                local_files_only=is_offline,
                ignore_patterns=list(_OTHER_FORMATS),
            )
        )
    except _unreachable() as error:
        raise HubUnavailable(
            f"{HUB}{name} at revision {revision} is not in the cache of huggingface_hub and the "
            f"hub cannot be reached ({type(error).__name__}); go online once, unset "
            f"HF_HUB_OFFLINE, or give the path of a folder"
        ) from error


def _unreachable() -> tuple[type[BaseException], ...]:
    """The errors that huggingface_hub raises when it gets no answer.

    Its HTTP client differs between versions, so they are taken from the base classes of its own
    error.
    """
    errors = import_module("huggingface_hub.errors")
    return (*errors.HfHubHTTPError.__bases__, OSError)
