"""One Prefect task for each declared stage, and one that registers a model.

Tasks pass references, never data. Prefect's own cache is off: the artifact store decides what is
reused. Only temporary trouble (:class:`~nightjar.errors.RetryLater`) is retried.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import httpx
from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from nightjar.config import LoadedConfig
from nightjar.core import Stage
from nightjar.errors import NightjarError, OrchestratorUnavailable, RetryLater
from nightjar.files.urls import redacted
from nightjar.pipeline import RETRY_PAUSES, Provenance, Step, run_step
from nightjar.registry import RegisteredVersion, RegistrationRequest, ensure_registered
from nightjar.store import ArtifactRef
from nightjar.tasks.shard_workers import current_executor
from nightjar.tasks.task_progress import TaskProgress, current_display

logger = logging.getLogger(__name__)


def may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether to retry a failed task: only when something external was unavailable."""
    del task, task_run
    return isinstance(state.result(raise_on_failure=False), RetryLater)


_OPTIONS: Final[dict[str, Any]] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": len(RETRY_PAUSES),
    "retry_delay_seconds": list(RETRY_PAUSES),
    "retry_condition_fn": may_pass,
}


@contextmanager
def _shown(label: str) -> Iterator[TaskProgress]:
    """Show the progress of a task on the run's page, and on the terminal if there is one."""
    started = time.monotonic()
    progress = TaskProgress(label)
    outcome = "failed"
    try:
        yield progress
        outcome = f"{time.monotonic() - started:.1f} s"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        current_display().close(label, outcome)


def _perform(loaded: LoadedConfig, step: Step, provenance: Provenance) -> ArtifactRef:
    """Run one step and show its progress; return the reference of what it published."""
    with _shown(step.label) as progress:
        return run_step(loaded, step, progress, provenance, current_executor())


@cache
def stage_task(stage: type[Stage]) -> Callable[..., State[Any]]:
    """Make the task of a stage from its declaration."""
    made = task(name=stage.verb, description=stage.about, task_run_name="{step.label}", **_OPTIONS)
    return made(_perform)


@task(name="register", task_run_name="register {request.model_name}", **_OPTIONS)
def register(request: RegistrationRequest) -> RegisteredVersion:
    """Register one model in MLflow. Decides nothing."""
    with _shown(f"register {request.model_name}") as progress:
        return ensure_registered(request, progress)


def run_stage(loaded: LoadedConfig, step: Step, provenance: Provenance) -> None:
    """Run a due step as a task. Raises the task's error."""
    perform = stage_task(type(step.work))
    result_of(perform(loaded, step, provenance, return_state=True))


def failure_of(error: httpx.HTTPError) -> str:
    """What went wrong between Prefect's client and its server, in a few words."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code}"
    return redacted(str(error)) or type(error).__name__


def result_of(state: State[Any]) -> Any:
    """The result of a task. Raises its error; wraps a bug of ours in a NightjarError."""
    if state.is_completed():
        # waits: not at all, the state has its result
        return state.result()
    result = state.result(raise_on_failure=False)
    if isinstance(result, NightjarError):
        raise result
    if isinstance(result, httpx.HTTPError):  # Prefect's: sources and registry translate theirs
        raise OrchestratorUnavailable(
            f"the Prefect server failed during the night ({failure_of(result)}); run the same "
            f"command again: it continues from what is published"
        ) from result
    if isinstance(result, Exception):
        logger.error("unexpected", exc_info=result)
        raise NightjarError(
            f"an error of Nightjar's own, {type(result).__name__}: {result}; please report it"
        ) from result
    raise NightjarError(f"ended as {state.name}: {state.message}")
