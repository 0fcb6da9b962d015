"""Bytes on the disk: what deleting frees, and deleting."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from nightjar.store import delete


class Disk:
    """Counts what is freed: the bytes of a file with several names go with the last one."""

    def __init__(self) -> None:
        self._n_gone: Counter[tuple[int, int]] = Counter()

    def freed_by(self, paths: Iterable[Path]) -> int:
        """How many bytes are free once ``paths`` are deleted, too; nothing is."""
        n_bytes = 0
        for path in paths:
            for found in _files(path):
                key = (found.st_dev, found.st_ino)
                self._n_gone[key] += 1
                if self._n_gone[key] == found.st_nlink:
                    n_bytes += found.st_size
        return n_bytes

    @staticmethod
    def delete(path: Path) -> int:
        """Delete a file or a directory; how many bytes that frees.

        For readers it is gone at once and as a whole. Killed halfway, the rest is removed by
        whoever tidies up next.
        """
        n_bytes = Disk().freed_by([path])
        return n_bytes if delete(path) else 0


def _files(path: Path) -> Iterator[os.stat_result]:
    if path.is_dir() and not path.is_symlink():
        for directory, _, files in os.walk(path):
            for name in files:
                with suppress(FileNotFoundError):
                    yield os.lstat(os.path.join(directory, name))  # noqa: PTH118 (many of them)
    else:
        with suppress(FileNotFoundError):
            yield path.lstat()


def bytes_below(path: Path) -> int:
    """How many bytes the files below ``path`` take; one with several names counts once."""
    return sum({(found.st_dev, found.st_ino): found.st_size for found in _files(path)}.values())
