"""Setting a damaged artifact aside: nothing is deleted, and its version is free again."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from nightjar.errors import ArtifactMissing, StoreNotWritable
from nightjar.store import ArtifactRef, Identity, Staging, Store, publish, set_aside
from nightjar.store.setting_aside import exclusive, set_aside_unpublished


def write_numbers(staging: Staging) -> None:
    staging.write("numbers", pa.table({"number": [1, 2, 3]}))


def published(root: Path) -> ArtifactRef:
    return publish(root, Identity("embeddings", "glove", {}), write_numbers)


@pytest.fixture
def ref(tmp_path: Path) -> ArtifactRef:
    return published(tmp_path)


def test_an_artifact_is_set_aside_whole_and_its_version_is_free_again(
    tmp_path: Path, ref: ArtifactRef
) -> None:
    (Path(ref.path) / "numbers.parquet").write_bytes(b"damaged")
    before = {path.name: path.read_bytes() for path in Path(ref.path).iterdir()}
    moved = set_aside(ref)
    assert moved == tmp_path / "set-aside" / f"embeddings-{ref.version}-1"
    assert {path.name: path.read_bytes() for path in moved.iterdir()} == before
    store = Store(tmp_path)
    assert not store.is_published(ref.stage, ref.version)
    assert published(tmp_path) == ref
    assert store.verify(ref) == []
    assert set_aside(ref).name == f"embeddings-{ref.version}-2"
    assert moved.is_dir()
    assert store.versions("set-aside") == []


def test_setting_aside_what_is_not_there_is_an_error(tmp_path: Path, ref: ArtifactRef) -> None:
    set_aside(ref)
    with pytest.raises(ArtifactMissing, match=f"{ref}: there is nothing to set aside"):
        set_aside(ref)
    with pytest.raises(ArtifactMissing, match="nothing is published here"):
        set_aside(Store(tmp_path).ref("tokens", "0" * 12))


def test_setting_aside_where_it_cannot_be_written_is_named(
    tmp_path: Path, ref: ArtifactRef
) -> None:
    (tmp_path / "set-aside").write_text("a file")
    with pytest.raises(StoreNotWritable, match="set-aside is in the way"):
        set_aside(ref)
    assert Store(tmp_path).verify(ref) == []


def test_what_was_set_aside_before_is_never_replaced(tmp_path: Path, ref: ArtifactRef) -> None:
    taken = [tmp_path / "set-aside" / f"embeddings-{ref.version}-{number}" for number in (1, 2, 3)]
    taken[0].mkdir(parents=True)  # a rename would replace an empty directory
    taken[1].write_text("a file")
    taken[2].symlink_to("nowhere")
    assert set_aside(ref).name == f"embeddings-{ref.version}-4"
    assert [path.is_dir() for path in taken] == [True, False, False]
    assert list(taken[0].iterdir()) == []
    assert (taken[1].read_text(), str(taken[2].readlink())) == ("a file", "nowhere")


def test_an_artifact_that_another_run_published_meanwhile_is_not_moved(
    tmp_path: Path, ref: ArtifactRef
) -> None:
    set_aside_unpublished(Path(ref.path))
    assert Store(tmp_path).verify(ref) == []
    assert not (tmp_path / "set-aside").exists()


def test_setting_aside_waits_for_another_run_that_does(tmp_path: Path, ref: ArtifactRef) -> None:
    manifest = Path(ref.path) / "manifest.json"
    hidden = manifest.rename(manifest.with_name("hidden"))
    thread = threading.Thread(target=set_aside_unpublished, args=[Path(ref.path)])
    with exclusive(tmp_path / "embeddings"):
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        hidden.rename(manifest)  # the other run publishes before it lets go
    thread.join(60)
    assert not thread.is_alive()
    assert Store(tmp_path).verify(ref) == []


def test_a_directory_that_lost_its_manifest_can_be_set_aside(ref: ArtifactRef) -> None:
    (Path(ref.path) / "manifest.json").unlink()
    assert [path.name for path in set_aside(ref).iterdir()] == ["numbers.parquet"]
