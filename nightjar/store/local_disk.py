"""The storage that the store needs, on a local or mounted disk.

The store relies on the contracts of these functions and on nothing else: an object's name appears
once the object is complete and on the disk, only one of several writers gets a new name, a replaced
object is either the old one or the new one. No modification time decides anything but whether a
file is read again (:func:`change_marks`). How this is done (a temporary file, a hard link, a
rename) is private to this module; object storage would do it differently.

Names that begin with a dot are not objects: they are unfinished or hold files in use.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from nightjar.store.lease import waited_lease
from nightjar.store.writing import make_directory, only_writes, sync

_UNFINISHED = ".unfinished-"
_REPLACEMENT = ".replacement-"
"""Prefix of a complete directory that is about to replace the one whose name follows."""
_N_TRIES = 5
_NO_HARD_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV))
"""The errors of a file system without hard links, or with too many on one file."""
_IN_THE_WAY = frozenset((errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR))


def put_new(path: Path, data: bytes) -> bool:
    """Write ``path`` unless it exists; return False, with nothing changed, when it does.

    A reader sees all of it or nothing, even after a crash. Only one of several concurrent writers
    gets True. Creates missing parent directories. Raises StoreNotWritable when writing fails.
    """
    with only_writes(path.parent):
        if os.path.lexists(path):
            return False
        is_new = _finish(path, data, _link_unless_there)
        sync(path.parent)
        return is_new


def replace(path: Path, data: bytes) -> None:
    """Write ``path``, whether it exists or not.

    A reader sees the old content or the new, even after a crash. Creates missing parent
    directories. Raises StoreNotWritable when writing fails.
    """
    with only_writes(path.parent):
        _finish(path, data, _rename)
        sync(path.parent)


def put_directory(staged: Path, path: Path) -> bool:
    """Rename the complete directory ``staged`` to ``path``; return False when that exists.

    A reader sees all of it or nothing. An empty directory at ``path`` is replaced. Raises OSError.
    """
    try:
        staged.rename(path)
    except OSError as error:
        if error.errno not in _IN_THE_WAY:
            raise
        return False
    sync(path.parent)
    return True


def replace_directory(staged: Path, path: Path) -> None:
    """Replace the existing directory ``path`` with the complete directory ``staged``.

    A reader finds the old one or the new one, except in the moment between two renames. If the
    process is killed there, :func:`complete_replacements` finishes the work. Raises OSError.
    """
    with _replacing(path.parent):
        replacement = path.with_name(f"{_REPLACEMENT}{path.name}")
        staged.rename(replacement)
        _take_place(replacement, path)


def complete_replacements(root: Path) -> list[Path]:
    """Finish interrupted replacements of directories one below ``root``; return their paths."""
    completed = []
    for replacement in sorted(root.glob(f"[!.]*/{_REPLACEMENT}*")):
        path = replacement.with_name(replacement.name.removeprefix(_REPLACEMENT))
        with _replacing(path.parent):
            if replacement.is_dir():
                _take_place(replacement, path)
                completed.append(path)
    return completed


@contextmanager
def _replacing(directory: Path) -> Iterator[None]:
    waiting = "another run is replacing a directory: waiting for it"
    with waited_lease(directory / ".replacing.lease", "replacing", waiting):
        yield


def _take_place(replacement: Path, path: Path) -> None:
    doomed = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
    with suppress(FileNotFoundError):
        path.rename(doomed)
    replacement.rename(path)
    sync(path.parent)
    _remove(doomed)


def link(source: Path, path: Path) -> None:
    """Give the bytes of ``source``, which never change, the additional name ``path``.

    They are stored once if the file system has hard links, else copied. An existing ``path`` is
    replaced. Raises OSError.
    """
    unfinished = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
    try:
        unfinished.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        shutil.copyfile(source, unfinished)
        sync(unfinished)
    unfinished.rename(path)
    unfinished.unlink(missing_ok=True)  # renaming one link of a file to another does nothing


class ChangeMarks(NamedTuple):
    """What the disk says about a file that differs once it is written again.

    Object storage has an ETag. The times are in nanoseconds, in ticks of the disk's own length.
    """

    size: int
    modified: int
    changed: int
    inode: int


def change_marks(path: Path) -> ChangeMarks:
    """Return the marks of a file. Raises OSError."""
    found = path.stat()
    return ChangeMarks(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def names(directory: Path) -> list[str]:
    """Return the sorted names of the objects in ``directory``; none when it does not exist."""
    try:
        return sorted(path.name for path in directory.iterdir() if path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []


def delete(path: Path, trash: Path | None = None) -> bool:
    """Delete an object or a directory; return whether it existed and is gone.

    It disappears for readers at once. Anything that the system cannot delete, or that a kill leaves
    behind, has lost its name and is in ``trash`` (a directory on the same disk) if that is given;
    :func:`remove_unfinished` tries again there.
    """
    places = [place for place in (trash, path.parent) if place is not None]
    for place in places:
        doomed = place / f"{_UNFINISHED}{secrets.token_hex(8)}"
        with suppress(OSError):
            path.rename(doomed)
            _remove(doomed)
            return True
    return False


def remove_unfinished(root: Path) -> list[Path]:
    """Remove unfinished objects up to two directories below ``root``; return their paths.

    This includes those of a living writer, which notices and writes its own again.
    """
    found = sorted(
        path
        for depth in ("", "[!.]*/", "[!.]*/[!.]*/")
        for path in root.glob(f"{depth}{_UNFINISHED}*")
    )
    return [path for path in found if _remove(path)]


def _finish(path: Path, data: bytes, give_name: Callable[[Path, Path], bool]) -> bool:
    """Sync ``data`` to the disk under another name, then call ``give_name`` with both names."""
    make_directory(path.parent)
    n_tries = 0
    while True:
        with _written_beside(path, data) as unfinished:
            try:
                return give_name(unfinished, path)
            except FileNotFoundError:  # removed by a concurrent cleanup
                n_tries += 1
                if n_tries == _N_TRIES:
                    raise


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """Write a synced file with ``data`` beside ``path``; remove it after the block."""
    unfinished = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield unfinished
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def _rename(unfinished: Path, path: Path) -> bool:
    unfinished.replace(path)
    return True


def _link_unless_there(unfinished: Path, path: Path) -> bool:
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        # A server may have made the link although its answer was lost; a retry finds it here.
        return unfinished.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return _rename_unless_there(unfinished, path)
    return True


def _rename_unless_there(unfinished: Path, path: Path) -> bool:
    """Stand in for a hard link: writers take turns, since all of them come through here."""
    with waited_lease(path.with_name(".put-new.lease"), f"writing {path.name}", "waiting to write"):
        if os.path.lexists(path):
            return False
        return _rename(unfinished, path)


def _remove(path: Path) -> bool:
    """Remove a file or a directory; return whether it existed and is gone."""
    if not os.path.lexists(path):
        return False
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    return not os.path.lexists(path)
