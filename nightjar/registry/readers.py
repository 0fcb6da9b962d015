"""Looking up versions: fast, and without MLflow where the registry is a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from nightjar.config import RegistryConfig
from nightjar.errors import RegistryUnavailable
from nightjar.registry.uris import is_server, mlflow_dir, sqlite_path, tracking_uri

BUSY_SECONDS = 20.0
_INTERRUPTED = (
    sqlite3.SQLITE_READONLY_ROLLBACK,
    sqlite3.SQLITE_READONLY_RECOVERY,
    sqlite3.SQLITE_READONLY_CANTINIT,
)
"""What a reader gets where a kill left a journal: only who may write can undo the write."""
_PRIMARY_CODE = 0xFF
"""The part of SQLite's extended error codes that is the code itself."""
_DELETED_STAGE = "Deleted_Internal"
"""MLflow keeps the row of a deleted version and marks it with this stage."""

_OF_ONE_MODEL = """
    WHERE workspace = 'default' AND name = :name AND (:number IS NULL OR version = :number)
"""
_SELECT_VERSIONS = f"""
    SELECT version, run_id, source, storage_location FROM model_versions {_OF_ONE_MODEL}
    AND current_stage != :deleted ORDER BY version
"""  # noqa: S608 (constants alone)
_SELECT_TAGS = f"SELECT version, key, value FROM model_version_tags {_OF_ONE_MODEL}"  # noqa: S608
_SELECT_ALIASES = f"SELECT version, alias FROM registered_model_aliases {_OF_ONE_MODEL}"  # noqa: S608
_SELECT_TAGGED = """
    SELECT version FROM model_version_tags
    WHERE workspace = 'default' AND name = ? AND key = ? AND value = ? ORDER BY version
"""
_SELECT_MODEL_TAGS = """
    SELECT key, value FROM registered_model_tags WHERE workspace = 'default' AND name = ?
"""

_SELECT_MODELS_TAGGED = """
    SELECT name FROM registered_model_tags
    WHERE workspace = 'default' AND key = ? AND value = ? ORDER BY name
"""
_SELECT_ARTIFACTS = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"

CHAMPION = "champion"
"""The alias of the version that is in use."""
CHALLENGER = "challenger"
"""The alias of the newest candidate that is not champion."""
EMBEDDINGS_TAG = "nightjar.embeddings_version"
DIGEST_TAG = "nightjar.embeddings_digest"
SPACE_TAG = "nightjar.space"
"""The id of the space of its vectors."""
FIT_TAG = "nightjar.space_fit"
"""What decides whether another version can keep to its coordinates."""
MODEL_URI = "models:/"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model."""

    name: str
    version: int
    run_id: str | None
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    """Sorted."""
    source: str = ""
    """What was registered: ``models:/`` and the id of a logged model."""
    location: str = field(default="", compare=False)
    """Where MLflow keeps its files, from MLflow's own table; "" when read through MLflow."""

    @property
    def embeddings_version(self) -> str:
        """The embeddings that it is made from; "" when Nightjar did not register it."""
        return self.tags.get(EMBEDDINGS_TAG, "")

    @property
    def embeddings_digest(self) -> str:
        """Digest of their manifest; "" when Nightjar did not register it."""
        return self.tags.get(DIGEST_TAG, "")

    @property
    def model_id(self) -> str | None:
        """Id of the logged model; None when something else was registered."""
        model_id = self.source.removeprefix(MODEL_URI)
        is_logged = self.source.startswith(f"{MODEL_URI}m-") and "/" not in model_id
        return model_id if is_logged else None


class RegistryReader(Protocol):
    """Read access to the registry. Each method raises RegistryUnavailable."""

    def version(self, name: str, number: int) -> RegisteredVersion | None:
        """Version ``number`` of the registered model ``name``; None when there is none."""

    def alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that ``alias`` points to; None when it points nowhere."""

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Every version that is not deleted, in ascending order."""

    def tagged(self, name: str, key: str, value: str) -> list[RegisteredVersion]:
        """The versions whose tag ``key`` has that value, in ascending order."""

    def aliases(self, name: str) -> Mapping[str, int]:
        """Version number of each alias; empty when nothing is registered under ``name``."""

    def model_tags(self, name: str) -> Mapping[str, str]:
        """The tags of the registered model itself; empty when there is none."""

    def models_tagged(self, key: str, value: str) -> list[str]:
        """Names of the registered models whose tag ``key`` has that value, sorted."""


@dataclass(frozen=True)
class RegistryPlace:
    """Where a pipeline's registry is."""

    uri: str
    artifacts_dir: Path
    """The artifact store, which also holds the default MLflow database and local models."""

    @classmethod
    def of(cls, registry: RegistryConfig, artifacts_dir: Path) -> RegistryPlace:
        """The configured registry, else SQLite under ``artifacts_dir``."""
        return cls(tracking_uri(registry, artifacts_dir), artifacts_dir)

    @property
    def is_server(self) -> bool:
        """Whether it is an MLflow server, which keeps the files itself."""
        return is_server(self.uri)

    @property
    def local_artifacts(self) -> Path:
        """Where models registered from here are stored, unless a server keeps them."""
        return mlflow_dir(self.artifacts_dir) / "artifacts"

    def reader(self) -> RegistryReader:
        """Read access; imports MLflow unless the registry is a SQLite file."""
        return open_reader(self.uri)


def open_reader(uri: str) -> RegistryReader:
    """Return a reader of the registry at ``uri``.

    A SQLite file that does not exist yet counts as an empty registry. Any other address is read
    through MLflow. Raises RegistryUnavailable when it does not answer.
    """
    database = sqlite_path(uri)
    if database is not None:
        return SqliteReader(database)
    from nightjar.registry.client import ClientReader, connect  # noqa: PLC0415 (imports MLflow)

    return ClientReader(connect(uri), uri)


class SqliteReader:
    """Reads MLflow's own tables; a test checks that it agrees with MlflowClient."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def version(self, name: str, number: int) -> RegisteredVersion | None:
        """Version ``number`` of ``name``; None when there is none."""
        found = self._select(name, number)
        return found[0] if found else None

    def alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that ``alias`` points to; None when it points nowhere."""
        number = self.aliases(name).get(alias)
        return None if number is None else self.version(name, number)

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Every version that is not deleted, in ascending order."""
        return self._select(name, None)

    def tagged(self, name: str, key: str, value: str) -> list[RegisteredVersion]:
        """The versions whose tag ``key`` has that value, in ascending order."""
        numbers = [number for (number,) in self._rows(_SELECT_TAGGED, (name, key, value))]
        found = [self.version(name, number) for number in numbers]
        return [version for version in found if version is not None]

    def aliases(self, name: str) -> Mapping[str, int]:
        """Version number of each alias; empty when nothing is registered under ``name``."""
        rows = self._rows(_SELECT_ALIASES, {"name": name, "number": None})
        return {alias: number for number, alias in rows}

    def model_tags(self, name: str) -> Mapping[str, str]:
        """The tags of the registered model itself; empty when there is none."""
        return dict(self._rows(_SELECT_MODEL_TAGS, (name,)))

    def models_tagged(self, key: str, value: str) -> list[str]:
        """Names of the registered models whose tag ``key`` has that value, sorted."""
        return [name for (name,) in self._rows(_SELECT_MODELS_TAGGED, (key, value))]

    def artifact_uri(self, run_id: str) -> str | None:
        """The address of a run's files; None when there is no such run."""
        rows = self._rows(_SELECT_ARTIFACTS, (run_id,))
        return rows[0][0] if rows else None

    def _rows(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        with self._connection() as connection:
            return [] if connection is None else connection.execute(query, values).fetchall()

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
                source=source or "",
                location=location or "",
            )
            for version, run_id, source, location in rows
        ]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        """A read-only connection; None while the file or MLflow's tables in it do not exist."""
        if not self._database.exists():
            yield None
            return
        try:
            with closing(self._opened()) as connection:
                yield connection if _n_tables(connection) else None
        except sqlite3.Error as error:
            raise RegistryUnavailable(
                f"{self._database}: the MLflow database cannot be read ({error}); "
                f"{sqlite_advice(error, self._database)}"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        """Open for reading. Undoes a write that a kill interrupted, as SQLite does for writers."""
        connection = self._connect("ro")
        try:
            _n_tables(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode not in _INTERRUPTED:
                raise
            with closing(self._connect("rw")) as writing:
                writing.execute("BEGIN IMMEDIATE")
                writing.rollback()
            return self._connect("ro")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(str(self._database))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)


def _n_tables(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return found


def sqlite_advice(error: sqlite3.Error, database: Path) -> str:
    """What to do about an error of the MLflow database."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    again = "then run the same command again"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"another process has kept it locked for {BUSY_SECONDS:.0f} seconds ('fuser "
            f"{database}' names it): wait until it ends, {again}"
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return "it is damaged: restore it from a backup, or move it away to start a new one"
    if code == sqlite3.SQLITE_ERROR:  # no such table or column
        return (
            f"it is from another MLflow release: copy it, run 'mlflow db upgrade "
            f"sqlite:///{database}', {again}"
        )
    return f"check the file, its directory's permissions and the free space, {again}"
