"""The environment of Prefect and MLflow, set before either is imported, and a run's server.

No telemetry, and no files outside the project unless the user configured them: without
``PREFECT_API_URL``, ``PREFECT_HOME`` or a profile of the user's own, Prefect keeps its
database under ``artifacts/prefect``.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from nightjar.cli.outputs import errors
from nightjar.config import LoadedConfig
from nightjar.errors import InputError, OrchestratorUnavailable
from nightjar.files import urls
from nightjar.files.served_pages import PAGES_VARIABLE
from nightjar.store import named_write_errors

if TYPE_CHECKING:
    from nightjar.cli.embedded_server import EmbeddedServer

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "nightjar",
}


def prepare_environment(
    artifacts_dir: Path, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Set variables that the user has not set.

    Raises StoreNotWritable when the directory of Prefect's database cannot be made.
    """
    for name, value in _DEFAULTS.items():
        environment.setdefault(name, value)
    if "PREFECT_HOME" not in environment and not has_prefect_server(environment):
        home = artifacts_dir / "prefect"
        with named_write_errors(artifacts_dir):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment["PREFECT_HOME"] = str(home)


def has_prefect_server(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Whether the user chose a Prefect server, by URL or by a profile of their own."""
    names = ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
    if any(environment.get(name) for name in names):
        return True
    home = Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser()
    return (home / "profiles.toml").exists()


def keep_logs_off_the_terminal(environment: MutableMapping[str, str] = os.environ) -> None:
    """Send log lines only to the run's page; the terminal shows progress and messages."""
    environment.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    environment.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")


def check_prefect_url(environment: Mapping[str, str] = os.environ) -> None:
    """Raise InputError when ``PREFECT_API_URL`` is no URL: Prefect's import would end badly.

    The value is not quoted: what makes it none may be a password that is not escaped.
    """
    url = environment.get("PREFECT_API_URL")
    if url and not (urls.scheme_of(url) in urls.HTTP_SCHEMES and urls.has_place(url)):
        raise InputError(
            "the environment variable PREFECT_API_URL is no URL: it is like "
            "http://127.0.0.1:4200/api, and in a password '/', '?', '#' and '@' are written as "
            "%2F, %3F, %23 and %40; mend it, or unset it to use a server of Nightjar's own"
        )


def keep_proxies_out(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let no request to this machine go through a proxy: it would learn the server's secret.

    What the user excluded stays excluded. Programs prefer ``no_proxy`` to ``NO_PROXY``.
    """
    before = {name: environment.get(name) for name in ("no_proxy", "NO_PROXY")}
    for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):
        value = before[name] if before[name] is not None else before[other]
        given = [host.strip() for host in (value or "").split(",") if host.strip()]
        missing = [host for host in LOOPBACK if host not in given]
        environment[name] = ",".join([*given, *missing])


def has_proxy(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether requests to http servers go through a proxy."""
    names = {name.lower() for name, value in environment.items() if value}
    return bool(names & {"http_proxy", "all_proxy"})


class RunServer:
    """The embedded Prefect server of a run, unless the user has a server."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self._loaded = loaded
        self._server: EmbeddedServer | None = None
        self._log_path = loaded.artifacts_dir / "prefect" / "server.log"

    @property
    def is_ours(self) -> bool:
        """Whether the run starts its own server."""
        return self._server is not None

    def start(self) -> None:
        """Start it in the background, once. Raises InputError or StoreNotWritable."""
        check_prefect_url()
        prepare_environment(self._loaded.artifacts_dir)
        if urls.is_on_loopback(os.environ.get("PREFECT_API_URL", "")):
            keep_proxies_out()
        if self._server is not None or has_prefect_server():
            return
        keep_proxies_out()
        from nightjar.cli.embedded_server import EmbeddedServer  # noqa: PLC0415 (imports httpx)

        with named_write_errors(self._loaded.artifacts_dir):
            self._log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._server = EmbeddedServer(self._log_path, dict(os.environ), errors.print)
        # Registered before Prefect is imported, so that it stops after Prefect's last logs.
        atexit.register(self._server.stop)
        os.environ["PREFECT_API_URL"] = self._server.url
        os.environ["PREFECT_API_AUTH_STRING"] = self._server.secret
        # The links are read later, under the server of 'nightjar serve', which uses the same
        # database.
        os.environ[PAGES_VARIABLE] = str(self._loaded.artifacts_dir.absolute())

    def wait(self) -> None:
        """Wait until the server answers. Raises OrchestratorUnavailable."""
        if self._server is None:
            return
        from nightjar.cli.embedded_server import ServerDidNotStartError  # noqa: PLC0415

        try:
            # waits: the server has START_SECONDS to answer
            self._server.wait()
        except ServerDidNotStartError as error:
            raise OrchestratorUnavailable(
                f"the embedded Prefect server did not start: {error}\nCheck for a full disk, a "
                f"database from a newer Prefect or files of another user in "
                f"{self._log_path.parent}, then run the same command again"
            ) from error
