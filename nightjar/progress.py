"""How a stage says how far it is, without knowing who listens.

A stage receives a :class:`Progress` and calls it; the command line draws a bar, a Prefect
task updates a progress artifact, a test listens to nothing (:data:`SILENT`).
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listener for one stage's progress."""

    def start(self, label: str, total: float | None, unit: str) -> None:
        """Begin a phase of ``total`` units (None: unknown)."""

    def advance(self, amount: float, note: str = "") -> None:
        """``amount`` more units are done; ``note`` is a short live remark (loss, words/s)."""


class _Silent:
    def start(self, label: str, total: float | None, unit: str) -> None:
        del label, total, unit

    def advance(self, amount: float, note: str = "") -> None:
        del amount, note


SILENT: Progress = _Silent()
