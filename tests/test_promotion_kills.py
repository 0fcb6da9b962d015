"""A process is killed at each step of a promotion; what comes next completes it, once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fork_support import FORKED
from promotion_support import Pipeline, served

from nightjar.promotion import read_standing

pytestmark = pytest.mark.slow  # the processes that most of it kills


class Killed:
    """Runs nights and commands in processes of their own, which die."""

    def run(
        self, pipeline: Pipeline, action: str, point: str, count: int = 1, max_loose: int = 64
    ) -> int:
        """The exit code; negative: the number of a signal."""
        arguments = str(pipeline.config), action, point, count, max_loose
        return FORKED.run("promotion_victims_support:act", *arguments)

    def kill(
        self, pipeline: Pipeline, action: str, point: str, count: int = 1, max_loose: int = 64
    ) -> None:
        """Run something that has to die where it is told to."""
        assert self.run(pipeline, action, point, count, max_loose) == -signal.SIGKILL, point


@pytest.fixture(scope="module")
def victims() -> Killed:
    FORKED.run("promotion_victims_support:load", is_forked=False)
    return Killed()


@pytest.fixture
def pipeline(begun: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy of ``begun``, free to change."""
    return begun.copied(tmp_path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A is champion, B was blocked once (so it is challenger) and would be promoted tonight."""
    made = Pipeline.create(tmp_path_factory.mktemp("begun"), tmp_path_factory)
    made.night(made.version("A", 0.5), number=1)
    made.client.set_registered_model_alias(
        "night-w2v", "challenger", str(made.version("B", 0.6).number)
    )
    return made


BEFORE_THE_ROW = (
    ("Ledger.writing:before", 1),  # of recover
    ("Desk.complete:before", 1),
    ("Promoter._check_files:before", 1),
    ("Ledger.writing:before", 2),  # of settle
    ("Desk.complete:after", 2),
    ("Promoter._settle:before", 1),
    ("Desk.record:before", 1),
    ("Ledger.append:before", 1),
    ("ledger.put_new:before", 1),
    ("local_disk._link_unless_there:before", 1),  # written beside, without its name yet
)
AFTER_THE_ROW = (
    ("local_disk._link_unless_there:after", 1),
    ("ledger.put_new:after", 1),
    ("Ledger.append:after", 1),
    ("Desk.apply:before", 1),
    ("SqliteWriter.own:after", 1),
    ("SqliteWriter.point:before", 1),
    ("SqliteWriter.point:after", 1),  # the alias has moved, the mark is missing
    ("SqliteWriter.mark:before", 1),
    ("SqliteWriter.mark:after", 1),
    ("Desk.record:after", 1),
    ("Desk.keep_challenger:before", 1),
    ("SqliteWriter.point:before", 2),  # of the alias challenger
    ("SqliteWriter.point:after", 2),
    ("Promoter._settle:after", 1),
)


def check_is_whole(pipeline: Pipeline, number: int) -> None:
    """Champion, mark, page, challenger and readers agree, and nothing was promoted twice."""
    assert pipeline.promoter().recover() == []
    assert pipeline.alias() == number
    standing = read_standing(pipeline.loaded).model("w2v")
    assert standing.champion is not None
    assert standing.champion.number == number
    assert standing.last_move is not None
    assert pipeline.mark() == str(standing.last_move.number)
    about = [event for event in pipeline.events("w2v") if event.new == standing.champion]
    keys = [event.decision_key for event in about if event.decision_key]
    assert pipeline.registered(standing.champion).tags["nightjar.gate_key"] == keys[-1]
    numbers = [event.number for event in pipeline.events()]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(("point", "count"), BEFORE_THE_ROW + AFTER_THE_ROW)
def test_next_night_completes_a_killed_promotion(
    victims: Killed, pipeline: Pipeline, point: str, count: int
) -> None:
    victims.kill(pipeline, "night", point, count)
    is_recorded = (point, count) in AFTER_THE_ROW
    assert len(pipeline.events()) == (2 if is_recorded else 1)
    readable = read_standing(pipeline.loaded)  # readers get along with it
    assert readable.model("w2v").champion is not None
    second = pipeline.version("B", 0.6)
    pipeline.evaluations[pipeline.version("A").digest] = pipeline.evaluations[second.digest]
    pipeline.night(second, number=3)
    assert pipeline.kinds() == [("promoted", 1), ("promoted", 2)]
    assert pipeline.alias("challenger") is None
    check_is_whole(pipeline, 2)
    night = 2 if is_recorded else 3
    assert pipeline.promoter().standing().serving == served(second, night)


@pytest.mark.parametrize(("point", "count"), AFTER_THE_ROW[::3])
def test_next_command_completes_a_killed_promotion(
    victims: Killed, pipeline: Pipeline, point: str, count: int
) -> None:
    victims.kill(pipeline, "night", point, count)
    change = pipeline.steward().hold("w2v", "look at it")
    assert change.event is not None
    assert (change.event.number, change.event.old) == (3, pipeline.version("B"))
    check_is_whole(pipeline, 2)


ROLLBACK = (
    ("Ledger.append:before", 1),
    ("ledger.put_new:after", 1),
    ("SqliteWriter.point:before", 1),
    ("SqliteWriter.point:after", 1),
    ("SqliteWriter.mark:after", 1),
)


@pytest.mark.parametrize(("point", "count"), ROLLBACK)
def test_next_night_completes_a_killed_rollback(
    victims: Killed, pipeline: Pipeline, point: str, count: int
) -> None:
    second = pipeline.version("B")
    pipeline.night(second, number=2)
    victims.kill(pipeline, "rollback", point, count)
    is_recorded = point != "Ledger.append:before"
    settled = pipeline.night(second, number=3)
    assert not settled.is_promoted
    kinds = [kind for kind, _ in pipeline.kinds()]
    if is_recorded:
        assert kinds == ["promoted", "promoted", "rolled_back", "waiting"]
        check_is_whole(pipeline, 1)
    else:
        assert kinds == ["promoted", "promoted"]
        check_is_whole(pipeline, 2)


COMPACTION = (
    ("Ledger.compact:before", 1),
    ("ledger.put_new:before", 2),
    ("ledger.put_new:after", 2),
    ("Path.unlink:after", 2),
    ("Path.unlink:after", 3),
    ("Ledger.compact:after", 1),
)


@pytest.mark.parametrize(("point", "count"), COMPACTION)
def test_kill_while_the_ledger_is_compacted(
    victims: Killed, pipeline: Pipeline, point: str, count: int
) -> None:
    for number in range(6):
        pipeline.steward().hold("w2v", f"reason {number}")
        pipeline.steward().resume("w2v")
    before = pipeline.events()
    victims.kill(pipeline, "night", point, count, max_loose=5)
    assert pipeline.events()[: len(before)] == before
    pipeline.night(pipeline.version("B", 0.6), number=3)
    check_is_whole(pipeline, 2)
    assert [kind for kind, _ in pipeline.kinds()].count("promoted") == 2


def test_killed_between_what_is_superseded_and_what_waits_now(
    victims: Killed, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pipeline = Pipeline.create(tmp_path, tmp_path_factory, first="wait")
    pipeline.night(pipeline.version("A", 0.5), number=1)
    pipeline.version("B", 0.6)
    victims.kill(pipeline, "night", "Ledger.append:before", 2)
    assert pipeline.kinds() == [("waiting", 1), ("superseded", 1)]
    assert pipeline.standing().waiting is None
    pipeline.night(pipeline.version("B"), number=3)
    assert pipeline.kinds() == [("waiting", 1), ("superseded", 1), ("waiting", 2)]


def test_killed_while_it_recovers(victims: Killed, pipeline: Pipeline) -> None:
    victims.kill(pipeline, "night", "SqliteWriter.point:before")
    for point in ("Desk.apply:before", "SqliteWriter.own:after", "SqliteWriter.mark:before"):
        victims.kill(pipeline, "night", point)
    check_is_whole(pipeline, 2)
    assert pipeline.kinds() == [("promoted", 1), ("promoted", 2)]


def test_killed_while_it_records_a_conflict(victims: Killed, pipeline: Pipeline) -> None:
    pipeline.client.set_registered_model_alias("night-w2v", "champion", "2")
    victims.kill(pipeline, "night", "ledger.put_new:before")
    victims.kill(pipeline, "night", "ledger.put_new:after")
    (alarm,) = pipeline.promoter().recover()
    assert "was moved by hand" in alarm
    assert [kind for kind, _ in pipeline.kinds()] == ["promoted", "held"]


def test_alias_moved_by_hand_after_a_killed_promotion_is_not_overwritten(
    victims: Killed,
    pipeline: Pipeline,
) -> None:
    victims.kill(pipeline, "night", "SqliteWriter.point:before")
    pipeline.version("C")
    pipeline.client.set_registered_model_alias("night-w2v", "champion", "3")
    (alarm,) = pipeline.promoter().recover()
    assert "it points to version 3, but the ledger says to version 2 (event 2)" in alarm
    assert pipeline.alias() == 3


def test_process_that_is_not_killed_goes_on(victims: Killed, pipeline: Pipeline) -> None:
    assert victims.run(pipeline, "night", "") == 0
    assert pipeline.kinds() == [("promoted", 1), ("promoted", 2)]
    check_is_whole(pipeline, 2)
