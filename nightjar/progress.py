"""Progress reports of a stage, independent of the listener.

A stage receives a :class:`Progress` and calls it; the command line draws a bar, a Prefect task
updates a progress artifact, and :data:`SILENT` ignores it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

FETCH = "fetch"
"""The label for fetching remote sources, which happens during planning."""


class Progress(Protocol):
    """A listener for the progress of one stage."""

    def start(self, label: str, total: float | None, unit: str) -> None:
        """Start a phase of ``total`` units (None: unknown)."""

    def advance(self, amount: float, note: str = "") -> None:
        """Count ``amount`` more units as done; ``note`` is a short live remark (loss, words/s)."""


class _Silent:
    def start(self, label: str, total: float | None, unit: str) -> None:
        del label, total, unit

    def advance(self, amount: float, note: str = "") -> None:
        del amount, note


SILENT: Progress = _Silent()


class OnDemand:
    """A listener that opens another one at the first report."""

    def __init__(self, open_: Callable[[], Progress]) -> None:
        self._open = open_
        self._opened: Progress | None = None

    @property
    def is_open(self) -> bool:
        """Whether there was a report."""
        return self._opened is not None

    def start(self, label: str, total: float | None, unit: str) -> None:
        """Start a phase."""
        if self._opened is None:
            self._opened = self._open()
        self._opened.start(label, total, unit)

    def advance(self, amount: float, note: str = "") -> None:
        """Count."""
        if self._opened is not None:
            self._opened.advance(amount, note)


@contextmanager
def on_demand(open_: Callable[[], Progress], close: Callable[[str], None]) -> Iterator[Progress]:
    """Yield a listener that opens when needed and then passes its outcome to ``close``."""
    shown = OnDemand(open_)
    started = time.monotonic()
    outcome = "failed"
    try:
        yield shown
        outcome = f"{time.monotonic() - started:.1f} s"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        if shown.is_open:
            close(outcome)
