"""A Prefect server that lives exactly as long as the run that started it.

Prefect's own ephemeral server outlives a run that is killed (``kill -9``) and keeps running for
good, and it obeys everyone. This one (:mod:`.guarded_server`) watches its parent and ends when the
parent is gone, for whatever reason, and it answers this run alone. Otherwise it is the same: the
API application without the user interface, on loopback.

With an empty database, half of the start would be spent on Prefect's complete history of
migrations. Instead the database is made from ``prefect_database.sql``, the result of those
migrations; a newer Prefect migrates on from there. ``python tests/test_embedded_server.py`` renews
the file.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import httpx

from nightjar.cli.guarded_server import start_server
from nightjar.cli.server_secret import new_secret
from nightjar.files.listening import listen

SCHEMA = Path(__file__).with_name("prefect_database.sql")
START_SECONDS = 180.0
_BESIDE = ("-wal", "-shm", "-journal")
_DATABASE_URLS = (
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_DRIVER",
)
_HOST = "127.0.0.1"
_STOP_SECONDS = 10.0
_PROBE_SECONDS = 2.0
_LOOK_SECONDS = 10.0
_SILENT_SECONDS = 120.0
"""A server that exists but answers nothing for this long is killed and started again."""
_MAX_RESTARTS = 3
_REFUSAL = b"Content-Length: 28\r\nConnection: close\r\n\r\nCSRF protection is disabled."
_REFUSALS = {b"/csrf-token": b"422 None", b"/logs/": b"201 Created"}
"""Otherwise Prefect's client complains about each line of its log. The words above are for it."""
_REFUSAL_SECONDS = 1.0
_LAST_LINES = 8


class ServerDidNotStartError(Exception):
    """The server ended or did not answer in time; the message contains its last lines."""


class EmbeddedServer:
    """A server that starts with this object and ends with its ``with`` block.

    ``url`` is its API address, which answers once :meth:`wait` has returned, to those who know
    ``secret``. Its output goes to ``log_path``.

    A server that ends on its own after that (a kill, no memory), or stands still, is started again,
    and ``tell`` says so. This process listens on the port all the while, so requests wait for the
    new one instead of failing, and the night goes on. If it keeps ending, every request is refused
    at once: Prefect's client would repeat each of them for a minute.
    """

    def __init__(
        self,
        log_path: Path,
        environment: Mapping[str, str],
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        prepare_database(environment)
        private_file(log_path).close()
        self._environment = environment
        self._log_path = log_path
        self._tell = tell
        self._listening = listen(_HOST, 0)
        self.url = f"http://{_HOST}:{self._listening.getsockname()[1]}/api"
        self.secret = new_secret()
        self._is_stopping = False
        self._lock = threading.Lock()
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log_path.open("ab") as log:
            return start_server(
                self._listening,
                _HOST,
                self.secret,
                {
                    **self._environment,
                    "PREFECT_UI_ENABLED": "0",
                    # Only the user interface needs block types; a server with one adds them.
                    "PREFECT_API_BLOCKS_REGISTER_ON_START": "0",
                    "PREFECT__SERVER_EPHEMERAL": "1",
                    "PREFECT__SERVER_FINAL": "1",
                    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
                },
                log,
                is_child=True,
            )

    def wait(self) -> None:
        """Wait until the server answers. Raises ServerDidNotStartError."""
        _wait_until_it_answers(self.url, self._process, self._log_path)
        threading.Thread(target=self._keep_running, name="Prefect server", daemon=True).start()

    def stop(self) -> None:
        """Stop the server if it is running."""
        with self._lock:
            self._is_stopping = True
            _stop(self._process)
            self._listening.close()

    def _keep_running(self) -> None:
        for _ in range(_MAX_RESTARTS):
            what = self._end()
            with self._lock:
                if self._is_stopping:
                    return
                self._tell(
                    f"The embedded Prefect server {what}; it is started again, and the night "
                    f"goes on."
                )
                self._process = self._started()
        self._end()
        if not self._is_stopping:
            self._tell(
                f"The embedded Prefect server keeps ending, so the night ends, too; see "
                f"{self._log_path}."
            )
            self._refuse_requests()

    def _end(self) -> str:
        """Wait until the server has ended, however long it serves; returns what happened.

        One that stands still is killed.
        """
        patience, heard = START_SECONDS, time.monotonic()
        with httpx.Client(timeout=_PROBE_SECONDS, trust_env=False) as client:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return f"ended (exit code {self._process.wait(_LOOK_SECONDS)})"
                if _answers(client, self.url):
                    patience, heard = _SILENT_SECONDS, time.monotonic()
                elif time.monotonic() - heard > patience:
                    self._process.kill()
                    with suppress(subprocess.TimeoutExpired):  # a dead disk
                        self._process.wait(_STOP_SECONDS)
                    return f"did not answer for {patience:.0f} s"

    def _refuse_requests(self) -> None:
        """Answer every request with an error that Prefect's client does not repeat."""
        with suppress(OSError):  # the socket is closed in the end
            self._listening.setblocking(True)  # the servers changed it, and share it
            while True:
                # waits: in a daemon thread, for as long as the night ends
                connection, _ = self._listening.accept()
                with connection, suppress(OSError):
                    connection.settimeout(_REFUSAL_SECONDS)
                    # waits: the connection has a limit, _REFUSAL_SECONDS
                    place = connection.recv(1 << 16).partition(b"\r\n")[0]
                    found = [status for part, status in _REFUSALS.items() if part in place]
                    status = next(iter(found), b"410 Gone")
                    connection.sendall(b"HTTP/1.1 %b\r\n%b" % (status, _REFUSAL))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def private_file(path: Path) -> IO[bytes]:
    """Open ``path`` for writing, empty, as a file that only its user can read."""
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    with suppress(OSError):  # of another user, or on a disk without modes
        os.fchmod(file.fileno(), 0o600)
    return file


def prepare_database(environment: Mapping[str, str]) -> None:
    """Make the SQLite database of a server with ``environment`` if it is missing.

    Only its user can read it. It appears atomically, so two runs may do this at once. If that
    fails, or the user chose another database, Prefect makes it.
    """
    home = environment.get("PREFECT_HOME")
    if home is None or any(environment.get(name) for name in _DATABASE_URLS):
        return
    database = Path(home) / "prefect.db"
    for path in (database, *(database.with_name(f"{database.name}{end}") for end in _BESIDE)):
        with suppress(OSError):  # there is none, or it is another user's
            path.chmod(0o600)
    schema = SCHEMA.read_text(encoding="utf-8")
    if database.exists() or not _is_known(schema):
        return
    unfinished = database.with_name(f".{database.name}.{os.getpid()}")
    # The server's own attempt reports a full disk, for example, more clearly.
    with suppress(OSError, sqlite3.Error):
        try:
            private_file(unfinished).close()
            with closing(sqlite3.connect(unfinished)) as connection:
                connection.executescript(schema)
            os.link(unfinished, database)  # unlike a rename it replaces nothing
        finally:
            unfinished.unlink(missing_ok=True)


def _is_known(schema: str) -> bool:
    """Whether the installed Prefect has the migration that ``schema`` was dumped after."""
    revision = re.search(r"INSERT INTO \"alembic_version\" VALUES\('(\w+)'\)", schema)
    prefect = find_spec("prefect")
    if revision is None or prefect is None or prefect.origin is None:
        return False
    migrations = Path(prefect.origin).parent / "server/database/_migrations/versions/sqlite"
    return any(migrations.glob(f"*{revision[1]}*.py"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, then SIGKILL; a process that hangs on a dead disk even then is left behind."""
    for end in (process.terminate, process.kill):
        end()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=_PROBE_SECONDS, trust_env=False) as client:
        while True:
            if _answers(client, url):
                return
            if process.poll() is not None:
                raise ServerDidNotStartError(_last_lines(log_path))
            if time.monotonic() > deadline:
                raise ServerDidNotStartError(f"no answer within {START_SECONDS:.0f} s")
            time.sleep(0.1)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _last_lines(log_path: Path) -> str:
    lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-_LAST_LINES:]) or f"it ended without any output in {log_path}"
