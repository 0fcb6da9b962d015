"""The executor that processes a night's shards, shared by all tasks of the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core.executors import (
    INLINE_BYTES,
    STAGE_MODULES,
    DaskExecutor,
    Executor,
    ProcessExecutor,
    local_cluster,
)
from nightjar.errors import ClusterUnavailable, InputError

CONNECT_SECONDS = 15


class _Current:
    """The executor of this process' run; None outside a run."""

    executor: Executor | None = None


def current_executor() -> Executor | None:
    """The executor that :func:`use_executor` opened; None outside it."""
    return _Current.executor


@contextmanager
def use_executor(loaded: LoadedConfig, n_workers: int, n_bytes: int = 0) -> Iterator[None]:
    """Let all tasks in the block work where ``execution`` says.

    Local processes start at once if ``n_bytes`` of sources are about to be read. Raises
    InputError without the extra dask, ClusterUnavailable when the scheduler cannot be reached or
    the run's workers do not start, WorkerLost when a cluster has no workers, ClusterUnfit when a
    worker cannot do the work.
    """
    with _opened(loaded, n_workers, n_bytes) as executor:
        _Current.executor = executor
        try:
            yield
        finally:
            _Current.executor = None


@contextmanager
def _opened(loaded: LoadedConfig, n_workers: int, n_bytes: int) -> Iterator[Executor]:
    if loaded.config.execution.engine == "local":
        with ProcessExecutor(n_workers, STAGE_MODULES) as processes:
            if n_bytes >= INLINE_BYTES:
                processes.start()
            yield processes
        return
    with (
        _cluster(loaded, n_workers) as client,
        DaskExecutor(client).checked(loaded.artifacts_dir) as executor,
    ):
        yield executor


@contextmanager
def _cluster(loaded: LoadedConfig, n_workers: int) -> Iterator[Any]:
    """A client of the configured cluster, or of one made for the run."""
    try:
        import distributed  # noqa: PLC0415  # in the extra
    except ImportError as error:
        raise InputError(
            "execution: dask needs the extra dask: pip install 'nightjar[dask]'"
        ) from error
    config = loaded.config.execution
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with ExitStack() as stack:
        scheduler: Any = config.address or stack.enter_context(
            local_cluster(config.n_workers or n_workers)
        )
        # Not Prefect's DaskTaskRunner: it takes any client that this process has opened before,
        # and works on that one's cluster instead of the configured one.
        try:
            client: Any = distributed.Client(  # type: ignore[no-untyped-call]
                scheduler, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except OSError as error:
            where = config.address or "the address of the run's own cluster"
            raise ClusterUnavailable(
                f"execution: no Dask scheduler answers at {where} ({error})"
            ) from error
        yield stack.enter_context(client)
