"""Progress of a running task: a Prefect progress artifact, and the terminal if there is one."""

from __future__ import annotations

import re
import time
from typing import Protocol, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from nightjar.progress import SILENT, Progress

_UPDATE_SECONDS = 2.0


class Display(Protocol):
    """Shows the progress of steps to a person."""

    def open(self, label: str) -> Progress:
        """Open a listener for the step ``label``."""

    def close(self, label: str, outcome: str) -> None:
        """Show that the step ``label`` ended with ``outcome`` ("4.2 s", "failed")."""


class _NoDisplay:
    def open(self, label: str) -> Progress:
        del label
        return SILENT

    def close(self, label: str, outcome: str) -> None:
        del label, outcome


class _Shown:
    """The display of this process: none in a worker; the command line sets its own."""

    display: Display = _NoDisplay()


def show_on(display: Display) -> None:
    """Show the progress of all tasks in this process on ``display``."""
    _Shown.display = display


def current_display() -> Display:
    """The display that :func:`show_on` set."""
    return _Shown.display


class TaskProgress:
    """A listener that always updates the display, and Prefect at most every two seconds."""

    def __init__(self, label: str) -> None:
        self._key = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
        self._display = current_display().open(label)
        self._artifact: UUID | None = None
        self._label = label
        self._total: float | None = None
        self._done = 0.0
        self._told_at = 0.0

    def start(self, label: str, total: float | None, unit: str) -> None:
        """Begin a phase, which restarts the bar."""
        self._display.start(label, total, unit)
        self._label, self._total, self._done = label, total, 0.0

    def advance(self, amount: float, note: str = "") -> None:
        """Count units done, and update Prefect if the last update is long enough ago."""
        self._display.advance(amount, note)
        self._done += amount
        now = time.monotonic()
        if self._total and now - self._told_at >= _UPDATE_SECONDS:
            self._told_at = now
            self._tell(min(100.0, 100 * self._done / self._total), note)

    def finish(self) -> None:
        """Complete the Prefect artifact, if one was started."""
        if self._artifact is not None:
            self._tell(100.0, "done")

    def _tell(self, percent: float, note: str) -> None:
        description = f"{self._label}: {note}" if note else self._label
        if self._artifact is None:
            created = create_progress_artifact(
                percent, key=f"progress-{self._key}", description=description
            )
            self._artifact = cast("UUID", created)  # would be a coroutine only in an async task
        else:
            update_progress_artifact(self._artifact, percent, description=description)
