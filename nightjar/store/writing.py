"""Writing to the store: synced, with system errors turned into one clear error."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightjar.errors import StoreNotWritable

_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_READ_ONLY = frozenset((errno.EROFS,))
_NOT_ALLOWED = frozenset((errno.EACCES, errno.EPERM))
_NOT_A_DIRECTORY = frozenset((errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP))
_NUMPY_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
_REFUSALS = _NO_ROOM | _READ_ONLY | _NOT_ALLOWED | _NOT_A_DIRECTORY


@contextmanager
def named_write_errors(root: Path) -> Iterator[None]:
    """Turn errors of writing below ``root`` into StoreNotWritable.

    For code that also reads elsewhere: an error that names a file outside ``root`` passes through,
    and so does one that reading may also cause, unless it names a file below ``root``.
    """
    try:
        yield
    except OSError as raised:
        error = _with_number(raised)
        is_below = error.filename is not None and _is_below(error.filename, root)
        may_be_ours = error.filename is None and error.errno in _NO_ROOM | _READ_ONLY
        if not is_write_refusal(error) or not (is_below or may_be_ours):
            raise
        raise _not_writable(root, error) from raised


@contextmanager
def only_writes(root: Path) -> Iterator[None]:
    """Turn any OSError into StoreNotWritable: for code that touches only ``root``."""
    try:
        yield
    except OSError as error:
        raise _not_writable(root, _with_number(error)) from error


def is_write_refusal(error: OSError) -> bool:
    """Whether ``error`` means no permission, no space, or a place that cannot be written."""
    return _with_number(error).errno in _REFUSALS


def _with_number(error: OSError) -> OSError:
    """Add ENOSPC to NumPy's error for a full disk, which has neither errno nor file name."""
    if error.errno is None and _NUMPY_SHORT_WRITE.fullmatch(str(error)):
        return OSError(errno.ENOSPC, str(error))
    return error


def sync(path: Path) -> None:
    """Sync a file or directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a directory; renames are safe there anyway.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make ``directory`` and its missing parents, syncing each name before it is used."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    sync(directory.parent)


def write_synced(path: Path, text: str) -> None:
    """Write a complete new file and sync it to disk."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _is_below(filename: object, root: Path) -> bool:
    if not isinstance(filename, str | bytes):
        return False
    return Path(os.fsdecode(filename)).absolute().is_relative_to(root.absolute())


def _in_the_way(path: Path) -> Path:
    """The first part of ``path`` that exists and is not a directory."""
    parts = [*reversed(path.parents), path]
    return next((part for part in parts if os.path.lexists(part) and not part.is_dir()), path)


def _not_writable(root: Path, error: OSError) -> StoreNotWritable:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _NO_ROOM:
        remedy = "free some space or raise the limit"
    elif error.errno in _NOT_A_DIRECTORY:
        remedy = f"{_in_the_way(Path(error.filename or root))} is in the way, move it away"
    else:
        remedy = "fix its permissions or choose another pipeline.artifacts_dir"
    return StoreNotWritable(
        f"{root}: the artifact directory cannot be written ({reason}); {remedy}, then run the "
        f"same command again. Nothing was published halfway."
    )
