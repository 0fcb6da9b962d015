"""A real ``mlflow server``, and a proxy in front of it that refuses requests or loses answers."""

from __future__ import annotations

import atexit
import fcntl
import functools
import json
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
from sharing_support import base_of_all_workers, shared

START_SECONDS = 120


_PARENT = """
import fcntl, gc, json, os, signal, socket, sys, threading
import mlflow.cli, mlflow.server.fastapi_app, uvicorn

place, users = sys.argv[1:]
running = set()

def end_with_the_last_user():
    with open(users, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.unlink(place)
        for pid in list(running):
            end(pid, signal.SIGKILL)
        os._exit(0)

def serve(command, extra_env, **_):  # python -m uvicorn ..., which would import all of it again
    os.environ.update(extra_env)
    uvicorn.main(command[3:])

def run(arguments, log):
    os.setsid()
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    mlflow.server._exec_cmd = serve
    code = 1
    try:
        mlflow.cli.cli(arguments)
    except SystemExit as done:
        code = done.code or 0
    finally:
        sys.stdout.flush()
        os._exit(code)

def end(pid, number):
    running.discard(pid)
    os.killpg(pid, number)
    return wait(pid)

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def start(*arguments):
    running.add(pid := os.fork() or run(*arguments))
    return pid

def do(*arguments):
    return wait(os.fork() or run(*arguments))

gc.collect()
gc.freeze()  # what is imported stays
listening = socket.create_server(("127.0.0.1", 0))
with open(place, "w") as file:
    json.dump({"pid": os.getpid(), "port": listening.getsockname()[1]}, file)
threading.Thread(target=end_with_the_last_user, daemon=True).start()
print("ready", flush=True)
while True:
    connection, _ = listening.accept()
    with connection, connection.makefile("rw") as stream:
        name, *arguments = json.loads(stream.readline())
        print(json.dumps({"start": start, "end": end, "do": do}[name](*arguments)), file=stream)
"""
"""The process that every ``mlflow`` command of a run of the tests is forked from.

It imports MLflow once, and lives as long as one of the test processes that use it.
"""


@dataclass(frozen=True)
class Parent:
    """Asks the process that commands are forked from."""

    pid: int
    port: int

    def ask(self, *asked: object) -> int:
        """The process id of what it started, or the exit code of what has ended."""
        with (
            socket.create_connection(("127.0.0.1", self.port)) as connection,
            connection.makefile("rw") as stream,
        ):
            print(json.dumps(asked), file=stream, flush=True)
            return int(stream.readline())


@functools.cache
def running_parent(directory: Path) -> Parent:
    """It is started unless another test process has done so; ``directory`` is the same for all.

    This process uses it until it exits.
    """
    place = directory / "mlflow.json"
    users = (directory / "mlflow.users").open("w")
    with (directory / "mlflow.lock").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)  # waits for one that is about to end
        if not place.exists():
            process = _start_parent(place, users.name)
            is_worker = "PYTEST_XDIST_WORKER" in os.environ  # the others may go on using it
            atexit.register(process.poll if is_worker else process.wait)
        atexit.register(users.close)  # what is registered last is called first
        return Parent(**json.loads(place.read_text()))


def _start_parent(place: Path, users: str) -> subprocess.Popen[bytes]:
    log = place.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(place), users],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"ready\n", log.read_text()
    return process


@dataclass
class Server:
    """Where it answers, and where it keeps what it is given."""

    uri: str
    files: Path
    parent: Parent
    pid: int = 0

    @property
    def log(self) -> Path:
        return self.files.with_name("server.log")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        self.parent.ask("end", self.pid, number)

    def start(self) -> None:
        """Start it, perhaps again; returns once it answers."""
        arguments = ["server", "--host", "127.0.0.1", "--port", self.uri.rpartition(":")[2]]
        arguments += ["--workers", "1", "--artifacts-destination", str(self.files)]
        arguments += ["--backend-store-uri", f"sqlite:///{self.files.with_name('mlflow.db')}"]
        self.pid = self.parent.ask("start", arguments, str(self.log))
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def collect_garbage(self, command: str) -> None:
        """Run ``mlflow gc ...`` as a person beside the server would."""
        database = f"sqlite:///{self.files.with_name('mlflow.db')}"
        mlflow, *arguments = command.replace("DATABASE_OF_THE_SERVER", database).split()
        assert mlflow == "mlflow"
        log = self.files.with_name("gc.log")
        assert self.parent.ask("do", arguments, str(log)) == 0, log.read_text()


def new_server(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server that keeps everything below ``directory``; whoever starts it stops it."""
    shutil.copyfile(template_database(tmp_path_factory), directory / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    parent = running_parent(base_of_all_workers(tmp_path_factory))
    server = Server(f"http://127.0.0.1:{port}", directory / "files", parent)
    server.start()
    return server


def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """One server for all workers of a run; it ends with the last of them."""
    parent = running_parent(base_of_all_workers(tmp_path_factory))
    name = f"mlflow-{parent.pid}"
    return shared(tmp_path_factory, name, lambda made: new_server(made, tmp_path_factory))


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
