"""The clock is set back: between two nights, within one, and while a lease is held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from asking_support import asked, asked_json
from clock_support import Clock, settable_clock
from conftest import PROVENANCE
from gensim.models import KeyedVectors
from nights_support import GOOD, POOR, HandMade, outcome

from nightjar.core import Night, NightStatus, Step
from nightjar.errors import LeaseTaken
from nightjar.formats.gensim import from_gensim
from nightjar.pipeline import DirectRunner, NightRequest, lease_path, run_night
from nightjar.store import acquire_lease, is_held


@pytest.fixture
def clock() -> Iterator[Clock]:
    with settable_clock() as clock:
        yield clock


@pytest.fixture
def project(tmp_path: Path) -> HandMade:
    """Everything in it is kept for a week, and vectors must not be older than a week."""
    made = HandMade(tmp_path / "project", keep={"records_days": 7, "rollback_versions": 1})
    made.document["registry"]["gate"]["max_age_days"] = 7
    made.save()
    return made


def age(night: Night) -> float:
    """How old the gate believed the vectors to be."""
    (decision,) = night.decisions
    (rule,) = [found for found in decision["rules"] if found["rule"] == "max_age_days"]
    return float(rule["numbers"]["days"])


def test_nights_after_the_clock_was_set_back_a_month_are_as_any_others(
    project: HandMade, clock: Clock
) -> None:
    clock.set_ahead(30)
    assert outcome(project.night()) == "promoted"
    project.write_vectors(GOOD, seed=1)
    trial = project.night("evaluation.bootstrap_samples=99")  # trains, and promotes nothing
    clock.set_ahead(0)
    night = project.night()
    assert outcome(night) == "promoted"
    assert age(night) == 0.0  # they were made a month ahead
    assert night.started_at < trial.started_at
    project.write_vectors(POOR)
    assert outcome(project.night()) == "blocked"
    assert project.champion == 2
    assert project.due() == []

    # By number, not by time.
    assert [found["number"] for found in asked_json(project.path, "nights")] == [4, 3, 2, 1]
    assert [event.number for event in project.events] == list(range(1, len(project.events) + 1))
    assert asked_json(project.path, "why", "words")["version"] == 3
    asked(project.path, "rollback", "words")
    assert project.champion == 1
    asked(project.path, "verify")  # what the records name is there
    assert project.night().alarms == ()


@dataclass(frozen=True)
class SetsBack:
    """Sets the clock back by a month once the vectors are there."""

    runner: DirectRunner
    clock: Clock

    start = property(lambda self: self.runner.start)
    register = property(lambda self: self.runner.register)

    def run(self, step: Step) -> None:
        self.runner.run(step)
        if step.stage == "embeddings":
            self.clock.set_ahead(0)


def test_a_night_within_which_the_clock_is_set_back_is_as_any_other(
    project: HandMade, clock: Clock
) -> None:
    clock.set_ahead(30)
    loaded = project.loaded
    runner = SetsBack(DirectRunner(loaded, PROVENANCE), clock)
    night = run_night(loaded, runner, PROVENANCE, NightRequest("the test"))
    assert night.status is NightStatus.COMPLETED
    assert outcome(night) == "promoted"
    assert age(night) == 0.0
    assert night.ended_at is not None
    assert night.ended_at < night.started_at
    assert night.seconds is not None
    assert night.seconds >= 0
    assert all(step.seconds >= 0 for step in night.steps)
    assert project.night().status is NightStatus.NOTHING_TO_DO


def test_a_lease_is_held_and_freed_whatever_the_clock_says(project: HandMade, clock: Clock) -> None:
    path = lease_path(project.loaded)
    clock.set_ahead(30)
    with acquire_lease(path, "a night"):
        clock.set_ahead(0)
        with pytest.raises(LeaseTaken, match="a night"):
            project.night()
        assert is_held(path)
    assert outcome(project.night()) == "promoted"


def test_of_what_a_person_published_the_newest_answers_though_the_clock_was_set_back(
    project: HandMade, clock: Clock
) -> None:
    published = []
    for ahead in (30, 0, -30):
        clock.set_ahead(ahead)
        keyed = KeyedVectors(2)
        keyed.add_vectors(["king", "queen"], np.array([[1, 0], [1, ahead]], np.float32))
        published.append(from_gensim(keyed, project.loaded.artifacts_dir, "other").version)
        assert asked_json(project.path, "show", "other")["version"] == published[-1]
