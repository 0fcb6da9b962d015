"""Files are read in full the first time that they are used, and again after they were written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nightjar.errors import ArtifactDamaged
from nightjar.store import (
    Artifact,
    Identity,
    Staging,
    Store,
    damage_at_first_reading,
    first_reading,
    forget_deleted,
    publish,
)
from nightjar.store.fingerprint import sha256_of

NAMES = ("one.bin", "deep/two.bin")


@pytest.fixture
def sha256s(tmp_path: Path) -> dict[str, str]:
    """The hashes of two files in ``tmp_path/things``."""
    for name in NAMES:
        path = tmp_path / "things" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    return {name: sha256_of(tmp_path / "things" / name) for name in NAMES}


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as old."""
    monkeypatch.setattr(first_reading, "SETTLED_NS", 0)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files as they are read in full."""
    seen: list[str] = []

    def noted(path: Path) -> str:
        seen.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(first_reading, "sha256_of", noted)
    return seen


def flip(path: Path) -> None:
    with path.open("r+b") as stream:
        byte = stream.read(1)[0]
        stream.seek(0)
        stream.write(bytes([byte ^ 1]))


def flip_in_a_later_tick(path: Path) -> None:
    before = path.stat().st_ctime_ns
    flip(path)
    while path.stat().st_ctime_ns == before:
        path.touch()


def damage(tmp_path: Path, sha256s: dict[str, str]) -> list[str]:
    return damage_at_first_reading(tmp_path / "store", tmp_path / "things", sha256s)


@pytest.mark.usefixtures("settled")
def test_files_are_read_once(tmp_path: Path, sha256s: dict[str, str], read: list[str]) -> None:
    assert damage(tmp_path, {"one.bin": sha256s["one.bin"]}) == []
    assert damage(tmp_path, sha256s) == []
    assert damage(tmp_path, sha256s) == []
    assert read == ["one.bin", "two.bin"]


def test_a_file_that_was_written_just_now_is_read_again(
    tmp_path: Path, sha256s: dict[str, str], read: list[str]
) -> None:
    assert damage(tmp_path, sha256s) == []
    path = tmp_path / "things/one.bin"
    flip(path)  # within the same tick of the disk's clock, often
    (problem,) = damage(tmp_path, sha256s)
    assert "one.bin was changed" in problem
    assert sorted(read) == ["one.bin", "one.bin", "two.bin", "two.bin"]


@pytest.mark.usefixtures("settled")
def test_a_changed_file_is_read_again_even_if_its_time_is_set_back(
    tmp_path: Path, sha256s: dict[str, str]
) -> None:
    assert damage(tmp_path, sha256s) == []
    path = tmp_path / "things/deep/two.bin"
    before = path.stat()
    flip_in_a_later_tick(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):  # damage is never recorded as whole
        (problem,) = damage(tmp_path, sha256s)
        assert problem == f"{path} was changed: its bytes do not have the recorded sha256"
    flip_in_a_later_tick(path)
    assert damage(tmp_path, sha256s) == []


@pytest.mark.usefixtures("settled")
def test_a_file_that_is_gone_is_named(tmp_path: Path, sha256s: dict[str, str]) -> None:
    assert damage(tmp_path, sha256s) == []
    path = tmp_path / "things/one.bin"
    path.unlink()
    (problem,) = damage(tmp_path, sha256s)
    assert problem == f"{path} cannot be read (No such file or directory)"


@pytest.mark.usefixtures("settled")
def test_a_file_of_another_hash_is_read_though_it_was_whole(
    tmp_path: Path, sha256s: dict[str, str]
) -> None:
    assert damage(tmp_path, sha256s) == []
    (problem,) = damage(tmp_path, {**sha256s, "one.bin": "0" * 64})
    assert "one.bin was changed" in problem


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("record", [b"", b"[]", b"\xff", b'{"directory": "/x", "files": {}}'])
def test_a_record_that_says_nothing_is_no_record(
    tmp_path: Path, sha256s: dict[str, str], read: list[str], record: bytes
) -> None:
    assert damage(tmp_path, sha256s) == []
    (path,) = (tmp_path / "store" / first_reading.RECORDS_DIR).glob("*.json")
    path.write_bytes(record)
    assert damage(tmp_path, sha256s) == []
    assert len(read) == 4


@pytest.mark.usefixtures("settled")
def test_where_nothing_can_be_written_files_are_read_every_time(
    tmp_path: Path, sha256s: dict[str, str], read: list[str]
) -> None:
    (tmp_path / "store").write_text("no directory can be made here")
    assert damage(tmp_path, sha256s) == []
    assert damage(tmp_path, sha256s) == []
    assert len(read) == 4


@pytest.mark.usefixtures("settled")
def test_records_of_deleted_directories_are_removed(
    tmp_path: Path, sha256s: dict[str, str]
) -> None:
    shutil.copytree(tmp_path / "things", tmp_path / "copy")
    for name in ("things", "copy"):
        damage_at_first_reading(tmp_path / "store", tmp_path / name, sha256s)
    records = tmp_path / "store" / first_reading.RECORDS_DIR
    assert len(list(records.iterdir())) == 2
    shutil.rmtree(tmp_path / "copy")
    forget_deleted(tmp_path / "store")
    (kept,) = records.iterdir()
    assert json.loads(kept.read_bytes())["directory"] == str(tmp_path / "things")
    forget_deleted(tmp_path / "absent")


def test_an_artifact_s_file_is_compared_with_its_manifest(tmp_path: Path) -> None:
    identity = Identity("toys", "toy", {})

    def write(staging: Staging) -> None:
        staging.add_file("toy.bin").write_bytes(b"abc")

    publish(tmp_path, identity, write, None)
    toy: Artifact = Store(tmp_path).open(Store(tmp_path).ref("toys", identity.version))
    assert toy.file_path("toy.bin").read_bytes() == b"abc"
    flip(toy.directory / "toy.bin")
    with pytest.raises(ArtifactDamaged, match=r"toy\.bin was changed: .* 'nightjar verify"):
        toy.file_path("toy.bin")
