"""One run of a pipeline at a time: a lease with an owner and an expiry.

The lease is a JSON file, changed only under an exclusive ``flock`` on a file beside it. Its
holder renews it from a thread; when the holder dies, the lease is free at once for a run on
the same host (the process is gone) and after ``EXPIRY_SECONDS`` for one on another host.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from nightjar.errors import LeaseTaken
from nightjar.store.publishing import named_write_errors, is_alive

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
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        with _locked(self._path):
            current = _read(self._path)
            if current is not None and current.token == self._holder.token:
                self._path.unlink()

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
        host=socket.gethostname(),
        pid=os.getpid(),
        acquired_at=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        expires_at=now + EXPIRY_SECONDS,
    )
    with named_write_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            current = _read(path)
            if current is not None and _is_held(current, now):
                raise LeaseTaken(
                    f"another run of this pipeline is under way: {current.describe()}; "
                    f"this one skips"
                )
            _write(path, holder)
    return Lease(path, holder)


def _is_held(holder: Holder, now: float) -> bool:
    if holder.host == socket.gethostname() and not is_alive(holder.pid):
        return False
    return holder.expires_at > now


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        logger.warning("%s is not a lease; it is replaced", path)
        return None


def _write(path: Path, holder: Holder) -> None:
    temporary = path.with_name(f".{path.name}.{holder.token}")
    temporary.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    temporary.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
