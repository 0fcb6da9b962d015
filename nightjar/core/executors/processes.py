"""Processing pieces in processes of this machine, each with one worker thread."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from multiprocessing.connection import wait as wait_for
from types import ModuleType, TracebackType
from typing import Any, Self, cast

import psutil

from nightjar.core.executors.executor import INLINE, Advance, Piece, Result
from nightjar.errors import WorkerLost

logger = logging.getLogger(__name__)

MAX_LOSSES = 3
"""How many times in a row processes may end without finishing a piece."""
_POLL_SECONDS = 0.2
_NOTICE_SECONDS = 5.0
_END_SECONDS = 10.0
_STOPPED_SECONDS = 60.0
"""A process that somebody stopped (SIGSTOP) for longer than this counts as lost."""


class StoppedProcess(BrokenProcessPool):
    """A process of the pool exists but was stopped."""


class ProcessExecutor:
    """``n_workers`` processes, started when there is more than one piece.

    They import ``modules`` when they start, not when the first piece needs them. They are spawned:
    a fork of a process with threads (Arrow's, Prefect's) may hang. They end with the ``with``
    block, and when the process that started them ends, even if it is killed.
    """

    is_cluster = False

    def __init__(self, n_workers: int, modules: Sequence[str] = ()) -> None:
        self.n_workers = n_workers
        self._modules = tuple(modules)
        self._pool: _Pool | None = None

    def start(self) -> None:
        """Start the processes now, in the background, for pieces to come."""
        if self._pool is None and self.n_workers > 1:
            self._pool = _Pool(self.n_workers, self._modules)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def map(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        advance: Advance,
    ) -> Iterator[Result]:
        """See :meth:`.executor.Executor.map`; a lost process is replaced."""
        if self.n_workers == 1 or len(pieces) <= 1:
            yield from INLINE.map(function, pieces, advance)
            return
        done: dict[int, Result] = {}
        n_given = n_losses = 0
        while n_given < len(pieces):
            n_before = len(done) + n_given
            waiting = [place for place in range(n_given, len(pieces)) if place not in done]
            self._pool = self._pool or _Pool(self.n_workers, self._modules)
            try:
                for place, result in self._pool.results(function, pieces, waiting, advance):
                    done[place] = result
                    while n_given in done:
                        yield done.pop(n_given)
                        n_given += 1
            except BrokenProcessPool as error:
                self.release()
                n_losses = 0 if len(done) + n_given > n_before else n_losses + 1
                if n_losses == MAX_LOSSES:
                    raise WorkerLost(
                        f"worker processes ended, or stood still, {MAX_LOSSES} times without a "
                        f"result (killed? stopped? out of memory? see the system's log); give them "
                        f"more memory, or fewer workers (training.workers)"
                    ) from error
                logger.warning(
                    "a worker process ended without a result%s; its work is done again",
                    f" ({error})" if isinstance(error, StoppedProcess) else "",
                )
            except BaseException:
                self.release()
                raise

    def release(self) -> None:
        """End the processes; the next pieces start new ones."""
        if self._pool is not None:
            self._pool.end()
            self._pool = None


class _Pool:
    """The processes, and the queue in which they report progress."""

    def __init__(self, n_processes: int, modules: tuple[str, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._amounts: Any = context.Queue()
        self._processes = ProcessPoolExecutor(
            n_processes, context, initializer=_begin, initargs=(self._amounts, modules)
        )
        with _without_main():
            for _ in range(n_processes):  # it starts one for each waiting piece
                self._processes.submit(os.getpid)

    def results(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        places: Sequence[int],
        advance: Advance,
    ) -> Iterator[tuple[int, Result]]:
        """Indices and results, as they arrive. Raises BrokenProcessPool if a process has ended."""
        places_of: dict[Future[Any], int] = {
            self._processes.submit(_perform, function, pieces[place]): place for place in places
        }
        pending = set(places_of)
        heard = time.monotonic()
        stopped = _Standstill()
        # No limit on the work itself: only the stage knows how long a piece takes.
        while pending:
            finished, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
            self._tell(advance)
            for future in sorted(finished, key=places_of.__getitem__):
                # waits: not at all, the future is finished
                yield places_of[future], cast("Result", future.result())
            if finished or not self._has_lost_one():
                heard = time.monotonic()
            elif time.monotonic() - heard > _NOTICE_SECONDS:
                raise BrokenProcessPool("a process ended in the middle of a result")
            if stopped.is_too_long(self._processes._processes or {}):  # noqa: SLF001
                raise StoppedProcess(f"it was stopped for {_STOPPED_SECONDS:.0f} s")
        self._tell(advance)

    def _has_lost_one(self) -> bool:
        """Whether a process has ended; none does that in normal operation.

        The pool notices that itself, except while it waits for the rest of a result that the
        process had started to write.
        """
        processes = (self._processes._processes or {}).values()  # noqa: SLF001
        return bool(wait_for([process.sentinel for process in processes], timeout=0))

    def _tell(self, advance: Advance) -> None:
        total, note = 0.0, ""
        while True:
            try:
                amount, note = self._amounts.get_nowait()
            except queue.Empty:
                break
            total += amount
        if total:
            advance(total, note)

    def end(self) -> None:
        """Kill the processes; their current work is not needed any more."""
        # shutdown alone would wait for running work, and may forget the processes first. SIGTERM
        # would not end a stopped process.
        processes = list((self._processes._processes or {}).values())  # noqa: SLF001
        results: Any = self._processes._result_queue  # noqa: SLF001
        self._processes.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join(_END_SECONDS)
            # Not is_alive: it says yes if the thread of the pool collected the process.
            if not wait_for([process.sentinel], timeout=0):
                logger.warning("worker process %d does not end (a disk?)", process.pid)
        # The reader waits for the rest of a result as long as a writer is open.
        results._writer.close()  # noqa: SLF001
        self._amounts.close()
        # waits: not at all, this process has put nothing into the queue
        self._amounts.join_thread()


class _Standstill:
    """Measures how long a process has been stopped, while this one was not."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._seconds = 0.0

    def is_too_long(self, pids: Iterable[int]) -> bool:
        """Whether one of ``pids`` has been stopped for too long; to be asked often."""
        passed = time.monotonic() - self._looked
        if passed < _POLL_SECONDS:
            return False
        self._looked += passed
        # Not more: Ctrl-Z stops this process, too, and the clock goes on.
        self._seconds += min(passed, 2 * _POLL_SECONDS)
        if not any(map(_is_stopped, pids)):
            self._seconds = 0.0
        return self._seconds > _STOPPED_SECONDS


def _is_stopped(pid: int) -> bool:
    with suppress(psutil.Error):  # it has ended meanwhile
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep processes started in the block from importing this process's main module.

    Pieces are functions of importable modules, and the main module is the command line or
    Prefect's: that saves a second and 100 MB per process.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


_amounts: Any = None


class _WithoutPandas(MetaPathFinder):
    """Keeps Arrow from importing pandas for its first array, which takes 0.3 s and 50 MB."""

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        """Report pandas as missing; leave other modules to other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError(f"{fullname}: not for worker processes", name=fullname)


def _begin(amounts: Any, modules: tuple[str, ...]) -> None:
    """Prepare a worker process."""
    sys.meta_path.insert(0, _WithoutPandas())
    global _amounts  # noqa: PLW0603  # one process, one queue
    _amounts = amounts
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    for module in modules:
        importlib.import_module(module)


def _end_with(sentinel: int) -> None:
    # waits: in a daemon thread, for as long as the parent lives
    wait_for([sentinel])
    os._exit(1)


def _perform(function: Callable[[Any, Advance], Any], piece: Any) -> Any:
    return function(piece, _tell)


def _tell(amount: float, note: str = "", /) -> None:
    _amounts.put((amount, note))
