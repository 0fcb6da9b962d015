"""Flow runs that Prefect still counts as running although their processes are gone."""

from __future__ import annotations

import logging

import httpx
from prefect import get_client, runtime
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.states import Crashed

logger = logging.getLogger(__name__)


def mark_killed_runs() -> int:
    """Mark earlier runs with this run's parameters that are still Running as Crashed.

    Call it while holding the lease, so that no other run can be alive. Otherwise a run that was
    killed (``kill -9``, a power cut) would look alive for good, because nothing watches a run that
    no worker started. Returns the number of runs marked.
    """
    flow_run = runtime.flow_run
    try:
        with get_client(sync_client=True) as client:
            found = client.read_flow_runs(
                flow_filter=FlowFilter.model_validate({"name": {"any_": [flow_run.flow_name]}}),
                flow_run_filter=FlowRunFilter.model_validate(
                    {"state": {"type": {"any_": ["RUNNING"]}}, "id": {"not_any_": [flow_run.id]}}
                ),
            )
            stale = [run for run in found if run.parameters == flow_run.parameters]
            for run in stale:
                message = "the process was gone when the next run took the lease"
                client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    except httpx.HTTPError as error:
        logger.warning("cannot check earlier runs: %s", error)
        return 0
    return len(stale)
