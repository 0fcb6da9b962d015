"""What every stage's task does: run the due step, show progress, keep the result small.

Tasks pass references, never data. Prefect's own cache is off: the artifact store decides
what is reused. Only trouble that may pass (:class:`~nightjar.errors.RetryLater`) is retried.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from nightjar.config import LoadedConfig
from nightjar.errors import RetryLater
from nightjar.pipeline import Plan, Provenance, Step, run_step
from nightjar.store import ArtifactRef
from tasks.executors import current_executor
from tasks.progress import TaskProgress, current_display

logger = logging.getLogger(__name__)


def may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task is worth another try: only when something outside was missing."""
    del task, task_run
    return isinstance(state.result(raise_on_failure=False), RetryLater)


TASK_OPTIONS: Final[dict[str, Any]] = {
    "task_run_name": "{step.label}",
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_condition_fn": may_pass,
}


def perform(loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance) -> ArtifactRef:
    """Run one step with its progress shown; returns the reference of what it published."""
    started = time.monotonic()
    progress = TaskProgress(step.label)
    outcome = "failed"
    try:
        ref = run_step(loaded, plan, step, progress, provenance, current_executor())
        progress.finish()
        outcome = f"{time.monotonic() - started:.1f} s"
        return ref
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        current_display().close(step.label, outcome)
