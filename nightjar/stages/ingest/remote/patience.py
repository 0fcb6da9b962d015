"""Trying again, a bounded number of times, after trouble that may pass."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from nightjar.errors import SourceUnavailable
from nightjar.stages.ingest.remote.object_storage import Interrupted

logger = logging.getLogger(__name__)

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
