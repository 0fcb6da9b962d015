"""Processing pieces on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from nightjar.core.executors.executor import Advance, Piece, Result
from nightjar.errors import ClusterUnavailable, ClusterUnfit, RetryLater, WorkerLost
from nightjar.version import __version__

if TYPE_CHECKING:
    import distributed

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 120.0
"""How long a cluster may be without workers, or its scheduler without an answer, before that is an
error.

Workers of a healthy cluster are restarted, or replaced by other machines, within that time.
"""
_LOOK_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_START_SECONDS = 180.0
_STOP_SECONDS = 30.0
_CLOSE_SECONDS = 60.0
_END_SECONDS = 10.0
_NEVER: Final = "36500 days"


class DaskExecutor:
    """The workers of the cluster that ``client`` is connected to.

    Dask reassigns the piece of a lost worker, and gives up a piece that several workers were lost
    with (``distributed.scheduler.allowed-failures``). Dask waits forever for workers that do not
    come; this class waits ``patience_seconds``.
    """

    is_cluster = True

    def __init__(
        self, client: distributed.Client, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._client: Any = client  # its methods are untyped
        self._address = str(cast("Any", client).scheduler.address)
        self._patience_seconds = patience_seconds

    @property
    def n_workers(self) -> int:
        """Threads of all current workers, at least one.

        Raises ClusterUnavailable when the scheduler does not answer.
        """
        watch = _Watch(self._client, self._address, self._patience_seconds)
        try:
            workers = watch.workers()
        except OSError as error:
            raise watch.silent(watch.answer_seconds) from error
        n_threads: int = sum(worker["nthreads"] for worker in workers.values())
        return max(1, n_threads)

    def release(self) -> None:
        """Do nothing: the workers belong to the cluster."""

    def map(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        advance: Advance,
    ) -> Iterator[Result]:
        """See :meth:`.executor.Executor.map`.

        Raises ClusterUnavailable when the scheduler ends, or does not answer in time.
        """
        from distributed import KilledWorker  # noqa: PLC0415  # in the extra

        watch = _Watch(self._client, self._address, self._patience_seconds)
        watch.look()
        finished: _Queue = queue.SimpleQueue()
        futures = [
            self._client.submit(_perform, function, piece, pure=False, key=_key(function, place))
            for place, piece in enumerate(pieces)
        ]
        for place, future in enumerate(futures):
            self._client.loop.add_callback(_deliver, place, future, finished)
        done: dict[int, Result] = {}
        n_given = 0
        try:
            while n_given < len(pieces):
                place, outcome = watch.next(finished)
                # waits: not at all, the outcome is here
                performed = outcome.result()
                advance(performed.amount, performed.note)
                done[place] = performed.result
                while n_given in done:
                    yield done.pop(n_given)
                    n_given += 1
        except KilledWorker as error:
            raise WorkerLost(
                f"the cluster lost several workers at the same piece of work ({error.task}); see "
                f"the workers' logs (memory?), then run the same command again: what is done "
                f"stays done"
            ) from error
        except (CancelledError, asyncio.CancelledError) as error:
            raise watch.cut_off() from error
        finally:
            if watch.is_connected():
                self._client.cancel(futures)

    @contextmanager
    def checked(self, artifacts_dir: Path) -> Iterator[DaskExecutor]:
        """The executor, after checking every worker.

        Raises ClusterUnfit if a worker runs other code or cannot see ``artifacts_dir``, WorkerLost
        if there is none or one does not answer.
        """
        artifacts_dir.mkdir(parents=True, exist_ok=True)
        probe = artifacts_dir / f".probe-{uuid.uuid4().hex}"
        probe.touch()
        watch = _Watch(self._client, self._address, self._patience_seconds)
        try:
            # waits: look() raises once there has been no worker for too long
            while not watch.look():
                time.sleep(_LOOK_SECONDS / 10)
            found = self._examined(str(probe))
        finally:
            probe.unlink(missing_ok=True)
        here = _examine(str(probe)).version
        for address, fitness in found.items():
            if not fitness.sees_probe:
                raise ClusterUnfit(
                    f"{address}: this Dask worker does not see {artifacts_dir}; "
                    f"pipeline.artifacts_dir must lie on storage that all workers share, under "
                    f"the same path"
                )
            if fitness.version != here:
                raise ClusterUnfit(
                    f"{address}: this Dask worker runs nightjar, pyarrow and numpy "
                    f"{fitness.version}, the flow {here}; install the same, or the bytes may differ"
                )
        logger.info("%d Dask workers, dashboard %s", len(found), self._client.dashboard_link)
        yield self

    def _examined(self, probe: str) -> dict[str, _Fitness]:
        try:
            found: dict[str, _Fitness] = self._client.sync(
                self._client.run, _examine, probe, callback_timeout=self._patience_seconds
            )
        except OSError as error:
            raise WorkerLost(
                f"a worker of the Dask cluster at {self._address} does not say "
                f"whether it is fit ({error}); see the workers' logs, then run the same command "
                f"again"
            ) from error
        return found


@contextmanager
def local_cluster(n_workers: int) -> Iterator[distributed.LocalCluster]:
    """A cluster of ``n_workers`` processes on this machine, with one thread each.

    Only this process can use it. A process that ends is always restarted. Raises ClusterUnavailable
    when they do not start.
    """
    import dask  # noqa: PLC0415  # in the extra
    import distributed  # noqa: PLC0415

    # Dask checks once, some time after it lost a worker, whether the worker is back, and otherwise
    # nobody restarts it. A worker that came back and is lost a second time also counts as not back
    # while it starts.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": _NEVER}):
        try:
            with _killed_after(_START_SECONDS):
                cluster = distributed.LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=n_workers,
                    threads_per_worker=1,
                    # Any free port: without one, Dask takes 8787, which another run may have.
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    host="127.0.0.1",
                    # Dask runs what it is sent. With certificates of this run, nobody else sends.
                    security=True,
                )
        except (OSError, RuntimeError) as error:
            raise ClusterUnavailable(
                f"the {n_workers} Dask workers of this run did not start ({error}); is there "
                f"enough memory? Run again, or leave execution: dask away"
            ) from error
        try:
            yield cluster
        finally:
            try:
                with _killed_after(_STOP_SECONDS):
                    cluster.close(timeout=_CLOSE_SECONDS)
            except TimeoutError:
                logger.warning("the Dask cluster of this run ends with the run, not before it")


@contextmanager
def _killed_after(seconds: float) -> Iterator[None]:
    """Kill worker processes that exist for longer than ``seconds``, while the block lasts.

    Dask waits forever for a process that hangs before it becomes a worker, but not for one that
    ends. (Its own ``death_timeout`` leaves such a process behind, and raises AssertionError.)
    """
    over = threading.Event()

    def kill() -> None:
        wait = seconds
        # waits: for as long as the block lasts, which is limited by killing
        while not over.wait(wait):
            for process in multiprocessing.active_children():
                if process.name.startswith("Dask Worker"):
                    process.kill()
            wait = min(1.0, seconds)

    thread = threading.Thread(target=kill, name="workers in time", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_END_SECONDS)


class _Watch:
    """Waits for results, and checks with the scheduler whether any can still come."""

    def __init__(self, client: Any, address: str, patience_seconds: float) -> None:
        self._client = client
        self._address = address
        self._patience_seconds = patience_seconds
        self._look_seconds = min(_LOOK_SECONDS, patience_seconds / 4)
        self.answer_seconds = min(_ANSWER_SECONDS, patience_seconds)
        self._trouble_since: float | None = None

    def next(self, finished: _Queue) -> tuple[int, Future[_Performed]]:
        """The next of ``finished``, or the error of :meth:`look`."""
        while True:
            try:
                found = finished.get(timeout=self._look_seconds)
            except queue.Empty:
                self.look()
            else:
                self._trouble_since = None
                return found

    def look(self) -> bool:
        """Whether there is a worker that can work.

        Raises WorkerLost or ClusterUnavailable when there has been none for too long.
        """
        trouble = self._trouble()
        if trouble is None:
            self._trouble_since = None
            return True
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
        if now - self._trouble_since >= self._patience_seconds:
            raise trouble
        return False

    def workers(self) -> Mapping[str, Any]:
        """What the scheduler knows about each worker, by address.

        Raises OSError without an answer, ClusterUnavailable when no answer can come any more.
        """
        if not self.is_connected():
            raise self.cut_off()
        answer = self._client.sync(
            self._client.scheduler.identity, callback_timeout=self.answer_seconds
        )
        workers: Mapping[str, Any] = answer["workers"]
        return workers

    def is_connected(self) -> bool:
        """False once the client has given up reconnecting; it stays False."""
        return self._client.status not in ("closing", "closed")

    def _trouble(self) -> RetryLater | None:
        try:
            workers = self.workers()
        except OSError:
            return self.silent(self._patience_seconds)
        if any(map(_can_work, workers.values())):
            return None
        state = f"; {len(workers)} are paused: they are short of memory" if workers else ""
        return WorkerLost(
            f"the Dask cluster at {self._address} has had no worker for "
            f"{self._patience_seconds:.0f} seconds{state}; see the workers' logs, start some, then "
            f"run the same command again: what is done stays done"
        )

    def silent(self, seconds: float) -> ClusterUnavailable:
        """The error for a scheduler that exists but does not answer."""
        return ClusterUnavailable(
            f"the Dask scheduler at {self._address} has not answered for {seconds:.0f} seconds; "
            f"see its log, then run the same command again: what is done stays done"
        )

    def cut_off(self) -> ClusterUnavailable:
        """The error for a scheduler that is gone."""
        return ClusterUnavailable(
            f"the Dask scheduler at {self._address} ended, or the connection to it; see its log, "
            f"then run the same command again: what is done stays done"
        )


def _can_work(worker: Mapping[str, Any]) -> bool:
    """Whether it is running: one short of memory is paused, and finishes only what it has begun."""
    counts = (worker.get("metrics") or {}).get("task_counts") or {}
    return worker["status"] == "running" or bool(counts.get("executing"))


@dataclass(frozen=True)
class _Performed:
    result: Any
    amount: float
    note: str


_Queue: TypeAlias = "queue.SimpleQueue[tuple[int, Future[_Performed]]]"
"""Indices of pieces with their results, in the order of completion."""


async def _deliver(place: int, future: Any, finished: _Queue) -> None:
    """Wait for piece and result in the client's loop, so that the main thread can look around.

    A result only counts once it is here: if its worker is lost before, Dask repeats the piece.
    """
    outcome: Future[_Performed] = Future()
    try:
        outcome.set_result(await future)
    except BaseException as error:  # noqa: BLE001  # raised where the result is waited for
        outcome.set_exception(error)
    finished.put((place, outcome))


@dataclass(frozen=True)
class _Fitness:
    version: str
    sees_probe: bool


def _examine(probe: str) -> _Fitness:
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    versions = f"{__version__}, {pa.__version__}, {np.__version__}"
    return _Fitness(versions, Path(probe).exists())


def _key(function: Callable[..., Any], place: int) -> str:
    name = getattr(function, "__name__", "piece").strip("_")
    return f"{name}-{place}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _perform(function: Callable[[Any, Advance], Any], piece: Any) -> _Performed:
    total, last_note = 0.0, ""

    def advance(amount: float, note: str = "", /) -> None:
        nonlocal total, last_note
        total += amount
        last_note = note

    result = function(piece, advance)
    return _Performed(result, total, last_note)
