"""Worker processes: what they do not import, when they start, and when they end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from nightjar.executors import Advance, ProcessExecutor

SCRIPT = """
print("main", flush=True)
from test_executors_processes import look
from nightjar.executors import ProcessExecutor
if __name__ == "__main__":
    with ProcessExecutor(2) as executor:
        print(list(executor.map(look, [1, 2, 3], lambda *_: None)))
"""


def look(piece: int, advance: Advance) -> tuple[int, bool]:
    """Whether pandas is imported after an array was made."""
    advance(1)
    pa.array([piece])
    return piece, "pandas" in sys.modules


def process(piece: int, advance: Advance) -> int:
    advance(1)
    return os.getpid()


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(2, ["nightjar.corpus.reading"]) as found:
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
    )
    expected = ["main", "[(1, False), (2, False), (3, False)]"]  # one "main": that of the script
    assert done.stdout.splitlines() == expected, done.stderr


def test_processes_that_were_started_do_the_pieces_and_end_when_released(
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


def test_one_worker_or_one_piece_is_this_process(executor: ProcessExecutor) -> None:
    assert list(executor.map(process, [1], lambda *_: None)) == [os.getpid()]
    with ProcessExecutor(1) as alone:
        alone.start()
        assert list(alone.map(process, [1, 2], lambda *_: None)) == [os.getpid()] * 2
