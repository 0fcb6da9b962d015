"""nightjar check: nights that did not happen, died or failed, found from the records alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asking_support import invoked, refused
from clock_support import Clock, settable_clock
from conftest import PROVENANCE
from nights_support import GOOD, POOR, HandMade
from webhook_support import SECRET, SECRET_ENV, SETTINGS, URL_ENV, Receiver, receiver

from nightjar.core import Nights
from nightjar.errors import ConfigError, InputError, NightjarError
from nightjar.pipeline import lease_path
from nightjar.pipeline.alerts import CheckLimits, check_pipeline, webhook
from nightjar.promotion import Steward
from nightjar.store import acquire_lease

pytestmark = [
    pytest.mark.slow,  # the nights that most of it starts from
    pytest.mark.usefixtures("light_nights"),
]
DAY = timedelta(hours=26)


@pytest.fixture
def project(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path / "project")


@pytest.fixture
def server(project: HandMade, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "FIRST_PAUSE", 0.01)
    project.document["alerts"] = {"webhook": {**SETTINGS, "tries": 1}}
    project.save()
    with receiver() as found:
        monkeypatch.setenv(URL_ENV, found.url)
        monkeypatch.setenv(SECRET_ENV, SECRET)
        yield found


def found(project: HandMade, *arguments: str) -> list[tuple[str, str]]:
    """Kind and text of what a check finds; its exit code fits."""
    done = invoked(project.path, "check", "--json", *arguments)
    said: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (0 if said["is_well"] else 1), done.output
    assert said["is_well"] is not bool(said["findings"])
    return [(each["kind"], each["text"]) for each in said["findings"]]


def test_a_pipeline_without_a_night_is_not_well(project: HandMade) -> None:
    ((kind, text),) = found(project)
    assert kind == "no night"
    assert text.startswith("no night has run yet; see that the schedule runs")


def test_a_pipeline_is_well_until_its_last_night_is_too_old(project: HandMade) -> None:
    with settable_clock() as clock:
        project.night()
        done = invoked(project.path, "check")
        assert (done.exit_code, done.stdout[:19]) == (0, "well: night 1 ended")
        clock.set_ahead(1)
        assert found(project) == []
        assert [kind for kind, _ in found(project, "--max-age", "23h")] == ["old"]
        clock.set_ahead(31 / 24)
        ((kind, text),) = found(project)
        assert kind == "old"
        assert text.startswith(
            "the last night that completed, 1, ended 31 hours ago, more than 26 hours; see that"
        )
        assert found(project, "--max-age", "32h") == []
        assert found(project, "--max-age", "2d") == []
        project.night()  # nothing is due, and the night happened
        assert found(project) == []


def test_trials_do_not_count(project: HandMade) -> None:
    with settable_clock() as clock:
        project.night()
        clock.set_ahead(2)
        assert project.night("evaluation.bootstrap_samples=101").is_trial
        ((kind, text),) = found(project)
        assert kind == "old"
        assert "1 trial since, which do not count" in text


def test_a_failed_night_is_found_until_one_completes(begun: HandMade) -> None:
    (begun.directory / "vectors.txt").write_text("no vectors\n", encoding="utf-8")
    with pytest.raises(NightjarError):
        begun.night()
    ((kind, text),) = found(begun)
    assert kind == "failed"
    assert text.startswith("night 2 failed: ")
    assert "vectors.txt" in text
    assert text.endswith("See 'nightjar nights show 2'")
    begun.write_vectors(GOOD)
    begun.night()
    assert found(begun) == []


def test_a_killed_night_is_found_and_one_under_way_is_told(begun: HandMade) -> None:
    nights = Nights(begun.loaded.pipeline_dir)
    nights.begin("night", "test", {}, (), False, None)
    ((kind, text),) = found(begun)
    assert (kind, text) == (
        "died",
        "night 2 was killed; 'nightjar run' goes on from what is published",
    )
    with acquire_lease(lease_path(begun.loaded), "another"):
        done = invoked(begun.path, "check")
        assert done.exit_code == 0
        assert "night 2 is under way since" in done.stdout
        later = datetime.now(UTC) + timedelta(days=3)
        (finding,) = check_pipeline(begun.loaded, CheckLimits(DAY), later).findings
        assert finding.kind == "old"
        assert "night 2 is under way since" in finding.text
    assert [kind for kind, _ in found(begun)] == ["died"]
    begun.night()
    assert found(begun) == []


def test_a_clock_that_was_set_back_is_told(project: HandMade) -> None:
    with settable_clock() as clock:
        clock.set_ahead(3)
        project.night()
        clock.set_ahead(0)
        ((kind, text),) = found(project)
        assert kind == "clock"
        assert text.startswith("night 1 ended ")
        assert " ahead of this clock, so its age is unknown; was the clock set back?" in text
        project.night()
        assert found(project) == []


def test_a_model_without_a_champion_is_found(project: HandMade) -> None:
    project.document["registry"]["gate"]["first"] = "wait"
    project.save()
    project.night()
    ((kind, text),) = found(project)
    assert (kind, text) == ("no champion", "words has no champion: 'nightjar promote words 1'")
    assert invoked(project.path, "promote", "words", "1").exit_code == 0
    assert found(project) == []


def test_an_old_champion_is_found_if_that_is_asked_for(project: HandMade, clock: Clock) -> None:
    project.night()
    clock.set_ahead(10)
    project.write_vectors(POOR)
    project.night()
    assert found(project) == []
    ((kind, text),) = found(project, "--max-champion-age", "7d")
    assert kind == "champion"
    assert text.startswith("words version 1 has been champion for 10 days, more than 7 days")
    assert found(project, "--max-champion-age", "11d") == []


@pytest.fixture
def clock() -> Iterator[Clock]:
    with settable_clock() as found:
        yield found


def test_one_model_is_looked_at_alone(project: HandMade, clock: Clock) -> None:
    project.document["models"]["other"] = {
        "trainer": "import",
        "path": "other.txt",
        "format": "glove",
    }
    project.save()
    project.write_vectors(GOOD, "other.txt")
    project.night()
    (project.directory / "other.txt").write_text("no vectors\n", encoding="utf-8")
    with pytest.raises(NightjarError):
        project.night()
    assert [kind for kind, _ in found(project)] == ["failed"]
    assert found(project, "--model", "words") == []
    assert [kind for kind, _ in found(project, "--model", "other")] == ["failed"]
    clock.set_ahead(2)
    with pytest.raises(NightjarError):
        project.night()
    assert found(project, "--model", "words") == []
    assert [kind for kind, _ in found(project, "--model", "other")] == ["failed", "old"]
    error = refused(project.path, "check", "--model", "nobody")
    assert isinstance(error, InputError)
    assert str(error) == "nobody: there is no such model; models has words, other"


@pytest.mark.parametrize("age", ["26", "h", "0h", "-1h", "1.5h", "26 h", "1w", "9999999d", ""])
def test_an_age_that_is_none_is_refused(project: HandMade, age: str) -> None:
    error = refused(project.path, "check", "--max-age", age)
    assert isinstance(error, InputError)
    assert "write a whole number and a unit: 90m, 26h or 2d" in str(error)


def test_what_cannot_be_read_is_a_finding(begun: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Nights(begun.loaded.pipeline_dir).path(1) / "night.json"
    content = record.read_bytes()
    record.write_bytes(b"{")
    ((kind, text),) = found(begun)
    assert kind == "unreadable"
    assert "this part of a night's record is damaged" in text
    record.write_bytes(content)
    assert found(begun) == []

    def forbidden(self: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    assert {kind for kind, _ in found(begun)} == {"unreadable"}


def test_check_writes_nothing_and_asks_no_server(begun: HandMade) -> None:
    before = {path: path.stat().st_mtime_ns for path in begun.directory.rglob("*")}
    assert found(begun) == []
    assert {path: path.stat().st_mtime_ns for path in begun.directory.rglob("*")} == before


# -- sending ---------------------------------------------------------------------------------


def test_a_night_that_did_not_happen_is_sent_and_once_a_day(
    project: HandMade, server: Receiver, clock: Clock
) -> None:
    project.night()
    server.received.clear()
    done = invoked(project.path, "check", "--alert")
    assert (done.exit_code, server.received) == (0, [])
    clock.set_ahead(2)
    done = invoked(project.path, "check", "--alert")
    assert done.exit_code == 1
    assert "alert: sent" in done.stdout
    (message,) = [got.json for got in server.received]
    assert message["night"] is None
    (event,) = message["events"]
    assert event["kind"] == "check"
    assert "ended 48 hours ago" in event["text"]
    clock.set_ahead(2.5)
    done = invoked(project.path, "check", "--alert")
    assert done.exit_code == 1
    assert "the same was sent less than a day ago" in done.stdout
    assert len(server.received) == 1
    clock.set_ahead(3.1)
    assert invoked(project.path, "check", "--alert").exit_code == 1
    assert len(server.received) == 2
    project.night()
    assert invoked(project.path, "check", "--alert").exit_code == 0
    clock.set_ahead(5)  # another night is missing, though less than a day after the last message
    assert invoked(project.path, "check", "--alert").exit_code == 1
    assert len(server.received) == 3


def test_a_check_delivers_what_nights_could_not(project: HandMade, server: Receiver) -> None:
    server.answers = [404]
    project.night()
    assert [kind for kind, _ in found(project)] == ["undelivered"]
    server.received.clear()
    done = invoked(project.path, "check", "--alert", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["alert"] == "sent"
    assert [got.events for got in server.received] == [[("promoted", "words")]]


def test_a_check_that_cannot_send_says_so(project: HandMade, server: Receiver) -> None:
    server.answers = [403]
    done = invoked(project.path, "check", "--alert")
    assert done.exit_code == 1
    assert "alert: not sent: the server answers 403 (1 try)" in done.stdout
    assert "s3cr3t" not in done.output
    assert "undelivered: 1 message not delivered" in done.stdout


def test_a_failed_night_that_told_it_is_not_told_again(project: HandMade, server: Receiver) -> None:
    project.night()
    (project.directory / "vectors.txt").write_text("no vectors\n", encoding="utf-8")
    with pytest.raises(NightjarError):
        project.night()
    server.received.clear()
    done = invoked(project.path, "check", "--alert")
    assert done.exit_code == 1
    assert server.received == []
    assert "alert: nothing to send" in done.stdout


def test_alert_without_a_webhook_or_its_variables_is_refused(
    project: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(project.path, "check", "--alert")
    assert isinstance(error, ConfigError)
    assert "--alert needs alerts.webhook" in str(error)
    project.document["alerts"] = {"webhook": SETTINGS}
    project.save()
    monkeypatch.delenv(URL_ENV, raising=False)
    error = refused(project.path, "check", "--alert")
    assert isinstance(error, ConfigError)
    assert f"the environment variable {URL_ENV}, which alerts.webhook names, is not set" in str(
        error
    )


def test_a_rollback_makes_another_champion_young_again(project: HandMade, clock: Clock) -> None:
    """The age is that of the order which made the version champion."""
    project.night()
    clock.set_ahead(1)
    project.write_vectors(GOOD, seed=1)
    project.night()
    clock.set_ahead(20)
    Steward(project.loaded, PROVENANCE.actor).rollback("words")
    assert [kind for kind, _ in found(project, "--max-champion-age", "7d")] == ["old"]
