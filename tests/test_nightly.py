"""A night through the real command: embedded Prefect, kill -9 half-way, two runs at once."""

from __future__ import annotations

import bz2
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from conftest import PROJECT_ROOT

from nightjar.cli import embedded_server
from nightjar.cli.embedded_server import EmbeddedServer
from nightjar.config import load_config
from nightjar.core import Nights, NightStatus
from nightjar.pipeline import is_running, lease_path, make_plan
from nightjar.registry import open_reader, tracking_uri
from nightjar.store import acquire_lease

pytestmark = pytest.mark.integration


def environment() -> dict[str, str]:
    """The tests' environment without what they set for Prefect."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "PYTHONPATH": str(PROJECT_ROOT), "COLUMNS": "200"}


def command(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "nightjar.cli.main", "run", "--config", str(config), *arguments]


def run(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(config, *arguments),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def states_of_flow_runs(artifacts_dir: Path) -> list[str]:
    """The state of each flow run in the embedded server's database, sorted."""
    with closing(sqlite3.connect(artifacts_dir / "prefect" / "prefect.db")) as database:
        rows = database.execute("SELECT state_type FROM flow_run").fetchall()
    return sorted(state for (state,) in rows)


def night_page(artifacts_dir: Path) -> str:
    """The page of the only night in the embedded server's database."""
    with closing(sqlite3.connect(artifacts_dir / "prefect" / "prefect.db")) as database:
        (row,) = database.execute("SELECT data FROM artifact WHERE key = 'night'").fetchall()
    return str(json.loads(row[0]))


def run_until(config: Path, moment: str) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    """A run that has told of a moment, and its children; what it says goes to run.log."""
    log = config.with_name("run.log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(config), env=environment(), stdout=stream, stderr=subprocess.STDOUT
        )
    while moment.encode() not in log.read_bytes():
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    return process, psutil.Process(process.pid).children(recursive=True)


def test_a_night_that_is_killed_twice_is_finished_by_the_same_command(small_config: Path) -> None:
    loaded = load_config(small_config)
    nights = Nights(loaded.pipeline_dir)
    for number, (moment, first_due) in enumerate(
        [("count glove", ("count glove", "train glove")), ("register cbow", (None,))], 1
    ):
        process, started = run_until(small_config, f"{moment}: started")
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        # The embedded server goes with the run that started it.
        _, alive = psutil.wait_procs(started, timeout=20)
        assert alive == []
        assert nights.get(number).status is NightStatus.RUNNING
        assert not is_running(loaded)
        due = [step.label for step in make_plan(loaded).due]
        assert next(iter(due), None) in first_due

    done = run(small_config, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "completed"
    assert [model["decision"] for model in document["models"]] == ["promoted", "promoted"]
    assert [nights.get(number).status for number in (1, 2, 3)] == [
        NightStatus.ENDED_EARLY,
        NightStatus.ENDED_EARLY,
        NightStatus.COMPLETED,
    ]
    assert make_plan(loaded).due == ()
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    assert [len(reader.versions(f"small-{model}")) for model in ("cbow", "glove")] == [1, 1]
    assert states_of_flow_runs(loaded.artifacts_dir) == ["COMPLETED", "CRASHED", "CRASHED"]
    verify = [sys.executable, "-m", "nightjar.cli.main", "verify", "--config", str(small_config)]
    whole = subprocess.run(verify, env=environment(), capture_output=True, text=True, check=False)
    assert "10 artifacts and 2 registered versions, all whole" in whole.stdout


def servers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The embedded servers of a run that are alive."""
    found = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if "guarded_server.py" in " ".join(child.cmdline()):
                found.append(child)
    return found


def killed_servers(small_config: Path, moments: list[str]) -> tuple[int, str]:
    """A night whose server alone is killed when each moment is told; exit code and output."""
    log = small_config.with_name("run.log")
    process, _ = run_until(small_config, moments[0])
    killed: list[int] = []
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        for server in servers_of(process):
            wanted = len(killed) < len(moments) and server.pid not in killed
            if wanted and moments[len(killed)].encode() in log.read_bytes():
                server.kill()
                killed.append(server.pid)
        time.sleep(0.1)
    assert process.poll() is not None, log.read_text()
    assert len(killed) == len(moments), log.read_text()
    return process.returncode, log.read_text()


def test_a_night_goes_on_when_its_server_alone_is_killed(small_config: Path) -> None:
    code, said = killed_servers(small_config, ["ingest: started", "train glove: started"])
    assert code == 0, said
    assert said.count("The embedded Prefect server ended (exit code -9); it is started again") == 2
    assert "Traceback" not in said
    assert len(said) < 5_000
    loaded = load_config(small_config)
    assert Nights(loaded.pipeline_dir).get(1).status is NightStatus.COMPLETED
    assert make_plan(loaded).due == ()
    assert states_of_flow_runs(loaded.artifacts_dir) == ["COMPLETED"]


def test_a_night_ends_when_its_server_keeps_ending(small_config: Path) -> None:
    code, said = killed_servers(small_config, ["ingest: started"] * 4)
    assert code == 1, said
    assert said.count("The embedded Prefect server keeps ending, so the night ends, too") == 1
    assert "Traceback" not in said
    assert len(said) < 5_000
    loaded = load_config(small_config)
    assert not is_running(loaded)
    done = run(small_config, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["status"] == "completed"


def test_a_night_ends_when_a_server_of_the_users_falls_silent(
    small_config: Path, tmp_path: Path
) -> None:
    log = small_config.with_name("run.log")
    with EmbeddedServer(tmp_path / "log", {**environment(), "PREFECT_HOME": str(tmp_path)}) as own:
        # Not own.wait(), which would also see that it is started again.
        embedded_server._wait_until_it_answers(own.url, own._process, tmp_path / "log")
        given = {
            "PREFECT_API_URL": own.url,
            "PREFECT_API_AUTH_STRING": own.secret,
            "PREFECT_API_REQUEST_TIMEOUT": "10",  # a busy machine answers late
            "PREFECT_CLIENT_MAX_RETRIES": "1",
        }
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command(small_config),
                env={**environment(), **given},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 240
        while b"ingest: started" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        own._process.send_signal(signal.SIGSTOP)
        try:
            while b"failed during the night" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            # Prefect would offer its log to the server for two minutes more.
            assert process.wait(60) == 1, log.read_text()
        finally:
            process.kill()
            process.wait(60)
    said = log.read_text()
    assert f"the Prefect server at {own.url} failed during the night" in said
    assert "Traceback" not in said
    assert len(said) < 5_000
    assert not is_running(load_config(small_config))


def test_a_damaged_dump_stops_the_night_with_its_name(small_config: Path) -> None:
    dump = small_config.with_name("dump.xml.bz2")
    dump.write_bytes(
        bz2.compress(b"<mediawiki><page><title>A</title></page></mediawiki>" * 99)[:-9]
    )
    changes = ["corpora.text.sources.news={type: mediawiki, path: dump.xml.bz2}"]
    done = run(small_config, *(part for change in changes for part in ("--set", change)))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("nightjar: ingest: corpora.text.sources.news: ")
    assert "dump.xml.bz2" in last
    assert not list((small_config.parent / "artifacts").glob("documents/*"))


def test_one_models_failure_leaves_the_others_and_its_champion_alone(finished_copy: Path) -> None:
    overrides = ["--set", "models.glove.eta=10", "--set", "models.glove.x_max=0.001"]
    overrides += ["--set", "models.cbow.alpha=0.02", "--json"]
    done = run(finished_copy, *overrides)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "train glove: " in done.stderr
    loaded = load_config(finished_copy)
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    assert len(reader.versions("small-cbow")) == 2
    champion = reader.alias("small-glove", "champion")
    assert champion is not None
    assert champion.version == 1
    page = night_page(loaded.artifacts_dir)
    assert "# Night 2 of small: failed" in page
    (failed,) = [line for line in page.splitlines() if "| train glove |" in line]
    assert failed.startswith("| train glove | failed |")
    assert "eta" in failed
    assert "**cbow** version 2" in page


def test_a_second_run_says_who_holds_the_lease_and_skips(small_config: Path) -> None:
    with acquire_lease(lease_path(load_config(small_config)), "the night of the test"):
        done = run(small_config, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "skipped"
    assert "the night of the test" in document["reason"]
    assert str(os.getpid()) in document["reason"]
    assert make_plan(load_config(small_config)).due[0].label == "ingest"


def test_an_interrupted_run_says_how_to_go_on_and_leaves_no_server(small_config: Path) -> None:
    log = small_config.with_name("run.log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(small_config), env=environment(), stdout=stream, stderr=subprocess.STDOUT
        )
        started: list[psutil.Process] = []
        while not started or b"embedded Prefect server" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
            started = psutil.Process(process.pid).children(recursive=True)
        # An import under way can swallow a Ctrl-C (CPython ignores what a weak reference's
        # callback raises): press it again, as a person would.
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
    # CPython ends by the signal itself (130 to a shell) if it came while a string was executed.
    assert process.returncode in (130, -signal.SIGINT), log.read_text()
    assert log.read_text().endswith(
        "nightjar: interrupted; the same command continues from what is published, and a "
        "training from its last checkpoint\n"
    )
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []
