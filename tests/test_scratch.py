"""Temporary directories of processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nightjar.files import scratch
from nightjar.files.scratch import ScratchDirectory, libraries_use_scratch, remove_abandoned

KILLED = """
import os, signal, sys
from pathlib import Path
from nightjar.files.scratch import ScratchDirectory
made = ScratchDirectory(Path(sys.argv[1]))
(Path(made.name) / "copy").write_bytes(b"x")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with ScratchDirectory(tmp_path) as name:
        assert [str(path) for path in tmp_path.iterdir()] == [name]
    assert not left.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_use_or_not_ours_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "nightjar-scratch-link").symlink_to(other)
    (tmp_path / "nightjar-scratch-file").write_text("a")
    with ScratchDirectory(tmp_path) as name, ScratchDirectory(tmp_path) as second:
        assert len({name, second}) == 2
        assert Path(name).is_dir()
        assert Path(second).is_dir()
    assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / "nightjar-scratch-of-another-user").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_one_that_is_taken_for_abandoned_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, swept = scratch._locked, []

    def swept_first(path: Path) -> int | None:
        if not swept:
            swept.append(path)
            path.rmdir()
        return locked(path)

    monkeypatch.setattr(scratch, "_locked", swept_first)
    with ScratchDirectory(tmp_path) as name:
        assert Path(name).is_dir()
        assert Path(name) not in swept
    assert list(tmp_path.iterdir()) == []


def test_without_locks_it_works_and_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nightjar-scratch-left").mkdir()
    monkeypatch.setattr(scratch, "_locked", lambda _path: None)
    with ScratchDirectory(tmp_path) as name:
        assert Path(name).is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["nightjar-scratch-left"]


def test_libraries_make_their_files_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with libraries_use_scratch():
        made = Path(tempfile.mkdtemp())
        assert made.parent.name.startswith("nightjar-scratch-")
    assert not made.exists()
    assert tempfile.gettempdir() == str(tmp_path)
