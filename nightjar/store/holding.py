"""Held files: a process shows that it is alive by holding a file.

The holder creates the file, which must be new, and keeps a lock (``flock``) on it. The system drops
the lock when the process ends, however it ends. Process ids and host names are not used, because
containers share them, and the clocks of two machines are never compared.

On a disk of this machine, or through the same mount of the same running system, a free lock proves
that the holder is gone. Elsewhere it may not: some network disks have no locks, others keep each
machine's locks apart. So the holder also increments a counter in the file every ``BEAT_SECONDS``.
Where the lock does not decide, an observer watches the content for changes, by its own clock and
for ``BOUND_SECONDS`` at most.

Nobody inherits a held file: it is closed on exec and in forked children.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nightjar.wording import counted

logger = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
BOUND_SECONDS = 60.0
"""A holder whose counter has not changed for this long is gone: six beats."""
_POLL_SECONDS = 0.2
_LOCK_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.001
_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS))
"""The errors of a file system without locks."""
_COUNTER = b"%012d\n"
_RELEASED = b"released    \n"  # as long as the counter that it overwrites
_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Holder:
    """Who holds a file. All fields but ``place`` are for messages."""

    owner: str
    host: str
    pid: int
    since: str
    place: str
    """Where the holder accesses the file from, see :func:`_place`."""

    def describe(self) -> str:
        """One line for people."""
        return f"{self.owner} (process {self.pid} on {self.host}, since {self.since})"


class Held:
    """A file that this process holds; made by :func:`hold`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        self._n_beats = 0

    def remove(self) -> None:
        """Remove the file and release it. Raises OSError; does nothing in a forked child."""
        self._let_go(lambda _: self._path.unlink(missing_ok=True))

    def release(self) -> None:
        """Release the file, which stays, marked. Raises OSError; does nothing in a forked child."""
        self._let_go(lambda descriptor: os.pwrite(descriptor, _RELEASED, 0))

    def beat(self) -> None:
        """Increment the counter; call with the guard held.

        Raises OSError, also when the name now belongs to another file.
        """
        if self._descriptor is None:
            return
        self._n_beats += 1
        os.pwrite(self._descriptor, _COUNTER % self._n_beats, 0)
        os.fsync(self._descriptor)
        if not os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
            raise FileNotFoundError(errno.ENOENT, "another file took its place", str(self._path))

    def forget(self) -> None:
        """Close a forked child's descriptor; the parent keeps the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _let_go(self, say: Callable[[int], object]) -> None:
        with _process.guard:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None:
                return
            _process.held.discard(self)
            try:
                say(descriptor)
            finally:
                with suppress(OSError):  # closing is not enough while a child is about to exec
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)


class _Process:
    """The files that this process holds, and the thread that increments their counters."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        """Held while a descriptor is opened, used or closed, so that no fork comes in between."""
        self.held: set[Held] = set()
        self._thread: threading.Thread | None = None
        os.register_at_fork(
            before=self.guard.acquire,
            after_in_parent=self.guard.release,
            after_in_child=self._forget,
        )

    def add(self, held: Held) -> None:
        """Increment the counter of ``held`` from now on; call with the guard held."""
        self.held.add(held)
        if self._thread is None:
            self._thread = threading.Thread(target=self._count, name="held files", daemon=True)
            self._thread.start()

    def _count(self) -> None:
        warned: set[Held] = set()
        # waits: in a daemon thread, for as long as this process holds a file
        while True:
            time.sleep(BEAT_SECONDS)
            failures = []
            with self.guard:
                if not self.held:
                    self._thread = None
                    return
                for held in self.held:
                    try:
                        held.beat()
                    except OSError as error:
                        failures.append((held, error))
            for held, failure in failures:
                if held not in warned:
                    logger.warning("other processes may believe that this one is gone: %s", failure)
                    warned.add(held)

    def _forget(self) -> None:
        for held in self.held:
            held.forget()
        self.held.clear()
        self._thread = None
        self.guard.release()


_process = _Process()


def hold(path: Path, owner: str) -> Held:
    """Create ``path`` and hold it until it is released or this process ends.

    ``owner`` names the holder in messages. Raises FileExistsError when the file exists, held or
    not, and OSError.
    """
    with _process.guard:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
        try:
            _lock(descriptor)
            # Written after locking, so a free lock on a file that names a holder was given up.
            os.pwrite(descriptor, _COUNTER % 0 + _described(owner, descriptor), 0)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)
            raise
        held = Held(path, descriptor)
        _process.add(held)
        return held


def held_among(paths: Iterable[Path], *, is_patient: bool = True) -> set[Path]:
    """Return those of ``paths`` that a living process holds.

    Watches all undecided files at once, for ``BOUND_SECONDS`` at most. Unless ``is_patient``, a
    free lock is trusted wherever it was taken. Raises OSError when a file cannot be opened.
    """
    seen = {path: _look(path) for path in paths}
    verdicts = {path: _verdict(sight, is_patient) for path, sight in seen.items()}
    held = {path for path, verdict in verdicts.items() if verdict}
    doubtful = [path for path, verdict in verdicts.items() if verdict is None]
    if doubtful:
        logger.warning(
            "locks do not show whether the holders of %s still run: watching them for "
            "%d s at most (%s)",
            *(counted(len(doubtful), "file"), BOUND_SECONDS, doubtful[0]),
        )
    until = time.monotonic() + BOUND_SECONDS
    while doubtful and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
        for path in list(doubtful):
            sight = _look(path)
            verdict = True if _has_changed(seen[path], sight) else _verdict(sight, is_patient)
            if verdict is not None:
                doubtful.remove(path)
            if verdict:
                held.add(path)
    return held


def holder_of(path: Path) -> Holder | None:
    """Return who holds the file or held it last; None when that cannot be read."""
    with suppress(OSError):
        return _read_holder(path.read_bytes())
    return None


@dataclass(frozen=True)
class _Sight:
    """A file at one moment."""

    content: bytes
    is_locked: bool | None
    """None: the file system has no locks."""
    place: str


def _look(path: Path) -> _Sight | None:
    """Observe a file now; None when it does not exist."""
    with _process.guard:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # In this order: the content says whether it was locked, the lock whether it still is.
            content = _read(descriptor)
            return _Sight(content, _is_locked(descriptor), _place(descriptor))
        finally:
            os.close(descriptor)


def _verdict(sight: _Sight | None, is_patient: bool) -> bool | None:
    """Whether the file is held; None when only watching it can tell."""
    if sight is None or sight.content.startswith(_RELEASED):
        return False
    if sight.is_locked:
        return True
    if sight.is_locked is None:
        return None
    holder = _read_holder(sight.content)
    is_proof = holder is not None and bool(sight.place) and holder.place == sight.place
    return False if is_proof or not is_patient else None


def _has_changed(before: _Sight | None, now: _Sight | None) -> bool:
    return (
        before is not None
        and now is not None
        and now.content != before.content
        and not now.content.startswith(_RELEASED)
    )


def _lock(descriptor: int) -> None:
    """Lock a new file. Only observers ever block this, for a moment, unless one was stopped.

    Raises TimeoutError.
    """
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # the latter from SMB
            if time.monotonic() > until:
                raise TimeoutError(
                    errno.ETIMEDOUT,
                    f"another process has looked at this new file for {_LOCK_SECONDS:.0f} s; is it "
                    f"stopped?",
                ) from error
            time.sleep(_LOCK_POLL_SECONDS)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return
        else:
            return


def _is_locked(descriptor: int) -> bool | None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter from SMB
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _read(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, _MAX_BYTES, 0)
    except PermissionError:  # SMB forbids reading a locked file
        return b""


def _described(owner: str, descriptor: int) -> bytes:
    holder = Holder(
        owner=owner,
        host=socket.gethostname(),
        pid=os.getpid(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        place=_place(descriptor),
    )
    return json.dumps(asdict(holder)).encode() + b"\n"


def _read_holder(content: bytes) -> Holder | None:
    _counter, _, described = content.partition(b"\n")
    if not described.endswith(b"\n"):
        return None
    try:
        return _holders().validate_json(described, strict=True)
    except ValidationError:
        return None


@cache
def _holders() -> TypeAdapter[Holder]:
    return TypeAdapter(Holder)


def _place(descriptor: int) -> str:
    """Processes with the same place see each other's locks; "" where that is unknown.

    A block device belongs to one machine, or to a file system that locks for all of them, and
    stays the same after a restart. Otherwise: the running system and the mount.
    """
    device = os.fstat(descriptor).st_dev
    if sys.platform == "linux" and os.major(device) != 0:
        return "block device"
    system = _running_system()
    return f"{system}/{device}" if system else ""


@cache
def _running_system() -> str:
    """An id that all containers of a machine share, new after every boot."""
    if sys.platform != "linux":
        return socket.gethostname()
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""
