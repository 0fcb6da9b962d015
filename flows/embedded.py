"""The nightly flow in this process, against the configured or the embedded Prefect server."""

from __future__ import annotations

import httpx
from prefect import get_client
from prefect.settings import PREFECT_API_URL
from rich.console import Console

from flows.display import display_for
from flows.nightly import SKIPPED, nightly
from nightjar.config import LoadedConfig
from nightjar.errors import NightjarError, OrchestratorUnavailable
from tasks.progress import show_on


def run_nightly(console: Console, loaded: LoadedConfig) -> str | None:
    """Run the flow with its progress on ``console``.

    Returns the reason when the run was skipped, None when it ran. Raises the error of the
    step that failed, or OrchestratorUnavailable when Prefect cannot be reached.
    """
    _connect(console)
    with display_for(console) as display:
        show_on(display)
        state = nightly(str(loaded.path), list(loaded.overrides), return_state=True)
    if state.is_completed():
        return state.message if state.name == SKIPPED else None
    error = state.result(raise_on_failure=False)
    if isinstance(error, NightjarError):
        raise error
    raise NightjarError(f"the run ended as {state.name}: {state.message}") from (
        error if isinstance(error, BaseException) else None
    )


def _connect(console: Console) -> None:
    """Make sure that a Prefect server answers; without a configured one, start our own."""
    url = PREFECT_API_URL.value()
    if not url:
        console.print("Starting the embedded Prefect server.", style="dim")
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
    except (RuntimeError, OSError, httpx.HTTPError) as error:
        problem = error
    if problem is None:
        return
    if url:
        raise OrchestratorUnavailable(
            f"the Prefect server at {url} does not answer ({problem}); start it with "
            f"'prefect server start', or unset PREFECT_API_URL to use the embedded one"
        ) from problem
    raise OrchestratorUnavailable(
        f"the embedded Prefect server did not start ({problem}); look for a full disk or a "
        f"stale database under PREFECT_HOME, then run the same command again"
    ) from problem
