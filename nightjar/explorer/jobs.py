"""Work that takes seconds: done once, in a thread, while the page shows its progress."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

_MAX_KEPT = 16
_PATIENCE_SECONDS = 0.8
"""How long to wait for work, so that the page of a small model appears at once."""
_BREATH_SECONDS = 0.002
"""Pause after each note: the linear algebra library admits one thread at a time, and a thread that
returns immediately would keep the others out."""

Report = Callable[[str], None]
"""Takes a progress note."""


@dataclass(frozen=True)
class Pending:
    """The work is under way; ``note`` is its progress."""

    note: str


@dataclass
class _Job:
    note: str
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None


class Jobs:
    """Recently requested results by key; does one piece of work at a time.

    Threads are daemons: Ctrl-C does not wait for them, and what they write is complete or missing.
    """

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._jobs: OrderedDict[Hashable, _Job] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def get(self, key: Hashable, what: str, make: Callable[[Report], Any]) -> Any:
        """The result of ``make``, or Pending. Raises its error; the next call then retries."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                job = self._jobs[key] = _Job(f"{what} waits for its turn")
                threading.Thread(target=self._work, args=(job, what, make), daemon=True).start()
            self._jobs.move_to_end(key)
            self._forget()
        if not job.done.wait(self._patience):
            return Pending(job.note)
        if job.error is not None:
            with self._lock:
                if self._jobs.get(key) is job:
                    del self._jobs[key]
            raise job.error
        return job.result

    def _forget(self) -> None:
        done = [key for key, job in self._jobs.items() if job.done.is_set()]
        for key in done[: max(0, len(self._jobs) - _MAX_KEPT)]:
            del self._jobs[key]

    def _work(self, job: _Job, what: str, make: Callable[[Report], Any]) -> None:
        def report(note: str) -> None:
            job.note = f"{what}: {note}"
            time.sleep(_BREATH_SECONDS)

        try:
            with self._turn:
                report("started")
                job.result = make(report)
        except BaseException as error:  # noqa: BLE001 (raised again by get)
            job.error = error
        finally:
            job.done.set()
