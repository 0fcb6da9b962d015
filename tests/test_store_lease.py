"""The lease: one run of a pipeline at a time, for as long as its process lives."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nightjar.errors import LeaseTaken, StoreNotWritable
from nightjar.store import Lease, acquire_lease, holding, is_held, lease, waited_lease

NO_LOCKS = """
import fcntl
def refuse(descriptor, operation):
    raise OSError(37, "No locks available")
fcntl.flock = refuse
"""

BEAT_FAST = """
from nightjar.store import holding
holding.BEAT_SECONDS = 0.02
"""

HOLD = """
import sys
from pathlib import Path
from nightjar.store import acquire_lease
with acquire_lease(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""

TRY = """
import sys
from pathlib import Path
from nightjar.errors import LeaseTaken
from nightjar.store import Lease, acquire_lease, holding, is_held
holding._has_changed = None  # to watch would be an error
print(is_held(Path(sys.argv[1])))
try:
    with acquire_lease(Path(sys.argv[1]), "the other namespace"):
        print("taken")
except LeaseTaken as error:
    print(error)
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
    return tmp_path / "artifacts" / "nightly.lease"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches a file instead of asking its lock fails."""
    monkeypatch.setattr(holding, "_has_changed", None)


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """For holders that are gone; one that is there may need longer to show it."""
    monkeypatch.setattr(holding, "BOUND_SECONDS", 0.3)
    monkeypatch.setattr(holding, "_POLL_SECONDS", 0.01)


@contextmanager
def another_process(
    path: Path, owner: str, before: str = "", program: str = HOLD, command: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease until its input ends."""
    full = [*command, sys.executable, "-c", before + program, str(path), owner]
    with subprocess.Popen(full, stdin=-1, stdout=-1, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def last_file(path: Path) -> Path:
    return max(path.iterdir())


def told(path: Path) -> dict[str, object]:
    """Who holds the lease, or held it last, as its file says."""
    content: dict[str, object] = json.loads(last_file(path).read_text().splitlines()[1])
    return content


def leave(path: Path, content: str) -> None:
    """A lease that no lock is on."""
    path.mkdir(parents=True)
    (path / "000000001").write_text(content)


def left_behind(path: Path, **changes: object) -> str:
    """The content of a lease of this system whose holder is gone."""
    with acquire_lease(path.with_name("another"), "the other run"):
        content = last_file(path.with_name("another")).read_text()
    counter, described, _ = content.split("\n")
    return f"{counter}\n{json.dumps({**json.loads(described), **changes})}\n"


# -- held and released -----------------------------------------------------------------------


def test_the_lease_is_held_within_the_block_and_free_after_it(path: Path) -> None:
    assert not is_held(path)
    with acquire_lease(path, "flow run quiet-owl"):
        assert is_held(path)
        assert (told(path)["owner"], told(path)["pid"]) == ("flow run quiet-owl", os.getpid())
    assert not is_held(path)
    with acquire_lease(path, "the next"):
        assert told(path)["owner"] == "the next"
    assert len(list(path.iterdir())) == 1


@pytest.mark.usefixtures("no_waiting")
def test_the_lease_is_released_when_the_run_fails(path: Path) -> None:
    with pytest.raises(KeyError), acquire_lease(path, "failing"):
        raise KeyError
    assert not is_held(path)
    with acquire_lease(path, "the next"):
        pass


def test_the_same_process_cannot_take_it_twice(path: Path) -> None:
    with acquire_lease(path, "first"):
        with pytest.raises(LeaseTaken, match=rf"first \(process {os.getpid()} on .*skips$"):
            acquire_lease(path, "second")
        assert told(path)["owner"] == "first"


def test_another_process_finds_it_taken_and_says_by_whom(path: Path) -> None:
    with another_process(path, "flow run brave-wren") as process:
        with pytest.raises(LeaseTaken, match=rf"flow run brave-wren \(process {process.pid} on "):
            acquire_lease(path, "ours")
        assert is_held(path)
        process.communicate(timeout=60)
    with acquire_lease(path, "ours"):
        pass


@pytest.mark.parametrize("before", ["", NO_LOCKS + BEAT_FAST], ids=["locks", "no locks"])
def test_of_runs_that_start_at_once_one_takes_it(tmp_path: Path, before: str) -> None:
    command = [sys.executable, "-c", before + RACE, str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        winners = [line.strip() for line in process.stdout]
        process.communicate(timeout=60)
    assert winners == ["1"] * 10
    assert process.returncode == 0


def test_a_number_that_was_cleared_away_is_not_taken_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow run saw the lease free; two others have come and one has gone meanwhile."""
    hold = holding.hold
    others: list[Lease] = []

    def be_slow(file: Path, owner: str) -> holding.Held:
        if not others:
            monkeypatch.setattr(lease, "hold", hold)
            with acquire_lease(path, "the second"):
                pass
            others.append(acquire_lease(path, "the third"))
        return hold(file, owner)

    monkeypatch.setattr(lease, "hold", be_slow)
    with pytest.raises(LeaseTaken, match="the third"):
        acquire_lease(path, "the slow one")
    assert told(path)["owner"] == "the third"
    with others[0]:
        assert is_held(path)


def test_one_that_is_released_and_taken_while_it_is_looked_at_is_held(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = acquire_lease(path, "first")
    held_among = holding.held_among
    later = []

    def look(paths: list[Path], *, is_patient: bool) -> set[Path]:
        monkeypatch.setattr(lease, "held_among", held_among)
        with first:
            pass
        later.append(acquire_lease(path, "second"))
        return held_among(paths, is_patient=is_patient)

    monkeypatch.setattr(lease, "held_among", look)
    assert is_held(path)
    with later[0]:
        assert told(path)["owner"] == "second"


def test_who_waits_gets_it_when_it_is_free(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    taken = threading.Event()

    def wait() -> None:
        with waited_lease(path, "the second", "waiting for the first"):
            taken.set()

    thread = threading.Thread(target=wait)
    with caplog.at_level(logging.WARNING), acquire_lease(path, "the first"):
        thread.start()
        until(lambda: "waiting for the first (the first (process" in caplog.text)
        assert not taken.is_set()
    thread.join()
    assert taken.is_set()
    assert caplog.text.count("waiting for the first") == 1


# -- gone ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_waiting")
def test_a_killed_holder_s_lease_is_free_at_once(path: Path) -> None:
    with another_process(path, "doomed") as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # not even reaped
        assert not is_held(path)
        with acquire_lease(path, "ours"):
            assert told(path)["owner"] == "ours"


FORK = """
import os, sys
from pathlib import Path
from nightjar.store import acquire_lease
with acquire_lease(Path(sys.argv[1]), sys.argv[2]) as lease:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        lease.__exit__(None, None, None)  # it is not the child's to release
        os.write(writing, b"x")
        sys.stdin.read()
        os._exit(0)
    os.read(reading, 1)
    print("held", flush=True)
    print(pid, flush=True)
    while True:
        pass
"""

WORKERS = """
import multiprocessing, subprocess, sys
from pathlib import Path
from nightjar.store import acquire_lease

def work(inbox, outbox):
    outbox.put(multiprocessing.current_process().pid)
    inbox.get()

if __name__ == "__main__":
    with acquire_lease(Path(sys.argv[1]), sys.argv[2]):
        pids = []
        for method in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(method)
            inbox, outbox = context.Queue(), context.Queue()
            context.Process(target=work, args=(inbox, outbox)).start()
            pids.append(outbox.get())
        pids.append(subprocess.Popen(["sleep", "600"], close_fds=False).pid)
        print("held", flush=True)
        print(*pids, flush=True)
        while True:
            pass
"""


@pytest.mark.usefixtures("no_waiting")
def test_a_forked_child_neither_releases_nor_keeps_it(path: Path) -> None:
    with another_process(path, "the parent", program=FORK) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert is_held(path)
        process.kill()
        process.wait(60)
        os.kill(child, 0)  # it is alive
        with acquire_lease(path, "ours"):
            os.kill(child, 0)
        os.kill(child, 9)


@pytest.mark.usefixtures("no_waiting")
def test_workers_that_outlive_a_killed_holder_do_not_keep_it(path: Path, tmp_path: Path) -> None:
    program = tmp_path / "workers.py"
    program.write_text(WORKERS)
    command = [sys.executable, str(program), str(path), "the parent"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        workers = [int(pid) for pid in process.stdout.readline().split()]
        try:
            assert len(workers) == 4
            assert is_held(path)
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            with acquire_lease(path, "ours"):
                for pid in workers:
                    os.kill(pid, 0)  # it is alive
        finally:
            process.kill()
            for pid in workers:
                os.kill(pid, 9)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    "changes",
    [
        {"since": "2999-01-01T00:00:00+00:00"},
        {"pid": os.getpid()},
        {"host": "another-host", "pid": 2**40},
    ],
    ids=["dated in the future", "of a pid that runs", "of another host's name"],
)
def test_neither_dates_nor_process_numbers_nor_host_names_hold_a_lease(
    path: Path, changes: dict[str, object]
) -> None:
    leave(path, left_behind(path, **changes))
    assert not is_held(path)
    with acquire_lease(path, "ours"):
        assert told(path)["owner"] == "ours"


@pytest.mark.parametrize("is_block_device", [True, False])
def test_after_a_restart_the_lock_decides_on_a_disk_of_the_machine_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_block_device: bool
) -> None:
    monkeypatch.setattr(os, "major", lambda _: 8 if is_block_device else 0)
    leave(path, left_behind(path))
    monkeypatch.setattr(holding, "_running_system", lambda: "started anew")
    looked: list[object] = []
    monkeypatch.setattr(holding, "BOUND_SECONDS", 0.1)
    monkeypatch.setattr(holding, "_has_changed", lambda *sights: looked.extend(sights))
    with acquire_lease(path, "ours"):
        assert told(path)["owner"] == "ours"
    assert bool(looked) != is_block_device


# -- containers ------------------------------------------------------------------------------


@pytest.fixture
def namespace() -> tuple[str, ...]:
    """What runs a command as process 1 of a process namespace of its own."""
    as_root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *as_root)
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare command")
    done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"process namespaces are not permitted here: {done.stderr.strip()}")
    return command


def test_two_containers_of_one_host_name_do_not_take_each_other_s_lease(
    path: Path, namespace: tuple[str, ...]
) -> None:
    def try_it() -> list[str]:
        command = [*namespace, sys.executable, "-c", TRY, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    with another_process(path, "container", command=namespace) as process:
        assert told(path)["pid"] == 1
        held, message = try_it()
        assert held == "True"
        assert "another run of this pipeline is under way: container (process 1 on " in message
        with pytest.raises(LeaseTaken, match="container"):
            acquire_lease(path, "outside")
        process.kill()
        process.wait(60)
        until(lambda: not is_held(path))  # unshare is gone, its child is being killed
        assert try_it() == ["False", "taken"]


# -- no locks, or each machine's own ---------------------------------------------------------


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOLCK) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_without_locks_a_lease_is_held_while_its_holder_counts_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_locks(monkeypatch, number)
    with another_process(path, "elsewhere", before=NO_LOCKS + BEAT_FAST) as process:
        assert is_held(path)
        with pytest.raises(LeaseTaken, match="elsewhere"):
            acquire_lease(path, "ours")
        process.kill()
        process.wait(60)
        monkeypatch.setattr(holding, "BOUND_SECONDS", 0.3)
        assert not is_held(path)
        with acquire_lease(path, "ours"):
            assert told(path)["owner"] == "ours"


def test_without_locks_a_released_lease_is_free_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_locks(monkeypatch)
    monkeypatch.setattr(holding, "_has_changed", None)
    with acquire_lease(path, "first"):
        pass
    assert not is_held(path)
    with acquire_lease(path, "second"):
        pass


def test_without_locks_who_watches_stops_when_the_lease_is_released(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_locks(monkeypatch)
    first = acquire_lease(path, "first")
    watching, released = threading.Event(), threading.Event()
    monkeypatch.setattr(holding, "_POLL_SECONDS", 0)
    has_changed = holding._has_changed

    def look(*sights: object) -> bool:
        watching.set()
        released.wait(60)
        return has_changed(*sights)  # type: ignore[arg-type]

    monkeypatch.setattr(holding, "_has_changed", look)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(is_held(path)))
    thread.start()
    watching.wait(60)
    with first:
        pass
    released.set()
    thread.join()
    assert answers == [False]


def test_where_machines_keep_their_locks_apart_a_lease_is_held_while_its_holder_counts_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file of another running system, on which no lock is seen here."""
    leave(path, left_behind(path, place="another boot/7"))
    stop = threading.Event()

    def count_on() -> None:
        number = 0
        while not stop.wait(0.02):
            number += 1
            with last_file(path).open("r+") as stream:
                stream.write(f"{number:012}")

    thread = threading.Thread(target=count_on)
    thread.start()
    with pytest.raises(LeaseTaken, match="the other run"):
        acquire_lease(path, "ours")
    stop.set()
    thread.join()
    assert not is_held(path)  # for showing, the free lock is believed
    monkeypatch.setattr(holding, "BOUND_SECONDS", 0.3)
    with caplog.at_level(logging.WARNING), acquire_lease(path, "ours"):
        assert told(path)["owner"] == "ours"
    assert "locks do not show whether the holders of 1 file still run" in caplog.text


@pytest.mark.usefixtures("short_wait")
@pytest.mark.parametrize(
    "content", ["", "000000000000\n", "{", '000000000000\n{"owner": "x"}\n', "\0\n\0\n"]
)
def test_a_file_that_does_not_say_who_holds_it_is_watched_and_then_taken(
    path: Path, content: str
) -> None:
    leave(path, content)
    with acquire_lease(path, "ours"):
        assert told(path)["owner"] == "ours"


LOSE = """
import logging, sys, time
from pathlib import Path
from nightjar.store import acquire_lease
logging.basicConfig(format="%(message)s")
path, n_beats, beat = Path(sys.argv[1]), 0, holding.Held.beat
def counted(self):
    global n_beats
    n_beats += 1
    beat(self)
holding.Held.beat = counted
with acquire_lease(path, "slept"):
    for file in path.iterdir():
        file.unlink()
    while n_beats < 5:
        time.sleep(0.01)
"""


def test_a_holder_whose_lease_was_taken_is_told_once(path: Path) -> None:
    command = [sys.executable, "-c", BEAT_FAST + LOSE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.count("other processes may believe that this one is gone") == 1
    assert str(path) in done.stderr


# -- the disk refuses ------------------------------------------------------------------------


def test_a_lease_that_cannot_be_released_does_not_hide_what_ended_the_run(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def run() -> None:
        with acquire_lease(path, "ours"):
            monkeypatch.setattr(os, "pwrite", refuse)
            raise KeyError("the run's own error")

    with caplog.at_level(logging.WARNING), pytest.raises(KeyError, match="own error"):
        run()
    monkeypatch.undo()
    assert "could not be released" in caplog.text
    assert not is_held(path)


def test_a_lease_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file")
    with pytest.raises(StoreNotWritable, match="artifacts is in the way, move it"):
        acquire_lease(tmp_path / "artifacts" / "lease", "ours")


def test_a_file_in_the_place_of_the_lease_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("a file")
    with pytest.raises(StoreNotWritable, match=f"{path} is in the way, move it"):
        acquire_lease(path, "ours")


def test_a_full_disk_leaves_no_lease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(StoreNotWritable, match="No space left"):
        acquire_lease(path, "ours")
    monkeypatch.undo()
    assert list(path.iterdir()) == []
    with acquire_lease(path, "ours"):
        pass


def until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)
