"""The real command, with its embedded Prefect: each night tells once, and Prefect learns no URL."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import PROJECT_ROOT
from nights_support import GOOD, POOR, HandMade
from service_support import environment_of_a_user
from webhook_support import SECRET, SECRET_ENV, SETTINGS, URL_ENV, Receiver, receiver

pytestmark = pytest.mark.integration


def run(project: HandMade, server: Receiver) -> subprocess.CompletedProcess[str]:
    """Run a night as a user does, with as many log lines as there are."""
    environment = environment_of_a_user(
        PYTHONPATH=str(PROJECT_ROOT),
        PREFECT_LOGGING_EXTRA_LOGGERS="nightjar,httpx,httpcore",
        PREFECT_LOGGING_LEVEL="DEBUG",
    )
    return subprocess.run(
        [sys.executable, "-m", "nightjar.cli.main", "-v", "run", "-c", str(project.path)],
        env={**environment, URL_ENV: server.url, SECRET_ENV: SECRET},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def night_page(artifacts_dir: Path) -> str:
    """The page of the last night in the embedded server's database."""
    query = "SELECT data FROM artifact WHERE key = 'night' ORDER BY created DESC"
    with closing(sqlite3.connect(artifacts_dir / "prefect" / "prefect.db")) as database:
        (data,) = database.execute(query).fetchone()
    return str(json.loads(data))


def test_each_night_under_prefect_tells_once_and_nothing_keeps_the_url(tmp_path: Path) -> None:
    """In the second night a model fails: the other one and its own champion are left alone."""
    project = HandMade(tmp_path / "project", alerts={"webhook": {**SETTINGS, "tries": 1}})
    project.document["models"]["other"] = {**project.document["models"]["words"]}
    project.document["models"]["other"]["path"] = "other.txt"
    project.save()
    project.write_vectors(GOOD, "other.txt")
    with receiver() as server:
        first = run(project, server)
        assert first.returncode == 0, first.stderr
        assert [got.events for got in server.received] == [
            [("promoted", "words"), ("promoted", "other")]
        ]
        project.write_vectors(POOR)
        (project.directory / "other.txt").write_text("no vectors\n", encoding="utf-8")
        server.answers = [503]
        second = run(project, server)
    assert second.returncode == 2
    assert len(server.received) == 2
    assert server.received[-1].json["night"]["status"] == "failed"
    assert server.received[-1].events == [("failed", ""), ("blocked", "words")]
    assert "the server answers 503" in second.stderr
    assert "import other: " in second.stderr
    assert "Traceback" not in second.stderr
    reader = project.place.reader()
    assert [len(reader.versions(f"night-{name}")) for name in ("words", "other")] == [2, 1]
    for name in ("words", "other"):
        champion = reader.alias(f"night-{name}", "champion")
        assert champion is not None
        assert champion.version == 1
    page = night_page(project.directory / "artifacts")
    assert "# Night 2 of night: failed" in page
    (failed,) = [line for line in page.splitlines() if "| import other |" in line]
    assert failed.startswith("| import other | failed |")
    assert "no vectors" in failed
    assert "**words** version 2" in page
    output = first.stdout + first.stderr + second.stdout + second.stderr
    secrets = [b"s3cr3t", SECRET.encode(), f":{server.port}/".encode()]
    assert not [secret for secret in secrets if secret in output.encode()]
    for path in project.directory.rglob("*"):
        if path.is_file() and os.access(path, os.R_OK):
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
    assert (project.directory / "artifacts" / "prefect" / "prefect.db").is_file()
