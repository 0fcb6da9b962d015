"""The real command, with its embedded Prefect: each night tells once, and Prefect learns no URL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT_ROOT
from nights_support import POOR, HandMade
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


def test_each_night_under_prefect_tells_once_and_nothing_keeps_the_url(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project", alerts={"webhook": {**SETTINGS, "tries": 1}})
    with receiver() as server:
        done = run(project, server)
        assert done.returncode == 0, done.stderr
        assert [got.events for got in server.received] == [[("promoted", "words")]]
        output = done.stdout + done.stderr
        project.write_vectors(POOR)
        server.answers = [200, 503]
        output += run(project, server).stdout
        assert server.received[-1].events == [("blocked", "words")]
        (project.directory / "vectors.txt").write_text("no vectors\n", encoding="utf-8")
        done = run(project, server)
        assert done.returncode == 2
        output += done.stdout + done.stderr
        assert len(server.received) == 3
        assert server.received[-1].json["night"]["status"] == "failed"
        assert server.received[-1].events == [("failed", "")]
        assert "the server answers 503" in done.stderr
    secrets = [b"s3cr3t", SECRET.encode(), f":{server.port}/".encode()]
    assert not [secret for secret in secrets if secret in output.encode()]
    for path in project.directory.rglob("*"):
        if path.is_file() and os.access(path, os.R_OK):
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
    assert (project.directory / "artifacts" / "prefect" / "prefect.db").is_file()
