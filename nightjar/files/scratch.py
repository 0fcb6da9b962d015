"""Temporary directories that do not outlive their process for good.

A process that is killed leaves its temporary directories behind, and the copy of a model is large.
A :class:`ScratchDirectory` is locked as long as its process lives, so the next one that is made
beside it can tell which are left over, and removes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "nightjar-scratch-"
_ATTEMPTS = 3


class ScratchDirectory(tempfile.TemporaryDirectory[str]):
    """A temporary directory, in ``directory`` or the system's; removes those of dead processes."""

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(prefix=_PREFIX, dir=directory)
        self._lock = _locked(Path(self.name))
        for _ in range(_ATTEMPTS):
            if self._lock is not None and Path(self.name).exists():
                break
            # Another process took it for abandoned before it was locked; or the disk has no locks.
            self.cleanup()
            super().__init__(prefix=_PREFIX, dir=directory)
            self._lock = _locked(Path(self.name))
        remove_abandoned(Path(self.name).parent)

    def cleanup(self) -> None:
        """Remove it."""
        super().cleanup()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def __exit__(self, *_error: object) -> None:
        self.cleanup()


def remove_abandoned(parent: Path) -> None:
    """Remove this user's scratch directories in ``parent`` whose processes are gone."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it has gone, or is not ours
            found = path.lstat()
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            lock = _locked(path) if is_ours else None
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _locked(path: Path) -> int | None:
    """Lock a directory; None if another process has, or the disk knows no locks."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None


@contextmanager
def libraries_use_scratch() -> Iterator[None]:
    """Let libraries in this process make their temporary files in a scratch directory."""
    before = tempfile.tempdir
    with ScratchDirectory() as directory:
        tempfile.tempdir = directory
        try:
            yield
        finally:
            tempfile.tempdir = before
