"""A real ``mlflow server``, and a proxy in front of it that refuses requests or loses answers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from registry_support import template_database

START_SECONDS = 120


@dataclass
class Server:
    """Where it answers, and where it keeps what it is given."""

    uri: str
    files: Path
    process: subprocess.Popen[bytes] | None = None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it with its workers."""
        assert self.process is not None
        os.killpg(self.process.pid, number)
        self.process.wait(30)

    def start(self) -> None:
        """Start it, perhaps again; returns once it answers."""
        directory = self.files.parent
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", self.uri.rpartition(":")[2], "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{directory}/mlflow.db"]
        command += ["--artifacts-destination", str(self.files)]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        log = directory / "server.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PATH": path},
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None, log.read_text()
                time.sleep(0.2)
        raise AssertionError(log.read_text())


@contextmanager
def mlflow_server(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps everything below ``directory``."""
    shutil.copyfile(template_database(tmp_path_factory), directory / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}", directory / "files")
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Fate(Enum):
    """What becomes of a request."""

    PASSED = auto()
    REFUSED = auto()
    """The server never gets it."""
    LOST = auto()
    """The server does what it asks for, but the answer is lost."""


class Proxy(ThreadingHTTPServer):
    """Passes requests on to ``target``, as far as ``fate`` says; it gets "POST /path"."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        self.target = target
        self.fate: Callable[[str], Fate] = lambda _request: Fate.PASSED
        self.deciding = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        with self.server.deciding:
            fate = self.server.fate(f"{self.command} {self.path.partition('?')[0]}")
        if fate is Fate.REFUSED:
            return
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        request = urllib.request.Request(
            f"{self.server.target}{self.path}", body, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        except OSError:  # the server is not there
            return
        if fate is Fate.LOST:
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815

    def log_message(self, *_message: object) -> None:
        pass


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """A proxy in front of a server."""
    with Proxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
