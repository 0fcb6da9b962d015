"""The interface of a kind of storage, and retries after temporary errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

from nightjar.errors import SourceUnavailable
from nightjar.wording import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectVersion:
    """The server's metadata that distinguishes versions of an object."""

    marks: Mapping[str, str]
    """The strongest validators that it gives, by name; empty if it gives none."""
    n_bytes: int | None
    """None if the server does not tell."""
    is_exact: bool = True
    """Whether equal marks mean equal bytes, so that a range can be fetched by itself."""

    def is_of(self, other: ObjectVersion) -> bool:
        """Whether both are certainly the same version."""
        return bool(self.marks) and (self.marks, self.n_bytes) == (other.marks, other.n_bytes)


@dataclass(frozen=True)
class RemoteObject:
    """An object that a URL names."""

    url: str
    place: PurePosixPath
    """Bucket or host, folders and name; its label is made from these."""
    version: ObjectVersion | None = None
    """Its version in the listing; None if listings have none."""


@dataclass(frozen=True)
class Rest:
    """The rest of a version, from the byte ``start`` on."""

    version: ObjectVersion
    start: int


@dataclass(frozen=True)
class Body:
    """The bytes of an object from ``start`` on: 0, or the requested position."""

    version: ObjectVersion
    start: int
    pieces: Iterator[bytes]


class Storage(Protocol):
    """A kind of storage.

    Several threads may call its methods. They raise SourceError for errors that retrying cannot
    fix, and :class:`Interrupted` for others. So does ``Body.pieces``.
    """

    def find(self, url: str) -> list[RemoteObject]:
        """The objects that ``url``, which may be a glob, matches; empty if there are none."""

    def open(
        self, found: RemoteObject, known: ObjectVersion | None, rest: Rest | None
    ) -> AbstractContextManager[Body | None]:
        """The object's bytes; None when it still has the version ``known``.

        With ``rest``, only the missing bytes, if the object still has that version.
        """

    def close(self) -> None:
        """Close connections."""


class Interrupted(Exception):
    """A temporary error: no connection, a busy server, an interrupted body."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds
        """How long the server asks to wait."""


class ObjectChanged(Interrupted):
    """The local part of an object has another version than the rest: start again."""


Result = TypeVar("Result")

DELAYS = (1.0, 3.0, 9.0, 27.0)
"""Seconds before each retry."""
MAX_WAIT_SECONDS = 60.0
"""Limit on how long a server may ask to wait."""
PROGRESS_BYTES = 1 << 20
"""A try that gets this much further than any before does not count."""


class Stopped(Exception):
    """Another thread failed, so this one stops."""


class Patience:
    """Decides whether something at ``place`` is tried again."""

    def __init__(self, place: str, stop: threading.Event) -> None:
        self._place = place
        self._stop = stop
        self._n_failed = 0
        self._most_bytes = 0

    def wait(self, trouble: Interrupted, n_bytes: int = 0) -> None:
        """Wait before the next try; ``n_bytes`` were received so far.

        Raises SourceUnavailable after too many tries, Stopped when another thread failed.
        """
        if n_bytes >= self._most_bytes + PROGRESS_BYTES:
            self._n_failed = 0
            self._most_bytes = n_bytes
        if self._n_failed == len(DELAYS):
            raise SourceUnavailable(
                f"{self._place}: {trouble}; tried {counted(self._n_failed + 1, 'time')}. Check the "
                f"network and the server, then run the same command again: what is here is kept"
            ) from None
        asked = min(trouble.wait_seconds, MAX_WAIT_SECONDS)
        delay = max(DELAYS[self._n_failed], asked)
        self._n_failed += 1
        logger.warning("%s: %s; trying again in %.0f s", self._place, trouble, delay)
        if self._stop.wait(delay):
            raise Stopped


def persist(place: str, call: Callable[[], Result]) -> Result:
    """The result of ``call``, retried after each Interrupted as :class:`Patience` allows."""
    patience = Patience(place, threading.Event())
    while True:
        try:
            return call()
        except Interrupted as trouble:
            patience.wait(trouble)
