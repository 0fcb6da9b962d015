"""MLflow's client: quiet import, connection to the registry, clear errors."""

from __future__ import annotations

import logging
import os
import re
import socket
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

from nightjar.errors import InputError, RegistryUnavailable
from nightjar.files import urls
from nightjar.files.asking import ask_within
from nightjar.files.large_imports import no_collection
from nightjar.registry.readers import RegisteredVersion
from nightjar.registry.uris import masked, sqlite_path, without_secrets
from nightjar.store import waited_lease

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

logger = logging.getLogger(__name__)

SCHEMA = Path(__file__).with_name("mlflow_database.sql")
MISSING = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"

_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Its log only repeats our own errors, with a traceback.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Neither the working directory nor the environment belongs in a registered model.
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    _RETRIES: "4",  # half a minute, in which a server is restarted
    # Otherwise a busy server decides how long we wait: up to six hours.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    # For the drivers of PostgreSQL, which else wait for ever for the answer to a connection.
    "PGCONNECT_TIMEOUT": "30",
}
_PROBE_SECONDS = 5
_PROBE_TRIES_SECONDS = 20.0
"""For two tries, each to connect and to read, however little comes with each read."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between the attempts of a night to reach a server, which may be restarting."""
_BUSY_SECONDS = 20.0
_DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_ASK_FOR_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""PostgreSQL's SSLRequest: the server answers it with one byte, before anything else."""
_PAGE = 1_000
_ASIDE = "(raised as a result of "
"""How SQLAlchemy begins a message about where it was, before it says what happened."""
_BUSY = re.compile(r"too many (\d+) error responses")
_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([^\"')]+)")


@cache
def import_mlflow() -> ModuleType:
    """Import MLflow without telemetry, log lines, links and progress bars.

    Environment variables that are already set stay as they are.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings(), no_collection():
        # MLflow warns about its own type hints while it is imported.
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
        import mlflow  # noqa: PLC0415
        import mlflow.pyfunc  # noqa: PLC0415
    return mlflow


def connect(uri: str, local_artifacts: Path | None = None) -> MlflowClient:
    """Return a client of the registry at ``uri`` once the registry has answered.

    Makes a missing SQLite database, whose default experiment keeps files in
    ``local_artifacts``. Raises RegistryUnavailable when nothing answers: within seconds, or later
    within :func:`patient`.
    """
    for pause in _Patience.pauses_now():
        try:
            return _connected(uri, local_artifacts)
        except RegistryUnavailable as error:
            if sqlite_path(uri) is not None:  # that waits for locks by itself
                raise
            logger.warning("%s. Trying again in %.0f s", error, pause)
            time.sleep(pause)
    try:
        client = _connected(uri, local_artifacts)
    except RegistryUnavailable:
        _Patience.is_down = True
        raise
    _Patience.is_down = False
    return client


class _Patience:
    """Whether this process waits for a server that does not answer."""

    pauses: ClassVar[tuple[float, ...]] = ()
    is_down: ClassVar[bool] = False
    """Whether it was waited for in vain. Then it is asked once, until it answers."""

    @classmethod
    def pauses_now(cls) -> tuple[float, ...]:
        return () if cls.is_down else cls.pauses


@contextmanager
def patient() -> Iterator[None]:
    """Let :func:`connect` wait for a server that is being restarted, with growing pauses.

    For nights, which nobody watches. The setting is that of the whole process.
    """
    before = _Patience.pauses
    _Patience.pauses, _Patience.is_down = _PAUSES, False
    try:
        yield
    finally:
        _Patience.pauses = before


def _connected(uri: str, local_artifacts: Path | None) -> MlflowClient:
    mlflow = import_mlflow()
    with named_errors(uri):
        database = sqlite_path(uri)
        if database is None:
            _probe(uri)
        else:
            # A pooled connection would keep using a file that was deleted or replaced.
            os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
            _prepare_database(database, local_artifacts or database.parent / "artifacts")
        client: MlflowClient = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
        return client


@contextmanager
def named_errors(uri: str) -> Iterator[None]:
    """Turn errors of MLflow and its libraries into RegistryUnavailable, without secrets.

    An OSError comes from the network or from the disk through which MLflow copies models.
    """
    import_mlflow()
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        yield
    except (MlflowException, OSError, SQLAlchemyError, sqlite3.Error) as error:
        raise RegistryUnavailable(_explain(uri, _said(error))) from error
    except ModuleNotFoundError as error:
        raise RegistryUnavailable(
            f"MLflow at {masked(uri)} needs the Python package {error.name!r}; install it"
        ) from error


@contextmanager
def asked_once() -> Iterator[None]:
    """Let MLflow's client repeat no request in the block, for those that make something.

    It repeats a request whose answer was lost, and the server makes another one each time. The
    setting is that of the whole process.
    """
    before = os.environ.get(_RETRIES)
    os.environ[_RETRIES] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_RETRIES]
        else:
            os.environ[_RETRIES] = before


def error_code(error: Exception) -> str | None:
    """MLflow's code of an MlflowException; None for other errors."""
    code: str | None = getattr(error, "error_code", None)
    return code


def _said(error: BaseException) -> str:
    """What an error says; that of SQLAlchemy has the driver's in it, which is to the point."""
    return str(getattr(error, "orig", None) or error)


def _explain(uri: str, problem: str) -> str:
    lines = [line.strip() for line in without_secrets(problem, uri).splitlines() if line.strip()]
    lines = [line for line in lines if _ASIDE not in line]
    said = lines[0] if lines else "no reason given"
    if status := _BUSY.search(said):
        said = f"the server answers {status[1]}"
    elif "Max retries exceeded" in said:
        reason = _SYSTEM_ERROR.search(said)
        said = f"no answer ({reason[1] if reason else 'timed out'})"
    if "out-of-date database schema" in said:
        advice = f"copy the database, then run 'mlflow db upgrade {masked(uri)}'"
    elif "database is locked" in said:
        advice = "another process keeps it locked: wait until it ends"
    elif sqlite_path(uri) is not None:
        advice = "check the file, its permissions and the free space"
    else:
        advice = (
            "check that the server runs, the address (registry.tracking_uri) and its "
            "credentials (for a web server: MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)"
        )
    return f"MLflow at {masked(uri)} cannot be used: {said}; {advice}, then run the same command"


# -- connecting --------------------------------------------------------------------------


def _probe(uri: str) -> None:
    """Fail at once when no server listens: MLflow itself would retry for minutes."""
    kind = urls.scheme_of(uri).partition("+")[0]
    if kind in urls.HTTP_SCHEMES:
        if not urls.has_place(uri):
            raise InputError(_no_address(uri))
        try:
            ask_within(_PROBE_TRIES_SECONDS, partial(_ask_health, uri))
        except TimeoutError as error:
            raise RegistryUnavailable(_explain(uri, "no answer (timed out)")) from error
    elif kind in _DEFAULT_PORTS:
        _probe_database(uri, kind)


def _no_address(uri: str) -> str:
    return (
        f"registry.tracking_uri: {masked(uri)} is no address: it is like http://HOST:5000 or "
        f"postgresql://USER@HOST:5432/BASE, and in a password '/', '?', '#' and '@' are written "
        f"as %2F, %3F, %23 and %40"
    )


def _ask_health(uri: str) -> None:
    from mlflow.utils.credentials import get_default_host_creds  # noqa: PLC0415
    from mlflow.utils.rest_utils import http_request  # noqa: PLC0415

    http_request(  # type: ignore[no-untyped-call]
        get_default_host_creds(uri),  # type: ignore[no-untyped-call]
        "/health",
        "GET",
        max_retries=1,
        backoff_factor=1,
        timeout=_PROBE_SECONDS,
        raise_on_status=False,
    )


def _probe_database(uri: str, kind: str) -> None:
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        parts = make_url(uri)
    except (ArgumentError, ValueError):  # which quote what may be a part of the password
        raise InputError(_no_address(uri)) from None
    if parts.host:
        address = (parts.host, parts.port or _DEFAULT_PORTS[kind])
        try:
            with socket.create_connection(address, timeout=_PROBE_SECONDS) as connection:
                _hear(kind, connection)
        except OSError as error:
            raise RegistryUnavailable(_explain(uri, f"no answer ({error})")) from error


def _hear(kind: str, connection: socket.socket) -> None:
    """Wait for the first byte of a database server; it may accept connections and be stopped."""
    if kind == "postgresql":
        connection.sendall(_ASK_FOR_TLS)
    if kind != "mssql":  # it says nothing before a longer question
        # waits: the connection was made with a limit, _PROBE_SECONDS
        connection.recv(1)


def _prepare_database(database: Path, artifacts: Path) -> None:
    """Make the database if it is missing, and check that it can be written.

    MLflow's first use of an empty database runs all its migrations; two processes at once, or a
    kill in between, leave it broken for good. So it is made under a lease and another name, and
    renamed once it is complete: an existing database is always complete.

    Running the migrations takes seconds. So a new database is made from ``mlflow_database.sql``,
    which is what they end in; a newer MLflow migrates on from there or makes its own.
    ``python tests/test_mlflow_database.py`` renews the file.
    """
    database = database.absolute()
    database.parent.mkdir(parents=True, exist_ok=True)
    if _is_missing(database):
        lease = database.with_name(f".{database.name}.making.lease")
        waiting = f"waiting for another run to make {database.name}"
        with waited_lease(lease, f"making {database.name}", waiting):
            if _is_missing(database):
                _make_database(database, artifacts)
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def _is_missing(database: Path) -> bool:
    return not database.exists() or database.stat().st_size == 0


def _make_database(database: Path, artifacts: Path) -> None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

    unfinished = database.with_name(f".{database.name}.new")

    def make(schema: str) -> None:
        for leftover in (unfinished, unfinished.with_name(f"{unfinished.name}-journal")):
            leftover.unlink(missing_ok=True)
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.executescript(schema)
        store = SqlAlchemyStore(  # type: ignore[no-untyped-call]
            f"sqlite:///{unfinished}", artifacts.absolute().as_uri()
        )
        store.engine.dispose()

    try:
        make(SCHEMA.read_text(encoding="utf-8"))
    except MlflowException:  # the installed MLflow has another schema
        make("")
    unfinished.replace(database)


# -- reading -----------------------------------------------------------------------------


class ClientReader:
    """Reads the registry through MLflow (:class:`.readers.RegistryReader`)."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client = client
        self._uri = uri

    def version(self, name: str, number: int) -> RegisteredVersion | None:
        """Version ``number`` of ``name``; None when there is none."""
        with named_errors(self._uri):
            return self._version(name, str(number))

    def alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that ``alias`` points to; None when it points nowhere."""
        with named_errors(self._uri):
            number = self._aliases(name).get(alias)
            return None if number is None else self._version(name, str(number))

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Every version that is not deleted, in ascending order."""
        with named_errors(self._uri):
            return self._search(name, f"name = '{name}'")

    def tagged(self, name: str, key: str, value: str) -> list[RegisteredVersion]:
        """The versions whose tag ``key`` has that value, in ascending order."""
        with named_errors(self._uri):
            return self._search(name, f"name = '{name}' AND tags.`{key}` = '{value}'")

    def aliases(self, name: str) -> Mapping[str, int]:
        """Version number of each alias; empty when nothing is registered under ``name``."""
        with named_errors(self._uri):
            return self._aliases(name)

    def model_tags(self, name: str) -> Mapping[str, str]:
        """The tags of the registered model itself; empty when there is none."""
        with named_errors(self._uri):
            model = self._model(name)
            return {} if model is None else dict(model.tags)

    def models_tagged(self, key: str, value: str) -> list[str]:
        """Names of the registered models whose tag ``key`` has that value, sorted."""
        found: list[str] = []
        token: str | None = None
        with named_errors(self._uri):
            while True:
                page = self._client.search_registered_models(
                    f"tags.`{key}` = '{value}'", page_token=token
                )
                found += [model.name for model in page]
                token = page.token
                if not token:
                    return sorted(found)

    def _version(self, name: str, number: str) -> RegisteredVersion | None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            found = self._client.get_model_version(name, number)
        except MlflowException as error:
            if error_code(error) != MISSING:
                raise
            return None
        return _registered(found, tuple(found.aliases))

    def _aliases(self, name: str) -> dict[str, int]:
        model = self._model(name)
        return {} if model is None else {key: int(value) for key, value in model.aliases.items()}

    def _model(self, name: str) -> RegisteredModel | None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error_code(error) != MISSING:
                raise
            return None

    def _search(self, name: str, condition: str) -> list[RegisteredVersion]:
        aliases = self._aliases(name)
        found: list[RegisteredVersion] = []
        token: str | None = None
        while True:
            page = self._client.search_model_versions(condition, _PAGE, page_token=token)
            for entry in page:
                number = int(entry.version)
                names = tuple(alias for alias, target in aliases.items() if target == number)
                found.append(_registered(entry, names))
            token = page.token
            if not token:
                return sorted(found, key=lambda version: version.version)


def _registered(found: ModelVersion, aliases: tuple[str, ...]) -> RegisteredVersion:
    return RegisteredVersion(
        name=found.name,
        version=int(found.version),
        run_id=found.run_id,
        tags=dict(found.tags),
        aliases=tuple(sorted(aliases)),
        source=found.source or "",
    )
