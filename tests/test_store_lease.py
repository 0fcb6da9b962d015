"""The lease: one run of a pipeline at a time."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from nightjar.errors import LeaseTaken, StoreNotWritable
from nightjar.store import acquire_lease, lease
from nightjar.store.lease import Holder
from nightjar.store.processes import host_name, start_mark

HOLD = """
import sys
from pathlib import Path
from nightjar.store import acquire_lease
with acquire_lease(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


RACE = """
import os, sys
from pathlib import Path
from nightjar.errors import LeaseTaken
from nightjar.store import acquire_lease

n_runs = 6
for _ in range(2):  # the second time there is a lease to read: all code is ready before the race
    try:
        acquire_lease(Path(sys.argv[1]) / "warm", "warm")
    except LeaseTaken:
        pass
for turn in range(10):
    path = Path(sys.argv[1]) / str(turn)
    start_reading, start_writing = os.pipe()
    end_reading, end_writing = os.pipe()
    children = []
    for number in range(n_runs):
        pid = os.fork()
        if pid == 0:
            os.close(start_writing)
            os.close(end_reading)
            os.read(start_reading, 1)  # returns when the parent closes its end: all at once
            try:
                acquire_lease(path, str(number))
                os.write(end_writing, b"1")
            except LeaseTaken:
                os.write(end_writing, b"0")
            sys.stdin.read()  # alive until everyone has tried
            os._exit(0)
        children.append(pid)
    os.close(start_writing)
    answers = b"".join(os.read(end_reading, 1) for _ in range(n_runs))
    for pid in children:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    print(answers.count(b"1"), flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "artifacts" / "nightly.lease.json"


@contextmanager
def another_process(path: Path, owner: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease until its input ends."""
    command = [sys.executable, "-c", HOLD, str(path), owner]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def holder(**changes: object) -> Holder:
    base = Holder(
        token="0011223344556677",
        owner="the other run",
        host=host_name(),
        pid=os.getpid(),
        acquired_at="2024-01-02T03:04:05+00:00",
        expires_at=time.time() + 100,
        start_mark=start_mark(os.getpid()),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def leave(path: Path, content: Holder | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(asdict(content)))


def test_the_lease_is_held_within_the_block_and_gone_after_it(path: Path) -> None:
    with acquire_lease(path, "flow run quiet-owl"):
        held = json.loads(path.read_text())
        assert (held["owner"], held["pid"], held["host"]) == (
            "flow run quiet-owl",
            os.getpid(),
            host_name(),
        )
    assert not path.exists()
    with acquire_lease(path, "the next"):
        assert path.exists()


def test_the_lease_is_released_when_the_run_fails(path: Path) -> None:
    with pytest.raises(KeyError), acquire_lease(path, "failing"):
        raise KeyError
    assert not path.exists()


def test_the_same_process_cannot_take_it_twice(path: Path) -> None:
    with acquire_lease(path, "first"):
        with pytest.raises(LeaseTaken, match=rf"first \(process {os.getpid()} on .*skips$"):
            acquire_lease(path, "second")
        assert json.loads(path.read_text())["owner"] == "first"


def test_another_process_finds_it_taken_and_says_by_whom(path: Path) -> None:
    with another_process(path, "flow run brave-wren") as process:
        with pytest.raises(LeaseTaken, match=rf"flow run brave-wren \(process {process.pid} on "):
            acquire_lease(path, "ours")
        process.communicate()
    with acquire_lease(path, "ours"):
        pass


def test_of_runs_that_start_at_once_one_takes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        winners = [line.strip() for line in process.stdout]
        process.communicate()
    assert winners == ["1"] * 10
    assert process.returncode == 0


def test_a_killed_holder_s_lease_is_free_at_once(path: Path) -> None:
    with another_process(path, "doomed") as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # not even reaped
        with acquire_lease(path, "ours"):
            assert json.loads(path.read_text())["owner"] == "ours"
        process.communicate()


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "another-host", "expires_at": time.time() - 1},
        {"host": "another-host", "expires_at": float("nan")},
        {"start_mark": "anotherbootx17"},
        {"pid": 2**40},
        {"pid": 0, "start_mark": ""},
        {"start_mark": "", "expires_at": time.time() - 1},
    ],
    ids=[
        "expired elsewhere",
        "no number",
        "reused pid",
        "no such pid",
        "pid 0",
        "expired, no mark",
    ],
)
def test_a_lease_that_nobody_holds_any_more_is_taken(
    path: Path, changes: dict[str, object]
) -> None:
    leave(path, holder(**changes))
    with acquire_lease(path, "ours"):
        assert json.loads(path.read_text())["owner"] == "ours"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"expires_at": 0.0},
        {"start_mark": ""},
        {"host": "another-host", "pid": 2**22 + 1},
    ],
    ids=["alive", "alive, not renewed while the machine slept", "alive, no mark", "elsewhere"],
)
def test_a_lease_that_may_be_held_is_respected(path: Path, changes: dict[str, object]) -> None:
    other = holder(**changes)
    leave(path, other)
    with pytest.raises(LeaseTaken, match="the other run"):
        acquire_lease(path, "ours")
    assert json.loads(path.read_text()) == asdict(other)


def test_a_lease_of_another_host_says_when_it_ends_and_how_to_break_it(path: Path) -> None:
    leave(path, holder(host="another-host"))
    with pytest.raises(LeaseTaken, match=f"free 5 minutes after it went; or delete {path}"):
        acquire_lease(path, "ours")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"owner": "x"}', "\0\xff", '{"pid": "1"}', "[" * 100_000]
)
def test_a_file_that_is_no_lease_is_replaced_with_a_warning(
    path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    leave(path, content)
    with caplog.at_level(logging.WARNING), acquire_lease(path, "ours"):
        assert json.loads(path.read_text())["owner"] == "ours"
    assert "is not a lease; it is replaced" in caplog.text


@pytest.mark.parametrize(
    ("field", "value"), [("pid", "1"), ("pid", 1.5), ("expires_at", "soon"), ("owner", None)]
)
def test_a_lease_with_a_value_of_the_wrong_kind_is_replaced(
    path: Path, field: str, value: object
) -> None:
    leave(path, json.dumps({**asdict(holder()), field: value}))
    with acquire_lease(path, "ours"):
        assert json.loads(path.read_text())["owner"] == "ours"


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_held_lease_is_renewed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    with acquire_lease(path, "ours"):
        first = json.loads(path.read_text())
        wait_for(lambda: json.loads(path.read_text())["expires_at"] > first["expires_at"])
        assert {**json.loads(path.read_text()), "expires_at": 0} == {**first, "expires_at": 0}
    assert sorted(file.name for file in path.parent.iterdir()) == [f".{path.name}.lock"]


def test_a_lease_that_was_taken_over_is_neither_renewed_nor_released(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    other = holder()
    with caplog.at_level(logging.WARNING), acquire_lease(path, "ours"):
        temporary = path.with_name("other")
        leave(temporary, other)
        temporary.replace(path)
        wait_for(lambda: "was taken over" in caplog.text)
    assert json.loads(path.read_text()) == asdict(other)


def test_a_lease_that_cannot_be_released_does_not_hide_what_ended_the_run(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run() -> None:
        with acquire_lease(path, "ours"):
            path.with_name(f".{path.name}.lock").unlink()
            path.with_name(f".{path.name}.lock").mkdir()
            raise KeyError("the run's own error")

    with caplog.at_level(logging.WARNING), pytest.raises(KeyError, match="own error"):
        run()
    assert "could not be released" in caplog.text


def test_a_lease_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file")
    with pytest.raises(StoreNotWritable, match="artifacts is in the way, move it"):
        acquire_lease(tmp_path / "artifacts" / "lease.json", "ours")


def test_a_directory_in_the_place_of_the_lease_is_named(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreNotWritable, match=f"{path} is in the way, move it"):
        acquire_lease(path, "ours")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_leaves_no_lease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir(parents=True)
    monkeypatch.setattr(lease.secrets, "token_hex", lambda _: "token")
    path.with_name(f".{path.name}.token").symlink_to("/dev/full")
    with pytest.raises(StoreNotWritable, match="No space left on device"):
        acquire_lease(path, "ours")
    assert sorted(file.name for file in path.parent.iterdir()) == [f".{path.name}.lock"]
