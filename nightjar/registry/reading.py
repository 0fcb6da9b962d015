"""Looking versions up: fast and without MLflow where the registry is a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from nightjar.errors import RegistryUnavailable
from nightjar.registry.uris import sqlite_path

_BUSY_SECONDS = 20.0
_DELETED_STAGE = "Deleted_Internal"
"""MLflow keeps the row of a deleted version and marks it so."""

_OF_ONE_MODEL = """
    WHERE workspace = 'default' AND name = :name AND (:number IS NULL OR version = :number)
"""
_SELECT_VERSIONS = f"""
    SELECT version, run_id FROM model_versions {_OF_ONE_MODEL}
    AND current_stage != :deleted ORDER BY version
"""  # noqa: S608 (constants alone)
_SELECT_TAGS = f"SELECT version, key, value FROM model_version_tags {_OF_ONE_MODEL}"  # noqa: S608
_SELECT_ALIASES = f"SELECT version, alias FROM registered_model_aliases {_OF_ONE_MODEL}"  # noqa: S608

_SELECT_ARTIFACTS = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model."""

    name: str
    version: int
    run_id: str | None
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    """Sorted."""


class RegistryReader(Protocol):
    """Read access to the registry. Each method raises RegistryUnavailable."""

    def version(self, name: str, number: int) -> RegisteredVersion | None:
        """Version ``number`` of the registered model ``name``; None when there is none."""

    def alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that ``alias`` points to; None when it points nowhere."""

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Every version that is not deleted, ascending."""


def open_reader(uri: str) -> RegistryReader:
    """A reader of the registry at ``uri``.

    A SQLite file that does not exist yet is a registry with nothing in it. For any other
    address MLflow is imported and asked; raises RegistryUnavailable when it does not answer.
    """
    database = sqlite_path(uri)
    if database is not None:
        return SqliteReader(database)
    from nightjar.registry.client import ClientReader, connect  # noqa: PLC0415 (imports MLflow)

    return ClientReader(connect(uri), uri)


class SqliteReader:
    """Reads MLflow's own tables, read-only; a test holds it equal to MlflowClient."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def version(self, name: str, number: int) -> RegisteredVersion | None:
        """Version ``number`` of ``name``; None when there is none."""
        found = self._select(name, number)
        return found[0] if found else None

    def alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that ``alias`` points to; None when it points nowhere."""
        found = [version for version in self._select(name, None) if alias in version.aliases]
        return found[0] if found else None

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Every version that is not deleted, ascending."""
        return self._select(name, None)

    def artifact_uri(self, run_id: str) -> str | None:
        """Where the files of a run are; None when there is no such run."""
        with self._connection() as connection:
            if connection is None:
                return None
            row = connection.execute(_SELECT_ARTIFACTS, (run_id,)).fetchone()
        return None if row is None else row[0]

    def _select(self, name: str, number: int | None) -> list[RegisteredVersion]:
        with self._connection() as connection:
            if connection is None:
                return []
            wanted = {"name": name, "number": number, "deleted": _DELETED_STAGE}
            rows = connection.execute(_SELECT_VERSIONS, wanted).fetchall()
            tags: dict[int, dict[str, str]] = {}
            for version, key, value in connection.execute(_SELECT_TAGS, wanted):
                tags.setdefault(version, {})[key] = value
            aliases: dict[int, list[str]] = {}
            for version, alias in connection.execute(_SELECT_ALIASES, wanted):
                aliases.setdefault(version, []).append(alias)
        return [
            RegisteredVersion(
                name=name,
                version=version,
                run_id=run_id,
                tags=tags.get(version, {}),
                aliases=tuple(sorted(aliases.get(version, ()))),
            )
            for version, run_id in rows
        ]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        """A read-only connection; None while the file, or MLflow's tables in it, are not there."""
        if not self._database.exists():
            yield None
            return
        uri = f"file:{quote(str(self._database))}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
                tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                yield connection if tables else None
        except sqlite3.Error as error:
            raise RegistryUnavailable(
                f"{self._database}: the MLflow database cannot be read ({error}). If it is of "
                f"another MLflow release, run 'mlflow db upgrade sqlite:///{self._database}'; "
                f"if it is damaged, restore it from a backup or move it away to start a new one"
            ) from error
