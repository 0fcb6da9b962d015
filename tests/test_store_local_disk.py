"""What the store needs of a disk: whole objects, each new name given once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nightjar.errors import StoreNotWritable
from nightjar.store import names, put_new, replace

RACE = """
import sys
from pathlib import Path
from nightjar.store import local_disk, put_new
if sys.argv[3] == "no links":
    def refuse(self, target):
        raise OSError(1, "Operation not permitted")
    Path.hardlink_to = refuse
root, me = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
print(*[number for number in range(100) if put_new(root / str(number), (me * 5000).encode())])
"""


def all_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def refuse_links(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "hardlink_to", refuse)


def test_a_new_object_is_put_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "events" / "1.parquet"
    assert put_new(path, b"first")
    assert not put_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert all_names(path.parent) == ["1.parquet"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_a_new_object_is_put_once_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_links(monkeypatch, number)
    path = tmp_path / "a" / "1"
    assert put_new(path, b"first")
    assert not put_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert all_names(path.parent) == ["1"]


def test_a_link_that_goes_nowhere_is_a_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "1").symlink_to("nowhere")
    assert not put_new(tmp_path / "1", b"first")


def test_a_link_whose_answer_was_lost_counts_as_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link_twice(self: Path, target: Path) -> None:
        os.link(target, self)
        os.link(target, self)

    monkeypatch.setattr(Path, "hardlink_to", link_twice)
    assert put_new(tmp_path / "1", b"first")
    assert (tmp_path / "1").read_bytes() == b"first"


def test_one_that_appears_while_we_write_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def be_slow(descriptor: int) -> None:
        fsync(descriptor)
        (tmp_path / "1").write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", be_slow)
    assert not put_new(tmp_path / "1", b"ours")
    assert (tmp_path / "1").read_bytes() == b"theirs"
    assert all_names(tmp_path) == ["1"]


@pytest.mark.parametrize("links", ["links", "no links"])
def test_of_writers_at_once_one_gets_each_name(tmp_path: Path, links: str) -> None:
    root = tmp_path / "new" / "directory"
    writers = []
    for me in "abc":
        command = [sys.executable, "-c", RACE, str(root), me, links]
        writers.append(subprocess.Popen(command, stdin=-1, stdout=-1, text=True))
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    won = [set(map(int, writer.communicate()[0].split())) for writer in writers]
    assert sum(map(len, won)) == 100
    assert set.union(*won) == set(range(100))
    for me, numbers in zip("abc", won, strict=True):
        for number in numbers:
            assert (root / str(number)).read_text() == me * 5000
    assert len(all_names(root)) == 100


def test_replacing_gives_the_whole_new_content(tmp_path: Path) -> None:
    path = tmp_path / "nights" / "record.json"
    replace(path, b"a longer content")
    with path.open("rb") as before:
        replace(path, b"short")
        assert before.read() == b"a longer content"
    assert path.read_bytes() == b"short"
    assert all_names(path.parent) == ["record.json"]


@pytest.mark.parametrize("put", [put_new, replace])
def test_a_disk_that_refuses_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: object
) -> None:
    replace(tmp_path / "old", b"old")

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreNotWritable, match="No space left on device"):
        put(tmp_path / "new", b"new")  # type: ignore[operator]
    with pytest.raises(StoreNotWritable, match="No space left on device"):
        replace(tmp_path / "old", b"new")
    monkeypatch.undo()
    assert all_names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file")
    with pytest.raises(StoreNotWritable, match="ledger is in the way, move it"):
        put_new(tmp_path / "ledger" / "1", b"x")


def test_names_are_in_order_without_what_is_unfinished(tmp_path: Path) -> None:
    for name in ("b", "a", ".b.0123"):
        (tmp_path / name).write_text(name)
    assert names(tmp_path) == ["a", "b"]
    assert names(tmp_path / "nothing") == []
