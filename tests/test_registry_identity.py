"""Versions of registrations, the registry's address, and what importing costs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy.exc
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from nightjar.cli.main import app
from nightjar.config import GateConfig, RegistryConfig
from nightjar.errors import ConfigError, InputError, RegistryUnavailable
from nightjar.registry import (
    masked,
    open_reader,
    registered_name,
    registration_key,
    tracking_uri,
)
from nightjar.registry.client import import_mlflow, named_errors
from nightjar.registry.uris import page_of, sqlite_path, without_secrets

REGISTRY = RegistryConfig(gate=GateConfig(benchmarks=["ws"], min_coverage=0.3))


def test_key_is_of_the_name_the_bytes_and_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    key = registration_key("night-glove", "a" * 64)
    assert key == registration_key("night-glove", "a" * 64)
    assert len({key, registration_key("night-w2v", "a" * 64)}) == 2
    assert len({key, registration_key("night-glove", "b" * 64)}) == 2
    monkeypatch.setattr("nightjar.registry.registered_names._packaging_code", lambda: "other")
    assert registration_key("night-glove", "a" * 64) != key


def test_registered_name() -> None:
    assert registered_name("night", "glove") == "night-glove"


def test_default_address_is_an_absolute_sqlite_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(REGISTRY, Path("art")) == f"sqlite:///{tmp_path}/art/mlflow/mlflow.db"
    assert sqlite_path(tracking_uri(REGISTRY, Path("art"))) == tmp_path / "art/mlflow/mlflow.db"


def test_configured_address_wins(tmp_path: Path) -> None:
    configured = REGISTRY.model_copy(update={"tracking_uri": "http://mlflow:5000"})
    assert tracking_uri(configured, tmp_path) == "http://mlflow:5000"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////data/a b/mlflow.db", Path("/data/a b/mlflow.db")),
        ("sqlite+pysqlite:////data/mlflow.db?timeout=3", Path("/data/mlflow.db")),
        ("sqlite:///mlflow.db", Path("mlflow.db")),
        ("http://mlflow:5000", None),
        ("postgresql://db/mlflow", None),
    ],
)
def test_file_of_a_sqlite_address(uri: str, path: Path | None) -> None:
    assert sqlite_path(uri) == path


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://mlflow:5000/base", "http://mlflow:5000/base"),
        ("https://ann:s3cret@mlflow/base", "https://ann:***@mlflow/base"),
        ("https://tok3n@mlflow", "https://***@mlflow"),
        ("postgresql+psycopg2://ann:p%40ss@db:5432/x", "postgresql+psycopg2://ann:***@db:5432/x"),
        ("mysql://db/x?user=a&password=s3cret&ssl=1", "mysql://db/x?user=a&password=***&ssl=1"),
        ("sqlite:////home/a@b/x.db", "sqlite:////home/a@b/x.db"),
        ("postgresql://ann@db/x", "postgresql://ann@db/x"),
        ("http://ann:s3/c?r#t@mlflow:5000/base", "http://ann:***@mlflow:5000/base"),
        ("http://ann:s3@c/r@mlflow", "http://ann:***@mlflow"),
        ("http://ann:s3cret@[::1", "http://ann:***@[::1"),
        ("postgresql://ann:s3/cret@db:abc/x", "postgresql://ann:***@db:abc/x"),
        ("http://mlflow:5000/a@b", "http://mlflow:5000/a@b"),
        ("http://[::1]:5000/a@b", "http://[::1]:5000/a@b"),
        ("mysql://db/x?user=a@b", "mysql://db/x?user=a@b"),
        ("databricks", "databricks"),
    ],
)
def test_password_is_masked(uri: str, shown: str) -> None:
    assert masked(uri) == shown


def test_password_is_blotted_out_of_another_programs_message() -> None:
    uri = "postgresql://ann:p%40ss@db/x"
    text = f"connect to {uri} failed: password 'p@ss' (p%40ss) refused"
    said = without_secrets(text, uri)
    assert said == ("connect to postgresql://ann:***@db/x failed: password '***' (***) refused")


def test_pieces_of_a_password_that_is_not_escaped_are_blotted_out() -> None:
    uri = "postgresql://ann:s3c/r3t@db/x"
    assert without_secrets(f"{uri}: Port 's3c' is none, nor r3t", uri) == (
        "postgresql://ann:***@db/x: Port '***' is none, nor ***"
    )


def test_a_user_of_a_database_is_no_secret_and_leaves_words_as_they_are() -> None:
    said = "postgresql://u@db/x: Connection refused by you"
    assert without_secrets(said, "postgresql://u@db/x") == said
    assert without_secrets("tok3n refused", "https://tok3n@mlflow") == "*** refused"


PASSWORD = "S3CRETPW"


@pytest.mark.parametrize(
    "uri",
    [
        f"http://user:{PASSWORD}/x@127.0.0.1:9",
        f"http://user:1/{PASSWORD}@127.0.0.1:9",
        f"http://user:{PASSWORD}#x@127.0.0.1:9",
        f"http://user:{PASSWORD}?x@127.0.0.1:9",
        f"http://user:{PASSWORD}@[::1",
        f"http://user:{PASSWORD}@a..b",
        f"http://user:{PASSWORD}@host:abc",
    ],
)
def test_a_web_address_that_is_none_is_a_mistake_in_the_config(minimal: Path, uri: str) -> None:
    done = CliRunner().invoke(
        app, ["plan", "-c", str(minimal), "--set", f"registry.tracking_uri={uri}"]
    )
    assert isinstance(done.exception, ConfigError)
    assert "registry.tracking_uri: this is no address of a web server" in str(done.exception)
    assert PASSWORD not in str(done.exception) + done.output


@pytest.mark.parametrize(
    "uri",
    [
        f"http://user:{PASSWORD}/x@127.0.0.1:9",
        f"http://user:{PASSWORD}@[::1",
        f"postgresql://user:{PASSWORD}@host:abc/db",
        f"postgresql://user:{PASSWORD}/x@[::1/db",
    ],
)
def test_an_address_that_is_none_is_said_without_the_password(uri: str) -> None:
    with pytest.raises(
        InputError, match=r"registry\.tracking_uri: \w+://user:.* is no add"
    ) as said:
        open_reader(uri)
    assert PASSWORD not in str(said.value)


@pytest.mark.parametrize(
    "uri", ["postgresql://user:S3C/RET@127.0.0.1:9/db", "http://u:S@127.0.0.1:9"]
)
def test_a_database_may_have_a_slash_in_its_password(uri: str) -> None:
    with pytest.raises(RegistryUnavailable, match=r"no answer \(.*refused\)") as said:
        open_reader(uri)
    assert "S3C" not in str(said.value)
    assert "RET" not in str(said.value)


def test_a_full_disk_is_the_reason_that_is_given_and_not_what_sqlalchemy_did() -> None:
    import_mlflow()
    error = sqlalchemy.exc.OperationalError(
        "INSERT", None, sqlite3.OperationalError("database or disk is full")
    )
    error.add_detail("raised as a result of Query-invoked autoflush; consider using a block")
    assert str(error).startswith("(raised as a result of")
    said = r"cannot be used: .*database or disk is full\)?; check the file"
    uri = "sqlite:////x.db"
    with pytest.raises(RegistryUnavailable, match=said), named_errors(uri):
        raise error
    with pytest.raises(RegistryUnavailable, match=said), named_errors(uri):
        raise MlflowException(str(error))  # as MLflow passes it on


def test_importing_the_registry_and_reading_sqlite_imports_no_mlflow(tmp_path: Path) -> None:
    code = f"""
import sys
from nightjar.registry import open_reader
assert open_reader("sqlite:///{tmp_path}/none.db").versions("x") == []
heavy = {{"mlflow", "pandas", "scipy", "gensim", "numba", "sqlalchemy", "matplotlib"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout == "[]\n"
    assert not (tmp_path / "none.db").exists()


def test_pages_of_mlflow_are_those_of_a_server_on_the_web() -> None:
    page = "#/models/a?workflowType=machine_learning"
    assert page_of("https://mlflow.example/", "models/a") == f"https://mlflow.example/{page}"
    assert "s3cret" not in str(page_of("https://ann:s3cret@mlflow.example", "models/a"))
    assert page_of("sqlite:///mlflow.db", "models/a") is None
    assert page_of("databricks", "models/a") is None
