"""Who accepts a connection, a signal or a lock and then stands still: it ends with a clear error.

The limits are made small. Each test asserts how it ends; its own limit is the time limit of tests.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import PROJECT_ROOT
from database_support import PASSWORD, SqliteReviews, make_postgres_reviews, put, running_postgres
from remote_support import request_of

from nightjar.cli import embedded_server, service
from nightjar.cli.embedded_server import EmbeddedServer
from nightjar.config import SqlSource
from nightjar.errors import (
    RegistryUnavailable,
    SourceUnavailable,
)
from nightjar.kernels import machine_code
from nightjar.progress import SILENT
from nightjar.registry import client, open_reader
from nightjar.sources.remote import (
    TableRequest,
    database,
    fetch_files,
    fetch_rows,
    http,
    object_storage,
    silence,
)
from nightjar.store import acquire_lease, holding, lease, waited_lease

pytestmark = pytest.mark.timeout(120)
_ENOUGH_SECONDS = 60


@pytest.fixture(autouse=True)
def few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "DELAYS", (0.01,))


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts every connection and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that does the same with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):  # closed at the end
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection, suppress(OSError, struct.error):  # the client has had enough
                answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _ENOUGH_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def trickle(connection: socket.socket, begun: bytes) -> None:
    """Answer with ``begun``, and go on with a byte now and then."""
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + begun)
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def trickle_a_header(connection: socket.socket) -> None:
    trickle(connection, b"X-Slow: ")


def go_on_for_ever(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)


def trickle_a_body(connection: socket.socket) -> None:
    trickle(connection, b"Content-Length: 100000\r\n\r\n")


def trickle_a_chunk_head(connection: socket.socket) -> None:
    trickle(connection, b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3;")


TRICKLES = [trickle_a_header, go_on_for_ever, trickle_a_body]
"""Each read of these brings something, so that limits for each read never end the wait."""


# -- files -----------------------------------------------------------------------------------


def test_a_web_server_that_never_answers(
    tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_SILENT_SECONDS", 0.2)
    url = f"http://127.0.0.1:{silent}/a.txt"
    with pytest.raises(SourceUnavailable, match=r"a\.txt: timed out; tried 2 times"):
        fetch_files(request_of(url), tmp_path / "fetched", SILENT)


@pytest.mark.parametrize("path", ["a.txt", "*.txt"])
def test_a_web_server_that_sends_a_byte_now_and_then(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SLOW_SECONDS", 0.3)
    with answering(trickle_a_body) as port:
        url = f"http://127.0.0.1:{port}/{path}"
        with pytest.raises(SourceUnavailable, match=r"only \d+ bytes came in 0 s; tried 2 times"):
            fetch_files(request_of(url), tmp_path / "fetched", SILENT)


@pytest.mark.parametrize("trickle", [trickle_a_header, go_on_for_ever])
@pytest.mark.parametrize("path", ["a.txt", "*.txt"])
def test_a_web_server_whose_answer_never_begins(
    tmp_path: Path,
    path: str,
    trickle: Callable[[socket.socket], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "SLOW_SECONDS", 0.3)
    with answering(trickle) as port:
        url = f"http://127.0.0.1:{port}/{path}"
        with pytest.raises(SourceUnavailable, match=r"did not begin in 0 s; tried 2 times"):
            fetch_files(request_of(url), tmp_path / "fetched", SILENT)


@pytest.mark.parametrize("path", ["a.txt", "*.txt"])
def test_a_web_server_that_sends_bytes_that_are_no_part_of_the_answer(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SLOW_SECONDS", 0.3)
    with answering(trickle_a_chunk_head) as port:
        url = f"http://127.0.0.1:{port}/{path}"
        message = r"nothing of the answer came in 0 s; tried 2 times"
        with pytest.raises(SourceUnavailable, match=message):
            fetch_files(request_of(url), tmp_path / "fetched", SILENT)


def test_a_bucket_that_never_answers(
    tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    from nightjar.sources.remote import buckets  # noqa: PLC0415  # needs fsspec

    monkeypatch.setattr(buckets, "_SILENT_SECONDS", 0.2)
    request = request_of("s3://lake/*", endpoint_url=f"http://127.0.0.1:{silent}", anonymous=True)
    with pytest.raises(SourceUnavailable, match=r"s3://lake/\*: Read timeout.*tried 2 times"):
        fetch_files(request, tmp_path / "fetched", SILENT)


# -- databases -------------------------------------------------------------------------------


def rows_of(directory: Path, url: str) -> None:
    query = "SELECT * FROM reviews"
    source = SqlSource(type="sql", url=url, query=query, key_column="id")
    fetch_rows(TableRequest("db", source, directory), directory / "fetched", SILENT)


def test_a_database_that_never_answers(
    tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    monkeypatch.setitem(database._POSTGRES, "connect_timeout", 2)
    with pytest.raises(SourceUnavailable, match=r"sources\.db: .*timeout.*tried 2 times"):
        rows_of(tmp_path, f"postgresql://reader@127.0.0.1:{silent}/base")


def greet_as_postgres_and_fall_silent(connection: socket.socket) -> None:
    while True:
        (length,) = struct.unpack("!I", connection.recv(4, socket.MSG_WAITALL))
        (kind,) = struct.unpack("!I", connection.recv(length - 4, socket.MSG_WAITALL)[:4])
        if kind == 196608:  # not a question for encryption
            break
        connection.sendall(b"N")
    settings = {"server_version": "16.0", "client_encoding": "UTF8"}
    said = b"R" + struct.pack("!II", 8, 0)
    for name, value in settings.items():
        text = f"{name}\0{value}\0".encode()
        said += b"S" + struct.pack("!I", 4 + len(text)) + text
    connection.sendall(said + b"Z" + struct.pack("!I", 5) + b"I")
    while connection.recv(1 << 16):
        pass


def test_a_database_that_falls_silent_is_told_and_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    monkeypatch.setattr(silence, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(silence, "TELL_SECONDS", 0.3)
    message = r"sources\.db: the database has sent nothing for 1 s, so the connection was cut"
    with (
        answering(greet_as_postgres_and_fall_silent) as port,
        pytest.raises(SourceUnavailable, match=message),
    ):
        rows_of(tmp_path, f"postgresql://reader@127.0.0.1:{port}/base")
    assert "after 1 s the connection is cut" in caplog.text


@pytest.mark.integration
def test_a_table_that_somebody_has_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_postgres() as port:
        import psycopg  # noqa: PLC0415  # in the extra

        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        monkeypatch.setattr(database, "_LOCK_SECONDS", 1)
        reviews = make_postgres_reviews(port, "base")
        put(reviews, range(5), 1)
        with psycopg.connect(reviews.address) as holder:
            holder.execute("LOCK TABLE reviews IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(SourceUnavailable, match=r"lock timeout .*tried 2 times"):
                rows_of(tmp_path, reviews.source["url"])
        rows_of(tmp_path, reviews.source["url"])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process has the SQLite database for itself."""
    code = (
        "import sqlite3, sys\n"
        "held = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "held.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.kill()


def test_a_source_in_a_file_that_another_process_has_locked(tmp_path: Path) -> None:
    put(SqliteReviews(tmp_path), range(5), 1)
    with (
        locked(tmp_path / "reviews.db"),
        pytest.raises(SourceUnavailable, match=r"database is locked; tried 2 times"),
    ):
        rows_of(tmp_path, "sqlite:///reviews.db")
    rows_of(tmp_path, "sqlite:///reviews.db")


# -- the registry ----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql+pymysql"])
def test_a_registry_that_never_answers(
    scheme: str, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PROBE_SECONDS", 0.3)
    message = r"MLflow at .* cannot be used: no answer \(timed out\); check that the server runs"
    with pytest.raises(RegistryUnavailable, match=message):
        open_reader(f"{scheme}://127.0.0.1:{silent}/x")


@pytest.mark.parametrize("trickle", TRICKLES)
def test_a_registry_that_sends_a_byte_now_and_then(
    trickle: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.import_mlflow()
    monkeypatch.setattr(client, "_PROBE_TRIES_SECONDS", 0.3)
    message = r"MLflow at .* cannot be used: no answer \(timed out\); check that the server runs"
    with answering(trickle) as port, pytest.raises(RegistryUnavailable, match=message):
        open_reader(f"http://127.0.0.1:{port}/x")


def test_a_busy_registry_does_not_decide_how_long_we_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    client.import_mlflow()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"

    def answer(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            connection.sendall(busy)

    with (
        answering(answer) as port,
        pytest.raises(RegistryUnavailable, match="the server answers 503"),
    ):
        open_reader(f"http://127.0.0.1:{port}")


def test_a_registry_file_that_another_process_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_BUSY_SECONDS", 0.2)
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE t (a)")
        made.commit()
    message = "database is locked; another process keeps it locked: wait until it ends"
    with locked(path), pytest.raises(RegistryUnavailable, match=message):
        client.connect(f"sqlite:///{path}")


# -- Prefect ---------------------------------------------------------------------------------


CHECK = """
import sys
from pathlib import Path
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console
from nightjar.cli import embedded_flow
from nightjar.config import load_config
from nightjar.errors import OrchestratorUnavailable

def run(url):
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            embedded_flow.run_nightly(Console(stderr=True), load_config(Path(sys.argv[1])), False)
    except OrchestratorUnavailable as error:
        print(error)

embedded_flow._CHECK_SECONDS = 0.3
for url in sys.argv[2:]:
    run(url)
embedded_flow._check_that_prefect_answers = lambda: None  # it answered, and is silent from here on
run(sys.argv[2])
"""


def test_a_prefect_server_that_never_answers_or_sends_a_byte_now_and_then(
    silent: int, small_config: Path
) -> None:
    """In a process of its own: Prefect's import changes how the process logs."""
    given = {"PREFECT_API_REQUEST_TIMEOUT": "0.3", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    with ExitStack() as stack:
        trickling = [stack.enter_context(answering(trickle)) for trickle in TRICKLES]
        urls = [f"http://127.0.0.1:{port}/api" for port in (silent, *trickling)]
        done = subprocess.run(
            [sys.executable, "-c", CHECK, str(small_config), *urls],
            env={**os.environ, **given},
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    *before, later = done.stdout.splitlines()
    assert len(before) == len(urls), done.stdout + done.stderr
    for url, said in zip(urls, before, strict=True):
        assert re.match(
            rf"the Prefect server at {url} does not answer \(\w+.*\); start it with", said
        )
    assert re.match(rf"the Prefect server at {urls[0]} failed during the night \(.*timed", later)


@pytest.mark.parametrize("trickle", TRICKLES)
def test_a_server_that_sends_a_byte_now_and_then_is_none_that_answers(
    trickle: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_PROBE_SECONDS", 0.2)
    with answering(trickle) as port:
        assert not service._answers(f"http://127.0.0.1:{port}/api")


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_an_embedded_server_that_is_stopped_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_server, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(embedded_server, "_SILENT_SECONDS", 3.0)
    told: list[str] = []
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    with EmbeddedServer(tmp_path / "log", environment, told.append) as server:
        server.wait()
        stopped = server._process.pid
        time.sleep(1.0)  # so that it has been heard
        os.kill(stopped, signal.SIGSTOP)
        until(lambda: bool(told))
        assert len(told) == 1
        assert told[0].startswith("The embedded Prefect server did not answer for 3 s; it is start")
        monkeypatch.setattr(embedded_server, "_SILENT_SECONDS", 100.0)
        login = httpx.BasicAuth(*server.secret.split(":", 1))
        found = httpx.get(f"{server.url}/admin/version", timeout=_ENOUGH_SECONDS, auth=login)
        assert found.status_code == 200
        assert server._process.pid != stopped
    assert not psutil.pid_exists(stopped)


# -- processes -------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [service._stop, embedded_server._stop])
def test_a_child_that_ignores_sigterm_is_killed(
    end: Callable[[subprocess.Popen[bytes]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (service, embedded_server):
        monkeypatch.setattr(module, "_STOP_SECONDS", 0.5)
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"deaf\n"
        end(process)
        assert process.poll() == -signal.SIGKILL


# -- locks -----------------------------------------------------------------------------------


def test_a_lock_on_machine_code_that_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code, "_LOCK_SECONDS", 0.2)
    with (
        machine_code._lock(tmp_path),
        pytest.raises(TimeoutError, match=r"another process has held .*\.lock for 0 s"),
        machine_code._lock(tmp_path),
    ):
        pass
    with machine_code._lock(tmp_path):
        pass


def test_a_new_file_that_a_stopped_process_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "_LOCK_SECONDS", 0.2)
    path = tmp_path / "1"
    path.touch()
    with path.open("rb") as looking, path.open("r+b") as new:
        fcntl.flock(looking, fcntl.LOCK_SH)
        with pytest.raises(TimeoutError, match="another process has looked at") as caught:
            holding._lock(new.fileno())
        assert caught.value.errno == errno.ETIMEDOUT
        fcntl.flock(looking, fcntl.LOCK_UN)
        holding._lock(new.fileno())


def test_who_is_waited_for_is_said_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "_TELL_SECONDS", 0.1)
    path = tmp_path / "lease"

    def wait() -> None:
        with waited_lease(path, "the second", "waiting for the first"):
            pass

    thread = threading.Thread(target=wait)
    with caplog.at_level(logging.WARNING), acquire_lease(path, "the first"):
        thread.start()
        until(lambda: caplog.text.count("waiting for the first (the first (process") >= 3)
    thread.join(_ENOUGH_SECONDS)
    assert not thread.is_alive()
    assert "if it stands still, end it" in caplog.text
