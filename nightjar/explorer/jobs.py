"""Work that takes seconds: made once, in a thread, while the page shows how far it is."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

_MAX_KEPT = 16
_PATIENCE_SECONDS = 0.8
"""Short work is waited for, so that the page of a small model appears at once."""
_BREATH_SECONDS = 0.002
"""After each note: the linear algebra library lets one thread in at a time, and a thread that
comes straight back keeps the others out."""

Report = Callable[[str], None]
"""Takes a progress note."""


@dataclass(frozen=True)
class Pending:
    """The work is under way; ``note`` says how far it is."""

    note: str


@dataclass
class _Job:
    note: str
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None


class Jobs:
    """Results by key, the last ones asked for; one piece of work at a time.

    Threads are daemons: Ctrl-C does not wait for them, and what they write is whole or not
    there.
    """

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._jobs: OrderedDict[Hashable, _Job] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def get(self, key: Hashable, what: str, make: Callable[[Report], Any]) -> Any:
        """The result of ``make``, or Pending. Raises what it raised; then it may be tried again."""
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
        except BaseException as error:  # noqa: BLE001 (raised again where it is asked for)
            job.error = error
        finally:
            job.done.set()
