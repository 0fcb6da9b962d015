"""Progress of a running task: on the run's page in Prefect, and the terminal if there is one.

A run has one progress artifact, which shows the step at work, and which is deleted when the run
ends: bars that are full tell nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast
from uuid import UUID

import httpx
from prefect import get_client
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import ObjectNotFound

from nightjar.progress import SILENT, Progress

logger = logging.getLogger(__name__)

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


class _Run:
    """The progress artifact of this process' run."""

    artifact: UUID | None = None

    @classmethod
    def forget(cls) -> UUID | None:
        """The artifact, which no task updates any more."""
        artifact, cls.artifact = cls.artifact, None
        return artifact


@contextmanager
def run_progress() -> Iterator[None]:
    """Let the tasks in the block share a progress artifact, which is gone after it."""
    _Run.forget()
    try:
        yield
    finally:
        artifact = _Run.forget()
        if artifact is not None:
            _delete(artifact)


def _delete(artifact: UUID) -> None:
    try:
        with get_client(sync_client=True) as client:
            client.delete_artifact(artifact)
    except (httpx.HTTPError, ObjectNotFound) as error:
        logger.warning("the progress of the run stays on Prefect's page: %s", error)


class TaskProgress:
    """A listener that always updates the display, and Prefect at most every two seconds."""

    def __init__(self, label: str) -> None:
        self._display = current_display().open(label)
        self._step = label
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

    def _tell(self, percent: float, note: str) -> None:
        parts = dict.fromkeys((self._step, self._label, note))
        description = ": ".join(part for part in parts if part)
        if _Run.artifact is None:
            created = create_progress_artifact(percent, description=description)
            _Run.artifact = cast("UUID", created)  # would be a coroutine only in an async task
        else:
            update_progress_artifact(_Run.artifact, percent, description=description)
