"""What a night tells, and in which form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nightjar.core import Night, NightStatus
from nightjar.pipeline.alerts.bodies import Message, nightjar_body, slack_body
from nightjar.pipeline.alerts.happenings import Happening, happenings_of

HOSTILE = "a<!channel> & <script>\x1b[31m\u202eevil\u2028\ud800"


def night(**changed: Any) -> Night:
    return Night(
        **{
            "number": 7,
            "pipeline": "news",
            "started_at": "2026-12-01T02:00:00.000+00:00",
            "ended_at": "2026-12-01T02:30:00.000+00:00",
            "owner": "test",
            "config": {},
            "config_hash": "0" * 12,
            "overrides": (),
            "is_trial": False,
            "code": {},
            "status": NightStatus.COMPLETED,
            **changed,
        }
    )


def decision(outcome: str, event: int | None = 4, **changed: Any) -> dict[str, Any]:
    return {
        "model": "glove",
        "outcome": outcome,
        "reason": f"because of {outcome}",
        "note": "",
        "event": event,
        "is_promoted": outcome == "promoted",
        "candidate": {"version": 3},
        "champion": {"version": 2},
        "score": 0.5,
        "consumers": [],
        **changed,
    }


def kinds(found: list[Happening]) -> list[tuple[str, str]]:
    return [(each.kind, each.subject) for each in found]


def test_a_night_tells_the_worst_first_and_each_thing_once() -> None:
    found = happenings_of(
        night(
            status=NightStatus.FAILED,
            decisions=(
                decision("promoted"),
                decision("blocked", model="w2v"),
                decision("waiting", model="sif"),
                decision("unchanged", event=None, model="other"),
            ),
            accepted={
                "text": {"is_accepted": False, "reason": "half is gone"},
                "more": {"is_accepted": True, "reason": "fine"},
            },
            alarms=(
                "corpus text is not accepted: half is gone. Do this",
                "sif keeps its champion: because of waiting",
                "disk is nearly full",
                "train x: no memory",
            ),
        ),
        ["train x: no memory"],
    )
    assert kinds(found) == [
        ("failed", ""),
        ("blocked", "text"),
        ("blocked", "w2v"),
        ("alarm", ""),
        ("waiting", "sif"),
        ("promoted", "glove"),
    ]
    assert [each.text for each in found] == [
        "train x: no memory",
        "corpus text is not accepted: half is gone. Do this",
        "version 3 is blocked: because of blocked",
        "disk is nearly full",
        "version 3 waits for a person: because of waiting",
        "version 3 is champion: because of promoted",
    ]
    assert found[2].details["version"] == 3
    assert found[2].details["champion"] == 2


def test_a_decision_that_repeats_an_earlier_one_is_not_told_again() -> None:
    repeated = decision("blocked", event=None, note="as it was decided before")
    assert happenings_of(night(decisions=(repeated,)), []) == []
    alarms = ("glove keeps its champion: because of waiting",)
    waits = decision("waiting", event=None, note="it waits already")
    found = happenings_of(night(decisions=(waits,), alarms=alarms), [])
    assert kinds(found) == [("alarm", "")]  # each night, as the record says


def test_drift_is_told_with_the_decision_where_the_record_has_it() -> None:
    drift = {"lost": 0.3, "is_alarm": True}
    (found,) = happenings_of(night(decisions=(decision("promoted", drift=drift),)), [])
    assert found.as_json()["details"]["drift"] == drift


def message(*happenings: Happening, of: Night | None = None) -> Message:
    told = [(f"e-{place}", found) for place, found in enumerate(happenings)]
    return Message("m1", "news", of, told)


def happening(text: str = "something", kind: str = "alarm", **changed: Any) -> Happening:
    return Happening(
        **{
            "kind": kind,
            "subject": "",
            "text": text,
            "night": 7,
            "time": "2026-12-01T02:30:00+00:00",
            **changed,
        }
    )


def test_the_body_for_programs_has_everything_and_harms_no_terminal() -> None:
    body = nightjar_body(message(happening(HOSTILE), of=night()))
    assert body.isascii()
    found = json.loads(body)
    assert found["format"] == 1
    assert (found["id"], found["pipeline"]) == ("m1", "news")
    assert found["night"]["number"] == 7
    assert found["night"]["status"] == "completed"
    (event,) = found["events"]
    assert event["id"] == "e-0"
    assert event["text"] == "a<!channel> & <script>\\x1b[31m\\u202eevil\\u2028\\ud800"
    assert found["left_out"] == 0


def test_of_very_many_events_the_last_are_told_and_the_rest_counted() -> None:
    many = [happening(f"number {place}") for place in range(250)]
    found = json.loads(nightjar_body(message(*many)))
    assert len(found["events"]) == 100
    assert found["events"][-1]["text"] == "number 249"
    assert found["left_out"] == 150
    slack = json.loads(slack_body(message(*many)))
    assert len(slack["blocks"]) <= 50
    assert "210 earlier events left out" in json.dumps(slack["blocks"][-1])


def test_slack_gets_text_that_mentions_nobody_and_runs_nothing() -> None:
    found = json.loads(slack_body(message(happening(HOSTILE), of=night())))
    shown = [found["text"], *(block["text"]["text"] for block in found["blocks"])]
    for text in shown:
        assert "<" not in text
        assert ">" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "a&lt;!channel&gt; &amp; &lt;script&gt;" in shown[-1]
    assert found["blocks"][-1]["text"]["verbatim"] is True
    assert found["blocks"][0]["text"] == {
        "type": "plain_text",
        "text": "news, night 7 completed: 1 alarm",
    }


@pytest.mark.parametrize("character", ["x", "<", "&", "é"])
def test_slack_gets_no_more_than_it_takes(character: str) -> None:
    long = happening(character * 10_000, subject="m")
    many = [long] * 60
    found = json.loads(slack_body(message(*many, of=night(pipeline="p"))))
    assert len(found["blocks"]) <= 50
    for block in found["blocks"]:
        if block["type"] == "section":
            text = block["text"]["text"]
            assert len(text) <= 3000
            assert text.endswith("…")
            # No escape is cut in two.
            rest = text.replace("&lt;", "").replace("&amp;", "")
            assert "&" not in rest
    assert len(found["text"]) <= 4001
    assert len(found["blocks"][0]["text"]["text"]) <= 150


def test_slack_is_told_whom_a_block_concerns_and_of_which_night() -> None:
    details = {"consumers": ["search (search@example.com)"]}
    blocked = happening(
        "version 3 is blocked", "blocked", subject="glove", night=6, details=details
    )
    found = json.loads(slack_body(message(blocked, of=night())))
    assert found["blocks"][1]["text"]["text"] == (
        "blocked glove (night 6): version 3 is blocked. Tell search (search@example.com)"
    )
