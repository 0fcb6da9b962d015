"""Publishing: all of an artifact or nothing, once."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nightjar.errors import ArtifactDamaged, ArtifactMissing, SourceError, StoreNotWritable
from nightjar.store import (
    Artifact,
    Identity,
    Staging,
    Store,
    publish,
    remove_abandoned,
    rewrite,
)
from nightjar.store.manifest import MANIFEST_NAME
from nightjar.store.writing import named_write_errors

SCHEMA = pa.schema([pa.field("word", pa.string(), nullable=False), ("value", pa.float64())])
IDENTITY = Identity("documents", "", {"size": 1})


def table(n_rows: int = 100, seed: int = 0) -> pa.Table:
    values = np.random.default_rng(seed).random(n_rows)
    return pa.table({"word": [f"w{i % 7}" for i in range(n_rows)], "value": values}, schema=SCHEMA)


def write_rows(staging: Staging) -> None:
    with staging.writer("rows", SCHEMA) as writer:
        for seed in range(3):
            writer.write_table(table(seed=seed))
    staging.counts["kept"] = 300


def contents(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Inode, modification time and bytes of each file."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in directory.iterdir()
    }


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_was_written_is_published_with_a_manifest(tmp_path: Path) -> None:
    ref = publish(tmp_path, IDENTITY, write_rows, git_commit="abc")
    assert ref == Store(tmp_path).ref("documents", IDENTITY.version)
    artifact = Store(tmp_path).open(ref)
    assert artifact.read("rows") == pa.concat_tables(table(seed=seed) for seed in range(3))
    assert names_in(artifact.directory) == [MANIFEST_NAME, "rows.parquet"]
    manifest = artifact.manifest
    assert (manifest.stage, manifest.version, manifest.name) == ("documents", IDENTITY.version, "")
    assert (manifest.counts, manifest.git_commit) == ({"kept": 300}, "abc")
    assert dict(manifest.identity) == IDENTITY.as_json()
    (entry,) = manifest.files
    assert (entry.name, entry.rows) == ("rows.parquet", 300)
    assert list(entry.columns.items()) == [("word", "string"), ("value", "double")]
    assert manifest.environment["pyarrow"] == pa.__version__
    assert names_in(tmp_path / "documents") == [IDENTITY.version]


def test_publish_twice_leaves_the_same_artifact_untouched(tmp_path: Path) -> None:
    first = publish(tmp_path, IDENTITY, write_rows)
    before = contents(Path(first.path))
    second = publish(tmp_path, IDENTITY, write_rows)
    assert second == first
    assert contents(Path(first.path)) == before
    assert names_in(tmp_path / "documents") == [IDENTITY.version]


def test_the_same_rows_are_the_same_bytes_in_another_store(tmp_path: Path) -> None:
    refs = [publish(tmp_path / store, IDENTITY, write_rows) for store in ("one", "two")]
    first, second = (contents(Path(ref.path))["rows.parquet"][2] for ref in refs)
    assert first == second


def test_equal_bytes_have_one_digest_wherever_and_whenever_they_are_published(
    tmp_path: Path,
) -> None:
    def write_in_another_order(staging: Staging) -> None:
        staging.add_file("b.bin").write_bytes(b"b")
        write_rows(staging)
        staging.report["seconds"] = 1.5

    def write_again(staging: Staging) -> None:
        write_rows(staging)
        staging.add_file("b.bin").write_bytes(b"b")

    def digest_of(store: str, write: Callable[[Staging], None], **config: int) -> str:
        identity = Identity("documents", "", config)
        ref = publish(tmp_path / store, identity, write, git_commit=store)
        return Store(tmp_path / store).open(ref).manifest.digest

    digest = digest_of("one", write_in_another_order, size=1)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert digest_of("two", write_again, size=1) == digest
    others = [
        digest_of("three", write_rows, size=1),
        digest_of("four", write_again, size=2),
        digest_of("five", lambda staging: staging.write("rows", table()), size=1),
        digest_of("six", lambda staging: staging.write("sows", table()), size=1),
    ]
    assert len({digest, *others}) == 5


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), SourceError("bad row")])
def test_a_writer_that_raises_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def write(staging: Staging) -> None:
        staging.write("whole", table())
        with staging.writer("rows", SCHEMA) as writer:
            writer.write_table(table())
            raise error

    with pytest.raises(type(error)) as caught:
        publish(tmp_path, IDENTITY, write)
    assert caught.value is error
    assert names_in(tmp_path / "documents") == []
    assert not Store(tmp_path).is_published("documents", IDENTITY.version)


def test_a_table_that_failed_can_be_written_again(tmp_path: Path) -> None:
    def write(staging: Staging) -> None:
        with suppress(KeyError), staging.writer("rows", SCHEMA) as writer:
            writer.write_table(table())
            raise KeyError
        assert names_in(staging.directory) == []
        write_rows(staging)

    ref = publish(tmp_path, IDENTITY, write)
    assert Store(tmp_path).verify(ref) == []


def test_a_table_is_written_once(tmp_path: Path) -> None:
    def write(staging: Staging) -> None:
        staging.write("rows", table())
        staging.write("rows", table())

    with pytest.raises(ValueError, match="'rows' is already written"):
        publish(tmp_path, IDENTITY, write)


def test_a_file_that_is_no_table_is_checked_like_one(tmp_path: Path) -> None:
    def write(staging: Staging) -> None:
        write_rows(staging)
        staging.add_file("graph.bin").write_bytes(b"graph")
        with pytest.raises(ValueError, match=r"graph\.bin"):
            staging.add_file("graph.bin")
        with pytest.raises(ValueError, match=r"rows\.parquet"):
            staging.add_file("rows.parquet")

    store = Store(tmp_path)
    artifact = store.open(publish(tmp_path, IDENTITY, write))
    assert artifact.file_path("graph.bin").read_bytes() == b"graph"
    entry = artifact.manifest.files[-1]
    assert (entry.name, entry.rows, entry.bytes, entry.columns) == ("graph.bin", 0, 5, {})
    assert store.verify(artifact.ref) == []
    with pytest.raises(ArtifactMissing, match=r"no file 'other\.bin'"):
        artifact.file_path("other.bin")
    path = artifact.file_path("graph.bin")
    path.write_bytes(b"grape")
    assert store.verify(artifact.ref) == [
        f"{artifact.ref}: graph.bin does not have the sha256 of the manifest"
    ]
    path.write_bytes(b"gra")
    with pytest.raises(ArtifactDamaged, match=r"graph\.bin has 3 bytes, the manifest says 5"):
        store.open(artifact.ref)


def test_each_write_is_a_row_group_and_none_is_an_empty_table(tmp_path: Path) -> None:
    def write(staging: Staging) -> None:
        write_rows(staging)
        with staging.writer("empty", SCHEMA):
            pass

    artifact = Store(tmp_path).open(publish(tmp_path, IDENTITY, write))
    assert [len(batch) for batch in artifact.batches("rows")] == [100, 100, 100]
    assert artifact.read("empty") == SCHEMA.empty_table()
    assert artifact.rows("empty") == 0


def test_a_null_in_a_required_column_is_refused(tmp_path: Path) -> None:
    def write(staging: Staging) -> None:
        staging.write("rows", pa.table({"word": [None], "value": [1.0]}, schema=SCHEMA))

    with pytest.raises(pa.ArrowInvalid, match="non-nullable"):
        publish(tmp_path, IDENTITY, write)
    assert names_in(tmp_path / "documents") == []


def test_numpy_numbers_and_nan_in_counts_and_report_reach_the_manifest(tmp_path: Path) -> None:
    def write(staging: Staging) -> None:
        staging.counts["kept"] += np.int64(3)  # type: ignore[assignment]
        staging.report["loss"] = {"mean": np.float32(0.5), "last": float("nan"), "ok": np.True_}
        staging.report["sizes"] = (np.int32(1), [np.float64("inf")])

    manifest = Store(tmp_path).open(publish(tmp_path, IDENTITY, write)).manifest
    assert manifest.counts == {"kept": 3}
    assert manifest.report == {
        "loss": {"mean": 0.5, "last": None, "ok": True},
        "sizes": [1, [None]],
    }


# -- something is in the way -------------------------------------------------------------


def test_an_empty_directory_in_the_way_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "documents" / IDENTITY.version).mkdir(parents=True)
    assert Store(tmp_path).verify(publish(tmp_path, IDENTITY, write_rows)) == []


@pytest.mark.parametrize("kind", ["directory", "file", "dangling link"])
def test_what_is_in_the_way_without_a_manifest_is_set_aside(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    blocker = tmp_path / "documents" / IDENTITY.version
    blocker.parent.mkdir()
    if kind == "directory":
        blocker.mkdir()
        (blocker / "rows.parquet").write_text("someone's")
    elif kind == "file":
        blocker.write_text("someone's")
    else:
        blocker.symlink_to("nowhere")
    with caplog.at_level(logging.WARNING):
        ref = publish(tmp_path, IDENTITY, write_rows)
    assert Store(tmp_path).verify(ref) == []
    moved = tmp_path / "set-aside" / f"documents-{IDENTITY.version}-1"
    assert f"moved it to {moved}" in caplog.text
    if kind == "dangling link":
        assert moved.is_symlink()
    else:
        kept = moved / "rows.parquet" if kind == "directory" else moved
        assert kept.read_text() == "someone's"


def test_a_damaged_artifact_in_the_way_is_reported_and_kept(tmp_path: Path) -> None:
    ref = publish(tmp_path, IDENTITY, write_rows)
    path = Path(ref.path) / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    before = contents(Path(ref.path))
    with pytest.raises(ArtifactDamaged, match=r"rows\.parquet has \d+ bytes"):
        publish(tmp_path, IDENTITY, write_rows)
    assert contents(Path(ref.path)) == before


# -- the disk refuses --------------------------------------------------------------------


def test_an_artifact_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    root.write_text("a file")
    with pytest.raises(StoreNotWritable, match="artifacts is in the way, move it"):
        publish(root, IDENTITY, write_rows)
    assert root.read_text() == "a file"


def test_a_stage_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "documents").write_text("a file")
    with pytest.raises(StoreNotWritable, match="documents is in the way, move it"):
        publish(tmp_path, IDENTITY, write_rows)


def test_an_artifact_directory_that_is_a_dangling_link_is_named(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    root.symlink_to(tmp_path / "gone" / "away")
    with pytest.raises(StoreNotWritable, match="artifacts is in the way, move it"):
        publish(root, IDENTITY, write_rows)


def fill_table(staging: Staging) -> None:
    (staging.directory / "rows.parquet").symlink_to("/dev/full")
    staging.write("rows", table())


def fill_manifest(staging: Staging) -> None:
    write_rows(staging)
    (staging.directory / MANIFEST_NAME).symlink_to("/dev/full")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("write", [fill_table, fill_manifest])
def test_a_full_disk_publishes_nothing_and_keeps_what_is_there(
    tmp_path: Path, write: Callable[[Staging], None]
) -> None:
    earlier = publish(tmp_path, Identity("documents", "", {"size": 0}), write_rows)
    before = contents(Path(earlier.path))
    with pytest.raises(StoreNotWritable, match=r"cannot be written \(No space left on device\)"):
        publish(tmp_path, IDENTITY, write)
    assert names_in(tmp_path / "documents") == [earlier.version]
    assert contents(Path(earlier.path)) == before
    assert Store(tmp_path).verify(publish(tmp_path, IDENTITY, write_rows)) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_an_error_that_only_writing_has_is_the_store_s(tmp_path: Path, code: int) -> None:
    with pytest.raises(StoreNotWritable, match=os.strerror(code)), named_write_errors(tmp_path):
        raise OSError(code, os.strerror(code))


def test_numpy_tells_that_a_disk_is_full_in_words_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(StoreNotWritable, match="free some space"), named_write_errors(tmp_path):
        np.zeros(1_000_000).tofile("/dev/full")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ENOTDIR])
def test_a_refusal_is_the_store_s_only_when_it_names_a_file_there(
    tmp_path: Path, code: int
) -> None:
    inside, outside = str(tmp_path / "store" / "x"), str(tmp_path / "source.txt")
    with pytest.raises(StoreNotWritable), named_write_errors(tmp_path / "store"):
        raise OSError(code, os.strerror(code), inside)
    for error in (OSError(code, os.strerror(code), outside), OSError(code, os.strerror(code))):
        with pytest.raises(OSError, match=r".") as caught, named_write_errors(tmp_path / "store"):
            raise error
        assert caught.value is error


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_store(tmp_path: Path) -> None:
    source = tmp_path / "file" / "source.txt"
    source.parent.write_text("not a directory")

    def write(staging: Staging) -> None:
        source.read_text()

    with pytest.raises(NotADirectoryError):
        publish(tmp_path / "store", IDENTITY, write)


# -- rewritten -------------------------------------------------------------------------------


def published(root: Path, content: bytes = b"old") -> Artifact:
    def write(staging: Staging) -> None:
        staging.add_file("content").write_bytes(content)
        staging.counts["rows"] = 3
        staging.report["seen"] = ["one"]

    return Store(root).open(publish(root, Identity("stage", "name", {"a": 1}), write))


def write_new(staging: Staging) -> None:
    staging.add_file("content").write_bytes(b"new")
    staging.counts["rows"] -= 1
    staging.report["seen"].append("two")


def test_what_is_rewritten_keeps_version_and_time_and_gets_other_bytes(tmp_path: Path) -> None:
    before = published(tmp_path)
    rewrite(before, write_new)
    after = Store(tmp_path).open(before.ref)
    assert after.file_path("content").read_bytes() == b"new"
    assert Store(tmp_path).verify(before.ref) == []
    assert after.manifest.counts == {"rows": 2}
    assert after.manifest.report == {"seen": ["one", "two"]}
    assert before.manifest.report == {"seen": ["one"]}
    for name in ("version", "identity", "created_at", "name"):
        assert getattr(after.manifest, name) == getattr(before.manifest, name)
    assert after.manifest.digest != before.manifest.digest
    assert [path.name for path in (tmp_path / "stage").iterdir() if path.name[0] != "."] == [
        before.ref.version
    ]


def test_a_rewriting_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    before = published(tmp_path)

    def fail(staging: Staging) -> None:
        write_new(staging)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        rewrite(before, fail)
    assert before.file_path("content").read_bytes() == b"old"
    assert Store(tmp_path).verify(before.ref) == []
    assert not list((tmp_path / "stage").glob(".[sru]*-*"))


@pytest.mark.parametrize("n_renames", [0, 1, 2])
def test_a_rewriting_that_is_killed_is_finished_by_who_tidies_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_renames: int
) -> None:
    before = published(tmp_path)
    rename, left = Path.rename, [n_renames]

    def killed(path: Path, target: Path) -> Path:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            rewrite(before, write_new)
    remove_abandoned(tmp_path)
    content = Store(tmp_path).open(before.ref).file_path("content").read_bytes()
    assert content == (b"old" if n_renames == 0 else b"new")
    assert Store(tmp_path).verify(before.ref) == []
    assert not list((tmp_path / "stage").glob(".[su]*-*"))
    remove_abandoned(tmp_path)
    assert Store(tmp_path).open(before.ref).file_path("content").read_bytes() == content
