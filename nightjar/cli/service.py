"""Nightly operation on one machine: Prefect server, work pool, deployment and worker.

``nightjar serve`` starts what is missing, deploys the ``prefect.yaml`` beside the config, or the
one that Nightjar ships, and, when interrupted, stops what it started. A server that already
answers at ``PREFECT_API_URL`` is used as it is. Its own server obeys those alone who can read a
file of this user's (:mod:`.guarded_server`).
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import yaml
from rich.console import Console

from nightjar.cli.embedded_server import prepare_database
from nightjar.cli.environment import LOOPBACK, check_prefect_url, has_proxy, keep_proxies_out
from nightjar.cli.guarded_server import (
    CLIENT_VARIABLE,
    SERVER_VARIABLE,
    start_server,
)
from nightjar.cli.project_template import DEPLOYMENTS_FILE, SHIPPED_DEPLOYMENTS
from nightjar.cli.server_secret import kept_secret, secret_path
from nightjar.cli.terminal import pass_on
from nightjar.config import LoadedConfig, check_may_be_recorded
from nightjar.errors import ConfigError, InputError, OrchestratorUnavailable
from nightjar.files import urls
from nightjar.files.asking import ask_within
from nightjar.files.listening import is_loopback, listen, shown_host
from nightjar.files.served_pages import PAGES_VARIABLE
from nightjar.store import named_write_errors

DEPLOYMENT = "nightly/nightly"
_NAME = DEPLOYMENT.partition("/")[2]
_START_SECONDS = 180.0
_DEPLOY_SECONDS = 180.0
_STOP_SECONDS = 20.0
_LAST_LINES_SECONDS = 2.0
_PROBE_SECONDS = 5.0


def serve_nightly(
    console: Console,
    loaded: LoadedConfig,
    host: str,
    port: int,
    work_pool: str,
    promotes: bool = False,
) -> None:
    """Serve until interrupted (Ctrl-C or SIGTERM), or until one of the processes stops."""
    project = loaded.base_dir
    deployments_path(loaded)  # report mistakes in it before anything starts
    check_may_be_recorded(loaded.overrides)
    check_prefect_url()
    _check_loopback(host)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    with ExitStack() as stack:
        parts: dict[str, subprocess.Popen[bytes]] = {}
        known = ""
        given = os.environ.get("PREFECT_API_URL")
        url = given or f"http://{shown_host(host)}:{port}/api"
        environment = {**os.environ, "PREFECT_API_URL": url}
        if urls.is_on_loopback(url):
            keep_proxies_out(environment)
        if given and not _answers(url):
            raise OrchestratorUnavailable(
                f"PREFECT_API_URL is {urls.redacted(url)}, where no Prefect server answers; start "
                f"it or unset the variable"
            )
        if not given:
            listening = _listen(host, port)
            console.print(f"Starting the Prefect server at {url}")
            secret, known = _secret(loaded)
            environment[CLIENT_VARIABLE] = secret
            environment[PAGES_VARIABLE] = str(loaded.artifacts_dir.absolute())
            prepare_database(environment)
            with listening:
                server = start_server(
                    listening, host, secret, environment, _output(), directory=project
                )
            parts["server"] = stack.enter_context(_stopped_at_the_end(server))
            _wait_until_it_answers(url, parts["server"], stopped)
        if stopped.is_set():
            return
        deploy(loaded, work_pool, environment, promotes)
        worker = ["worker", "start", "--pool", work_pool, "--type", "process", "--limit", "1"]
        process = subprocess.Popen(
            _prefect(worker),
            env=environment,
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=_output(),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        parts["worker"] = stack.enter_context(_stopped_at_the_end(process))
        _tell_how_to_use(console, url, known)
        # waits: to serve until Ctrl-C is what the user asked for, and was told
        while not stopped.wait(1.0):
            for name, process in parts.items():
                if process.poll() is not None:
                    raise OrchestratorUnavailable(
                        f"the Prefect {name} stopped with exit code {process.returncode}; "
                        f"its last lines are above"
                    )


def _check_loopback(host: str) -> None:
    """Raise InputError for an address that other machines reach."""
    if not is_loopback(host):
        raise InputError(
            f"--host {host}: the server of 'nightjar serve' listens on this machine alone "
            f"(127.0.0.1, ::1 or localhost), because whoever commands it runs programs here; run "
            f"a Prefect server of your own for other machines (docs/orchestration.md)"
        )


def _listen(host: str, port: int) -> socket.socket:
    """Listen on the address before anything starts. Raises InputError."""
    try:
        return listen(host, port)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): choose another port with "
            f"--port. If it is a Prefect server of yours that answers there, set PREFECT_API_URL, "
            f"and {CLIENT_VARIABLE} if it has a password, to use it"
        ) from error


def _secret(loaded: LoadedConfig) -> tuple[str, str]:
    """The server's secret, and how to put it into a command. Raises StoreNotWritable."""
    for name in (SERVER_VARIABLE, CLIENT_VARIABLE):
        if os.environ.get(name):
            return os.environ[name], f'"${name}"'
    path = secret_path(loaded.artifacts_dir)
    with named_write_errors(loaded.artifacts_dir):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return kept_secret(path), f'"$(cat {shlex.quote(str(path))})"'


def _tell_how_to_use(console: Console, url: str, known: str) -> None:
    page, shown = url.removesuffix("/api"), urls.redacted(url)
    login = f"Its page asks for a password. Print it with\n  echo {known}\n" if known else ""
    secret = f"{CLIENT_VARIABLE}={known} " if known else ""
    if urls.is_on_loopback(url) and has_proxy():
        secret = f"no_proxy={','.join(LOOPBACK)} {secret}"
    console.print(
        f"Serving. The runs are at {urls.redacted(page)}. {login}Start one now with\n"
        f"  PREFECT_API_URL={shown} {secret}prefect deployment run {DEPLOYMENT} --watch\n"
        f"Stop with Ctrl-C.",
        soft_wrap=True,
        markup=False,
    )


def deploy(
    loaded: LoadedConfig, work_pool: str, environment: Mapping[str, str], promotes: bool = False
) -> None:
    """Create the process work pool and the nightly deployment for this config.

    Its runs work in the directory of the config. Raises ConfigError when the prefect.yaml there
    does not declare it; OrchestratorUnavailable with Prefect's output, or after a timeout.
    """
    shown = urls.redacted(environment["PREFECT_API_URL"])
    pool = ["work-pool", "create", "--type", "process", work_pool, "--overwrite"]
    parameters = {
        "config_path": str(loaded.path),
        "overrides": list(loaded.overrides),
        "promote": promotes,
    }
    deployment = ["--no-prompt", "deploy", "--name", _NAME]
    deployment += ["--prefect-file", str(deployments_path(loaded))]
    deployment += ["--pool", work_pool, "--params", json.dumps(parameters)]
    for arguments in (pool, deployment):
        try:
            done = subprocess.run(
                _prefect(arguments),
                env=dict(environment),
                cwd=loaded.base_dir,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_DEPLOY_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise OrchestratorUnavailable(
                f"'prefect {' '.join(arguments)}' did not end within {_DEPLOY_SECONDS:.0f} s; does "
                f"the Prefect server at {shown} answer? See its log, then "
                f"run the same command again"
            ) from error
        if done.returncode != 0:
            raise OrchestratorUnavailable(
                f"'prefect {' '.join(arguments)}' failed:\n"
                f"{urls.redacted(done.stdout + done.stderr)}".strip()
            )


def deployments_path(loaded: LoadedConfig) -> Path:
    """The prefect.yaml beside the config, or the one that Nightjar ships.

    Raises ConfigError when the one beside the config does not declare the nightly deployment:
    Prefect would deploy another one instead.
    """
    path = loaded.base_dir / DEPLOYMENTS_FILE
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return SHIPPED_DEPLOYMENTS
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    declared = document.get("deployments") if isinstance(document, dict) else None
    for entry in declared if isinstance(declared, list) else []:
        if isinstance(entry, dict) and entry.get("name") == _NAME:
            return path
    raise ConfigError(
        f"{path} declares no deployment {_NAME!r}; copy it from {SHIPPED_DEPLOYMENTS}, or keep the "
        f"config in a directory of its own"
    )


def _prefect(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _output() -> int | None:
    """Where a process writes: on a terminal through our door, else where we do.

    A file must not depend on us: the worker and its night live on if this process is killed.
    """
    return subprocess.PIPE if sys.stdout.isatty() else None


@contextmanager
def _stopped_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Show what the process prints; stop it and its group at the end of the block."""
    shown = pass_on(process)
    try:
        yield process
    finally:
        _stop(process)
        shown.join(_LAST_LINES_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the group, then SIGKILL to what is left of it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_STOP_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _answers(url: str) -> bool:
    """Whether a Prefect server answers at ``url``; one on this machine is asked by no proxy."""

    def ask() -> bool:
        trusts = not urls.is_on_loopback(url)
        answer = httpx.get(f"{url}/health", timeout=_PROBE_SECONDS, trust_env=trusts)
        return answer.status_code == httpx.codes.OK

    try:
        return ask_within(2 * _PROBE_SECONDS, ask)
    except (OSError, ValueError, ImportError, httpx.HTTPError, httpx.InvalidURL):
        return False  # the environment's proxies or certificates may be of no use, too


def _wait_until_it_answers(
    url: str, server: subprocess.Popen[bytes], stopped: threading.Event
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(url) and not stopped.wait(0.5):
        if server.poll() is not None:
            raise OrchestratorUnavailable(
                f"the Prefect server stopped with exit code {server.returncode}; its last "
                f"lines are above"
            )
        if time.monotonic() > deadline:
            raise OrchestratorUnavailable(
                f"the Prefect server did not answer at {url} within {_START_SECONDS:.0f} s"
            )
