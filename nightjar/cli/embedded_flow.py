"""The nightly flow in this process. Import this module only after setting PREFECT_API_URL."""

from __future__ import annotations

import httpx
from prefect import get_client
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from rich.console import Console

from nightjar.cli.display import display_for
from nightjar.config import LoadedConfig
from nightjar.errors import NightjarError, OrchestratorUnavailable
from nightjar.files import urls
from nightjar.files.asking import ask_within
from nightjar.flows.nightly import SKIPPED, nightly, recorded
from nightjar.tasks.stage_task import failure_of
from nightjar.tasks.task_progress import show_on

_CHECK_SECONDS = 30.0


def run_nightly(console: Console, loaded: LoadedConfig, promotes: bool) -> str | None:
    """Run the flow with its progress on ``console``; planning has already fetched the sources.

    Returns the reason when the run was skipped, None when it ran. Raises the error of the
    failed step, or OrchestratorUnavailable when Prefect does not answer.
    """
    _check_that_prefect_answers()
    # Nothing watches the heartbeats of a run in this process, and stopping them takes a second.
    with (
        display_for(console) as display,
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        show_on(display)
        try:
            state = nightly(
                *(str(loaded.path), recorded(loaded.overrides), promotes),
                is_fetched=True,
                return_state=True,
            )
        except (httpx.HTTPError, RuntimeError) as raised:
            # From the flow itself: a step's error is in its state. Prefect's first question to a
            # server ends with a RuntimeError.
            failure = raised.__cause__ if isinstance(raised, RuntimeError) else raised
            if not isinstance(failure, httpx.HTTPError):
                raise
            raise OrchestratorUnavailable(
                f"the Prefect server at {_server()} failed during the night "
                f"({failure_of(failure)}); check for a full disk, then run the same command "
                f"again: it continues from what is published"
            ) from failure
    if state.is_completed():
        return state.message if state.name == SKIPPED else None
    error = state.result(raise_on_failure=False)
    if isinstance(error, NightjarError):
        raise error
    raise NightjarError(f"the run ended as {state.name}: {state.message}") from (
        error if isinstance(error, BaseException) else None
    )


def _server() -> str:
    """The server's address for messages."""
    return urls.redacted(str(PREFECT_API_URL.value()))


def _problem() -> Exception | None:
    # Its client would try a silent server for seven minutes.
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(httpx_settings={"timeout": _CHECK_SECONDS}, sync_client=True) as client,
    ):
        return client.api_healthcheck()


def _check_that_prefect_answers() -> None:
    problem: Exception | None
    try:
        problem = ask_within(_CHECK_SECONDS, _problem)
    except (RuntimeError, OSError, ValueError, ImportError, httpx.HTTPError, httpx.InvalidURL) as e:
        problem = e  # the environment's proxies or certificates may be of no use, too
    if problem is not None:
        raise OrchestratorUnavailable(
            f"the Prefect server at {_server()} does not answer "
            f"({urls.redacted(str(problem)) or type(problem).__name__}); start it with 'prefect "
            f"server start', or unset PREFECT_API_URL to use an embedded one"
        ) from problem
