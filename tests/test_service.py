"""The night shift for real: server, worker, deployment, schedule, and a run in between."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PROJECT_ROOT
from service_support import START_SECONDS, NightShift, environment_of_a_user, serving
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from nightjar.cli import service
from nightjar.cli.main import app
from nightjar.cli.project_template import SHIPPED_DEPLOYMENTS
from nightjar.cli.server_secret import kept_secret
from nightjar.config import load_config
from nightjar.core import Nights
from nightjar.errors import InputError, OrchestratorUnavailable
from nightjar.promotion import Steward
from nightjar.registry import RegistryPlace, open_reader, open_writer

NIGHT_ARTIFACT: dict[str, object] = {"artifacts": {"key": {"any_": ["night"]}}}
# What is waited for within has limits of its own, whose messages say more.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def night_shift(
    tmp_path_factory: pytest.TempPathFactory, write_small_config: Callable[[Path], Path]
) -> Iterator[NightShift]:
    directory = tmp_path_factory.mktemp("night-shift")
    config = write_small_config(directory / "project")
    # At the shipped hour, its schedule would start a run of its own in the middle of these tests.
    shipped = SHIPPED_DEPLOYMENTS.read_text(encoding="utf-8")
    (config.parent / "prefect.yaml").write_text(
        shipped.replace('cron: "0 2 ', f'cron: "0 {far_hour():02} '), encoding="utf-8"
    )
    command = [sys.executable, "-m", "nightjar.cli.main", "serve", "-c", str(config)]
    with serving(command, config.parent, directory, environment_of_a_user()) as night_shift:
        yield night_shift


def far_hour() -> int:
    """An hour of the day, in UTC, that is far from now."""
    return (datetime.now(UTC) + timedelta(hours=12)).hour


@pytest.fixture(scope="module")
def first_run(night_shift: NightShift) -> None:
    """Tests of this file may run in several processes, each with a night shift of its own."""
    done = night_shift.prefect("deployment", "run", "nightly/nightly", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr + night_shift.log.read_text()


@pytest.mark.usefixtures("first_run")
def test_a_deployed_run_registers_new_versions(night_shift: NightShift) -> None:
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
    assert sorted(artifact["key"] or artifact["type"] for artifact in artifacts) == [
        "night",
        "nightly-rules",
        "nightly-scores",
    ]
    scores = json.loads(str(by_key["nightly-scores"]["data"]))
    assert [row["model"] for row in scores] == ["cbow", "glove"]
    assert all(row["decision"] == "promoted" for row in scores)
    told = str(by_key["night"]["data"])
    assert re.search(r"\*\*glove\*\* version 1 promoted: first champion", told)
    assert re.search(
        r"\| ingest \| published \| [0-9.]+ \| .*documents kept \d+.* \| `documents/\w+`", told
    )
    assert f"below `{night_shift.project / 'artifacts'}`" in told
    assert "file:" not in told


def test_the_deployment_works_in_the_directory_of_the_config(
    night_shift: NightShift,
) -> None:
    (deployment,) = night_shift.post("/deployments/filter", {})
    assert deployment["entrypoint"] == "nightjar.flows.nightly.nightly"
    (step,) = deployment["pull_steps"]
    assert step == {
        "prefect.deployments.steps.set_working_directory": {"directory": str(night_shift.project)}
    }


def test_the_automations_of_the_examples_are_taken(night_shift: NightShift) -> None:
    path = PROJECT_ROOT / "examples" / "prefect_automations.yaml"
    done = night_shift.prefect("automation", "create", "--from-file", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    found = {each["name"]: each for each in night_shift.post("/automations/filter", {})}
    assert set(found) == {"nightly-failed", "nightly-missing"}
    assert found["nightly-missing"]["trigger"]["within"] == 26 * 3600
    assert all(each["enabled"] for each in found.values())


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
    hours = {start.partition("T")[2][:8] for start in starts}
    assert len(hours) == 1
    assert abs(int(hours.pop()[:2]) - far_hour()) in (0, 1, 23)
    assert all(run["auto_scheduled"] for run in runs)


ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def due_before(
    night_shift: NightShift, hours: int, parameters: dict[str, Any] | None = None
) -> str:
    """The id of a run of the deployment that was due so long ago, with these parameters changed."""
    (deployment,) = night_shift.post("/deployments/filter", {})
    due = datetime.now(UTC) - timedelta(hours=hours)
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}}
    path = f"/deployments/{deployment['id']}/create_flow_run"
    return str(
        night_shift.request("POST", path, {"state": state, "parameters": parameters or {}})["id"]
    )


def ended(night_shift: NightShift, run: str) -> dict[str, Any]:
    """A run, once it has ended."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        found: dict[str, Any] = night_shift.request("GET", f"/flow_runs/{run}")
        if found["state_type"] in ENDED:
            return found
        assert time.monotonic() < deadline, found["state"]
        time.sleep(0.5)


def left_running(night_shift: NightShift, states: tuple[str, ...]) -> str:
    """The id of a run that Prefect believes to be under way, as after a power cut."""
    run = due_before(night_shift, -1)
    for state in states:
        body = {"state": {"type": state}, "force": state == "RUNNING"}
        answer = night_shift.request("POST", f"/flow_runs/{run}/set_state", body)
        assert answer["status"] == "ACCEPT"
    return run


def test_a_bad_override_fails_the_run_with_its_message(night_shift: NightShift) -> None:
    run = due_before(night_shift, 0, {"overrides": ["models.glove.windw=3"]})
    found = ended(night_shift, run)
    assert found["state_type"] == "FAILED"
    assert "did you mean 'window'" in found["state"]["message"]


@pytest.mark.usefixtures("first_run")
def test_of_late_runs_after_a_power_cut_tonights_works_and_the_others_are_skipped(
    night_shift: NightShift,
) -> None:
    """The worker gets both at once. A run that died with Prefect's server is in no way.

    Tonight's has nothing else to do than to tell of an alias that was deleted.
    """
    loaded = load_config(night_shift.project / "pipeline_config.yaml")
    nights = Nights(loaded.pipeline_dir)
    before = len(nights.all())
    place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
    open_writer(place).point("small-glove", "champion", None)
    try:
        dead = left_running(night_shift, ("PENDING", "RUNNING"))
        yesterday, tonight = (due_before(night_shift, hours) for hours in (25, 1))
        found = ended(night_shift, yesterday)
        assert found["state_name"] == "Skipped"
        said = re.search(r"this run starts ([\d,]+) minutes late", found["state"]["message"])
        assert said
        # And what it waited for the worker.
        assert 1500 <= int(said[1].replace(",", "")) < 1560
        worked = ended(night_shift, tonight)
        assert worked["state_name"] == "Completed"
        message = worked["state"]["message"]
        assert "1 alarm: small-glove: the alias champion was moved by hand" in message
        (night,) = nights.all()[before:]
        assert worked["id"] in night.owner
        assert night_shift.request("GET", f"/flow_runs/{dead}")["state_type"] == "CRASHED"
    finally:
        Steward(loaded, "the test").repair("glove")


SHELL_STEP = {
    "prefect.deployments.steps.run_shell_script": {"script": "touch /tmp/taken-over"},
}
FOREIGN: list[dict[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Host": "evil.example"},
    {"Host": "evil.example:4200", "Origin": "http://evil.example:4200"},
]


def orders(flow_id: str, deployment_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The three requests with which a web page could have had a command run."""
    return [
        ("/flows/", {"name": "evil"}),
        (
            "/deployments/",
            {
                "name": "evil",
                "flow_id": flow_id,
                "work_pool_name": "nightjar",
                "pull_steps": [SHELL_STEP],
                "entrypoint": "evil:flow",
            },
        ),
        (f"/deployments/{deployment_id}/create_flow_run", {}),
    ]


def test_another_site_cannot_give_orders(night_shift: NightShift) -> None:
    """Neither with the secret nor without; nor can this site without the secret."""
    (deployment,) = night_shift.post("/deployments/filter", {})
    requests = orders(str(deployment["flow_id"]), str(deployment["id"]))
    own = {"Origin": night_shift.url.removesuffix("/api")}
    for path, body in requests:
        for headers in FOREIGN:
            for login in (None, night_shift.login()):
                answer = night_shift.ask("POST", path, body, headers=headers, auth=login)
                assert answer.status_code == 403, (path, headers)
                assert "access-control-allow-origin" not in answer.headers
        for headers in ({}, own):
            assert night_shift.ask("POST", path, body, headers=headers).status_code == 401
            wrong = night_shift.ask("POST", path, body, headers=headers, auth=("nightjar", "no"))
            assert wrong.status_code == 401
        asked = {"Access-Control-Request-Method": "POST", "Origin": "http://evil.example"}
        assert night_shift.ask("OPTIONS", path, headers=asked).status_code == 403
    assert {found["name"] for found in night_shift.post("/flows/filter", {})} == {"nightly"}
    assert len(night_shift.post("/deployments/filter", {})) == 1
    assert not Path("/tmp/taken-over").exists()


def test_the_secret_and_the_database_are_this_users_alone(night_shift: NightShift) -> None:
    home = Path(night_shift.environment["PREFECT_HOME"])
    private = [night_shift.project / "artifacts" / "prefect" / "server.secret"]
    private += sorted(home.glob("prefect.db*"))
    assert len(private) >= 2
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600] * len(private)
    password = night_shift.login()[1]
    assert password not in night_shift.log.read_text()
    assert password.encode() not in (home / "prefect.db").read_bytes()


def test_a_web_socket_needs_this_site_and_the_secret(night_shift: NightShift) -> None:
    url = f"{night_shift.url.replace('http', 'ws', 1)}/events/in"
    own = night_shift.url.removesuffix("/api")
    secret = ":".join(night_shift.login())

    def answer(origin: str | None, token: str) -> str:
        with connect(url, origin=Origin(origin) if origin else None,
                     subprotocols=[Subprotocol("prefect")]) as opened:  # fmt: skip
            opened.send(json.dumps({"type": "auth", "token": token}))
            return str(json.loads(opened.recv(timeout=30))["type"])

    assert answer(own, secret) == "auth_success"
    assert answer(None, secret) == "auth_success"
    with pytest.raises(InvalidStatus, match="403"):
        answer("http://evil.example", secret)
    with pytest.raises(ConnectionClosed):
        answer(own, "nightjar:no")


def test_the_page_of_a_night_opens_from_its_run(night_shift: NightShift, first_run: None) -> None:
    """By a link in the run's report, in a browser that need not say the password again.

    Prefect's own page asks for it once, and shows the runs.
    """
    nights = Nights(night_shift.project / "artifacts" / "pipelines" / "small")
    (artifact,) = night_shift.post("/artifacts/latest/filter", NIGHT_ARTIFACT)
    link = re.search(r"\[The page of the night\]\(([^)]+)\)", artifact["data"])
    assert link is not None, artifact["data"]
    number = int(link[1].split("/")[-2])
    kept = nights.path(number) / "report.html"
    server = night_shift.url.removesuffix("/api")
    page = httpx.get(server + link[1], timeout=30)
    assert page.content == kept.read_bytes()
    assert "sandbox" in page.headers["content-security-policy"]
    for wrong in (
        link[1][:-1] + "x",
        link[1].replace(f"/{number}/", f"/{number + 1}/"),
        link[1][:-32] + "0" * 32,
    ):
        assert httpx.get(server + wrong, timeout=30).content != page.content
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs the browser chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context()
        context.set_default_timeout(120_000)
        shown = context.new_page()
        page_url = server.replace("127.0.0.1", "localhost")
        shown.goto(f"{page_url}/deployments")
        password = shown.locator("input[type=password]")
        password.fill(":".join(night_shift.login()))
        shown.keyboard.press("Enter")
        password.wait_for(state="detached")
        shown.get_by_role("link", name="nightly").first.wait_for()
        shown.goto(f"{page_url}/artifacts/artifact/{artifact['latest_id']}")
        with context.expect_page() as other:
            shown.get_by_role("link", name="The page of the night").click()
        opened = other.value
        opened.get_by_role("heading", name=f"Night {number} of small: ").wait_for()
        assert opened.url == page_url + link[1]
        # A stranger to Prefect's own page, which keeps the password.
        assert opened.evaluate("window.origin") == "null"
        browser.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_it_serves_this_machine_alone(minimal: Path, host: str) -> None:
    done = CliRunner().invoke(app, ["serve", "-c", str(minimal), "--host", host])
    assert isinstance(done.exception, InputError)
    assert f"--host {host}: the server of 'nightjar serve' listens on this machine" in str(
        done.exception
    )


def test_a_port_that_is_taken_is_said(minimal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No one else's server is used unasked: the worker would do what that server says."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "-c", str(minimal), "--port", str(port)])
    assert isinstance(done.exception, InputError)
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in str(done.exception)


def test_a_secret_that_others_could_read_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / "server.secret"
    first = kept_secret(path)
    assert kept_secret(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    second = kept_secret(path)
    assert second != first
    assert path.stat().st_mode & 0o777 == 0o600
    for bad in (b"\n", b"nightjar:\xff\n", b"nightjar:\xc3\xa9\n", b"nightjar:a\0b\n"):
        path.write_bytes(bad)
        path.chmod(0o600)
        assert len(kept_secret(path)) == len(second)
    assert [found.name for found in tmp_path.iterdir()] == ["server.secret"]


def test_a_server_that_never_answers_ends_the_deployment(
    minimal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_DEPLOY_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with pytest.raises(OrchestratorUnavailable, match=f"did not end within 2 s; .* {url}"):
            service.deploy(load_config(minimal), "pool", {**os.environ, "PREFECT_API_URL": url})
