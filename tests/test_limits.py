"""No test stands still: what its limit does (pyproject.toml) and what it leaves (conftest.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
from conftest import PROJECT_ROOT

STANDS_STILL = """
import subprocess, threading
from pathlib import Path

def wait_in_a_thread():
    threading.Event().wait()

def test_that_stands_still():
    child = subprocess.Popen(["sleep", "1000"])
    Path("child").write_text(str(child.pid))
    threading.Thread(target=wait_in_a_thread, daemon=True).start()
    threading.Event().wait()

def test_after_it():
    pass
"""


def test_a_test_that_stands_still_fails_with_all_stacks_and_leaves_no_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_still.py").write_text(STANDS_STILL, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", PROJECT_ROOT / "pyproject.toml"]
    done = subprocess.run(
        [*command, "-p", "conftest", "-o", "timeout=2", "test_still.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Timeout (>2.0s) from pytest-timeout" in done.stdout, done.stdout + done.stderr
    assert "in wait_in_a_thread" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
    child = int((tmp_path / "child").read_text())
    assert not psutil.pid_exists(child)
