"""What is in use is not deleted: how those who delete and those who use keep apart.

Who deletes what nobody needs (:mod:`nightjar.pipeline.retention`) holds the collector's lease
from the moment it reads what is needed until the rest is gone. A night first records what it is
going to use, then takes that lease for a moment and looks whether all of it is still there: a
collector before it has deleted, one after it reads the record. A command that makes something
champion or accepted has no record; it says that it is at work, and nothing is collected
meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nightjar.core.plan import Action, Plan
from nightjar.store import Store, acquire_lease, delete, is_held, names, waited_lease

PIPELINES = "pipelines"
"""Below the artifact store: a directory for each pipeline, with its records."""
_COLLECTOR = ".collector.lease"
_COMMANDS = "commands"
_NIGHT = "lease"


@contextmanager
def collecting(root: Path, owner: str) -> Iterator[None]:
    """Hold the collector's lease of the artifact store ``root``; waits for it."""
    waiting = "another run deletes what nobody needs: waiting for it"
    with waited_lease(root / _COLLECTOR, owner, waiting):
        yield


def claim(root: Path, plan: Plan, record: Callable[[Plan], None], owner: str) -> Plan:
    """Have ``plan`` recorded, then look again what of it is there; what is not, is due.

    ``record`` puts it where collectors read it. From then on nothing of it is deleted.
    """
    record(plan)
    store = Store(root)
    with collecting(root, owner):
        steps = {
            step.ref: replace(step, action=Action.RUN, reason="no longer there")
            for step in plan.steps
            if step.action is Action.REUSE and not store.is_published(step.stage, step.ref.version)
        }
    if not steps:
        return plan
    return Plan(
        tuple(steps.get(step.ref, step) for step in plan.steps),
        {key: steps.get(step.ref, step) for key, step in plan.shared.items()},
    )


@contextmanager
def at_work(pipeline_dir: Path, owner: str) -> Iterator[None]:
    """Say that a command uses and makes artifacts, which no record names until it ends."""
    path = pipeline_dir / _COMMANDS / secrets.token_hex(8)
    try:
        with acquire_lease(path, owner):
            with collecting(pipeline_dir.parents[1], owner):
                pass  # a collector that has not seen this command is done
            yield
    finally:
        delete(path)


def commands_at_work(root: Path) -> list[str]:
    """The pipelines that a command is at work in, by name; removes what killed ones have left."""
    found = []
    for name in names(root / PIPELINES):
        directory = root / PIPELINES / name / _COMMANDS
        commands = [directory / command for command in names(directory)]
        held = [path for path in commands if is_held(path)]
        if held:
            found.append(name)
        for path in commands:
            if path not in held and names(path):  # else it is about to be held
                delete(path)
    return found


def night_lease(pipeline_dir: Path) -> Path:
    """The lease that one run of a pipeline holds at a time."""
    return pipeline_dir / _NIGHT
