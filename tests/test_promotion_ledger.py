"""The ledger on disk: numbers, damage, compaction, several writers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nightjar.errors import LedgerBusy, LedgerDamaged
from nightjar.promotion import Event, EventKind, Ledger, VersionRef
from nightjar.promotion import ledger as module
from nightjar.promotion.ledger import NewEvent, Writer
from nightjar.store import schemas

WRITER = Writer("ann", 17)
OLD, NEW = VersionRef(1, "e1", "d1"), VersionRef(2, "e2", "d2")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "pipelines" / "night" / "ledger")


def held(number: int) -> NewEvent:
    return NewEvent(EventKind.HELD, "w2v", f"reason {number}")


def fill(ledger: Ledger, n_events: int) -> None:
    for number in range(n_events):
        ledger.append(held(number + 1), WRITER)


def reasons(ledger: Ledger) -> list[str]:
    return [event.reason for event in Ledger(ledger.directory).events()]


def files(ledger: Ledger) -> list[str]:
    return sorted(path.name for path in ledger.directory.glob("*.parquet"))


def test_ledger_that_is_not_there_has_no_events_and_is_not_made(ledger: Ledger) -> None:
    assert ledger.events() == ()
    assert ledger.id is None
    assert not ledger.directory.exists()


def test_event_comes_back_as_it_was_written(ledger: Ledger) -> None:
    before = datetime.now(UTC)
    written = ledger.append(
        NewEvent(
            kind=EventKind.PROMOTED,
            subject="w2v",
            reason="better, naïve 日本",
            old=OLD,
            new=NEW,
            decision_key="abc",
            evidence={"decision": {"score": 0.1 + 0.2, "none": None}, "list": [1, "x"]},
        ),
        WRITER,
    )
    assert Ledger(ledger.directory).events() == (written,)
    assert (written.number, written.actor, written.night) == (1, "ann", 17)
    assert (written.old, written.new) == (OLD, NEW)
    assert written.evidence["decision"]["score"] == 0.1 + 0.2
    assert abs(written.time - before) < timedelta(minutes=1)
    assert written.time.tzinfo is UTC


def test_event_without_versions_night_and_key_comes_back(ledger: Ledger) -> None:
    written = ledger.append(held(1), Writer("bob"))
    (read,) = Ledger(ledger.directory).events()
    assert read == written
    assert (read.old, read.new, read.night, read.decision_key) == (None, None, None, None)
    assert read.evidence == {}


def test_file_has_the_declared_schema(ledger: Ledger) -> None:
    fill(ledger, 1)
    (path,) = ledger.directory.glob("*.parquet")
    assert path.name == "000001.parquet"
    assert pq.read_schema(path).equals(schemas.LEDGER_SCHEMA)


def test_id_is_made_once_and_is_random(ledger: Ledger, tmp_path: Path) -> None:
    made = ledger.make_id()
    assert ledger.make_id() == Ledger(ledger.directory).id == made
    fill(ledger, 1)
    assert ledger.id == made
    other = Ledger(tmp_path / "other")
    fill(other, 1)
    assert len({made, other.id, None}) == 3


def test_evidence_that_is_no_json_number_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        ledger.append(NewEvent(EventKind.HELD, "w2v", "", evidence={"x": float("nan")}), WRITER)
    assert ledger.events() == ()


# -- damage ------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def exchange(path: Path) -> None:
    path.write_bytes(path.with_name("000001.parquet").read_bytes())


def edit(path: Path) -> None:
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["reason"] = "edited"
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "event 2 is missing before 000003.parquet"),
        (cut, "000002.parquet cannot be read"),
        (exchange, "000002.parquet does not hold the events in its name"),
        (edit, "event 2 was changed after it was written"),
        (lambda path: path.write_bytes(b""), "000002.parquet cannot be read"),
    ],
)
def test_damage_is_an_error_that_says_where_and_what_to_do(
    ledger: Ledger, damage: Callable[[Path], Any], said: str
) -> None:
    fill(ledger, 3)
    damage(ledger.directory / "000002.parquet")
    with pytest.raises(LedgerDamaged, match=said) as caught:
        Ledger(ledger.directory).events()
    assert str(ledger.directory) in str(caught.value)
    assert "restore the missing or damaged file from a backup" in str(caught.value)


@pytest.mark.parametrize("place", range(0, 3000, 97))
def test_no_flipped_byte_goes_unnoticed(ledger: Ledger, place: int) -> None:
    fill(ledger, 1)
    (written,) = ledger.events()
    path = ledger.directory / "000001.parquet"
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 0x40
    path.write_bytes(content)
    try:
        found = Ledger(ledger.directory).events()
    except LedgerDamaged:
        return
    assert found == (written,)  # it was in what nobody reads


def test_unfinished_files_and_others_are_not_read(ledger: Ledger) -> None:
    fill(ledger, 2)
    (ledger.directory / ".000003.parquet.1234").write_bytes(b"half")
    (ledger.directory / "notes.txt").write_text("mine")
    assert reasons(ledger) == ["reason 1", "reason 2"]


# -- several writers -----------------------------------------------------------------------------


def test_number_that_another_process_took_is_an_error(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger, 1)
    real = module.put_new

    def slower(path: Path, data: bytes) -> bool:
        real(path, b"of another")
        return real(path, data)

    monkeypatch.setattr(module, "put_new", slower)
    with pytest.raises(LedgerDamaged, match="event 2 was written by another process"):
        ledger.append(held(2), WRITER)


APPENDING = """
import sys
from pathlib import Path
from nightjar.promotion import EventKind, Ledger
from nightjar.promotion.ledger import NewEvent, Writer

ledger = Ledger(Path(sys.argv[1]))
for number in range(20):
    with ledger.writing("writer"):
        ledger.append(NewEvent(EventKind.HELD, "w2v", f"{sys.argv[2]} {number}"), Writer("x"))
"""


def test_writers_in_several_processes_take_turns(ledger: Ledger) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", APPENDING, str(ledger.directory), name])
        for name in ("a", "b", "c")
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    found = reasons(ledger)
    for name in ("a", "b", "c"):
        assert [reason for reason in found if reason[0] == name] == [
            f"{name} {number}" for number in range(20)
        ]
    assert len(found) == 60


def test_writer_that_does_not_end_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.2)
    with (
        ledger.writing("the first"),
        pytest.raises(LedgerBusy, match=r"another process has been writing .*the first"),
        Ledger(ledger.directory).writing("the second"),
    ):
        pass
    with ledger.writing("the third"):
        fill(ledger, 1)


# -- compaction ----------------------------------------------------------------------------------


def test_older_events_are_compacted_and_the_ledger_reads_the_same(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_LOOSE", 8)
    monkeypatch.setattr(module, "_KEEP_LOOSE", 3)
    for number in range(1, 41):
        ledger.append(held(number), WRITER)
        assert reasons(ledger) == [f"reason {each}" for each in range(1, number + 1)]
        assert len(files(ledger)) <= 10
    compacted = [name for name in files(ledger) if "-" in name]
    assert len(compacted) == 1
    assert compacted[0].startswith("000001-")


def test_few_events_are_left_as_they_are(ledger: Ledger) -> None:
    fill(ledger, 5)
    ledger.compact(keep=16)
    ledger.compact(keep=4)
    assert len(files(ledger)) == 5


def snapshot(ledger: Ledger) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in ledger.directory.glob("*.parquet")}


class KilledError(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.mark.parametrize("n_deleted", range(7))
def test_killed_compaction_leaves_a_whole_ledger_and_the_next_one_cleans_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, n_deleted: int
) -> None:
    fill(ledger, 10)
    ledger.compact(keep=7)  # so there is an older compacted file, too
    expected = reasons(ledger)
    real, count = Path.unlink, 0

    def unlink(path: Path, missing_ok: bool = False) -> None:
        nonlocal count
        if path.suffix == ".parquet" and not path.name.startswith("."):
            if count == n_deleted:
                raise KilledError
            count += 1
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        if n_deleted < 6:
            with pytest.raises(KilledError):
                ledger.compact(keep=2)
        else:
            ledger.compact(keep=2)
    assert reasons(ledger) == expected
    ledger.append(held(11), WRITER)
    assert reasons(ledger) == [*expected, "reason 11"]
    ledger.compact(keep=2)
    assert files(ledger) == ["000001-000009.parquet", "000010.parquet", "000011.parquet"]


def test_killed_before_the_compacted_file_has_its_name_changes_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger, 6)
    before = snapshot(ledger)

    def dies(path: Path, data: bytes) -> bool:
        (path.parent / f".{path.name}.1234").write_bytes(data[:100])
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(module, "put_new", dies)
        with pytest.raises(KilledError):
            ledger.compact(keep=2)
    assert snapshot(ledger) == before
    assert len(reasons(ledger)) == 6


def test_reader_that_meets_a_compaction_reads_on(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger, 6)
    reader = Ledger(ledger.directory)
    real: Callable[..., list[Event]] = Ledger._read_file
    is_done = False

    def compacted_meanwhile(self: Ledger, file: Any) -> list[Event]:
        nonlocal is_done
        if not is_done:
            is_done = True
            Ledger(ledger.directory).compact(keep=1)
        return real(self, file)

    monkeypatch.setattr(Ledger, "_read_file", compacted_meanwhile)
    assert [event.number for event in reader.events()] == [1, 2, 3, 4, 5, 6]


def test_file_is_read_once(ledger: Ledger) -> None:
    fill(ledger, 3)
    reader = Ledger(ledger.directory)
    first = reader.events()
    os.truncate(ledger.directory / "000002.parquet", 0)  # a file is never changed
    assert reader.events() == first
