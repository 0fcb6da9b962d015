"""Flow runs that Prefect still counts as running although their processes are gone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prefect import get_client, runtime
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.states import Crashed

logger = logging.getLogger(__name__)


def mark_killed_runs(last_owner: str = "") -> int:
    """Mark earlier runs of this pipeline that are still Running as Crashed.

    Call it while holding the lease, so that no other run can be alive. Otherwise a run that was
    killed (``kill -9``, a power cut) would look alive for good: nothing watches a run that no
    worker started, or whose worker died with it. The run that ``last_owner`` names is left alone:
    it has ended its night and may still be reporting it. Returns the number of runs marked.
    """
    flow_run = runtime.flow_run
    own = _pipeline(flow_run.parameters, runtime.deployment.id)
    try:
        with get_client(sync_client=True) as client:
            found = client.read_flow_runs(
                flow_filter=FlowFilter.model_validate({"name": {"any_": [flow_run.flow_name]}}),
                flow_run_filter=FlowRunFilter.model_validate(
                    {"state": {"type": {"any_": ["RUNNING"]}}, "id": {"not_any_": [flow_run.id]}}
                ),
            )
            stale = [
                run
                for run in found
                if _pipeline(run.parameters, run.deployment_id) == own
                and str(run.id) not in last_owner
            ]
            for run in stale:
                message = "the process was gone when the next run took the lease"
                client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    except httpx.HTTPError as error:
        logger.warning("cannot check earlier runs: %s", error)
        return 0
    return len(stale)


def _pipeline(parameters: Mapping[str, Any], deployment: object) -> tuple[object, ...]:
    """What says which pipeline a run is of: its config, and what may override its name.

    A relative path counts with the deployment, which says where it is. The other parameters, and
    those that are left to their defaults, do not matter.
    """
    config = str(parameters.get("config_path", ""))
    overrides = tuple(parameters.get("overrides") or ())
    return config, overrides, "" if Path(config).is_absolute() else str(deployment)
