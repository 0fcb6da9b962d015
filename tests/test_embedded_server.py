"""The embedded Prefect server, and the database that it starts on.

``python tests/test_embedded_server.py`` renews the schema for a newer Prefect.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from proxy_support import proxy, through

from nightjar.cli import embedded_server, guarded_server
from nightjar.cli.embedded_server import SCHEMA, EmbeddedServer, prepare_database
from nightjar.files.listening import listen

_MIGRATE = """
import asyncio, os, sys
from prefect.server.database import provide_database_interface
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings
for home in sys.argv[1:]:
    child = os.fork()  # one import serves them all
    if not child:
        url = f"sqlite+aiosqlite:///{home}/prefect.db"
        with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
            asyncio.run(provide_database_interface().create_db())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, home
"""


def migrate(*homes: Path) -> list[Path]:
    """Prefect's database in each directory, brought to the installed Prefect's newest schema."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(homes[0]),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-c", _MIGRATE, *map(str, homes)]
    subprocess.run(command, env=environment, check=True, timeout=120)
    return [home / "prefect.db" for home in homes]


def dumped(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def parts(schema: str) -> list[str]:
    """The lines of a schema; those of a table's constraints come in any order."""
    return sorted(line.strip().rstrip(",") for line in schema.splitlines())


def test_the_shipped_schema_is_what_prefects_migrations_end_in(tmp_path: Path) -> None:
    """And Prefect finds nothing to migrate in a database that is made from it."""
    empty, prepared = tmp_path / "empty", tmp_path / "prepared"
    empty.mkdir()
    prepared.mkdir()
    prepare_database({"PREFECT_HOME": str(prepared)})
    before = dumped(prepared / "prefect.db")
    made, same = map(dumped, migrate(empty, prepared))
    assert same == before
    assert not [path for path in prepared.iterdir() if path.name.startswith(".prefect")]
    assert parts(SCHEMA.read_text(encoding="utf-8")) == parts(made), (
        "run 'python tests/test_embedded_server.py' to renew nightjar/cli/prefect_database.sql"
    )


def test_a_database_that_is_there_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    database.write_bytes(b"the user's")
    prepare_database({"PREFECT_HOME": str(tmp_path)})
    assert database.read_bytes() == b"the user's"


def test_an_older_prefect_migrates_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = tmp_path / "newer.sql"
    newer.write_text("INSERT INTO \"alembic_version\" VALUES('ffffffffffff');")
    monkeypatch.setattr(embedded_server, "SCHEMA", newer)
    prepare_database({"PREFECT_HOME": str(tmp_path)})
    assert not (tmp_path / "prefect.db").exists()


def test_another_database_of_the_users_is_left_to_prefect(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://localhost/prefect"
    home = {"PREFECT_HOME": str(tmp_path)}
    prepare_database({**home, "PREFECT_SERVER_DATABASE_CONNECTION_URL": url})
    prepare_database({})
    assert not list(tmp_path.iterdir())


@pytest.mark.integration
def test_a_server_answers_on_a_prepared_database(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    with (
        proxy() as (address, asked),
        EmbeddedServer(tmp_path / "log", {**environment, **through(address)}) as server,
    ):
        server.wait()
        login = tuple(server.secret.split(":", 1))
        own = server.url.removesuffix("/api")

        def create(login: object = None, **headers: str) -> httpx.Response:
            body = {"name": "evil"}
            return httpx.post(f"{server.url}/flows/", json=body, headers=headers, auth=login)  # type: ignore[arg-type]

        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            assert create(login, **headers).status_code == 403
        assert create().status_code == 401
        assert create(Origin=own).status_code == 401
        assert create(("nightjar", "wrong"), Origin=own).status_code == 401
        assert create(login).status_code == 201
        views = f"{server.url}/collections/views/aggregate-worker-metadata"
        known = httpx.get(views, auth=login, timeout=60).json()  # type: ignore[arg-type]
        assert "process" in known["prefect"]
        assert asked == []  # not GitHub, either
        other = f"http://{socket.gethostbyname(socket.gethostname())}:{own.rpartition(':')[2]}"
        if not other.startswith("http://127."):
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{other}/api/health", timeout=5)
    assert (tmp_path / "log").read_text() == ""
    private = [tmp_path / "log", *tmp_path.glob("prefect.db*")]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600] * len(private)
    assert len(private) >= 2


def test_a_database_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    database.write_bytes(b"")
    database.chmod(0o644)
    prepare_database({"PREFECT_HOME": str(tmp_path)})
    assert database.stat().st_mode & 0o777 == 0o600


def test_a_server_without_a_secret_does_not_start() -> None:
    environment = {name: value for name, value in os.environ.items() if "AUTH_STRING" not in name}
    with listen("127.0.0.1", 0) as listening:
        done = subprocess.run(
            [sys.executable, guarded_server.__file__, "127.0.0.1", str(listening.fileno()), "0"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert "PREFECT_SERVER_API_AUTH_STRING is not set" in done.stderr


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        SCHEMA.write_text(dumped(*migrate(Path(home))), encoding="utf-8")
