"""The nightly flow: the order of the stages on one screen.

    ingest -> tokenize -> report
           -> for each model: (GloVe: count ->) train -> evaluate -> register
           -> for each entry of document_vectors: embed -> index, after every model

The artifact store decides what is due; a stage whose version is published is not started.
A failed step stops only what is made of its artifact: one model's failure, that model. At
most one run of a pipeline at a time: the lease covers runs started by hand, by a worker and
by the schedule alike.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.display import FETCH, on_demand
from flows.provenance import read_provenance
from flows.stale_runs import mark_killed_runs
from nightjar import schemas
from nightjar.config import LoadedConfig, load_config
from nightjar.corpus import FETCHED_DIR, remove_stale_downloads
from nightjar.encoders import remove_stale_parts
from nightjar.errors import InputError, LeaseTaken, NightjarError
from nightjar.pipeline import Action, Plan, Provenance, Step, lease_path, make_plan, read_outcomes
from nightjar.store import acquire_lease, remove_abandoned
from nightjar.training import remove_stale_checkpoints
from tasks.count import count
from tasks.embed import embed
from tasks.evaluate import evaluate
from tasks.executors import use_executor
from tasks.index import index
from tasks.ingest import ingest
from tasks.progress import TaskProgress, current_display
from tasks.report import report
from tasks.reports import report_scores
from tasks.tokenize import tokenize
from tasks.train import train

logger = logging.getLogger(__name__)

TASKS: Mapping[str, Callable[..., State[Any]]] = {
    schemas.DOCUMENTS: ingest,
    schemas.TOKENS: tokenize,
    schemas.CORPUS_REPORT: report,
    schemas.COOCCURRENCES: count,
    schemas.EMBEDDINGS: train,
    schemas.EVALUATION: evaluate,
    schemas.DOCUMENT_VECTORS: embed,
    schemas.SEARCH_INDEX: index,
}
"""The task that publishes each stage."""
SKIPPED = "Skipped"
NOTHING_TO_DO = "NothingToDo"


class NightFailed(NightjarError):
    """One or more steps of a night failed; the message names each with its reason."""

    def __init__(self, failures: dict[str, BaseException]) -> None:
        lines = [f"{label}: {_described(error)}" for label, error in failures.items()]
        super().__init__("\n".join(lines))
        only_input = all(isinstance(error, InputError) for error in failures.values())
        self.exit_code = InputError.exit_code if only_input else NightjarError.exit_code


def _described(error: BaseException) -> str:
    if isinstance(error, NightjarError):
        return str(error)
    return f"an error of Nightjar's own, {type(error).__name__}: {error}; please report it"


def _run_name() -> str:
    """The moment of the start, in UTC: runs sort by it."""
    return f"nightly {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


@flow(name="nightly", flow_run_name=_run_name, persist_result=False)
def nightly(
    config_path: str = "pipeline_config.yaml",
    overrides: list[str] | None = None,
    is_fetched: bool = False,
) -> State[Any]:
    """Bring every configured model up to date with tonight's text.

    ``config_path`` is relative to the working directory; ``overrides`` are ``a.b=value``
    strings applied to it. ``is_fetched``: remote sources were fetched a moment ago, no server
    is asked for them again.
    """
    _let_stages_log()
    loaded = load_config(Path(config_path), overrides or [])
    late_minutes = _late_minutes()
    if late_minutes > loaded.config.pipeline.max_late_minutes:
        return Completed(name=SKIPPED, message=f"this run starts {late_minutes} minutes late")
    owner = f"flow run {runtime.flow_run.name} {runtime.flow_run.id}"
    try:
        with acquire_lease(lease_path(loaded), owner):
            return _run_stages(loaded, is_fetched)
    except LeaseTaken as taken:
        return Completed(name=SKIPPED, message=str(taken))


def _run_stages(loaded: LoadedConfig, is_fetched: bool) -> State[Any]:
    """Run what is due, in order; the caller holds the lease."""
    mark_killed_runs()
    remove_abandoned(loaded.artifacts_dir)
    remove_stale_checkpoints(loaded.artifacts_dir / schemas.EMBEDDINGS, time.time())
    remove_stale_parts(loaded.artifacts_dir / schemas.DOCUMENT_VECTORS, time.time())
    remove_stale_downloads(loaded.artifacts_dir / FETCHED_DIR, time.time())
    with on_demand(
        lambda: TaskProgress(FETCH), lambda outcome: current_display().close(FETCH, outcome)
    ) as progress:
        plan = make_plan(loaded, progress, is_offline=is_fetched)
    if not plan.due:
        return Completed(name=NOTHING_TO_DO, message="every stage is published, nothing to do")
    provenance = read_provenance(loaded)
    n_bytes = sum(
        entry.bytes
        for step in plan.due
        if step.stage == schemas.DOCUMENTS
        for entry in step.identity.inputs
    )
    with use_executor(loaded, provenance.n_workers, n_bytes):
        failures = _run_due(loaded, plan, provenance)
    report_scores(read_outcomes(loaded, plan))
    if failures:
        raise NightFailed(failures)
    return Completed(message=_summary(plan))


def _run_due(loaded: LoadedConfig, plan: Plan, provenance: Provenance) -> dict[str, BaseException]:
    """Run the steps in order, but for those made of what is missing; what failed, and how."""
    failures: dict[str, BaseException] = {}
    missing: set[tuple[str, str]] = set()
    for step in plan.steps:
        error = None if step.parents & missing else _run_step(loaded, plan, step, provenance)
        if error is not None:
            failures[step.label] = error
        if error is not None or step.parents & missing:
            missing.add((step.stage, step.ref.version))
    return failures


def _run_step(
    loaded: LoadedConfig, plan: Plan, step: Step, provenance: Provenance
) -> BaseException | None:
    """Run a step if it is due; what it failed with."""
    if step.action is Action.REUSE:
        logger.info("%s: reused %s", step.label, step.ref)
        return None
    state = TASKS[step.stage](loaded, plan, step, provenance, return_state=True)
    if state.is_completed():
        return None
    result = state.result(raise_on_failure=False)
    error = result if isinstance(result, BaseException) else _state_error(state)
    if not isinstance(error, NightjarError):
        logger.error("%s: unexpected", step.label, exc_info=error)
    return error


def _let_stages_log() -> None:
    """Let the stages' lines reach the run's page: Prefect adds a handler but sets no level."""
    for name in ("nightjar", "flows", "tasks"):
        stage_logger = logging.getLogger(name)
        if stage_logger.level == logging.NOTSET:
            stage_logger.setLevel(logging.INFO)


def _summary(plan: Plan) -> str:
    return f"{len(plan.due)} of {len(plan.steps)} steps run, {len(plan.models)} models up to date"


def _state_error(state: State[Any]) -> NightjarError:
    return NightjarError(f"ended as {state.name}: {state.message}")


def _late_minutes() -> int:
    """How many minutes after its scheduled time this run starts; 0 for one started by hand."""
    scheduled = runtime.flow_run.scheduled_start_time
    if scheduled is None:
        return 0
    late = datetime.now(UTC) - datetime.fromtimestamp(scheduled.timestamp(), UTC)
    return max(0, late // timedelta(minutes=1))
