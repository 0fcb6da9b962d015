"""A small disk of its own for a test, which can be filled up to the last pages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of that size at ``path``; skips the test where none can be mounted."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def leave_free(disk: Path, n_bytes: int) -> None:
    """Fill a small disk but for ``n_bytes``."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    found = os.statvfs(disk)
    n_more = found.f_bavail * found.f_frsize - n_bytes
    with ballast.open("wb") as stream:
        if n_more > 0:
            os.posix_fallocate(stream.fileno(), 0, n_more)


def empty(disk: Path) -> None:
    """Take away what :func:`leave_free` put there."""
    (disk / "ballast").unlink(missing_ok=True)


def remount(disk: Path, how: str) -> None:
    """Make a small disk read-only ("ro") or not ("rw"); no file of it may be open."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)
