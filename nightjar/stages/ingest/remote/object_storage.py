"""What a kind of storage has to do, and trying again after trouble that may pass."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

from nightjar.errors import SourceUnavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectVersion:
    """What a server says of an object that tells its versions apart."""

    marks: Mapping[str, str]
    """The strongest that it gives, by name; empty when it gives none."""
    n_bytes: int | None
    """None when it does not say."""
    is_exact: bool = True
    """Whether the same marks mean the same bytes: then a part of them can be fetched alone."""

    def is_of(self, other: ObjectVersion) -> bool:
        """Whether both are surely the same version."""
        return bool(self.marks) and (self.marks, self.n_bytes) == (other.marks, other.n_bytes)


@dataclass(frozen=True)
class RemoteObject:
    """An object that a URL stands for."""

    url: str
    place: PurePosixPath
    """Bucket or host, folders and name: what its label is made of."""
    version: ObjectVersion | None = None
    """As it was listed; None where listing tells nothing."""


@dataclass(frozen=True)
class Rest:
    """What is still to come of a version, from the byte ``start`` on."""

    version: ObjectVersion
    start: int


@dataclass(frozen=True)
class Body:
    """The bytes of an object, from ``start`` on: 0, or what was asked for."""

    version: ObjectVersion
    start: int
    pieces: Iterator[bytes]


class Storage(Protocol):
    """A kind of storage.

    Its methods may be called from several threads. They raise SourceError for what another
    try does not mend and :class:`Interrupted` for the rest. So does ``Body.pieces``.
    """

    def find(self, url: str) -> list[RemoteObject]:
        """The objects that ``url``, which may be a glob, stands for; empty when there is none."""

    def open(
        self, found: RemoteObject, known: ObjectVersion | None, rest: Rest | None
    ) -> AbstractContextManager[Body | None]:
        """The object's bytes; None when it still is of the version ``known``.

        With ``rest`` only what is missing, if the object still is of that version.
        """

    def close(self) -> None:
        """Close what is open."""


class Interrupted(Exception):
    """Trouble that may pass: no connection, a server that is busy, a body that breaks off."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds
        """The server asks to wait so long."""


class ObjectChanged(Interrupted):
    """What is here of an object is of another version than the rest: it is fetched anew."""


Result = TypeVar("Result")

DELAYS = (1.0, 3.0, 9.0, 27.0)
"""Seconds before each new try."""
MAX_WAIT_SECONDS = 60.0
"""However long a server asks to wait."""
PROGRESS_BYTES = 1 << 20
"""A try that brought so much more than any before counts as none."""


class Stopped(Exception):
    """Another thread met trouble: what is under way ends."""


class Patience:
    """How often something at ``place`` is still tried again."""

    def __init__(self, place: str, stop: threading.Event) -> None:
        self._place = place
        self._stop = stop
        self._n_failed = 0
        self._most_bytes = 0

    def wait(self, trouble: Interrupted, n_bytes: int = 0) -> None:
        """Wait before the next try; ``n_bytes`` are here.

        Raises SourceUnavailable when it is enough, Stopped when another thread failed.
        """
        if n_bytes >= self._most_bytes + PROGRESS_BYTES:
            self._n_failed = 0
            self._most_bytes = n_bytes
        if self._n_failed == len(DELAYS):
            raise SourceUnavailable(
                f"{self._place}: {trouble}; tried {self._n_failed + 1} times. Check the network "
                f"and the server, then run the same command again: what is here is kept"
            ) from None
        asked = min(trouble.wait_seconds, MAX_WAIT_SECONDS)
        delay = max(DELAYS[self._n_failed], asked)
        self._n_failed += 1
        logger.warning("%s: %s; trying again in %.0f s", self._place, trouble, delay)
        if self._stop.wait(delay):
            raise Stopped


def persist(place: str, call: Callable[[], Result]) -> Result:
    """What ``call`` returns, tried again after each Interrupted as :class:`Patience` allows."""
    patience = Patience(place, threading.Event())
    while True:
        try:
            return call()
        except Interrupted as trouble:
            patience.wait(trouble)
