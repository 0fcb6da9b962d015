"""The database that MLflow's registry starts on: made from a schema, not by migrations.

``python tests/test_mlflow_database.py`` renews the schema for a newer MLflow.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from test_embedded_server import dumped, parts

from nightjar.registry import client
from nightjar.registry.client import SCHEMA, connect, import_mlflow

mlflow = import_mlflow()


def migrate(database: Path) -> Path:
    """An empty database, brought to the installed MLflow's newest schema."""
    from mlflow.store.db.utils import _initialize_tables  # noqa: PLC0415

    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    _initialize_tables(engine)
    engine.dispose()
    return database


def schema_of(database: Path) -> list[str]:
    """What :func:`migrate` makes; not the experiment that MLflow adds to every database."""
    return [line for line in parts(dumped(database)) if 'INSERT INTO "experiments"' not in line]


def connected(directory: Path) -> Path:
    """The database of a registry that is connected to for the first time."""
    database = directory / "mlflow.db"
    found = connect(f"sqlite:///{database}", directory / "artifacts")
    assert [experiment.name for experiment in found.search_experiments()] == ["Default"]
    return database


def test_the_shipped_schema_is_what_mlflows_migrations_end_in(tmp_path: Path) -> None:
    made = schema_of(migrate(tmp_path / "mlflow.db"))
    assert parts(SCHEMA.read_text(encoding="utf-8")) == made, (
        "run 'python tests/test_mlflow_database.py' to renew nightjar/registry/mlflow_database.sql"
    )


def test_a_registry_starts_on_it(tmp_path: Path) -> None:
    database = connected(tmp_path)
    assert schema_of(database) == parts(SCHEMA.read_text(encoding="utf-8"))
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".new"] == []


def test_an_older_mlflow_makes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = tmp_path / "newer.sql"
    newer.write_text(SCHEMA.read_text(encoding="utf-8"), encoding="utf-8")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(newer.read_text(encoding="utf-8"))
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        connection.commit()
        newer.write_text("\n".join(connection.iterdump()), encoding="utf-8")
    monkeypatch.setattr(client, "SCHEMA", newer)
    (tmp_path / "old").mkdir()
    database = connected(tmp_path / "old")
    assert schema_of(database) == schema_of(migrate(tmp_path / "own.db"))


def test_a_newer_mlflow_migrates_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an older schema it lacks a table, which is how MLflow notices."""
    from alembic import command  # noqa: PLC0415
    from mlflow.store.db.utils import _get_alembic_config  # noqa: PLC0415

    database = migrate(tmp_path / "older.db")
    config = _get_alembic_config(f"sqlite:///{database}")
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    before = set(sqlalchemy.inspect(engine).get_table_names())
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        while before <= set(sqlalchemy.inspect(connection).get_table_names()):
            command.downgrade(config, "-1")
    engine.dispose()
    older = tmp_path / "older.sql"
    older.write_text(dumped(database), encoding="utf-8")
    monkeypatch.setattr(client, "SCHEMA", older)
    (tmp_path / "new").mkdir()
    connected(tmp_path / "new")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        SCHEMA.write_text(dumped(migrate(Path(directory) / "mlflow.db")), encoding="utf-8")
