"""Reading the registry: equal to MlflowClient, and clear when it cannot be read."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from registry_support import World, mlflow

from nightjar.errors import ForeignModel, RegistryUnavailable
from nightjar.registry import (
    ClientWriter,
    RegisteredVersion,
    RegistryWriter,
    open_reader,
    open_writer,
    writers,
)
from nightjar.registry import readers as reading
from nightjar.registry.client import ClientReader, connect


@pytest.fixture
def world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.create(tmp_path / "a b", tmp_path_factory)


@pytest.fixture
def readers(world: World) -> list[object]:
    """The SQLite reader and MLflow itself, over models with every kind of version."""
    client = world.client
    run_id = client.create_run("0").info.run_id
    for name in ("night-w2v", "night-glove", "empty"):
        client.create_registered_model(name, tags={"of": name})
    for number in range(1, 6):
        client.create_model_version(
            "night-w2v", f"/nowhere/{number}", run_id, tags={"n": str(number), "t": "ünï"}
        )
    client.create_model_version("night-glove", "/nowhere", None, tags={"n": "9"})
    client.set_registered_model_alias("night-w2v", "champion", "4")
    client.set_registered_model_alias("night-w2v", "best", "4")
    client.set_registered_model_alias("night-w2v", "challenger", "2")
    client.set_registered_model_alias("night-glove", "champion", "1")
    client.delete_model_version("night-w2v", "3")
    client.delete_model_version("night-w2v", "2")
    return [open_reader(world.uri), ClientReader(client, world.uri)]


def test_sqlite_reader_answers_as_mlflow_does(readers: list[ClientReader]) -> None:
    fast, slow = readers
    assert fast.versions("night-w2v") == slow.versions("night-w2v")
    for name in ("night-w2v", "night-glove", "empty", "never"):
        assert fast.versions(name) == slow.versions(name), name
        for number in range(1, 7):
            assert fast.version(name, number) == slow.version(name, number), (name, number)
        for alias in ("champion", "challenger", "best", "none"):
            assert fast.alias(name, alias) == slow.alias(name, alias), (name, alias)
        assert fast.aliases(name) == slow.aliases(name), name
        assert fast.model_tags(name) == slow.model_tags(name), name
        for value in ("4", "9", "2"):
            assert fast.tagged(name, "n", value) == slow.tagged(name, "n", value), (name, value)


def test_what_the_readers_answer(readers: list[ClientReader]) -> None:
    fast = readers[0]
    found = fast.versions("night-w2v")
    assert [version.version for version in found] == [1, 4, 5]
    assert [version.aliases for version in found] == [(), ("best", "champion"), ()]
    champion = fast.alias("night-w2v", "champion")
    assert champion is not None
    assert champion.tags == {"n": "4", "t": "ünï"}
    assert champion.run_id is not None
    assert len(champion.run_id) == 32
    assert fast.alias("night-w2v", "challenger") is None
    assert fast.version("night-w2v", 3) is None
    assert fast.versions("empty") == fast.versions("never") == []


def test_versions_with_a_tag(readers: list[ClientReader]) -> None:
    for reader in readers:
        found = reader.tagged("night-w2v", "n", "5")
        assert [version.version for version in found] == [5]
        assert reader.tagged("night-w2v", "n", "2") == []  # deleted
        assert reader.tagged("night-glove", "n", "5") == []


def test_aliases_and_tags_of_a_registered_model(readers: list[ClientReader]) -> None:
    for reader in readers:
        assert reader.aliases("night-w2v") == {"champion": 4, "best": 4}
        assert reader.model_tags("night-w2v") == {"of": "night-w2v"}
        assert reader.aliases("never") == reader.model_tags("never") == {}
        assert reader.models_tagged("of", "night-w2v") == ["night-w2v"]
        assert reader.models_tagged("of", "never") == reader.models_tagged("never", "of") == []


def test_database_that_is_not_there_or_empty_has_nothing_registered(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "mlflow.db"
    assert open_reader(f"sqlite:///{missing}").versions("x") == []
    assert not missing.parent.exists()
    empty = tmp_path / "mlflow.db"
    empty.touch()
    assert open_reader(f"sqlite:///{empty}").alias("x", "champion") is None


def test_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"not a database, " * 100)
    uri = f"sqlite:///{path}"
    with pytest.raises(RegistryUnavailable, match=r"mlflow\.db.*file is not a database"):
        open_reader(uri).versions("x")
    with pytest.raises(RegistryUnavailable, match="file is not a database"):
        connect(uri)


def test_place_that_cannot_be_a_database_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RegistryUnavailable, match=r"Not a directory|File exists"):
        connect(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_database_of_another_release_says_how_to_upgrade(world: World) -> None:
    database = world.artifacts_dir / "mlflow" / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'c48cb773bb87'")
    connection.close()
    with pytest.raises(RegistryUnavailable, match="mlflow db upgrade sqlite:///"):
        connect(world.uri)


def test_database_is_made_whole_even_after_a_killed_attempt(tmp_path: Path) -> None:
    database = tmp_path / "mlflow" / "mlflow.db"
    unfinished = database.with_name(".mlflow.db.new")
    unfinished.parent.mkdir()
    with sqlite3.connect(unfinished) as connection:
        connection.execute("CREATE TABLE _alembic_tmp_experiments (x)")
    connection.close()
    uri = f"sqlite:///{database}"
    client = connect(uri, tmp_path / "files")
    assert not unfinished.exists()
    default = client.get_experiment("0")
    assert default.artifact_location == (tmp_path / "files" / "0").as_uri()
    assert open_reader(uri).versions("x") == []


def test_first_use_by_several_at_once_makes_one_whole_database(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"

    def use(name: str) -> None:
        connect(uri, tmp_path / "files").create_registered_model(name)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(use, ("one", "two", "three")))
    found = mlflow.MlflowClient(uri).search_registered_models()
    assert {model.name for model in found} == {"one", "two", "three"}


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://ann:s3cret@127.0.0.1:9", r"http://ann:\*\*\*@127\.0\.0\.1:9"),
        ("postgresql://ann:s3cret@127.0.0.1:9/x", r"postgresql://ann:\*\*\*@127\.0\.0\.1:9/x"),
    ],
)
def test_server_that_is_not_there_is_one_clear_error_without_the_password(
    uri: str, shown: str
) -> None:
    with pytest.raises(RegistryUnavailable, match=f"MLflow at {shown} cannot be used") as caught:
        open_reader(uri)
    assert "s3cret" not in str(caught.value)
    assert "no answer" in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "registry.tracking_uri" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def other_server() -> Iterator[str]:
    """A web server that is no MLflow."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_server_that_is_no_mlflow_is_one_clear_error(other_server: str) -> None:
    with pytest.raises(RegistryUnavailable, match=r"cannot be used: .*404"):
        open_reader(other_server)


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "ftp://somewhere/x", "nonsense"])
def test_address_that_mlflow_does_not_know_is_one_clear_error(uri: str) -> None:
    with pytest.raises(RegistryUnavailable, match="cannot be used"):
        open_reader(uri)


# -- writing -----------------------------------------------------------------------------------


def dump(world: World) -> dict[str, list[tuple[object, ...]]]:
    """The rows that aliases and tags are."""
    tables = {
        **dict.fromkeys(
            ("registered_model_aliases", "registered_model_tags", "model_version_tags"), "*"
        ),
        "model_versions": "version, description",  # MLflow also notes the time
    }
    with closing(sqlite3.connect(world.artifacts_dir / "mlflow" / "mlflow.db")) as connection:
        return {
            table: sorted(
                connection.execute(f"SELECT workspace, name, {columns} FROM {table}").fetchall(),
                key=repr,
            )
            for table, columns in tables.items()
        }


def write(writer: RegistryWriter, version: RegisteredVersion) -> None:
    """Everything that a writer can do, over and over."""
    name = version.name
    for _ in range(2):
        writer.own(name, "ledger-1")
        writer.point(name, "champion", 1)
        writer.point(name, "champion", 2)
        writer.point(name, "challenger", 1)
        writer.mark(name, 3)
        writer.mark(name, 4)
        writer.point(name, "challenger", None)
        writer.set_aside(version)
        blocked = {"nightjar.gate": "blocked", "nightjar.gate.health.isotropy": "fails: 0.1"}
        writer.describe(name, 2, blocked, "blocked: too low")
        writer.describe(name, 2, {"nightjar.gate": "promoted", "long": "x" * 3_000}, "promoted")
    writer.own(name, "ledger-2", takes_over=True)


def test_sqlite_writer_writes_what_mlflow_writes(world: World) -> None:
    world.client.create_registered_model("night-w2v")
    for _ in range(2):
        world.client.create_model_version(
            "night-w2v",
            "/nowhere",
            tags={"nightjar.registration_key": "k", "x": "y"},
            description="as it was",
        )
    (version, _) = world.place.reader().versions("night-w2v")
    database = world.artifacts_dir / "mlflow" / "mlflow.db"
    before = database.read_bytes()
    write(ClientWriter(world.place), version)
    expected = dump(world)
    database.write_bytes(before)
    fast = open_writer(world.place)
    assert not isinstance(fast, ClientWriter)
    write(fast, version)
    assert dump(world) == expected
    tags = world.client.get_model_version("night-w2v", "2").tags
    assert (tags["nightjar.gate"], "nightjar.gate.health.isotropy" in tags) == ("promoted", False)
    found = world.client.get_registered_model("night-w2v")
    assert (found.aliases, found.tags) == ({"champion": 2}, {"nightjar.ledger": "ledger-2"})
    assert world.client.get_model_version("night-w2v", "1").tags == {
        "nightjar.damaged_registration_key": "k",
        "x": "y",
    }
    second = world.client.get_model_version("night-w2v", "2")
    assert second.tags["nightjar.gate"] == "promoted"
    assert second.tags["long"] == "x" * 1_997 + "..."
    assert second.description == "as it was\n\nGate: promoted"


def test_neither_writer_takes_what_another_ledger_owns(world: World) -> None:
    world.client.create_registered_model("night-w2v", tags={"nightjar.ledger": "ledger-1"})
    for writer in (ClientWriter(world.place), open_writer(world.place)):
        with pytest.raises(ForeignModel, match="night-w2v belongs to another pipeline directory"):
            writer.own("night-w2v", "ledger-2")


def test_neither_writer_points_an_alias_to_a_version_that_is_not_there(world: World) -> None:
    world.client.create_registered_model("night-w2v")
    for writer in (ClientWriter(world.place), open_writer(world.place)):
        with pytest.raises(RegistryUnavailable):
            writer.point("night-w2v", "champion", 7)
        with pytest.raises(RegistryUnavailable):
            writer.mark("night-never", 7)


def test_database_that_is_locked_is_one_clear_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client.create_registered_model("night-w2v")
    monkeypatch.setattr("nightjar.registry.writers.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(world.artifacts_dir / "mlflow" / "mlflow.db")) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RegistryUnavailable, match=r"cannot be written \(database is locked\)"):
            open_writer(world.place).mark("night-w2v", 1)


KILLED_WHILE_WRITING = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")  # so that changed pages reach the file
connection.execute("BEGIN")
connection.execute("UPDATE filler SET content = 'b' || content")
os.kill(os.getpid(), signal.SIGKILL)
"""


def interrupted(database: Path) -> None:
    """Leave the database as a kill within a commit does: half written, with a journal."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE filler (content)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("a" * 500,)] * 2_000)
        connection.commit()
    killed = [sys.executable, "-c", KILLED_WHILE_WRITING, str(database)]
    assert subprocess.run(killed, check=False).returncode == -signal.SIGKILL
    assert database.with_name(f"{database.name}-journal").exists()


def test_a_write_that_a_kill_interrupted_is_undone_by_whoever_reads(world: World) -> None:
    database = world.artifacts_dir / "mlflow" / "mlflow.db"
    version = world.register(world.request())
    interrupted(database)
    assert open_reader(world.uri).versions(version.name) == [version]
    assert not database.with_name(f"{database.name}-journal").exists()
    with closing(sqlite3.connect(database)) as connection:
        (wrong,) = connection.execute("SELECT count(*) FROM filler WHERE content < 'b'").fetchone()
    assert wrong == 2_000


def test_an_interrupted_write_that_must_not_be_undone_names_the_permissions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = world.artifacts_dir / "mlflow" / "mlflow.db"
    interrupted(database)
    opened = sqlite3.connect

    def refused(address: str, **options: Any) -> sqlite3.Connection:
        return opened(address.replace("mode=rw", "mode=ro"), **options)  # as for another user

    monkeypatch.setattr(sqlite3, "connect", refused)
    with pytest.raises(RegistryUnavailable, match="permissions and the free space"):
        open_reader(world.uri).versions("x")


def test_a_lock_is_called_a_lock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(writers, "BUSY_SECONDS", 0.1)
    database = world.artifacts_dir / "mlflow" / "mlflow.db"
    message = r"database is locked\); another process has kept it locked .* wait until it ends"
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RegistryUnavailable, match=message):
            open_reader(world.uri).versions("x")
        with pytest.raises(RegistryUnavailable, match=message):
            writers.SqliteWriter(world.place, database).mark("x", 1)


def test_a_database_without_mlflows_tables_is_of_another_release(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE model_versions (x)")
    with pytest.raises(RegistryUnavailable, match=r"another MLflow release: .* 'mlflow db upgrade"):
        open_reader(f"sqlite:///{database}").versions("x")
