"""Publishing through crashes, races and refusals: real processes, real signals, real disks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from disk_support import small_disk

from nightjar.errors import StoreNotWritable
from nightjar.store import Identity, Staging, Store, holding, names, publish, remove_abandoned

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


WAIT = """
def write_and_wait(staging):
    write(staging)
    print(json.dumps(str(staging.directory)), flush=True)
    sys.stdin.read()

publish(root, IDENTITY, write_and_wait)
"""

NO_LOCKS = """
import fcntl
from nightjar.store import holding
def refuse(descriptor, operation):
    raise OSError(37, "No locks available")
fcntl.flock = refuse
holding.BEAT_SECONDS = 0.02
"""


@contextmanager
def writer(
    root: Path, program: str = WAIT, before: str = "", command: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A process that publishes, and what it prints first; killed after the block."""
    full = [*command, sys.executable, "-c", PREAMBLE + before + program, str(root)]
    with subprocess.Popen(full, stdin=-1, stdout=-1, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def hidden(stage_dir: Path) -> list[str]:
    return sorted(path.name for path in stage_dir.iterdir() if path.name.startswith("."))


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """Both write the same version."""
    with writer(tmp_path) as (living, kept), writer(tmp_path) as (killed, doomed):
        assert kept != doomed
        assert remove_abandoned(tmp_path) == []
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # not even reaped
        assert remove_abandoned(tmp_path) == [Path(doomed), Path(f"{doomed}.held")]
        assert hidden(tmp_path / "documents") == [Path(kept).name, f"{Path(kept).name}.held"]
        living.communicate(timeout=60)
        assert living.returncode == 0
    assert hidden(tmp_path / "documents") == []
    assert Store(tmp_path).verify(Store(tmp_path).ref("documents", IDENTITY.version)) == []


def test_a_staging_directory_that_nobody_holds_is_removed_whatever_it_is_called(
    tmp_path: Path,
) -> None:
    names_ = [".staging-", f".staging-{'0' * 12}-host-{os.getpid()}-mark.abc", ".staging-x.held"]
    for name in names_[:2]:
        (tmp_path / "tokens" / name / "sentences").mkdir(parents=True)
        (tmp_path / "tokens" / name / "sentences" / "00000.parquet").write_bytes(b"PAR1")
    (tmp_path / "tokens" / names_[2]).write_text("")
    (tmp_path / "tokens" / ".parts-000000000000").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(holding, "BOUND_SECONDS", 0.1)
        removed = remove_abandoned(tmp_path)
    assert removed == sorted(tmp_path / "tokens" / name for name in names_)
    assert hidden(tmp_path / "tokens") == [".parts-000000000000"]


def test_nothing_is_abandoned_where_there_is_no_store(tmp_path: Path) -> None:
    assert remove_abandoned(tmp_path / "absent") == []


def test_a_run_under_way_is_not_abandoned(tmp_path: Path) -> None:
    def write(staging: Staging) -> None:
        assert remove_abandoned(tmp_path) == []
        assert staging.directory.is_dir()

    publish(tmp_path, IDENTITY, write)


JUST_MADE = """
from nightjar.store import holding
lock = holding._lock

def wait_and_lock(descriptor):
    print(json.dumps("made"), flush=True)
    sys.stdin.readline()
    lock(descriptor)

holding._lock = wait_and_lock
publish(root, IDENTITY, write)
"""


def test_a_held_file_that_was_made_and_is_not_locked_yet_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = threading.Event()
    has_changed = holding._has_changed

    def look(*sights: Any) -> bool:
        watching.set()
        return has_changed(*sights)

    monkeypatch.setattr(holding, "_has_changed", look)
    removed: list[Path] = []
    with writer(tmp_path, JUST_MADE) as (process, said):
        assert said == "made"
        thread = threading.Thread(target=lambda: removed.extend(remove_abandoned(tmp_path)))
        thread.start()
        assert watching.wait(30)
        process.communicate("go on\n")
        thread.join()
        assert process.returncode == 0
    assert removed == []
    assert names(tmp_path / "documents") == [IDENTITY.version]


TIDIED = """
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        for size in range(8):
            publish(root, Identity("documents", "", {"size": size, "by": number % 2}), write)
        os._exit(0)
    children.append(pid)
codes = []
removed = []
while len(codes) < 3:
    removed += map(str, remove_abandoned(root))
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid:
        codes.append(os.waitstatus_to_exitcode(status))
store = Store(root)
problems = [problem for ref in store.versions("documents") for problem in store.verify(ref)]
print(json.dumps([codes, removed, problems, len(store.versions("documents"))]))
"""


def test_writers_are_not_disturbed_by_those_who_tidy_up(tmp_path: Path) -> None:
    ((codes, removed, problems, n_published),) = run_program(TIDIED, tmp_path)
    assert codes == [0, 0, 0]
    assert removed == []
    assert problems == []
    assert n_published == 16
    assert hidden(tmp_path / "documents") == []


ORPHAN = """
from nightjar.errors import StoreNotWritable
from nightjar.store import write_part

def work(directory):
    print(json.dumps([os.getpid(), str(directory)]), flush=True)
    sys.stdin.readline()  # its writer was killed and what it left was removed
    try:
        write_part(root, directory, "sentences/00000.parquet", TABLE.schema, [TABLE])
    except StoreNotWritable as error:
        Path(sys.argv[1] + ".said").write_text(str(error))
    os._exit(0)

def write_by_a_worker(staging):
    (staging.directory / "sentences").mkdir()
    pid = os.fork()
    if pid == 0:
        work(staging.directory)
    os.waitpid(pid, 0)

publish(root, IDENTITY, write_by_a_worker)
"""


def test_a_worker_that_outlives_its_writer_neither_keeps_nor_revives_the_directory(
    tmp_path: Path,
) -> None:
    root = tmp_path / "artifacts"
    with writer(root, ORPHAN) as (process, (worker, directory)):
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.kill(worker, 0)
        assert remove_abandoned(root) == [Path(directory), Path(f"{directory}.held")]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.read() == ""  # the worker has ended
    assert "No such file or directory" in (tmp_path / "artifacts.said").read_text()
    assert list((root / "documents").iterdir()) == []


def test_two_containers_of_one_host_name_leave_each_other_s_staging_directories(
    tmp_path: Path,
) -> None:
    as_root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *as_root)
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare command")
    probe = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"process namespaces are not permitted here: {probe.stderr.strip()}")

    def tidied() -> list[str]:
        program = "print(json.dumps(list(map(str, remove_abandoned(root)))))"
        full = [*command, sys.executable, "-c", PREAMBLE + program, str(tmp_path)]
        done = subprocess.run(full, capture_output=True, text=True, check=True)
        removed: list[str] = json.loads(done.stdout)
        return removed

    with writer(tmp_path, command=command) as (process, directory):
        assert tidied() == []
        assert remove_abandoned(tmp_path) == []
        process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == ""  # process 1 of the container has ended, too
        assert tidied() == [directory, f"{directory}.held"]


def test_without_locks_a_directory_is_abandoned_when_its_writer_counts_on_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with writer(tmp_path, before=NO_LOCKS) as (process, directory):
        assert remove_abandoned(tmp_path) == []
        process.kill()
        process.wait(60)
        monkeypatch.setattr(holding, "BOUND_SECONDS", 0.3)
        assert remove_abandoned(tmp_path) == [Path(directory), Path(f"{directory}.held")]


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
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
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
def one_megabyte(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


def test_a_disk_that_fills_up_keeps_what_is_published_and_frees_the_rest(
    one_megabyte: Path,
) -> None:
    numbers = pa.table({"number": [i * 2654435761 % 2**32 for i in range(30_000)]})

    def write_fitting(staging: Staging) -> None:
        staging.write("numbers", numbers)

    def write_too_much(staging: Staging) -> None:
        with staging.writer("numbers", numbers.schema) as writer:
            for _ in range(20):
                writer.write_table(numbers)

    earlier = publish(one_megabyte, EARLIER, write_fitting)
    with pytest.raises(StoreNotWritable, match=r"\(No space left on device\); free some space"):
        publish(one_megabyte, IDENTITY, write_too_much)
    assert [path.name for path in (one_megabyte / "documents").iterdir()] == [earlier.version]
    assert Store(one_megabyte).verify(earlier) == []
    ref = publish(one_megabyte, IDENTITY, write_fitting)
    assert Store(one_megabyte).verify(ref) == []
