"""A running ``nightjar serve``, and queries to its Prefect server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

START_SECONDS = 180


@dataclass(frozen=True)
class NightShift:
    """A running ``nightjar serve``, and the directory that its deployment works in."""

    project: Path
    url: str
    log: Path
    environment: dict[str, str]

    def prefect(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env=self.environment,
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def request(self, method: str, path: str, body: object = None) -> Any:
        """The API's answer; retried while its database is locked, as Prefect does."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            response = self.ask(method, path, body, auth=self.login())
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            assert time.monotonic() < deadline, response.text
            time.sleep(0.5)
        assert response.is_success, response.text
        return response.json()

    def login(self) -> tuple[str, str]:
        """User and password of the API, from the file that the message names."""
        path = self.project / "artifacts" / "prefect" / "server.secret"
        user, _, password = path.read_text().strip().partition(":")
        return user, password

    def ask(self, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:
        """One request to the API, without the secret unless it is given as ``auth``."""
        return httpx.request(method, f"{self.url}{path}", json=body, timeout=30, **more)

    def post(self, path: str, body: dict[str, object]) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.request("POST", path, body)
        return result


def environment_of_a_user(**more: str) -> dict[str, str]:
    """The tests' environment without what they set for Prefect."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "200", **more}


@contextmanager
def serving(
    command: Sequence[str], project: Path, directory: Path, environment: Mapping[str, str]
) -> Iterator[NightShift]:
    """Run ``command`` (a ``nightjar serve``) in the project; its Prefect uses ``directory``."""
    port = _free_port()
    environment = {
        **environment,
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    log = directory / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}/api"
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"Serving." not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        night_shift = NightShift(project, url, log, {**environment, "PREFECT_API_URL": url})
        night_shift.environment["PREFECT_API_AUTH_STRING"] = ":".join(night_shift.login())
        yield night_shift
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", timeout=5)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
