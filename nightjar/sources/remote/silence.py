"""Servers that stand still: a connection is open and nothing, or almost nothing, comes through it.

A limit on each single read is not enough. A server may send a byte a minute for ever, and the
drivers of databases wait for an answer without any limit.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nightjar.errors import SourceUnavailable
from nightjar.sources.remote.object_storage import Interrupted
from nightjar.wording import counted

logger = logging.getLogger(__name__)

SLOW_SECONDS = 300.0
SLOW_BYTES = 1 << 16
"""Who sends less than this in ``SLOW_SECONDS`` counts as silent."""
SILENT_SECONDS = 3600.0
"""How long a database may work on a query before the first row, or the next ones, come."""
TELL_SECONDS = 300.0
_LOOK_SECONDS = 1.0
_END_SECONDS = 10.0


class Pace:
    """Counts the bytes of one answer as they come."""

    def __init__(self) -> None:
        self._n_bytes = 0
        self._since = time.monotonic()

    def count(self, n_bytes: int) -> None:
        """Count ``n_bytes`` more. Raises Interrupted when too few came for a long time."""
        self._n_bytes += n_bytes
        seconds = time.monotonic() - self._since
        if seconds < SLOW_SECONDS:
            return
        if self._n_bytes < SLOW_BYTES:
            raise Interrupted(f"only {counted(self._n_bytes, 'byte')} came in {seconds:.0f} s")
        self._n_bytes, self._since = 0, time.monotonic()


class Silence:
    """Cuts a database's connection that brings no answer within ``SILENT_SECONDS``.

    Warns every ``TELL_SECONDS`` before that. A connection of a driver that does not show its socket
    is not cut.
    """

    def __init__(self) -> None:
        self._connection: Any = None
        self._asked_at: float | None = None
        self._told_at = 0.0
        self._is_cut = False
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="silent database", daemon=True)

    def watch(self, connection: Any) -> None:
        """Watch a driver's connection from now on."""
        self._connection = connection
        if not self._thread.is_alive():
            self._thread.start()

    def close(self) -> None:
        """End watching."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Wait for the server in the block. Raises SourceUnavailable when it was silent."""
        self._asked_at = self._told_at = time.monotonic()
        try:
            yield
        except Exception:  # every driver has errors of its own
            if not self._is_cut:
                raise
            raise SourceUnavailable(
                f"the database has sent nothing for {SILENT_SECONDS:.0f} s, so the connection was "
                f"cut; see what the server does (a slow query? is it stopped?), then run the same "
                f"command again"
            ) from None
        finally:
            self._asked_at = None

    def _watch(self) -> None:
        while not self._is_over.wait(min(_LOOK_SECONDS, SILENT_SECONDS / 4)):
            asked_at, now = self._asked_at, time.monotonic()
            if asked_at is None:
                continue
            if now - self._told_at >= TELL_SECONDS:
                self._told_at = now
                logger.warning(
                    "the database has sent nothing for %.0f s (a slow query?); after %.0f s the "
                    "connection is cut",
                    *(now - asked_at, SILENT_SECONDS),
                )
            if now - asked_at >= SILENT_SECONDS:
                self._cut()

    def _cut(self) -> None:
        """Shut the socket, which ends the driver's wait for it."""
        number = getattr(self._connection, "fileno", None)
        with suppress(Exception):  # closed meanwhile
            if number is not None:
                self._is_cut = True
                _shut(number())


class Stall:
    """Cuts a connection when no piece of the answer comes within ``SLOW_SECONDS``.

    A server may send bytes that belong to no piece, such as the endless head of a chunk, so that
    no limit on a single read is reached.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._asked_at: float | None = None
        self._is_cut = False
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slow answer", daemon=True)

    def each(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces as they come. Raises Interrupted when the next one does not come."""
        self._thread.start()
        try:
            while (piece := self._next(pieces)) is not None:
                yield piece
        finally:
            self._is_over.set()
            self._thread.join(_END_SECONDS)

    def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        self._asked_at = time.monotonic()
        try:
            piece = next(pieces, None)
        except Exception:  # a connection that is cut ends in many ways
            if not self._is_cut:
                raise
            piece = None
        finally:
            self._asked_at = None
        if self._is_cut:
            raise Interrupted(f"nothing of the answer came in {SLOW_SECONDS:.0f} s") from None
        return piece

    def _watch(self) -> None:
        while not self._is_over.wait(min(_LOOK_SECONDS, SLOW_SECONDS / 4)):
            asked_at = self._asked_at
            if asked_at is not None and time.monotonic() - asked_at >= SLOW_SECONDS:
                with suppress(OSError):  # closed meanwhile
                    self._is_cut = True
                    _shut(self._connection.fileno())


def _shut(number: int) -> None:
    """Shut the socket with this descriptor for all who wait for it."""
    with socket.socket(fileno=os.dup(number)) as shut:
        shut.shutdown(socket.SHUT_RDWR)
