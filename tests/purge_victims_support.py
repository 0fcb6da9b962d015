"""Purges in processes of their own that end at a chosen step."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nightjar.config import load_config
from nightjar.pipeline.retention import PurgeRequest, purge, purging, sweeping
from nightjar.stages.ingest import PurgeList


def load() -> None:
    """Nothing: this module is imported."""


def act(config: str, doc_id: str, n_steps: int, at_renames: bool) -> None:
    """Purge a document, and end before or after the step that ``n_steps`` steps precede."""
    left = n_steps

    def step(function: Callable[..., Any], *, is_before: bool = True) -> Any:
        def counted(*args: Any, **values: Any) -> Any:
            nonlocal left
            if left == 0 and is_before:
                os._exit(9)
            result = function(*args, **values)
            if left == 0:
                os._exit(9)
            left -= 1
            return result

        return counted

    owners: tuple[Any, ...] = PurgeList, purging.Sweep, sweeping, Path
    purge_list, sweep, module, path = owners
    purge_list.write = step(purge_list.write, is_before=False)
    sweep._delete = step(sweep._delete)
    module.rewrite = step(module.rewrite)
    if at_renames:
        path.rename = step(path.rename)
    purge(load_config(Path(config)), PurgeRequest((doc_id,), None, "ann"))
