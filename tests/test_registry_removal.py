"""The files of registered versions: are they whole, where they are; deleting versions for good."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copying_support import copy_project
from registry_support import VECTORS, WORDS, World

from nightjar.errors import InputError, ModelFilesDamaged
from nightjar.model.lookup import VectorModel
from nightjar.registry import (
    RegisteredVersion,
    check_files_whole,
    delete_version,
    find_registered,
    model_files,
    removal,
)
from nightjar.store import fingerprint

pytestmark = pytest.mark.usefixtures("light_nights")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.create(tmp_path_factory.mktemp("shared"), tmp_path_factory)


@pytest.fixture
def world(shared: World, request: pytest.FixtureRequest) -> World:
    """A model of its own in the shared store."""
    return replace(shared, model=f"m{fingerprint(request.node.name)}")


@pytest.fixture
def fresh(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A store of its own."""
    return World.create(tmp_path, tmp_path_factory)


@pytest.fixture(scope="module")
def one_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a store with one version. Read only."""
    directory = tmp_path_factory.mktemp("one")
    world = World.create(directory, tmp_path_factory)
    world.register(world.request())
    return directory


@pytest.fixture
def made(one_version: Path, tmp_path: Path) -> World:
    """A copy of it, free to change."""
    return World(copy_project(one_version, tmp_path / "made") / "artifacts")


def version_1(world: World) -> RegisteredVersion:
    found = world.place.reader().version(world.name, 1)
    assert found is not None
    return found


def folder(world: World, version: RegisteredVersion) -> Path:
    assert version.model_id is not None
    return world.place.local_artifacts / "models" / version.model_id / "artifacts"


def read_again(world: World, version: RegisteredVersion) -> RegisteredVersion:
    found = world.place.reader().version(world.name, version.version)
    assert found is not None
    return found


# -- whole or not ----------------------------------------------------------------------------


def test_lookup_files_of_a_registered_version_answer(made: World) -> None:
    version = version_1(made)
    model = VectorModel.open(model_files(made.place, version))
    np.testing.assert_array_equal(model.vectors(list(WORDS)), VECTORS)


def test_every_file_is_listed_and_whole(made: World) -> None:
    version = version_1(made)
    listed = set(json.loads((folder(made, version) / "files.json").read_text()))
    assert {"MLmodel", "artifacts/lookup/vectors.npy", "artifacts/lookup/lookup.json"} <= listed
    assert "artifacts/code/lookup/__init__.py" in listed
    assert not any("__pycache__" in name for name in listed)
    assert check_files_whole(made.place, version) == []
    assert check_files_whole(made.place, read_again(made, version), reads_bytes=False) == []


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said", "is_seen_by_size"),
    [
        (lambda found: (found / "artifacts/lookup/vectors.npy").unlink(), "is missing", True),
        (
            lambda found: (found / "artifacts/lookup/norms.npy").write_bytes(b"x"),
            "norms.npy has 1 bytes instead of",
            True,
        ),
        (lambda found: flip(found / "artifacts/lookup/vectors.npy"), "was changed", False),
        (lambda found: flip(found / "files.json"), "files.json was changed after", True),
        (lambda found: (found / "files.json").unlink(), "files.json cannot be read", True),
        (shutil.rmtree, "is missing", True),
    ],
)
def test_damage_is_said(
    made: World, damage: Callable[[Path], Any], said: str, is_seen_by_size: bool
) -> None:
    version = version_1(made)
    damage(folder(made, version))
    (problem,) = check_files_whole(made.place, version)
    assert said in problem
    assert problem.startswith(f"{made.name} version 1")
    by_size = check_files_whole(made.place, version, reads_bytes=False)
    assert bool(by_size) is is_seen_by_size


@pytest.mark.parametrize("is_opened_before", [False, True])
def test_a_flipped_bit_in_any_file_that_answers_is_found_when_it_is_opened(
    made: World, is_opened_before: bool
) -> None:
    version = version_1(made)
    if is_opened_before:
        model_files(made.place, version)
    lookup = folder(made, version) / "artifacts/lookup"
    files = sorted(lookup.iterdir())
    assert {"vectors.npy", "tokens.arrow", "slots.npy"} <= {path.name for path in files}
    for path in files:
        flip(path)
        with pytest.raises(ModelFilesDamaged, match=rf"version 1: .*{path.name} was changed"):
            model_files(made.place, version)
        (problem,) = check_files_whole(made.place, version)
        assert f"{path.name} was changed" in problem
        flip(path)
        assert model_files(made.place, version) == lookup


def test_files_that_are_gone_cannot_be_opened(made: World) -> None:
    version = version_1(made)
    shutil.rmtree(folder(made, version))
    with pytest.raises(ModelFilesDamaged, match=r"version 1: .* is missing; train it again"):
        model_files(made.place, version)


def test_version_made_by_hand_has_no_files_of_ours(world: World) -> None:
    world.client.create_registered_model(world.name)
    world.client.create_model_version(world.name, "/by/hand")
    found = world.place.reader().version(world.name, 1)
    assert found is not None
    (problem,) = check_files_whole(world.place, found)
    assert "/by/hand is missing" in problem


def test_moved_artifacts_are_read_where_they_are_now(fresh: World, tmp_path: Path) -> None:
    fresh.register(fresh.request())
    fresh.artifacts_dir.rename(tmp_path / "moved")
    moved = World(tmp_path / "moved")
    found = moved.place.reader().version(moved.name, 1)
    assert found is not None
    assert check_files_whole(moved.place, found) == []
    assert model_files(moved.place, found).is_relative_to(tmp_path / "moved")


# -- deleting --------------------------------------------------------------------------------

TABLES = (
    "runs",
    "params",
    "metrics",
    "latest_metrics",
    "tags",
    "logged_models",
    "logged_model_tags",
    "logged_model_params",
    "model_version_tags",
)


def rows(world: World) -> dict[str, int]:
    database = world.artifacts_dir / "mlflow" / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in TABLES
        }


def tagged_versions(world: World) -> set[int]:
    """Numbers of the versions of which MLflow keeps tags."""
    database = world.artifacts_dir / "mlflow" / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT DISTINCT version FROM model_version_tags WHERE name = ?"
        return {number for (number,) in connection.execute(query, (world.name,))}


def n_bytes(world: World) -> int:
    files = world.place.local_artifacts.rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())


def test_deleted_version_is_gone_with_its_run_model_and_bytes(fresh: World) -> None:
    fresh.crown(fresh.request())
    before, size = rows(fresh), n_bytes(fresh)
    second = fresh.register(fresh.request(embeddings=fresh.embeddings("other")))
    assert n_bytes(fresh) > size
    deletion = delete_version(fresh.place, second)
    assert deletion.n_bytes > 0
    assert deletion.kept_for == ()
    assert rows(fresh) == before
    assert n_bytes(fresh) == size
    assert len(list((fresh.place.local_artifacts / "models").iterdir())) == 1
    assert fresh.place.reader().version(fresh.name, 2) is None
    assert fresh.place.reader().alias(fresh.name, "champion") is not None


def test_deleted_number_is_never_given_again(fresh: World) -> None:
    version = fresh.register(fresh.request())
    delete_version(fresh.place, version)
    again = fresh.register(fresh.request())
    assert again.version == 2
    assert check_files_whole(fresh.place, again) == []


def test_deleting_twice_is_deleting_once(world: World) -> None:
    version = world.register(world.request())
    delete_version(world.place, version)
    assert delete_version(world.place, version).n_bytes == 0


def test_version_with_an_alias_is_not_deleted(world: World) -> None:
    version = world.register(world.request())
    for alias in ("champion", "challenger", "production"):
        world.client.set_registered_model_alias(world.name, alias, "1")
        with pytest.raises(InputError, match=f"not deleted: the alias {alias} points to it"):
            delete_version(world.place, version)
        assert check_files_whole(world.place, version) == []
        world.client.delete_registered_model_alias(world.name, alias)


def test_files_that_another_registered_version_uses_are_kept(world: World) -> None:
    version = world.register(world.request())
    target = f"{world.name}-elsewhere"
    world.client.copy_model_version(f"models:/{world.name}/1", target)
    deletion = delete_version(world.place, version)
    assert deletion.kept_for == (f"{target} version 1",)
    assert check_files_whole(world.place, version) == []
    assert world.client.get_run(version.run_id).info.lifecycle_stage == "active"
    assert world.place.reader().version(world.name, 1) is None


def test_copy_of_the_artifacts_does_not_delete_the_originals_files(
    fresh: World, tmp_path: Path
) -> None:
    version = fresh.register(fresh.request())
    shutil.copytree(fresh.artifacts_dir, tmp_path / "copy")
    copied = World(tmp_path / "copy")
    found = copied.place.reader().version(copied.name, 1)
    assert found is not None
    assert delete_version(copied.place, found).n_bytes > 0
    assert check_files_whole(fresh.place, version) == []
    assert read_again(fresh, version).run_id == version.run_id
    assert len(list((copied.place.local_artifacts / "models").iterdir())) == 0


class KilledError(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "step",
    ["_delete_logged_model", "_delete_files", "_tracking_store", "_delete_run", "_forget_tags"],
)
def test_killed_deletion_repeated_ends_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    keep = world.register(world.request(embeddings=world.embeddings("keep", world.model)))
    version = world.register(world.request())
    real: Callable[..., Any] = getattr(removal, step)

    def dies(*args: Any, **values: Any) -> Any:
        if after:
            real(*args, **values)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(removal, step, dies)
        with pytest.raises(KilledError):
            delete_version(world.place, version)
    digest = version.embeddings_digest
    assert find_registered(world.place.reader(), world.name, digest) is None
    for left in world.place.reader().versions(world.name):
        if left.version == version.version:
            delete_version(world.place, left)
    assert [found.version for found in world.place.reader().versions(world.name)] == [keep.version]
    delete_version(world.place, world.register(world.request(embeddings=world.embeddings("x"))))
    assert tagged_versions(world) == {keep.version}
    assert world.logged_models() == [keep.model_id]
    assert not folder(world, version).parent.exists()
    assert [run.info.run_id for run in world.runs()] == [keep.run_id]
    assert not (world.place.local_artifacts / str(version.run_id)).exists()
