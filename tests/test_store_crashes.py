"""Publishing through crashes, races and refusals: real processes, real signals, real disks."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nightjar.errors import StoreNotWritable
from nightjar.store import Identity, Staging, Store, publish, remove_abandoned
from nightjar.store.processes import host_name, is_alive, start_mark

IDENTITY = Identity("documents", "", {"size": 1})
EARLIER = Identity("documents", "", {"size": 0})

# Each program runs in a process of its own and forks the processes that crash or race.
PREAMBLE = """
import json, os, signal, sys
from pathlib import Path
import pyarrow as pa
from nightjar.errors import NightjarError
from nightjar.store import Identity, Store, publish, remove_abandoned

root = Path(sys.argv[1])
IDENTITY = Identity("documents", "", {"size": 1})
EARLIER = Identity("documents", "", {"size": 0})
TABLE = pa.table({"number": list(range(1000))})

def write(staging):
    for name in ("one", "two"):
        with staging.writer(name, TABLE.schema) as writer:
            for _ in range(2):
                sys.audit("row group", str(staging.directory))
                writer.write_table(TABLE)
    staging.counts["kept"] = 4000
"""


def run_program(program: str, *arguments: str | Path) -> list[Any]:
    """The JSON lines that a program prints."""
    command = [sys.executable, "-c", PREAMBLE + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


KILL_EVERYWHERE = """
def publish_until_killed(store, n_steps):
    # The interpreter announces what it is about to do to a file: die before the n-th step.
    steps = 0
    def hook(event, arguments):
        nonlocal steps
        if any(str(argument).startswith(str(store)) for argument in arguments):
            steps += 1
            if steps == n_steps:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    publish(store, IDENTITY, write)

n_steps = 0
was_killed = True
while was_killed:
    n_steps += 1
    directory = root / str(n_steps)
    store = Store(directory)
    earlier = publish(directory, EARLIER, write)
    pid = os.fork()
    if pid == 0:
        publish_until_killed(directory, n_steps)
        os._exit(0)
    was_killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    stage_dir = directory / "documents"
    left = sorted(path.name for path in stage_dir.iterdir() if path.name.startswith("."))
    published = store.is_published("documents", IDENTITY.version)
    problems = store.verify(store.ref("documents", IDENTITY.version)) if published else []
    removed = [path.name for path in remove_abandoned(directory)]
    again = publish(directory, IDENTITY, write)
    print(json.dumps({
        "was_killed": was_killed,
        "was_published": published,
        "problems_after_kill": problems,
        "left": left,
        "removed": removed,
        "problems": store.verify(earlier) + store.verify(again),
        "entries": sorted(path.name for path in stage_dir.iterdir()),
    }))
"""


def test_killed_before_any_step_the_next_run_finishes_and_all_is_whole(tmp_path: Path) -> None:
    outcomes = run_program(KILL_EVERYWHERE, tmp_path)
    assert len(outcomes) > 12
    assert not outcomes[-1]["was_killed"]
    both = sorted((EARLIER.version, IDENTITY.version))
    for outcome in outcomes:
        assert outcome["problems_after_kill"] == outcome["problems"] == []
        assert outcome["removed"] == outcome["left"]
        assert outcome["entries"] == both
    was_published = [outcome["was_published"] for outcome in outcomes]
    assert was_published == sorted(was_published)
    assert not was_published[0]
    assert any(outcome["left"] for outcome in outcomes)


RACE = """
n_runs = int(sys.argv[2])
start_reading, start_writing = os.pipe()
children = []
for number in range(n_runs):
    pid = os.fork()
    if pid == 0:
        os.close(start_writing)
        os.read(start_reading, 1)  # returns when the parent closes its end: all at once
        ref = publish(root, IDENTITY, write)
        rows = Store(root).open(ref).read("two").num_rows
        line = json.dumps({"version": ref.version, "rows": rows}) + "\\n"
        os.write(1, line.encode())  # in one piece: the others write, too
        os._exit(0)
    children.append(pid)
os.close(start_writing)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
assert codes == [0] * n_runs, codes
"""


@pytest.mark.parametrize("is_blocked", [False, True])
def test_runs_that_publish_one_version_at_once_all_get_one_whole_artifact(
    tmp_path: Path, is_blocked: bool
) -> None:
    if is_blocked:  # no manifest: every run finds it in the way and only one may move it
        blocker = tmp_path / "documents" / IDENTITY.version / "x"
        blocker.parent.mkdir(parents=True)
        blocker.write_text("someone's")
    outcomes = run_program(RACE, tmp_path, "5")
    assert outcomes == [{"version": IDENTITY.version, "rows": 2000}] * 5
    assert Store(tmp_path).verify(Store(tmp_path).ref("documents", IDENTITY.version)) == []
    assert [path.name for path in (tmp_path / "documents").iterdir()] == [IDENTITY.version]
    aside = [f"documents-{IDENTITY.version}-1"] if is_blocked else []
    assert [path.name for path in tmp_path.glob("set-aside/*")] == aside


# -- what a dead run left behind ---------------------------------------------------------


def staging_dir(root: Path, host: str, pid: int, mark: str) -> Path:
    name = f".staging-{'0' * 12}-{host}-{pid}-{mark}.{secrets.token_hex(4)}"
    path = root / "tokens" / name
    path.mkdir(parents=True)
    (path / "half.parquet").write_bytes(b"PAR1")
    return path


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(60)
    return process.pid


def test_what_dead_runs_of_this_host_left_is_removed_and_nothing_else(
    tmp_path: Path, dead_pid: int
) -> None:
    me = os.getpid()
    dead = [
        staging_dir(tmp_path, host_name(), dead_pid, ""),
        staging_dir(tmp_path, host_name(), dead_pid, "abcx1"),
        staging_dir(tmp_path, host_name(), me, "anotherbootx1"),
    ]
    kept = [
        staging_dir(tmp_path, host_name(), me, start_mark(me)),
        staging_dir(tmp_path, host_name(), me, ""),
        staging_dir(tmp_path, "another-host", dead_pid, ""),
        staging_dir(tmp_path, f"x-{host_name()}", dead_pid, ""),
    ]
    for name in (".staging-", ".staging-000", ".staging-a-b-c", f".staging-v-{host_name()}-x-y"):
        (tmp_path / "tokens" / name).mkdir()
        kept.append(tmp_path / "tokens" / name)
    assert remove_abandoned(tmp_path) == sorted(dead)
    assert sorted((tmp_path / "tokens").iterdir()) == sorted(kept)


def test_nothing_is_abandoned_where_there_is_no_store(tmp_path: Path) -> None:
    assert remove_abandoned(tmp_path / "absent") == []


def test_a_run_under_way_is_not_abandoned(tmp_path: Path) -> None:
    def write(staging: Staging) -> None:
        assert remove_abandoned(tmp_path) == []
        assert staging.directory.is_dir()

    publish(tmp_path, IDENTITY, write)


def test_a_killed_process_is_dead_before_its_parent_asks_for_it() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        mark = start_mark(process.pid)
        assert is_alive(process.pid)
        assert is_alive(process.pid, mark)
        assert not is_alive(process.pid, "another")
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and left a zombie
        assert not is_alive(process.pid)
        assert not is_alive(process.pid, mark)


@pytest.mark.parametrize("pid", [0, -1, 2**40, 10**30])
def test_an_impossible_process_id_is_of_no_process(pid: int) -> None:
    assert not is_alive(pid)


# -- the disk refuses --------------------------------------------------------------------

LIMITED = """
import gc, resource
numbers = pa.table({"number": [i * 2654435761 % 2**32 for i in range(10_000)]})

def write_numbers(staging):
    try:
        staging.write("numbers", numbers)
    except OSError:
        sys.exit("a stage would take this for its source's error")

def fail_within_a_table(staging):
    with staging.writer("numbers", numbers.schema):
        raise KeyError("the stage's own error")

def fail_later(staging):
    staging.write("first", TABLE.slice(0, 10))
    write_numbers(staging)

earlier = publish(root, EARLIER, write_numbers)
size = Store(root).open(earlier).manifest.files[0].bytes
for limit, write_table in [
    (2, write_numbers),            # not even the first bytes of the file
    (5000, write_numbers),         # in the middle of the rows
    (size - 1, write_numbers),     # in the footer
    (5000, fail_later),            # in the second table
    (10, fail_within_a_table),     # in the footer, which is written because of another error
]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        publish(root, IDENTITY, write_table)
    except (NightjarError, KeyError) as error:
        print(json.dumps([type(error).__name__, str(error)]))
    gc.collect()
print(json.dumps(Store(root).verify(earlier)))
"""


def test_a_file_size_limit_at_any_point_is_a_write_refusal(tmp_path: Path) -> None:
    *refusals, own_error, problems = run_program(LIMITED, tmp_path)
    assert [kind for kind, _ in refusals] == ["StoreNotWritable"] * 4
    expected = "cannot be written (File too large); free some space or raise the limit"
    assert all(expected in message for _, message in refusals)
    assert own_error == ["KeyError", repr("the stage's own error")]
    assert problems == []
    assert [path.name for path in (tmp_path / "documents").iterdir()] == [EARLIER.version]


FORBIDDEN = """
import tempfile
with tempfile.TemporaryDirectory() as directory:
    os.chmod(directory, 0o755)
    store = Path(directory) / "artifacts"
    ref = publish(store, EARLIER, write)
    for path in (store, store / "documents", Path(ref.path)):
        path.chmod(0o555)
    pid = os.fork()
    if pid == 0:
        if os.geteuid() == 0:
            os.setuid(65534)  # root may write anywhere
        for identity in (IDENTITY, Identity("tokens", "", {})):
            try:
                publish(store, identity, write)
            except NightjarError as error:
                print(json.dumps([type(error).__name__, str(error)]), flush=True)
        print(json.dumps(Store(store).verify(ref)), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    for path in (store, store / "documents", Path(ref.path)):
        path.chmod(0o755)
"""


def test_a_directory_without_permission_to_write_is_named(tmp_path: Path) -> None:
    *refusals, problems = run_program(FORBIDDEN, tmp_path)
    for kind, message in refusals:
        assert kind == "StoreNotWritable"
        assert "artifacts: the artifact directory cannot be written (Permission denied)" in message
        assert "fix its permissions" in message
    assert len(refusals) == 2
    assert problems == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_disk_that_fills_up_keeps_what_is_published_and_frees_the_rest(small_disk: Path) -> None:
    numbers = pa.table({"number": [i * 2654435761 % 2**32 for i in range(30_000)]})

    def write_fitting(staging: Staging) -> None:
        staging.write("numbers", numbers)

    def write_too_much(staging: Staging) -> None:
        with staging.writer("numbers", numbers.schema) as writer:
            for _ in range(20):
                writer.write_table(numbers)

    earlier = publish(small_disk, EARLIER, write_fitting)
    with pytest.raises(StoreNotWritable, match=r"\(No space left on device\); free some space"):
        publish(small_disk, IDENTITY, write_too_much)
    assert [path.name for path in (small_disk / "documents").iterdir()] == [earlier.version]
    assert Store(small_disk).verify(earlier) == []
    ref = publish(small_disk, IDENTITY, write_fitting)
    assert Store(small_disk).verify(ref) == []
