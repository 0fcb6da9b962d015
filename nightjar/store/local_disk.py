"""What the store needs of a place to keep things, on a local or mounted disk.

The store's contract is what these functions say and no more: an object has its name from
the moment it is whole and on the disk, of several writers at once one gets a new name, a
replaced object is the old one or the new one. Nothing asks when a file was modified. How it
is done here (a file written beside, a hard link, a rename) is this module's own affair;
object storage does it otherwise.

Names that begin with a dot are no objects: unfinished ones, and what is in use.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nightjar.store.lease import waited_lease
from nightjar.store.writing import make_directory, only_writes, sync

_UNFINISHED = ".unfinished-"
_REPLACEMENT = ".replacement-"
"""Before the name of what is whole and about to take it."""
_N_TRIES = 5
_NO_HARD_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV))
"""What a file system without hard links, or with no more of them for a file, answers."""
_IN_THE_WAY = frozenset((errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR))


def put_new(path: Path, data: bytes) -> bool:
    """Write ``path`` unless it exists; False when it does, and then nothing was changed.

    A reader sees all of it or nothing, also after a crash. Of several writers at once one
    gets True. Directories above are made. Raises StoreNotWritable when the disk refuses.
    """
    with only_writes(path.parent):
        if os.path.lexists(path):
            return False
        is_new = _finish(path, data, _link_unless_there)
        sync(path.parent)
        return is_new


def replace(path: Path, data: bytes) -> None:
    """Write ``path``, whether it exists or not.

    A reader sees the old content or the new, also after a crash. Directories above are
    made. Raises StoreNotWritable when the disk refuses.
    """
    with only_writes(path.parent):
        _finish(path, data, _rename)
        sync(path.parent)


def put_directory(staged: Path, path: Path) -> bool:
    """Make the whole directory ``staged`` the new ``path``; False when something is there.

    All of it or nothing is there for a reader. An empty directory is not in the way. Raises
    OSError.
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
    """Make the whole directory ``staged`` what ``path`` is, which is there already.

    A reader finds the old one or the new one, but for the moment between two renames. Killed
    there, it is finished by :func:`complete_replacements`. Raises OSError.
    """
    with _replacing(path.parent):
        replacement = path.with_name(f"{_REPLACEMENT}{path.name}")
        staged.rename(replacement)
        _take_place(replacement, path)


def complete_replacements(root: Path) -> list[Path]:
    """Finish what was killed while it replaced directories one below ``root``; which ones."""
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
    waiting = "another run replaces something: waiting for it"
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
    """Give the bytes of ``source``, which never change, the name ``path`` as well.

    They are stored once where the file system has hard links, else copied. What ``path`` was
    before is replaced. Raises OSError.
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


def names(directory: Path) -> list[str]:
    """The names of the objects in ``directory``, in order; none where it is not there."""
    try:
        return sorted(path.name for path in directory.iterdir() if path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []


def delete(path: Path, trash: Path | None = None) -> bool:
    """Delete an object or a directory, for readers at once; whether it was there and is gone.

    What the system refuses to delete, or a kill leaves, is not there under its name any more;
    :func:`remove_unfinished` tries again, of ``trash`` where that is given, a directory of the
    same disk.
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
    """Remove unfinished objects up to two directories below ``root``; what was removed.

    Those of a living writer, too: it notices and writes its own again.
    """
    found = sorted(
        path
        for depth in ("", "[!.]*/", "[!.]*/[!.]*/")
        for path in root.glob(f"{depth}{_UNFINISHED}*")
    )
    return [path for path in found if _remove(path)]


def _finish(path: Path, data: bytes, give_name: Callable[[Path, Path], bool]) -> bool:
    """Have ``data`` on the disk under another name, then call ``give_name`` with both names."""
    make_directory(path.parent)
    n_tries = 0
    while True:
        with _written_beside(path, data) as unfinished:
            try:
                return give_name(unfinished, path)
            except FileNotFoundError:  # removed: somebody tidies up
                n_tries += 1
                if n_tries == _N_TRIES:
                    raise


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """A synced file with ``data`` in the directory of ``path``, gone after the block."""
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
        # A server may have done it and its answer was lost: then the second try finds ours.
        return unfinished.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return _rename_unless_there(unfinished, path)
    return True


def _rename_unless_there(unfinished: Path, path: Path) -> bool:
    """As a hard link would, among writers that all come here: one at a time."""
    with waited_lease(path.with_name(".put-new.lease"), f"writing {path.name}", "waiting to write"):
        if os.path.lexists(path):
            return False
        return _rename(unfinished, path)


def _remove(path: Path) -> bool:
    """Remove a file or a directory; whether it was there and is gone."""
    if not os.path.lexists(path):
        return False
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    return not os.path.lexists(path)
