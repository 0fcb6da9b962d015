"""Records of nights: written as they go on, whole after a kill, never by modification time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nightjar.core import NightRecorder, Nights, NightStatus
from nightjar.core.nights import Night
from nightjar.errors import InputError, StoreError


def begin(directory: Path, **changes: object) -> NightRecorder:
    values: dict[str, object] = {
        "pipeline": "p",
        "owner": "the test",
        "config": {"seed": 1},
        "overrides": (),
        "is_trial": False,
        "git_commit": "abc",
    }
    return Nights(directory).begin(**{**values, **changes})  # type: ignore[arg-type]


def test_nights_are_numbered_and_told_whole(tmp_path: Path) -> None:
    first = begin(tmp_path)
    first.alarm("look here")
    first.decision({"model": "glove", "outcome": "blocked"})
    first.accepted("text", {"is_accepted": True})
    ended = first.end(NightStatus.COMPLETED)
    second = begin(tmp_path, overrides=("a=1",), is_trial=True)
    nights = Nights(tmp_path)
    assert nights.numbers() == [1, 2]
    assert nights.get(1) == ended
    assert ended.alarms == ("look here",)
    assert ended.decisions[0]["model"] == "glove"
    assert ended.accepted == {"text": {"is_accepted": True}}
    assert nights.get(2) == second.night
    assert nights.get(2).status is NightStatus.RUNNING
    assert [night.number for night in nights.newest_first()] == [2, 1]


def test_the_same_config_has_the_same_hash(tmp_path: Path) -> None:
    hashes = [begin(tmp_path, config={"seed": seed}).night.config_hash for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


KILLED = """
import sys, os, signal
from pathlib import Path
from nightjar.core import Nights
recorder = Nights(Path(sys.argv[1])).begin("p", "killed", {}, (), False, None)
recorder.alarm("before the end")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_night_is_marked_by_the_next_one_with_what_it_said(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert Nights(tmp_path).get(1).status is NightStatus.RUNNING
    begin(tmp_path).end(NightStatus.COMPLETED)
    night = Nights(tmp_path).get(1)
    assert night.status is NightStatus.ENDED_EARLY
    assert night.alarms == ("before the end",)
    assert night.owner == "killed"


def test_two_nights_at_once_get_different_numbers(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.numbers = list  # type: ignore[method-assign]  # as seen a moment before
    found = [
        nights.begin("p", "o", {}, (), False, None).night.number,
        nights.begin("p", "o", {}, (), False, None).night.number,
    ]
    assert found == [1, 2]


def test_times_of_files_say_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        begin(tmp_path).end(NightStatus.COMPLETED)
    for path in (tmp_path / "nights" / "000002").iterdir():
        os.utime(path, (1, 1))
    assert next(Nights(tmp_path).newest_first()).number == 2


def test_a_night_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no night 7"):
        Nights(tmp_path).get(7)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"number": "x"})])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    begin(tmp_path).end(NightStatus.COMPLETED)
    path = tmp_path / "nights" / "000001" / "night.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match="000001"):
        Nights(tmp_path).get(1)


def test_a_record_is_plain_json(tmp_path: Path) -> None:
    night: Night = begin(tmp_path).end(NightStatus.NOTHING_TO_DO)
    assert json.loads(json.dumps(night.as_json()))["status"] == "nothing to do"
