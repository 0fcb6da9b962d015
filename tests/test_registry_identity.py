"""Versions of registrations, the registry's address, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nightjar.config import GateConfig, RegistryConfig
from nightjar.registry import masked, registered_name, registration_key, tracking_uri
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
    ],
)
def test_password_is_masked(uri: str, shown: str) -> None:
    assert masked(uri) == shown


def test_password_is_blotted_out_of_another_programs_message() -> None:
    uri = "postgresql://ann:p%40ss@db/x"
    text = f"connect to {uri} failed: password 'p@ss' (p%40ss) refused"
    said = without_secrets(text, uri)
    assert said == ("connect to postgresql://ann:***@db/x failed: password '***' (***) refused")


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
