"""Somebody changes MLflow by hand between two nights: it is told, and mended or refused.

Real nights and real MLflow on SQLite. Versions 1 and 2 became champion one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking_support import asked, asked_json, invoked, refused
from copying_support import copy_project
from nights_support import GOOD, HandMade
from registry_support import mlflow
from sharing_support import shared

from nightjar.core import NightStatus

pytestmark = pytest.mark.usefixtures("light_nights")

NAME = "night-words"
ALARM = "night-words: the alias champion was moved by hand: it points"


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared(tmp_path_factory, "alias-by-hand", make_two_nights)


def make_two_nights(directory: Path) -> Path:
    project = HandMade(directory / "project")
    project.night()
    project.write_vectors(GOOD, seed=1)
    project.night()
    assert project.champion == 2
    return project.directory


@pytest.fixture
def project(two_nights: Path, tmp_path: Path) -> HandMade:
    directory = tmp_path / "project"
    project = HandMade(directory)
    copy_project(two_nights, directory)
    return project


def client(project: HandMade) -> Any:
    return mlflow.MlflowClient(project.place.uri, project.place.uri)


def alias(project: HandMade) -> int | None:
    found = project.place.reader().alias(NAME, "champion")
    return None if found is None else found.version


def delete_alias(registry: Any) -> None:
    registry.delete_registered_model_alias(NAME, "champion")


def move_alias(registry: Any) -> None:
    registry.set_registered_model_alias(NAME, "champion", "1")


def point_to_a_foreign_version(registry: Any) -> None:
    registry.create_model_version(NAME, "/by/hand")
    registry.set_registered_model_alias(NAME, "champion", "3")


def delete_version(registry: Any) -> None:
    registry.delete_model_version(NAME, "2")


def delete_model(registry: Any) -> None:
    registry.delete_registered_model(NAME)


def rename_model(registry: Any) -> None:
    registry.rename_registered_model(NAME, "archive")


Deed = Callable[[Any], None]
OF_THE_ALIAS: list[tuple[Deed, str]] = [
    (delete_alias, "nowhere"),
    (move_alias, "to version 1"),
    (point_to_a_foreign_version, "to version 3"),
]
OF_THE_VERSION: list[Deed] = [delete_version, delete_model, rename_model]


def alarms_of(project: HandMade) -> list[str]:
    """What plan and history tell; both the same."""
    alarms: list[str] = asked_json(project.path, "plan")["alarms"]
    assert asked_json(project.path, "history")["alarms"] == alarms
    assert all(alarm in asked(project.path, "plan") for alarm in alarms)
    return alarms


def check_a_run_tells(project: HandMade) -> None:
    """A run with nothing due tells it, in its output, its JSON and the list of nights."""
    done = invoked(project.path, "run")
    assert done.exit_code == 0, done.output
    assert f"alarm: {ALARM}" in done.output
    (alarm,) = asked_json(project.path, "run")["alarms"]
    assert alarm.startswith(ALARM)
    assert asked_json(project.path, "nights")[0]["alarms"] == [alarm]


def check_quiet(project: HandMade) -> None:
    """Plan, night, history and questions tell nothing any more."""
    assert alarms_of(project) == []
    night = project.night()
    assert (night.status, list(night.alarms)) == (NightStatus.NOTHING_TO_DO, [])
    done = invoked(project.path, "neighbors", "left0")
    assert (done.exit_code, "alarm" in done.output) == (0, False)


@pytest.mark.parametrize(("deed", "place"), OF_THE_ALIAS)
def test_an_alias_changed_by_hand_is_told_until_it_is_repaired(
    project: HandMade, deed: Deed, place: str
) -> None:
    right = asked_json(project.path, "neighbors", "left0")
    deed(client(project))
    (alarm,) = alarms_of(project)
    assert alarm.startswith(f"{ALARM} {place}, but the ledger says to version 2 (event ")
    assert "The next night holds the model until 'nightjar adopt words'" in alarm
    done = invoked(project.path, "neighbors", "left0", "--json")
    assert done.exit_code == 0
    assert ALARM in done.stderr
    assert asked_json(project.path, "neighbors", "left0") == right  # the ledger's champion answers

    before = len(project.events)
    check_a_run_tells(project)
    check_a_run_tells(project)  # the night after: still
    assert [event.kind.value for event in project.events[before:]] == ["held"]
    (alarm,) = alarms_of(project)
    assert "The model is held until" in alarm
    assert asked_json(project.path, "history")["models"]["words"]["is_in_conflict"]
    assert ALARM in invoked(project.path, "history").stderr

    asked(project.path, "repair", "words")
    assert alias(project) == 2
    check_quiet(project)


@pytest.mark.parametrize(("deed", "place"), OF_THE_ALIAS)
def test_a_better_candidate_is_not_promoted_over_a_disputed_alias(
    project: HandMade, deed: Deed, place: str
) -> None:
    deed(client(project))
    disputed = alias(project)
    project.write_vectors(GOOD, seed=2)
    night = project.night()
    assert night.status is NightStatus.COMPLETED
    assert not any(found["is_promoted"] for found in night.decisions)
    assert len(night.alarms) == 1
    assert (alias(project), project.champion) == (disputed, 2)
    asked(project.path, "repair", "words")
    assert project.night().decisions[0]["is_promoted"]


@pytest.mark.parametrize("deed", OF_THE_VERSION)
def test_a_champion_that_is_gone_is_told_and_comes_back_with_the_next_nights(
    project: HandMade, deed: Deed
) -> None:
    deed(client(project))
    (alarm,) = alarms_of(project)
    assert alarm.startswith(f"{ALARM} nowhere, but the ledger says to version 2 (event ")
    done = invoked(project.path, "neighbors", "left0")
    assert "night-words version 2 is no longer in the registry" in str(done.exception)
    assert ALARM in done.stderr
    assert "version 2 is gone from the registry" in str(refused(project.path, "repair", "words"))

    check_a_run_tells(project)  # it registers the same bytes anew, and promotes nothing
    assert alias(project) is None
    assert "'nightjar adopt words'" in str(refused(project.path, "repair", "words"))

    asked(project.path, "adopt", "words")
    night = project.night()
    assert night.decisions[0]["is_promoted"]
    assert alias(project) == project.champion
    check_quiet(project)


@pytest.mark.parametrize("deed", [delete_model, rename_model])
def test_numbers_that_now_name_other_bytes_are_no_way_back(project: HandMade, deed: Deed) -> None:
    """Version 1 of the new registered model has the bytes of version 2."""
    deed(client(project))
    project.night()
    (found,) = project.place.reader().versions(NAME)
    assert found.version == 1
    asked(project.path, "adopt", "words")
    before = project.kinds
    refused(project.path, "rollback", "words", "--to", 1)
    assert project.kinds == before


def test_a_version_that_is_not_ours_is_not_adopted(project: HandMade) -> None:
    point_to_a_foreign_version(client(project))
    said = str(refused(project.path, "adopt", "words"))
    assert "version 3 was not registered by Nightjar" in said
    assert alias(project) == 3


def test_an_alias_that_is_moved_back_by_hand_still_needs_a_word(project: HandMade) -> None:
    delete_alias(client(project))
    project.night()
    client(project).set_registered_model_alias(NAME, "champion", "2")
    (alarm,) = alarms_of(project)
    assert "points to version 2 (event" in alarm
    assert "again. The model is held until" in alarm
    asked(project.path, "repair", "words")
    check_quiet(project)
