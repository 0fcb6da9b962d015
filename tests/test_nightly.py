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
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import asking_support
import psutil
import pytest
from conftest import PROJECT_ROOT, run_a_night
from nights_support import HandMade
from proxy_support import proxy, through

from nightjar.cli import embedded_server
from nightjar.cli.embedded_server import EmbeddedServer
from nightjar.config import load_config
from nightjar.core import Nights, NightStatus
from nightjar.errors import SourceError
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


def run_until(
    config: Path, moment: str, more: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    """A run that has told of a moment, and its children; what it says goes to run.log."""
    log = config.with_name("run.log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(config),
            env={**environment(), **(more or {})},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    while moment.encode() not in log.read_bytes():
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    return process, psutil.Process(process.pid).children(recursive=True)


def servers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The embedded servers of a run that are alive."""
    found = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if "guarded_server.py" in " ".join(child.cmdline()):
                found.append(child)
    return found


def killed_servers(
    small_config: Path, moments: list[str], more: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """A night whose server alone is killed when each moment is told; exit code and output."""
    log = small_config.with_name("run.log")
    process, _ = run_until(small_config, moments[0], more)
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


def test_a_night_that_is_killed_twice_is_finished_by_the_same_command(small_config: Path) -> None:
    """The third goes on although its server alone is killed, twice. No proxy learns of them."""
    loaded = load_config(small_config)
    nights = Nights(loaded.pipeline_dir)
    with proxy() as (address, asked):
        for number, (moment, first_due) in enumerate(
            [("count glove", ("count glove", "train glove")), ("register cbow", (None,))], 1
        ):
            process, started = run_until(small_config, f"{moment}: started", through(address))
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            # The embedded server goes with the run that started it.
            _, alive = psutil.wait_procs(started, timeout=20)
            assert alive == []
            assert nights.get(number).status is NightStatus.RUNNING
            assert not is_running(loaded)
            due = [step.label for step in make_plan(loaded).due]
            assert next(iter(due), None) in first_due

        moments = ["register cbow: started", "register glove: started"]
        code, said = killed_servers(small_config, moments, through(address))
    assert asked == []
    assert code == 0, said
    assert said.count("The embedded Prefect server ended (exit code -9); it is started again") == 2
    assert "Traceback" not in said
    assert len(said) < 5_000
    assert [found["outcome"] for found in nights.get(3).decisions] == ["promoted", "promoted"]
    assert [nights.get(number).status for number in (1, 2, 3)] == [
        NightStatus.ENDED_EARLY,
        NightStatus.ENDED_EARLY,
        NightStatus.COMPLETED,
    ]
    assert make_plan(loaded).due == ()
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    assert [len(reader.versions(f"small-{model}")) for model in ("cbow", "glove")] == [1, 1]
    assert states_of_flow_runs(loaded.artifacts_dir) == ["COMPLETED", "CRASHED", "CRASHED"]
    whole = asking_support.asked(small_config, "verify")
    assert "10 artifacts and 2 registered versions, all whole" in whole


def test_a_night_ends_when_its_server_keeps_ending(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    code, said = killed_servers(project.path, ["ingest: started"] * 4)
    assert code == 1, said
    assert said.count("The embedded Prefect server keeps ending, so the night ends, too") == 1
    assert "Traceback" not in said
    assert len(said) < 5_000
    assert not is_running(project.loaded)
    assert project.night().status is NightStatus.COMPLETED


def test_a_night_ends_when_a_server_of_the_users_falls_silent(
    tmp_path: Path,
) -> None:
    config = HandMade(tmp_path / "project").path
    log = config.with_name("run.log")
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
                command(config),
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
    assert not is_running(load_config(config))


def test_a_damaged_dump_stops_the_night_with_its_name(small_config: Path) -> None:
    dump = small_config.with_name("dump.xml.bz2")
    dump.write_bytes(
        bz2.compress(b"<mediawiki><page><title>A</title></page></mediawiki>" * 99)[:-9]
    )
    change = "corpora.text.sources.news={type: mediawiki, path: dump.xml.bz2}"
    with pytest.raises(SourceError, match=r"^corpora\.text\.sources\.news: .*dump\.xml\.bz2"):
        run_a_night(small_config, change)
    assert not list((small_config.parent / "artifacts").glob("documents/*"))


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
