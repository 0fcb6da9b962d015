"""Nights in processes of their own that are killed, or lose their disk, at a chosen step.

The process that they are forked from (:data:`fork_support.FORKED`) imports this module once.
"""

from __future__ import annotations

import os
import pkgutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from disk_support import leave_free

import nightjar.pipeline.night as nights
from nightjar.config import load_config
from nightjar.errors import NightjarError
from nightjar.registry.client import import_mlflow

import_mlflow()
PROVENANCE = nights.Provenance(git_commit=None, actor="test", n_workers=1)
STEPS: dict[str, tuple[str, Callable[..., Path]]] = {
    "write": ("nightjar.store.publishing:Staging.writer", lambda staging, *_: staging.directory),
    "publish": ("nightjar.store.publishing:put_directory", lambda _, path: path),
}
"""Steps of publishing: the function, and the artifact's directory from its arguments."""

KILLED, FULL = "killed", "full"


def night(config: str, said: str, place: str = "", moment: str = "", fate: str = KILLED) -> None:
    """Run a night whose ``fate`` comes ``moment`` ("before" or "after") ``place``.

    ``place`` is a function as ``module:name``, or a step of publishing and a stage, such as
    "publish graph". The disk is the parent of the project. What the night says when it fails is
    written to ``said``.
    """
    path = Path(config)
    if place:
        strike_at(place, moment, _fates(path.parents[1])[fate])
    loaded = load_config(path)
    nights.RETRY_PAUSES = ()
    runner = nights.DirectRunner(loaded, PROVENANCE)
    try:
        nights.run_night(loaded, runner, PROVENANCE, nights.NightRequest("the test"))
    except NightjarError as error:
        Path(said).write_text(str(error))
        sys.exit(error.exit_code)


def strike_at(
    place: str,
    moment: str,
    strike: Callable[[], None],
    set_attribute: Callable[[Any, str, Any], None] = setattr,
) -> None:
    """Call ``strike`` before or after each call of a function (see :func:`night`)."""
    name, _, stage = place.partition(" ")
    function, directory_of = STEPS.get(name, (name, None))
    owner, _, attribute = function.replace(":", ".").rpartition(".")
    holder: Any = pkgutil.resolve_name(owner)
    real = getattr(holder, attribute)

    def struck(*args: Any, **values: Any) -> Any:
        is_meant = directory_of is None or directory_of(*args).parent.name == stage
        if is_meant and moment == "before":
            strike()
        found = real(*args, **values)
        if is_meant and moment == "after":
            strike()
        return found

    set_attribute(holder, attribute, struck)


def _fates(disk: Path) -> dict[str, Callable[[], None]]:
    return {
        KILLED: lambda: os.kill(os.getpid(), signal.SIGKILL),
        FULL: lambda: leave_free(disk, 0),
    }
