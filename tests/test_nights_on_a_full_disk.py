"""Nights on a real disk that is full: from the start, after any number of pages, at any write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from asking_support import asked
from disk_support import empty, leave_free, remount, small_disk
from fork_support import COMMANDS, FORKED
from kinds_support import KindsProject
from nights_support import GOOD, HandMade
from service_support import environment_of_a_user
from victims_support import FULL

from nightjar.core import Nights, NightStatus
from nightjar.registry import check_files_whole

pytestmark = pytest.mark.timeout(300)


def night(config: Path, said: Path, place: str = "", moment: str = "") -> tuple[int, str]:
    """The exit code, and the error if there was one; the disk fills up at a place."""
    said.unlink(missing_ok=True)
    code = FORKED.run("victims_support:night", str(config), str(said), place, moment, FULL)
    return code, said.read_text() if said.exists() else ""


@dataclass
class Project:
    """A pipeline on a small disk; its nights run in processes of their own."""

    made: HandMade
    disk: Path
    n_nights: int = 0

    def new_vectors(self) -> None:
        self.n_nights += 1
        self.made.write_vectors(GOOD, seed=self.n_nights)

    def night(self, place: str = "", moment: str = "") -> tuple[int, str]:
        """The exit code, and the error if there was one."""
        said = self.disk.with_name("said")
        return night(self.made.path, said, place, moment)

    def numbers(self) -> list[int]:
        found = self.made.place.reader().versions("night-words")
        return [version.version for version in found]

    def is_whole(self) -> bool:
        return asked(self.made.path, "verify").splitlines()[-1].endswith("all whole")

    def check_is_finished(self, before: list[int]) -> None:
        """With free space the next night has finished what was due, as one version more."""
        empty(self.disk)
        assert self.night() == (0, "")
        nights = Nights(self.made.loaded.pipeline_dir)
        *earlier, last = nights.all()
        assert last.status in (NightStatus.COMPLETED, NightStatus.NOTHING_TO_DO)
        assert last.alarms == ()
        assert NightStatus.RUNNING not in {night.status for night in earlier}
        number = before[-1] + 1 if before else 1
        assert self.numbers()[-1] == number
        assert self.made.champion == number
        reader = self.made.place.reader()
        assert reader.aliases("night-words") == {"champion": number}
        version = reader.version("night-words", number)
        assert version is not None
        assert check_files_whole(self.made.place, version) == []
        move = self.made.standing.model("words").last_move
        assert move is not None
        assert version.tags["nightjar.gate_key"] == move.decision_key
        assert self.made.due() == []
        assert self.is_whole()
        left = [path for path in self.disk.rglob(".*") if "unfinished" in path.name]
        assert [*left, *self.disk.rglob(".staging-*")] == []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    directory = tmp_path_factory.mktemp("full")
    with small_disk(directory / "disk", "64m") as disk:
        found = Project(HandMade(disk / "project"), disk)
        found.new_vectors()
        assert found.night() == (0, "")
        yield found


KIB = 1_024
FREE = [0, 4, 12, 40, 64]
"""Kibibytes, of about 200 that a night needs at most."""
MOMENTS = [
    ("nightjar.pipeline.night:_Night.registered", "before"),
    ("nightjar.registry.registration:_Registrar._create_version", "before"),
    ("nightjar.registry.registration:_Registrar._create_version", "after"),
    ("nightjar.promotion.ledger:Ledger.append", "before"),
    ("nightjar.promotion.ledger:Ledger.append", "after"),
    ("nightjar.registry.writers:SqliteWriter.point", "after"),
    ("nightjar.core.nights:NightRecorder.end", "before"),
]
"""Each comes later than the one before in what is left to do."""


def test_a_week_in_which_the_disk_is_full_a_little_later_every_night(project: Project) -> None:
    before, n_events = project.numbers(), len(project.made.events)
    project.new_vectors()
    for free in FREE:
        leave_free(project.disk, free * KIB)
        code, said = project.night()
        assert code == 1, free
        assert "No space left on device" in said or "database or disk is full" in said, free
        assert "free some space" in said or "the free space" in said, free
        assert project.numbers() == before
    assert project.is_whole()  # while it is full
    for place, moment in MOMENTS:
        empty(project.disk)
        code, said = project.night(place, moment)
        assert code == 1, place
        assert "No space left on device" in said or "database or disk is full" in said, place
        assert project.numbers()[-1] <= before[-1] + 1
    project.check_is_finished(before)
    assert [event.kind for event in project.made.events[n_events:]] == ["promoted"]


def test_the_command_says_that_the_disk_is_full(project: Project) -> None:
    project.new_vectors()
    leave_free(project.disk, 0)
    arguments = ["run", "-c", str(project.made.path)]
    done = COMMANDS.run(arguments, environment_of_a_user())
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    before = project.numbers()
    project.check_is_finished(before)


STAGES_FILLED = [
    ("write row_shards", "before"),
    ("write graph", "before"),
    ("nightjar.stages.graph.walks_writing:_write_vocabulary", "before"),  # the walks are there
    ("publish tokens", "after"),
    ("write events", "before"),
    ("write tokens", "before"),
    ("write embeddings", "before"),
    ("write evaluation", "before"),
]


def test_a_graph_and_events_on_a_disk_that_is_read_only_and_then_full(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with small_disk(tmp_path / "disk", "64m") as disk:
        project = KindsProject(disk / "project")
        remount(disk, "ro")
        code, why = night(project.path, said)
        assert code == 1
        assert "cannot be written (Read-only file system); fix its permissions" in why
        remount(disk, "rw")
        left = len(project.due())
        for place, moment in STAGES_FILLED:
            code, why = night(project.path, said, place, moment)
            assert code == 1, place
            assert "No space left on device" in why, place
            assert "free some space" in why, place
            assert asked(project.path, "verify").splitlines()[-1].endswith("all whole")
            empty(disk)
            before, left = left, len(project.due())
            assert left <= before, place
        assert night(project.path, said) == (0, "")
        assert project.due() == []
        assert [*disk.rglob(".staging-*"), *disk.rglob("walking")] == []
        assert asked(project.path, "verify").splitlines()[-1].endswith("all whole")
