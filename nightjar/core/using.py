"""Keeping deletion and use apart, so that artifacts in use are not deleted.

Retention (:mod:`nightjar.pipeline.retention`) holds the collector's lease from reading what is
needed until everything else is deleted. A night first records what it is going to use, then takes
that lease for a moment and checks that all of it still exists: an earlier collector has finished
deleting, and a later one reads the record. A command that makes something champion or accepted has
no record; it announces that it is at work, and nothing is collected meanwhile.
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
"""Below the artifact store: a directory with the records of each pipeline."""
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
    """Record ``plan``, then check again which of its artifacts exist; missing ones become due.

    ``record`` puts it where collectors read it. From then on nothing in it is deleted.
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
    """Announce that a command uses and makes artifacts that no record names until it ends."""
    path = pipeline_dir / _COMMANDS / secrets.token_hex(8)
    try:
        with acquire_lease(path, owner):
            with collecting(pipeline_dir.parents[1], owner):
                pass  # a collector that missed this command is done
            yield
    finally:
        delete(path)


def commands_at_work(root: Path) -> list[str]:
    """Names of the pipelines with a command at work; removes leftovers of killed ones."""
    found = []
    for name in names(root / PIPELINES):
        directory = root / PIPELINES / name / _COMMANDS
        commands = [directory / command for command in names(directory)]
        held = [path for path in commands if is_held(path)]
        if held:
            found.append(name)
        for path in commands:
            if path not in held and names(path):  # otherwise it is about to be held
                delete(path)
    return found


def night_lease(pipeline_dir: Path) -> Path:
    """The lease that one run of a pipeline holds at a time."""
    return pipeline_dir / _NIGHT
