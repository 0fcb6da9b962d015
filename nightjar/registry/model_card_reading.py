"""Reading back the model card that registration stored with the run."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nightjar.errors import RegistryUnavailable
from nightjar.files.scratch import ScratchDirectory
from nightjar.registry.model_card import CARD_NAME
from nightjar.registry.readers import SqliteReader
from nightjar.registry.uris import mlflow_dir, sqlite_path

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MAX_BYTES = 1_000_000


def read_model_card(uri: str, artifacts_dir: Path, run_id: str | None) -> str | None:
    """Return the Markdown of the run's model card; None when the run has none.

    Imports no MLflow where the registry is a SQLite file. Raises RegistryUnavailable when a
    server does not answer or the file cannot be read.
    """
    if run_id is None or not _RUN_ID.fullmatch(run_id):
        return None
    database = sqlite_path(uri)
    if database is not None:
        places = _places(SqliteReader(database).artifact_uri(run_id), artifacts_dir, run_id)
        return next((text for place in places if (text := _read(place / CARD_NAME))), None)
    from nightjar.registry.client import connect, named_errors  # noqa: PLC0415 (imports MLflow)

    client = connect(uri)
    with ScratchDirectory() as directory, named_errors(uri):
        if not any(entry.path == CARD_NAME for entry in client.list_artifacts(run_id)):
            return None
        return _read(Path(client.download_artifacts(run_id, CARD_NAME, directory)))


def _places(artifact_uri: str | None, artifacts_dir: Path, run_id: str) -> list[Path]:
    """Directories that may hold a run's files; MLflow's own address is outdated after a move."""
    moved = mlflow_dir(artifacts_dir) / "artifacts" / run_id / "artifacts"
    parts = urlsplit(artifact_uri or "")
    is_local = parts.scheme == "file" and parts.netloc in {"", "localhost"}
    return [Path(unquote(parts.path)), moved] if is_local else [moved]


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RegistryUnavailable(
            f"{path}: the model card cannot be read ({error.strerror})"
        ) from error
