"""One run of a pipeline at a time: a lease with an owner and an expiry.

The lease is a JSON file, changed only under an exclusive ``flock`` on a file beside it. Its
holder renews it from a thread; when the holder dies, the lease is free at once for a run on
the same host (the process is gone) and after ``EXPIRY_SECONDS`` for one on another host.
On the same host a living holder keeps it however late its renewal is (the machine slept).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter, ValidationError

from nightjar.errors import LeaseTaken
from nightjar.store.processes import host_name, is_alive, start_mark
from nightjar.store.writing import only_writes

logger = logging.getLogger(__name__)

EXPIRY_SECONDS = 300.0
RENEW_SECONDS = 30.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lease."""

    token: str
    owner: str
    host: str
    pid: int
    acquired_at: str
    expires_at: float
    """Seconds since the epoch."""
    start_mark: str = ""
    """Tells the process from a later one with the same id; "" where unknown."""

    def describe(self) -> str:
        """One line for people."""
        return f"{self.owner} (process {self.pid} on {self.host}, since {self.acquired_at})"


class Lease:
    """A held lease; leave the ``with`` block to release it."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self._path = path
        self._holder = holder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            with _locked(self._path):
                current = _read(self._path)
                if current is not None and current.token == self._holder.token:
                    self._path.unlink()
        except OSError as error:
            # Not raised: it would hide what ended the run. The lease ends with the process.
            logger.warning("the lease %s could not be released: %s", self._path, error)

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            renewed = replace(self._holder, expires_at=time.time() + EXPIRY_SECONDS)
            try:
                with _locked(self._path):
                    current = _read(self._path)
                    if current is None or current.token != self._holder.token:
                        logger.warning("the lease %s was taken over", self._path)
                        return
                    _write(self._path, renewed)
            except OSError as error:
                logger.warning("the lease %s could not be renewed: %s", self._path, error)


def acquire_lease(path: Path, owner: str) -> Lease:
    """Take the lease at ``path``, or raise LeaseTaken saying who holds it.

    ``owner`` is a readable name of the run. Raises StoreNotWritable when the lease file
    cannot be written.
    """
    now = time.time()
    holder = Holder(
        token=secrets.token_hex(8),
        owner=owner,
        host=host_name(),
        pid=os.getpid(),
        start_mark=start_mark(os.getpid()),
        acquired_at=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        expires_at=now + EXPIRY_SECONDS,
    )
    with only_writes(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            current = _read(path)
            if current is not None and _is_held(current, now):
                raise LeaseTaken(
                    f"another run of this pipeline is under way: {current.describe()}; "
                    f"this one skips{_advice(current, path)}"
                )
            _write(path, holder)
    return Lease(path, holder)


def _is_held(holder: Holder, now: float) -> bool:
    if holder.host == host_name() and not is_alive(holder.pid, holder.start_mark):
        return False
    if holder.host == host_name() and holder.start_mark:
        return True
    return holder.expires_at > now


def _advice(holder: Holder, path: Path) -> str:
    if holder.host == host_name():
        return ""
    minutes = round(EXPIRY_SECONDS / 60)
    return (
        f". If that run is gone, the lease is free {minutes} minutes after it went; "
        f"or delete {path}"
    )


def _read(path: Path) -> Holder | None:
    try:
        return _holder().validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return None
    except ValidationError:
        logger.warning("%s is not a lease; it is replaced", path)
        return None


@cache
def _holder() -> TypeAdapter[Holder]:
    return TypeAdapter(Holder)


def _write(path: Path, holder: Holder) -> None:
    temporary = path.with_name(f".{path.name}.{holder.token}")
    try:
        temporary.write_text(json.dumps(asdict(holder)), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_held(path: Path) -> bool:
    """Whether a live process holds the lease."""
    holder = _read(path)
    return holder is not None and _is_held(holder, time.time())


@contextmanager
def waited_lease(path: Path, owner: str, waiting: str) -> Iterator[None]:
    """Hold the lease at ``path`` in the block, as soon as it is free."""
    while True:
        try:
            lease = acquire_lease(path, owner)
            break
        except LeaseTaken:
            logger.warning("%s", waiting)
            time.sleep(0.05)
    with lease:
        yield
