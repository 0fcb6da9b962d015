"""What the store needs of a disk: whole objects, each new name given once."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nightjar.errors import StoreNotWritable
from nightjar.store import delete, names, put_new, replace
from nightjar.store.local_disk import link, put_directory, remove_unfinished

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
    assert all_names(path.parent) == [".put-new.lease", "1"]


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
    won = [set(map(int, writer.communicate(timeout=120)[0].split())) for writer in writers]
    assert sum(map(len, won)) == 100
    assert set.union(*won) == set(range(100))
    for me, numbers in zip("abc", won, strict=True):
        for number in numbers:
            assert (root / str(number)).read_text() == me * 5000
    assert names(root) == sorted(map(str, range(100)))
    assert all_names(root) == ([".put-new.lease"] if links == "no links" else []) + names(root)


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


# -- tidying up ------------------------------------------------------------------------------


def test_unfinished_objects_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = [".hidden", "a/1", "a/b/1", "a/.b/.unfinished-x", "a/b/c/.unfinished-x"]
    doomed = [".unfinished-x", "a/.unfinished-x", "a/b/.unfinished-x", "a/.unfinished-y/z/1"]
    for name in (*kept, *doomed):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    removed = [path.relative_to(tmp_path).as_posix() for path in remove_unfinished(tmp_path)]
    assert removed == [".unfinished-x", "a/.unfinished-x", "a/.unfinished-y", "a/b/.unfinished-x"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in files) == sorted(kept)


@pytest.mark.parametrize("put", [put_new, replace])
def test_a_writer_whose_unfinished_object_is_removed_writes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path, bytes], bool | None]
) -> None:
    fsync = os.fsync
    removed: list[Path] = []

    def tidy_up(descriptor: int) -> None:
        fsync(descriptor)
        if len(removed) < 2:
            removed.extend(remove_unfinished(tmp_path))

    monkeypatch.setattr(os, "fsync", tidy_up)
    assert put(tmp_path / "1", b"whole") is not False
    assert len(removed) == 2
    assert (tmp_path / "1").read_bytes() == b"whole"
    assert all_names(tmp_path) == ["1"]


def test_a_writer_whose_object_is_removed_again_and_again_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def tidy_up(descriptor: int) -> None:
        fsync(descriptor)
        remove_unfinished(tmp_path)

    monkeypatch.setattr(os, "fsync", tidy_up)
    with pytest.raises(StoreNotWritable, match="No such file"):
        put_new(tmp_path / "1", b"whole")


KILLED = """
import os, signal, sys
from pathlib import Path
from nightjar.store import put_new, replace
root, n_steps = Path(sys.argv[1]), int(sys.argv[2])
put = {"put_new": put_new, "replace": replace}[sys.argv[3]]
replace(root / "warm", b"warm")
steps = 0
def hook(event, arguments):
    # The interpreter announces what it is about to do to a file: die before the n-th step.
    global steps
    if any(str(argument).startswith(str(root)) for argument in arguments):
        steps += 1
        if steps == n_steps:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
put(root / "1", b"new" * 1000)
"""


@pytest.mark.parametrize("put", ["put_new", "replace"])
def test_killed_before_any_step_a_reader_sees_all_or_nothing(tmp_path: Path, put: str) -> None:
    new, old = b"new" * 1000, b"old" if put == "replace" else None
    seen: list[bytes | None] = []
    was_killed = True
    while was_killed:
        root = tmp_path / str(len(seen))
        root.mkdir()
        if old:
            replace(root / "1", old)
        command = [sys.executable, "-c", KILLED, str(root), str(len(seen) + 1), put]
        code = subprocess.run(command, check=False).returncode
        was_killed = code == -9
        assert was_killed or code == 0
        seen.append((root / "1").read_bytes() if "1" in names(root) else None)
        remove_unfinished(root)
        assert all_names(root) == names(root)
    assert len(seen) >= 4
    assert seen[0] == old
    assert seen[-1] == new
    assert set(seen) == {old, new}


def test_what_is_deleted_is_gone_at_once_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "artifact" / "part").mkdir(parents=True)
    (tmp_path / "artifact" / "part" / "0").write_text("0")
    (tmp_path / "object").write_text("1")
    (tmp_path / "link").symlink_to("artifact")
    assert delete(tmp_path / "link")
    assert (tmp_path / "artifact" / "part" / "0").read_text() == "0"
    assert delete(tmp_path / "artifact")
    assert delete(tmp_path / "object")
    assert not delete(tmp_path / "object")
    assert all_names(tmp_path) == []


def test_what_cannot_be_deleted_now_is_gone_for_readers_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "0").write_text("0")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        assert delete(tmp_path / "artifact")
    assert names(tmp_path) == []
    (left,) = all_names(tmp_path)
    assert remove_unfinished(tmp_path) == [tmp_path / left]
    assert all_names(tmp_path) == []


# -- directories and parts -------------------------------------------------------------------


def test_a_directory_is_put_where_nothing_is(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    assert put_directory(tmp_path / "first", tmp_path / "target")
    assert not put_directory(tmp_path / "second", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "first"
    assert (tmp_path / "second" / "file").read_text() == "second"
    with pytest.raises(FileNotFoundError):
        put_directory(tmp_path / "first", tmp_path / "elsewhere")


@pytest.mark.parametrize("number", [0, errno.EPERM, errno.EMLINK, errno.EXDEV])
def test_a_linked_part_has_the_bytes_and_takes_the_place_of_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "source").write_text("part")
    (tmp_path / "target").write_text("of a worker that was lost")
    if number:
        refuse_links(monkeypatch, number)
    link(tmp_path / "source", tmp_path / "target")
    link(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "part"
    assert (tmp_path / "target").samefile(tmp_path / "source") == (number == 0)
    assert all_names(tmp_path) == ["source", "target"]
