"""The night shift for real: server, worker, deployment, schedule, and a run in between."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from service_support import START_SECONDS, NightShift, environment_of_a_user, serving

from nightjar.cli import service
from nightjar.config import load_config
from nightjar.errors import OrchestratorUnavailable
from nightjar.registry import open_reader

# What is waited for within has limits of its own, whose messages say more.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def night_shift(
    tmp_path_factory: pytest.TempPathFactory, write_small_config: Callable[[Path], Path]
) -> Iterator[NightShift]:
    directory = tmp_path_factory.mktemp("night-shift")
    config = write_small_config(directory / "project")
    command = [sys.executable, "-m", "nightjar.cli.main", "serve", "-c", str(config)]
    with serving(command, config.parent, directory, environment_of_a_user()) as night_shift:
        yield night_shift


def test_a_deployed_run_registers_new_versions(night_shift: NightShift) -> None:
    done = night_shift.prefect("deployment", "run", "nightly/nightly", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr + night_shift.log.read_text()
    database = night_shift.project / "artifacts" / "mlflow" / "mlflow.db"
    reader = open_reader(f"sqlite:///{database}")
    for model in ("cbow", "glove"):
        champion = reader.alias(f"small-{model}", "champion")
        assert champion is not None
        assert champion.version == 1

    flow_runs = night_shift.post("/flow_runs/filter", {"limit": 50})
    finished = [run for run in flow_runs if run["state_type"] == "COMPLETED"]
    assert len(finished) == 1
    task_runs = night_shift.post(
        "/task_runs/filter", {"flow_runs": {"id": {"any_": [finished[0]["id"]]}}}
    )
    assert {run["name"] for run in task_runs} == {
        "ingest",
        "report",
        "tokenize",
        "count glove",
        *(f"{verb} {model}" for verb in ("train", "evaluate", "register") for model in
          ("cbow", "glove")),
    }  # fmt: skip
    logged = night_shift.post("/logs/filter", {"limit": 200})
    assert {"nightjar.stages.ingest.ingest_stage", "nightjar.store.publishing"} <= {
        line["name"] for line in logged
    }
    artifacts = night_shift.post("/artifacts/filter", {"limit": 100})
    by_key = {artifact["key"]: artifact for artifact in artifacts}
    scores = json.loads(str(by_key["nightly-scores"]["data"]))
    assert [row["model"] for row in scores] == ["cbow", "glove"]
    assert all(row["decision"] == "promoted" for row in scores)
    assert {"decisions", "documents-text-counts", "embeddings-glove-artifact"} <= by_key.keys()


def test_the_shipped_deployment_works_in_the_directory_of_the_config(
    night_shift: NightShift,
) -> None:
    (deployment,) = night_shift.post("/deployments/filter", {})
    assert deployment["entrypoint"] == "nightjar.flows.nightly.nightly"
    (step,) = deployment["pull_steps"]
    assert step == {
        "prefect.deployments.steps.set_working_directory": {"directory": str(night_shift.project)}
    }


def test_a_second_deployed_run_finds_nothing_to_do(night_shift: NightShift) -> None:
    for _ in range(2):
        done = night_shift.prefect("deployment", "run", "nightly/nightly", "--watch")
        assert done.returncode == 0, done.stdout + done.stderr
    flow_runs = night_shift.post("/flow_runs/filter", {"limit": 50, "sort": "START_TIME_DESC"})
    finished = [run for run in flow_runs if run["state_type"] == "COMPLETED"]
    assert finished[0]["state_name"] == "NothingToDo"


def test_a_bad_override_fails_the_run_with_its_message(night_shift: NightShift) -> None:
    done = night_shift.prefect(
        "deployment", "run", "nightly/nightly", "--watch",
        "--param", 'overrides=["models.glove.windw=3"]',
    )  # fmt: skip
    assert done.returncode == 1
    flow_runs = night_shift.post("/flow_runs/filter", {"limit": 50})
    failed = [run for run in flow_runs if run["state_type"] == "FAILED"]
    assert len(failed) == 1
    state = failed[0]["state"]
    assert isinstance(state, dict)
    assert "did you mean 'window'" in state["message"]


def test_the_cron_schedule_has_scheduled_runs(night_shift: NightShift) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        runs = night_shift.post(
            "/flow_runs/filter",
            {"limit": 50, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}},
        )
        if runs or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert len(runs) >= 2
    starts = sorted(str(run["expected_start_time"]) for run in runs)
    assert all("T02:00:00" in start for start in starts)
    assert all(run["auto_scheduled"] for run in runs)


def test_a_run_that_starts_too_late_is_skipped(night_shift: NightShift) -> None:
    deployment = night_shift.post("/deployments/filter", {})[0]
    yesterday = datetime.now(UTC) - timedelta(days=1)
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": yesterday.isoformat()}}
    created = night_shift.request(
        "POST", f"/deployments/{deployment['id']}/create_flow_run", {"state": state}
    )
    deadline = time.monotonic() + START_SECONDS
    while True:
        run = night_shift.request("GET", f"/flow_runs/{created['id']}")
        if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            break
        assert time.monotonic() < deadline, run["state"]
        time.sleep(0.5)
    assert run["state_name"] == "Skipped"
    assert "this run starts 1440 minutes late" in run["state"]["message"]


def test_a_server_that_never_answers_ends_the_deployment(
    minimal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_DEPLOY_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with pytest.raises(OrchestratorUnavailable, match=f"did not end within 2 s; .* {url}"):
            service.deploy(load_config(minimal), "pool", {**os.environ, "PREFECT_API_URL": url})
