"""Leases: one run of a pipeline at a time.

A lease is a directory of numbered files. The holder holds the one with the highest number
(:mod:`.holding`). To take the lease, a process creates the next number once the one before is
released or no longer held: on every disk, with or without locks, only one process can create a
new file. The file with the highest number stays when it is released, so that no number is used
twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from nightjar.errors import LeaseTaken
from nightjar.store.holding import Held, held_among, hold, holder_of
from nightjar.store.writing import make_directory, only_writes

logger = logging.getLogger(__name__)

_FIRST_POLL_SECONDS = 0.01
_LAST_POLL_SECONDS = 1.0
_TELL_SECONDS = 600.0
"""Who is waited for is said at once, and again this often."""


class Lease:
    """A held lease; leave the ``with`` block to release it."""

    def __init__(self, path: Path, held: Held) -> None:
        self._path = path
        self._held = held

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._held.release()
        except OSError as error:
            # Not raised: it would hide what ended the run. The lease ends with the process.
            logger.warning("the lease %s could not be released: %s", self._path, error)


def acquire_lease(path: Path, owner: str) -> Lease:
    """Take the lease at ``path``, or raise LeaseTaken saying who holds it.

    ``owner`` is a readable name of the run. A lease whose holder was killed is free at once, or
    after a minute of watching where locks do not show it (:mod:`.holding`). Raises
    StoreNotWritable when the lease cannot be written.
    """
    with only_writes(path.parent):
        make_directory(path)
        while True:
            last = _last_number(path)
            if held_among([_file(path, last)]):
                raise LeaseTaken(
                    f"another run of this pipeline is under way: {_told(_file(path, last))}; "
                    f"this one skips"
                )
            try:
                held = hold(_file(path, last + 1), owner)
            except FileExistsError:
                continue  # another process was faster
            if _last_number(path) == last + 1:
                _remove_older(path, last + 1)
                return Lease(path, held)
            held.remove()  # another process took and released the lease, and removed this number


def is_held(path: Path) -> bool:
    """Whether a living process holds the lease at ``path``. For display; changes nothing.

    May watch for a minute where there are no locks. To be sure on a disk that keeps each
    machine's locks apart, take the lease. Raises OSError when the lease cannot be read.
    """
    while True:
        last = _last_number(path)
        if held_among([_file(path, last)], is_patient=False):
            return True
        if _last_number(path) == last:  # else another process has taken it meanwhile
            return False


@contextmanager
def waited_lease(path: Path, owner: str, waiting: str) -> Iterator[None]:
    """Wait until the lease at ``path`` is free, and hold it for the block.

    There is no limit: the holder is alive, and only it knows how long its work takes. Warns at once
    and from time to time of ``waiting`` and the holder, which a person can end. Raises
    StoreNotWritable.
    """
    seconds = _FIRST_POLL_SECONDS
    told_at: float | None = None
    while True:
        try:
            lease = acquire_lease(path, owner)
        except LeaseTaken:
            now = time.monotonic()
            if told_at is None or now - told_at >= _TELL_SECONDS:
                told_at = now
                holder = _told(_file(path, _last_number(path)))
                logger.warning("%s (%s; if it stands still, end it)", waiting, holder)
            time.sleep(seconds)
            seconds = min(2 * seconds, _LAST_POLL_SECONDS)
        else:
            break
    with lease:
        yield


def _file(path: Path, number: int) -> Path:
    return path / f"{number:09}"


def _numbers(path: Path) -> list[int]:
    try:
        return [int(file.name) for file in path.iterdir() if file.name.isdecimal()]
    except FileNotFoundError:
        return []


def _last_number(path: Path) -> int:
    """Return the highest number; 0 when nobody has held the lease yet."""
    return max(_numbers(path), default=0)


def _remove_older(path: Path, number: int) -> None:
    for older in _numbers(path):
        if older < number:
            _file(path, older).unlink(missing_ok=True)


def _told(path: Path) -> str:
    holder = holder_of(path)
    return holder.describe() if holder else f"{path} does not say whose"
