"""Nights that tell what happened: which message comes when, and nothing that fails a night."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from asking_support import invoked
from conftest import PROVENANCE
from nights_support import GOOD, POOR, HandMade
from webhook_support import SECRET, SECRET_ENV, SETTINGS, URL_ENV, Receiver, receiver

from nightjar.config import load_config
from nightjar.core import Nights, NightStatus, Step
from nightjar.errors import LeaseTaken, NightjarError, SourceError
from nightjar.pipeline import DirectRunner, NightRequest, lease_path, run_night
from nightjar.pipeline.alerts import webhook
from nightjar.store import acquire_lease

pytestmark = [
    pytest.mark.slow,  # the nights that most of it starts from
    pytest.mark.usefixtures("light_nights"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "FIRST_PAUSE", 0.01)
    with receiver() as found:
        monkeypatch.setenv(URL_ENV, found.url)
        monkeypatch.setenv(SECRET_ENV, SECRET)
        yield found


@pytest.fixture
def project(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path / "project", alerts={"webhook": SETTINGS})


def told(server: Receiver) -> list[list[tuple[str, str]]]:
    """What each message since the last call told."""
    found = [got.events for got in server.received]
    server.received.clear()
    return found


def undelivered(project: HandMade) -> list[Path]:
    directory = project.loaded.pipeline_dir / "alerts" / "undelivered"
    return sorted(directory.iterdir()) if directory.exists() else []


def texts(project: HandMade) -> str:
    """Everything that Nightjar wrote down in the project, except what other programs keep."""
    found = [path for path in project.directory.rglob("*") if path.suffix in (".json", ".prom")]
    found += undelivered(project)
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in found)


def test_promotion_block_failure_and_alarm_are_told_once_each(
    project: HandMade, server: Receiver
) -> None:
    project.document["consumers"] = {"search": {"uses": ["words"], "contact": "s@example.com"}}
    project.save()
    night = project.night()
    (message,) = [got.json for got in server.received]
    assert message["pipeline"] == "night"
    assert message["night"]["number"] == night.number
    assert message["night"]["status"] == "completed"
    assert told(server) == [[("promoted", "words")]]
    project.night()
    assert told(server) == []  # nothing is new
    project.write_vectors(POOR)
    project.night()
    assert told(server) == [[("blocked", "words"), ("alarm", "")]]
    project.night()
    assert told(server) == [[("alarm", "")]]  # the block is the same, the alarm is repeated
    (project.directory / "vectors.txt").write_text("no vectors\n", encoding="utf-8")
    with pytest.raises(NightjarError):
        project.night()
    (message,) = [got.json for got in server.received]
    assert message["night"]["status"] == "failed"
    assert told(server) == [[("failed", "")]]
    with pytest.raises(NightjarError):
        project.night()
    assert told(server) == [[("failed", "")]]
    project.write_vectors(GOOD, seed=1)
    project.night()
    assert told(server) == [[("promoted", "words")]]


def test_a_refused_corpus_is_told_as_a_block_until_it_is_accepted(
    project: HandMade, server: Receiver
) -> None:
    project.night()
    project.write_text(50)
    told(server)
    project.night()
    (events,) = told(server)
    assert ("blocked", "text") in events
    assert ("alarm", "") not in events
    project.night()
    assert told(server) == [[("blocked", "text")]]


def test_only_what_the_config_wants_is_told(project: HandMade, server: Receiver) -> None:
    project.document["alerts"]["events"] = ["failed"]
    project.save()
    project.night()
    project.write_vectors(POOR)
    project.night()
    assert told(server) == []


def test_a_trial_tells_nothing_unless_it_is_asked_to(project: HandMade, server: Receiver) -> None:
    project.night()
    told(server)
    project.write_vectors(POOR)
    project.night("evaluation.bootstrap_samples=101")
    assert told(server) == []
    project.night("evaluation.bootstrap_samples=102", "alerts.trials=true")
    (message,) = [got.json for got in server.received]
    assert message["night"]["is_trial"]
    assert told(server) == [[("blocked", "words")]]


def test_what_no_server_takes_fails_no_night_and_goes_with_the_next_message(
    project: HandMade, server: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [404]
    first = project.night()
    assert first.status is NightStatus.COMPLETED
    assert project.champion == 1
    server.received.clear()
    assert "the server answers 404 (1 try)" in caplog.text
    assert len(undelivered(project)) == 1
    checked = invoked(project.path, "check")
    assert checked.exit_code == 1
    assert "1 message about night 1 not delivered: the server answers 404" in checked.stdout
    project.write_vectors(POOR)
    project.night()
    (message,) = [got.json for got in server.received]
    assert [(event["kind"], event["night"]) for event in message["events"]] == [
        ("promoted", 1),
        ("blocked", 2),
    ]
    assert len({event["id"] for event in message["events"]}) == 2
    assert undelivered(project) == []
    assert invoked(project.path, "check").exit_code == 0


def test_a_night_with_nothing_to_tell_delivers_what_is_left(
    project: HandMade, server: Receiver
) -> None:
    server.answers = [404]
    project.night()
    server.received.clear()
    project.night()
    assert told(server) == [[("promoted", "words")]]


def test_the_url_is_in_no_record_no_log_and_no_output(
    project: HandMade, server: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    project.document["alerts"]["metrics"] = "out/night.prom"
    project.save()
    server.answers = [500, (302, {"Location": "http://127.0.0.1:9/s3cr3t"})]
    project.night()
    shown = invoked(project.path, "check").output + invoked(project.path, "nights").output
    for text in (texts(project), caplog.text, shown):
        assert text
        for secret in ("s3cr3t", SECRET, str(server.port)):
            assert secret not in text


@pytest.mark.parametrize("missing", [URL_ENV, SECRET_ENV])
def test_a_variable_that_is_not_set_fails_no_night(
    project: HandMade, server: Receiver, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    assert project.night().status is NightStatus.COMPLETED
    assert missing in invoked(project.path, "check").stdout
    assert told(server) == []


def test_a_disk_that_takes_no_message_fails_no_night(
    project: HandMade, server: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = project.loaded.pipeline_dir / "alerts"
    alerts.parent.mkdir(parents=True)
    alerts.write_text("in the way", encoding="utf-8")
    assert project.night().status is NightStatus.COMPLETED
    assert "what happened is not told" in caplog.text


def test_a_bug_in_telling_fails_no_night_and_its_text_is_not_logged(
    project: HandMade,
    server: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError(server.url)

    monkeypatch.setattr(webhook, "deliver", broken)
    assert project.night().status is NightStatus.COMPLETED
    assert "what happened is not told: RuntimeError" in caplog.text
    assert "s3cr3t" not in caplog.text
    monkeypatch.undo()
    assert len(undelivered(project)) == 1  # it was kept before


def test_a_night_that_fails_while_it_is_planned_is_told(
    project: HandMade, server: Receiver
) -> None:
    (project.directory / "text.txt").unlink()
    with pytest.raises(SourceError):
        project.night()
    (message,) = [got.json for got in server.received]
    (event,) = message["events"]
    assert (event["kind"], event["night"]) == ("failed", 1)
    assert "text.txt" in event["text"]


def test_a_command_that_fails_before_its_night_begins_is_told_once(
    project: HandMade, server: Receiver
) -> None:
    (project.directory / "text.txt").unlink()
    done = invoked(project.path, "run")
    assert isinstance(done.exception, SourceError)
    (message,) = [got.json for got in server.received]
    assert message["night"] is None
    assert [(event["kind"], event["night"]) for event in message["events"]] == [("failed", None)]
    assert Nights(project.loaded.pipeline_dir).numbers() == []


def test_a_run_that_finds_another_under_way_tells_nothing(
    project: HandMade, server: Receiver
) -> None:
    with acquire_lease(lease_path(project.loaded), "another"), pytest.raises(LeaseTaken):
        project.night()
    assert told(server) == []
    assert undelivered(project) == []


class _Ended(DirectRunner):
    """A runner whose first step is ended from outside."""

    ending: BaseException = KeyboardInterrupt()

    def run(self, step: Step) -> None:
        raise self.ending


class _Terminated(BaseException):
    """As Prefect raises for SIGTERM."""


def ended(project: HandMade, how: BaseException) -> None:
    loaded = load_config(project.path)
    runner = _Ended(loaded, PROVENANCE)
    object.__setattr__(runner, "ending", how)
    with pytest.raises(type(how)):
        run_night(loaded, runner, PROVENANCE, NightRequest("the test"))


def test_a_process_that_is_told_to_end_says_so_but_not_to_who_pressed_ctrl_c(
    project: HandMade, server: Receiver
) -> None:
    ended(project, KeyboardInterrupt())
    assert told(server) == []
    ended(project, _Terminated("the worker was stopped"))
    assert told(server) == [[("failed", "")]]
    server.answers = [503, 200]
    ended(project, _Terminated("again"))
    assert len(server.received) == 1  # who ends a process waits for seconds only


def test_a_bug_in_a_step_is_told(project: HandMade, server: Receiver) -> None:
    ended(project, RuntimeError("a bug"))
    (message,) = [got.json for got in server.received]
    assert [event["text"] for event in message["events"]] == ["a bug"]


def forget_ends(project: HandMade, numbers: Sequence[int]) -> None:
    """Let nights look as if their processes had been killed."""
    for number in numbers:
        (Nights(project.loaded.pipeline_dir).path(number) / "night.json").unlink()


def test_nights_that_were_killed_are_told_by_the_next_one_and_once(
    project: HandMade, server: Receiver
) -> None:
    for _ in range(3):
        project.night()
    told(server)
    forget_ends(project, [2, 3])
    project.night()
    (message,) = [got.json for got in server.received]
    assert [(event["kind"], event["night"]) for event in message["events"]] == [
        ("failed", 3),
        ("failed", 2),
    ]
    told(server)
    project.night()
    assert told(server) == []


def test_slack_gets_what_it_shows(project: HandMade, server: Receiver) -> None:
    project.document["alerts"]["webhook"] = {"url_env": URL_ENV, "body": "slack"}
    project.save()
    project.night()
    found: dict[str, Any] = json.loads(server.received[0].body)
    assert set(found) == {"text", "blocks"}
    assert found["text"].startswith(
        "night, night 1 completed: 1 promoted\npromoted words: version 1"
    )
