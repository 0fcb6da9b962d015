"""Pieces in processes of this machine, each with one thread of work."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from typing import Any, cast

from nightjar.errors import WorkerLost
from nightjar.executors.base import Advance, Piece, Result
from nightjar.executors.inline import INLINE

logger = logging.getLogger(__name__)

MAX_LOSSES = 3
"""How often in a row the processes may end before one piece more is done."""
_POLL_SECONDS = 0.2


class ProcessExecutor:
    """``n_workers`` processes, started when there is more than one piece.

    They are spawned: a forked copy of a process that holds threads (Arrow's, Prefect's) may
    hang. A process ends with the one that started it, even when that is killed.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers

    def map(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        advance: Advance,
    ) -> Iterator[Result]:
        """As :meth:`~nightjar.executors.base.Executor.map`; a lost process is replaced."""
        if self.n_workers == 1 or len(pieces) <= 1:
            yield from INLINE.map(function, pieces, advance)
            return
        done: dict[int, Result] = {}
        n_given = n_losses = 0
        while n_given < len(pieces):
            n_before = len(done) + n_given
            waiting = [place for place in range(n_given, len(pieces)) if place not in done]
            attempt = _Attempt(min(self.n_workers, len(waiting)), advance)
            try:
                for place, result in attempt.results(function, pieces, waiting):
                    done[place] = result
                    while n_given in done:
                        yield done.pop(n_given)
                        n_given += 1
            except BrokenProcessPool as error:
                n_losses = 0 if len(done) + n_given > n_before else n_losses + 1
                if n_losses == MAX_LOSSES:
                    raise WorkerLost(
                        f"worker processes ended {MAX_LOSSES} times without a result (killed? "
                        f"out of memory? see the system's log); give them more memory, or "
                        f"fewer workers (training.workers)"
                    ) from error
                logger.warning("a worker process ended without a result; its work is done again")


class _Attempt:
    """One set of processes, until all is done or one of them is lost."""

    def __init__(self, n_processes: int, advance: Advance) -> None:
        context = multiprocessing.get_context("spawn")
        self._advance = advance
        self._amounts: Any = context.Queue()
        self._pool = ProcessPoolExecutor(
            n_processes, context, initializer=_begin, initargs=(self._amounts,)
        )

    def results(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        places: Sequence[int],
    ) -> Iterator[tuple[int, Result]]:
        """Places and results, as they come."""
        try:
            places_of: dict[Future[Any], int] = {
                self._pool.submit(_perform, function, pieces[place]): place for place in places
            }
            pending = set(places_of)
            while pending:
                finished, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
                self._tell()
                for future in sorted(finished, key=places_of.__getitem__):
                    yield places_of[future], cast("Result", future.result())
            self._tell()
        except BaseException:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._stop()
            raise
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._amounts.close()

    def _tell(self) -> None:
        total, note = 0.0, ""
        while True:
            try:
                amount, note = self._amounts.get_nowait()
            except queue.Empty:
                break
            total += amount
        if total:
            self._advance(total, note)

    def _stop(self) -> None:
        """End the processes now: what they are at is of no use any more."""
        for process in list((self._pool._processes or {}).values()):  # noqa: SLF001
            process.terminate()


_amounts: Any = None


def _begin(amounts: Any) -> None:
    """Prepare a worker process."""
    global _amounts  # noqa: PLW0603  # one process, one queue
    _amounts = amounts
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _perform(function: Callable[[Any, Advance], Any], piece: Any) -> Any:
    return function(piece, _tell)


def _tell(amount: float, note: str = "", /) -> None:
    _amounts.put((amount, note))
