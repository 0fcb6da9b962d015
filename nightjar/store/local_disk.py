"""What the store needs of a place to keep things, on a local or mounted disk.

The store's contract is what these functions say, nothing more: an object gets its name when
it is whole and on the disk, at most one writer gets a new name, a replaced object is the old
one or the new one. How (a temporary file beside it, a hard link, a rename) is this module's
own affair. Object storage has the same operations under other names.

Names that begin with a dot are this module's unfinished work: :func:`names` leaves them out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nightjar.store.writing import only_writes, sync

NO_HARD_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV))
"""What a file system without hard links, or with no more of them for a file, answers."""


def put_new(path: Path, data: bytes) -> bool:
    """Write ``path`` unless it exists; False when it does, and then nothing was changed.

    A reader sees all of it or nothing, also after a crash. Of several writers at once one
    gets True. Directories above are made. Raises StoreNotWritable when the disk refuses.
    """
    with only_writes(path.parent):
        if os.path.lexists(path):
            return False
        _make_directory(path.parent)
        with _written_beside(path, data) as unfinished:
            is_new = _link_unless_there(unfinished, path)
        sync(path.parent)
        return is_new


def replace(path: Path, data: bytes) -> None:
    """Write ``path``, whether it exists or not.

    A reader sees the old content or the new, also after a crash. Directories above are
    made. Raises StoreNotWritable when the disk refuses.
    """
    with only_writes(path.parent):
        _make_directory(path.parent)
        with _written_beside(path, data) as unfinished:
            unfinished.replace(path)
        sync(path.parent)


def names(directory: Path) -> list[str]:
    """The names in ``directory`` in order; none where it is not there."""
    try:
        return sorted(path.name for path in directory.iterdir() if path.name[0] != ".")
    except FileNotFoundError:
        return []


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """A synced file with ``data`` in the directory of ``path``, gone after the block."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield unfinished
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def _link_unless_there(unfinished: Path, path: Path) -> bool:
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        # A server may have done it and its answer was lost: then the second try finds ours.
        return unfinished.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        return _rename_unless_there(unfinished, path)
    return True


def _rename_unless_there(unfinished: Path, path: Path) -> bool:
    """As a hard link would, among writers that all come here: one at a time."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return False
        unfinished.rename(path)
        return True
    finally:
        os.close(descriptor)


def _make_directory(directory: Path) -> None:
    """Make it and what is missing above it, each name on the disk before it is used."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    sync(directory.parent)
