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


KILLED_ANYWHERE = """
import itertools, json, os, signal, sys
from pathlib import Path
from nightjar.core import Nights, NightStatus

WRITES = {"open", "os.mkdir", "os.link", "os.rename", "os.remove"}
n_left = None

def kill(event, arguments):
    global n_left
    if n_left is not None and event in WRITES:
        n_left -= 1
        if n_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)

def begin(root):
    return Nights(root).begin("p", "o", {}, (), False, None)

def killed(root, n_steps):
    global n_left
    child = os.fork()
    if not child:
        n_left = n_steps
        begin(root)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0

found = []
for n_steps in itertools.count():
    root = Path(sys.argv[1]) / str(n_steps)
    begin(root).end(NightStatus.COMPLETED)
    if not killed(root, n_steps):
        break
    numbers = [night.number for night in Nights(root).all()]
    next_number = begin(root).end(NightStatus.COMPLETED).number
    found.append([numbers, next_number, len(Nights(root).all())])
print(json.dumps(found))
"""


def test_killed_at_any_step_of_its_beginning_a_night_is_there_or_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_ANYWHERE, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    assert found[0] == [[1], 2, 2]
    assert found[-1] == [[1, 2], 3, 3]
    assert len(found) > 4
    for numbers, next_number, n_nights in found:
        assert numbers in ([1], [1, 2])
        assert next_number == n_nights == len(numbers) + 1


def test_a_directory_of_a_night_that_a_full_disk_left_empty_is_used(tmp_path: Path) -> None:
    (tmp_path / "nights" / "000001").mkdir(parents=True)
    assert Nights(tmp_path).all() == []
    assert begin(tmp_path).night.number == 1


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
