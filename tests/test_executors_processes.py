"""Worker processes: what they do not import, when they start, and when they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from pieces_support import end_in_the_middle, process, stop, stop_once

from nightjar.core.executors import ProcessExecutor, processes
from nightjar.errors import WorkerLost

SCRIPT = """
print("main", flush=True)
from pieces_support import look
from nightjar.core.executors import ProcessExecutor
if __name__ == "__main__":
    with ProcessExecutor(2, ["nightjar.stages.ingest.shard_reading"]) as executor:
        print(list(executor.map(look, [1, 2, 3], lambda *_: None)))
"""


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(2) as found:
        yield found


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_workers_import_neither_the_main_module_nor_pandas(tmp_path: Path) -> None:
    script = tmp_path / "night.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, map(Path, sys.path)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    expected = ["main", "[(1, False), (2, False), (3, False)]"]  # one "main": that of the script
    assert done.stdout.splitlines() == expected, done.stderr


def test_processes_that_were_started_do_the_pieces_and_end_when_released_even_if_stopped(
    executor: ProcessExecutor,
) -> None:
    before = children()
    main = sys.modules["__main__"]
    executor.start()
    executor.start()  # does nothing more
    assert sys.modules["__main__"] is main
    workers = set(executor.map(process, range(8), lambda *_: None))
    assert workers <= children() - before
    executor.release()
    assert not workers & children()
    others = set(executor.map(process, range(8), lambda *_: None))
    assert others
    assert not others & workers
    stopped = others.pop()
    os.kill(stopped, signal.SIGSTOP)
    executor.release()
    assert stopped not in children()
    assert len(children() - before) <= 1  # the process that looks after semaphores


def test_one_worker_or_one_piece_is_this_process(executor: ProcessExecutor) -> None:
    assert list(executor.map(process, [1], lambda *_: None)) == [os.getpid()]
    with ProcessExecutor(1) as alone:
        alone.start()
        assert list(alone.map(process, [1, 2], lambda *_: None)) == [os.getpid()] * 2


def test_a_process_that_ends_in_the_middle_of_a_result_is_replaced(
    executor: ProcessExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = [tmp_path / name for name in ("a", "b", "c")]
    for piece in pieces[:2]:
        piece.touch()
    results = list(executor.map(end_in_the_middle, pieces, lambda *_: None))
    assert results == [bytes(1_000_000)] * 3
    assert "a worker process ended without a result; its work is done again" in caplog.text


def test_a_process_that_another_thread_collected_has_ended(
    executor: ProcessExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread of the pool and the executor wait for the same processes; one comes late."""
    pids = set(executor.map(process, [1, 2, 3, 4], lambda *_: None)) & children()
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):  # the thread of the pool was faster
            os.waitpid(pid, 0)
    executor.release()
    assert "does not end" not in caplog.text


def test_the_work_of_a_stopped_worker_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(processes, "_STOPPED_SECONDS", 0.5)
    pieces = [tmp_path / name for name in ("a", "b", "c")]
    pieces[1].touch()
    with ProcessExecutor(2) as executor:
        assert list(executor.map(stop_once, pieces, lambda *_: None)) == ["a", "b", "c"]
    assert "a worker process ended without a result (it was stopped for 0 s)" in caplog.text


def test_workers_that_are_stopped_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOPPED_SECONDS", 0.3)
    monkeypatch.setattr(processes, "MAX_LOSSES", 2)
    with ProcessExecutor(2) as executor, pytest.raises(WorkerLost, match=r"stood still, 2 times"):
        list(executor.map(stop, [1, 2], lambda *_: None))
