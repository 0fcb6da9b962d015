"""The nightly flow: one night, its steps as Prefect tasks.

:mod:`nightjar.pipeline.night` sets the order; the artifact store decides what is due, and a stage
whose version is published is not started. A failed step stops only what depends on its artifact:
if a model fails, only that model. The lease allows one run of a pipeline at a time, whether
started by hand, by a worker or by the schedule.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed

from nightjar.config import LoadedConfig, check_may_be_recorded, load_config
from nightjar.core import Night, Nights, NightStatus
from nightjar.errors import LeaseTaken, NightjarError
from nightjar.files import urls
from nightjar.flows.stale_runs import mark_killed_runs
from nightjar.pipeline import (
    NightFailed,
    NightRequest,
    Plan,
    Provenance,
    Step,
    is_trial,
    read_outcomes,
    run_night,
)
from nightjar.pipeline.alerts import telling
from nightjar.pipeline.provenance import read_provenance
from nightjar.progress import FETCH, on_demand
from nightjar.registry import RegisteredVersion, RegistrationRequest
from nightjar.tasks.reports import report_night
from nightjar.tasks.shard_workers import use_executor
from nightjar.tasks.stage_task import register, result_of, run_stage
from nightjar.tasks.task_progress import TaskProgress, current_display, run_progress
from nightjar.wording import counted

SKIPPED = "Skipped"
NOTHING_TO_DO = "NothingToDo"


def _run_name() -> str:
    """The time of the start in UTC, by which runs sort."""
    return f"nightly {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


class _Passwords:
    """Overrides of this process that have a password, by what is recorded in their place."""

    whole: ClassVar[dict[str, str]] = {}


def recorded(overrides: Sequence[str]) -> list[str]:
    """``overrides`` as Prefect may record them; the flow in this process knows them whole."""
    shown = [urls.redacted(text) if urls.has_secret(text) else text for text in overrides]
    _Passwords.whole |= {
        short: text for short, text in zip(shown, overrides, strict=True) if short != text
    }
    return shown


def _whole(overrides: Sequence[str]) -> list[str]:
    check_may_be_recorded(overrides)
    return [_Passwords.whole.get(text, text) for text in overrides]


@flow(name="nightly", flow_run_name=_run_name, persist_result=False)
def nightly(
    config_path: str = "pipeline_config.yaml",
    overrides: list[str] | None = None,
    promote: bool = False,
    is_fetched: bool = False,
) -> State[Any]:
    """Bring every configured model up to date with tonight's data.

    ``config_path`` is relative to the working directory. ``overrides`` are ``a.b=value`` strings;
    they make the run a trial unless ``promote`` is set. ``is_fetched`` means that remote sources
    were just fetched, so that no server is asked for them again.

    Prefect records the parameters in clear, so an override with a password is refused;
    ``nightjar run`` passes what :func:`recorded` returns.
    """
    _let_stages_log()
    loaded = load_config(Path(config_path), _whole(overrides or []))
    late_minutes = _late_minutes()
    if late_minutes > loaded.config.pipeline.max_late_minutes:
        return Completed(
            name=SKIPPED, message=f"this run starts {counted(late_minutes, 'minute')} late"
        )
    owner = f"flow run {runtime.flow_run.name} {runtime.flow_run.id}"
    try:
        with (
            telling(loaded, is_trial(loaded, promote)),
            run_progress(),
            on_demand(
                lambda: TaskProgress(FETCH),
                lambda outcome: current_display().close(FETCH, outcome),
            ) as progress,
            ExitStack() as opened,
        ):
            provenance = read_provenance(loaded)
            night = run_night(
                loaded,
                PrefectRunner(loaded, provenance, opened),
                provenance,
                NightRequest(owner, promote, is_fetched, progress),
            )
    except LeaseTaken as taken:
        return Completed(name=SKIPPED, message=str(taken))
    except NightFailed:
        _report_failed(loaded)
        raise
    if night.status is NightStatus.NOTHING_TO_DO and not night.alarms:
        return Completed(name=NOTHING_TO_DO, message="every stage is published, nothing to do")
    report_night(loaded, night, read_outcomes(loaded, night))
    return Completed(message=_summary(night))


def _report_failed(loaded: LoadedConfig) -> None:
    """Report the night that failed; its error, which is raised, matters more than the report."""
    try:
        night = next(Nights(loaded.pipeline_dir).newest_first())
        report_night(loaded, night, read_outcomes(loaded, night))
    except (NightjarError, httpx.HTTPError) as error:
        logging.getLogger(__name__).warning("the failed night is not reported: %s", error)


@dataclass
class PrefectRunner:
    """Runs steps as Prefect tasks."""

    loaded: LoadedConfig
    provenance: Provenance
    opened: ExitStack = field(default_factory=ExitStack)
    """Resources to close at the end of the run."""

    def start(self, plan: Plan) -> None:
        """Start workers and mark dead runs, since this run holds the lease."""
        nights = Nights(self.loaded.pipeline_dir).newest_first()
        mark_killed_runs(next((night.owner for night in nights if night.ended_at), ""))
        if not plan.due:
            return
        n_bytes = sum(entry.bytes for step in plan.due for entry in step.identity.inputs)
        self.opened.enter_context(use_executor(self.loaded, self.provenance.n_workers, n_bytes))

    def run(self, step: Step) -> None:
        """Run the step as a task of its stage."""
        run_stage(self.loaded, step, self.provenance)

    def register(self, request: RegistrationRequest) -> RegisteredVersion:
        """Register as a task of its own."""
        version: RegisteredVersion = result_of(register(request, return_state=True))
        return version


def _let_stages_log() -> None:
    """Let the stages' log lines reach the run's page: Prefect adds a handler but sets no level."""
    for name in ("nightjar",):
        stage_logger = logging.getLogger(name)
        if stage_logger.level == logging.NOTSET:
            stage_logger.setLevel(logging.INFO)


def _summary(night: Night) -> str:
    promoted = [found["model"] for found in night.decisions if found["is_promoted"]]
    what = f"promoted {', '.join(promoted)}" if promoted else "no champion changed"
    return f"night {night.number}: {what}" + (
        f"; {counted(len(night.alarms), 'alarm')}: {night.alarms[0]}" if night.alarms else ""
    )


def _late_minutes() -> int:
    """How many minutes after its scheduled time this run starts; 0 for one started by hand."""
    scheduled = runtime.flow_run.scheduled_start_time
    if scheduled is None:
        return 0
    late = datetime.now(UTC) - datetime.fromtimestamp(scheduled.timestamp(), UTC)
    return max(0, late // timedelta(minutes=1))
