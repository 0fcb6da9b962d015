"""Databases with a table ``reviews``, for the tests of sources of type ``sql``."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

PASSWORD = "pa55-of-the-test"  # of a server on loopback that exists for one test
_START_SECONDS = 60


class Reviews(Protocol):
    """A database with the table ``reviews``: id, text, at, stars."""

    def run(self, statement: str, rows: Sequence[Sequence[Any]] = ()) -> None:
        """Run ``statement``, with ``?`` for values, for each of ``rows`` or once; commit."""

    @property
    def source(self) -> dict[str, Any]:
        """The configuration of a source that reads the table."""


def put(reviews: Reviews, numbers: Sequence[int], at: int, word: str = "first") -> None:
    """Write rows again, with the watermark ``at``."""
    if not numbers:
        return
    reviews.run("DELETE FROM reviews WHERE id = ?", [(number,) for number in numbers])
    reviews.run(
        "INSERT INTO reviews (id, text, at, stars) VALUES (?, ?, ?, ?)",
        [(number, f"{word} review {number}", at, number % 5) for number in numbers],
    )


@dataclass
class SqliteReviews:
    """A file ``reviews.db`` in the directory."""

    directory: Path
    source: dict[str, Any] = field(
        default_factory=lambda: {
            "type": "sql",
            "url": "sqlite:///reviews.db",
            "query": "SELECT * FROM reviews",
            "key_column": "id",
            "watermark_column": "at",
        }
    )

    def __post_init__(self) -> None:
        self.run("CREATE TABLE reviews (id INTEGER, text TEXT, at INTEGER, stars REAL)")

    def run(self, statement: str, rows: Sequence[Sequence[Any]] = ()) -> None:
        connection = sqlite3.connect(self.directory / "reviews.db")
        with connection:
            connection.executemany(statement, rows) if rows else connection.execute(statement)
        connection.close()


@dataclass
class PostgresReviews:
    """A separate database on a server that asks for a password."""

    port: int
    name: str

    @property
    def source(self) -> dict[str, Any]:
        return {
            "type": "sql",
            "url": f"postgresql://nightjar@127.0.0.1:{self.port}/{self.name}",
            "query": "SELECT * FROM reviews",
            "key_column": "id",
            "watermark_column": "at",
        }

    def run(self, statement: str, rows: Sequence[Sequence[Any]] = ()) -> None:
        import psycopg  # noqa: PLC0415  # in the extra postgres

        with psycopg.connect(self.address, autocommit=False) as connection:
            cursor = connection.cursor()
            if rows:
                cursor.executemany(statement.replace("?", "%s"), rows)
            else:
                cursor.execute(statement)

    @property
    def address(self) -> str:
        """URL for the tests' own connection."""
        return (
            f"host=127.0.0.1 port={self.port} dbname={self.name} user=nightjar password={PASSWORD}"
        )


def _program(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(versions[-1]) if versions else None)
    if found is None:
        pytest.skip(f"{name} of PostgreSQL is not installed (apt-get install postgresql)")
    return found


@contextmanager
def running_postgres() -> Iterator[int]:
    """A PostgreSQL server on loopback; yields its port. Skips the test if it is not installed."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    initdb, postgres = _program("initdb"), _program("postgres")
    # The server refuses to run as root, and its socket's path has to be short.
    directory = Path(tempfile.mkdtemp(prefix="nj-pg-"))
    who: dict[str, Any] = {"cwd": directory}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        who |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    (directory / "password").write_text(PASSWORD)
    data = directory / "data"
    made = subprocess.run(
        [
            *(initdb, "-D", data, "-U", "nightjar", "--auth=scram-sha-256", "--encoding=UTF8"),
            *("--locale=C", f"--pwfile={directory / 'password'}", "--no-sync"),
        ],
        capture_output=True,
        text=True,
        check=False,
        **who,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(postgres, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", directory),
                *("-c", "fsync=off"),
            ],
            stdout=log,
            stderr=log,
            **who,
        )
    try:
        _wait_for(server, port, directory / "log")
        yield port
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(directory)


def _wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import psycopg  # noqa: PLC0415

    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(PostgresReviews(port, "postgres").address).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        else:
            return


def make_postgres_reviews(port: int, name: str) -> PostgresReviews:
    """A new database with the empty table."""
    import psycopg  # noqa: PLC0415

    with psycopg.connect(PostgresReviews(port, "postgres").address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    reviews = PostgresReviews(port, name)
    reviews.run("CREATE TABLE reviews (id BIGINT, text TEXT, at BIGINT, stars REAL)")
    return reviews
