"""Pieces on the workers of a Dask cluster."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nightjar
from nightjar.errors import ClusterUnfit, WorkerLost
from nightjar.executors.base import Advance, Piece, Result

if TYPE_CHECKING:
    import distributed

logger = logging.getLogger(__name__)

_PROBE_SECONDS = 60


class DaskExecutor:
    """The workers of the cluster that ``client`` is connected to.

    Dask gives the piece of a worker that is lost to another one, and gives up a piece that
    several workers were lost with (``distributed.scheduler.allowed-failures``).
    """

    def __init__(self, client: distributed.Client) -> None:
        self._client: Any = client  # its methods have no types

    @property
    def n_workers(self) -> int:
        """Threads of all workers that are there now, at least one."""
        workers: dict[str, int] = self._client.nthreads()
        return max(1, sum(workers.values()))

    def release(self) -> None:
        """Nothing: the workers are the cluster's."""

    def map(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        advance: Advance,
    ) -> Iterator[Result]:
        """As :meth:`~nightjar.executors.base.Executor.map`."""
        from distributed import KilledWorker, as_completed  # noqa: PLC0415  # in the extra

        futures = [
            self._client.submit(_perform, function, piece, pure=False, key=_key(function, place))
            for place, piece in enumerate(pieces)
        ]
        places = {future.key: place for place, future in enumerate(futures)}
        done: dict[int, Result] = {}
        n_given = 0
        try:
            for future in as_completed(futures, loop=self._client.loop):  # type: ignore[no-untyped-call]
                performed: _Performed = future.result()
                advance(performed.amount, performed.note)
                done[places[future.key]] = performed.result
                while n_given in done:
                    yield done.pop(n_given)
                    n_given += 1
        except KilledWorker as error:
            raise WorkerLost(
                f"the cluster lost several workers at the same piece of work ({error.task}); see "
                f"the workers' logs (memory?), then run the same command again: what is done "
                f"stays done"
            ) from error
        finally:
            self._client.cancel(futures)

    @contextmanager
    def checked(self, artifacts_dir: Path) -> Iterator[DaskExecutor]:
        """The executor, after every worker has shown that it is fit.

        Raises ClusterUnfit where a worker runs other code or does not see ``artifacts_dir``.
        """
        artifacts_dir.mkdir(parents=True, exist_ok=True)
        probe = artifacts_dir / f".probe-{uuid.uuid4().hex}"
        probe.touch()
        try:
            self._client.wait_for_workers(1, timeout=_PROBE_SECONDS)
            found: dict[str, _Fitness] = self._client.run(_examine, str(probe))
        except TimeoutError as error:
            raise ClusterUnfit(
                f"the Dask cluster at {self._client.scheduler.address} has no worker after "
                f"{_PROBE_SECONDS} seconds; start some and run again"
            ) from error
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


@dataclass(frozen=True)
class _Performed:
    result: Any
    amount: float
    note: str


@dataclass(frozen=True)
class _Fitness:
    version: str
    sees_probe: bool


def _examine(probe: str) -> _Fitness:
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    versions = f"{nightjar.__version__}, {pa.__version__}, {np.__version__}"
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
