"""Bytes on the disk: what deleting frees, and deleting."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from nightjar.store import delete


class Disk:
    """Counts freed bytes: a file with several names is only freed with the last of them."""

    def __init__(self) -> None:
        self._n_gone: Counter[tuple[int, int]] = Counter()

    def freed_by(self, paths: Iterable[Path]) -> int:
        """Bytes that also deleting ``paths`` would free. Deletes nothing."""
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
        """Delete a file or a directory; return the bytes freed.

        It disappears for readers at once and completely. After a kill halfway, the next cleanup
        removes the rest.
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
    """Bytes of the files below ``path``; a file with several names counts once."""
    return sum({(found.st_dev, found.st_ino): found.st_size for found in _files(path)}.values())
