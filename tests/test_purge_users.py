"""A person's right to erasure in a corpus of events: what is left of a user, what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kinds_support import KindsProject
from sharing_support import shared

from nightjar.cli import lookups
from nightjar.errors import InputError
from nightjar.pipeline.retention import (
    PurgeRequest,
    PurgeResult,
    finish_purges,
    purge,
    purging,
)
from nightjar.sources.purge_list import PurgeList
from nightjar.sources.rejections import digest_of
from nightjar.store import Artifact, Store, schemas

WHO = "secret-person"
ONLY_THEIRS = "only-theirs"


def make_project(directory: Path) -> KindsProject:
    """Events of a gap each; a person with two sessions, an item of their own and a wrong row."""
    project = KindsProject(directory)
    document = project.document
    del document["corpora"]["people"], document["models"]["nodes"]
    del document["evaluation"]["benchmarks"]["links"]
    document["registry"]["gate"]["benchmarks"] = ["next"]
    document["models"]["items"]["epochs"] = 1
    document["corpora"]["clicks"]["sessions"] = {"by": "gap", "gap_minutes": 60}
    document["corpora"]["clicks"]["held_out"] = {"share": 1.0}
    project.save()
    with (directory / "clicks1.csv").open("a", encoding="utf-8") as file:
        for day in (1, 2):
            for step, item in enumerate([ONLY_THEIRS, "film1", "film2", "film3", "film4"]):
                file.write(f"{WHO},{item},2026-02-0{day}T10:0{step}:00Z\n")
        file.write(f"{WHO},film1,yesterday\n{WHO},film1\n")
    return project


def opened(project: KindsProject, stage: str) -> Iterator[Artifact]:
    store = Store(project.loaded.artifacts_dir)
    return (store.open(ref) for ref in store.versions(stage))


def places_of(directory: Path, *words: str) -> list[str]:
    """Files below ``directory`` with one of ``words`` as they are."""
    return [
        str(path.relative_to(directory))
        for path in sorted(directory.rglob("*"))
        if path.is_file() and any(word.encode() in path.read_bytes() for word in words)
    ]


def holds(artifact: Artifact, word: str) -> bool:
    tables = {entry.name.split("/")[0].removesuffix(".parquet") for entry in artifact.manifest.files
              if entry.columns}  # fmt: skip
    return any(word in str(artifact.read(table).to_pylist()) for table in tables)


@dataclass
class Purged:
    project: KindsProject
    before: dict[str, Any]
    result: PurgeResult
    counts: dict[str, int]


def make_purged(directory: Path) -> Purged:
    project = make_project(directory / "project")
    project.night(promotes=True)
    (events,) = opened(project, schemas.EVENTS)
    before = dict(events.manifest.counts)
    result = purge(project.loaded, PurgeRequest((WHO,), None, "test", "asked"))
    (after,) = opened(project, schemas.EVENTS)
    return Purged(project, before, result, dict(after.manifest.counts))


@pytest.fixture(scope="module")
def purged(tmp_path_factory: pytest.TempPathFactory) -> Purged:
    return shared(tmp_path_factory, "purged-user", make_purged)


def test_nothing_of_the_user_is_left(purged: Purged) -> None:
    assert purged.result.n_erased == 1
    for stage in (schemas.EVENTS, schemas.TOKENS, schemas.ROW_SHARDS, schemas.CORPUS_REPORT):
        for artifact in opened(purged.project, stage):
            assert not holds(artifact, WHO), stage
    assert purged.counts["events"] == purged.before["events"] - 6
    assert purged.counts["events_held_out"] == purged.before["events_held_out"] - 4
    assert purged.counts["sessions"] == purged.before["sessions"] - 2
    assert purged.counts["users"] == purged.before["users"] - 1
    (tokens,) = opened(purged.project, schemas.TOKENS)
    (events,) = opened(purged.project, schemas.EVENTS)
    assert not holds(tokens, ONLY_THEIRS)
    assert tokens.manifest.counts["tokens"] == events.rows(schemas.EVENTS)
    assert list(opened(purged.project, schemas.ROW_SHARDS)) == []
    assert places_of(purged.project.loaded.artifacts_dir, WHO) == []
    assert lookups.verify(purged.project.loaded, None, False).problems == ()
    assert any("log: " in place and "clicks1.csv" in place for place in purged.result.swept.places)


def test_vectors_that_were_trained_with_them_are_named(purged: Purged) -> None:
    assert [found.name.partition(" ")[0] for found in purged.result.trained] == ["kinds-items"]
    assert purged.result.trained[0].is_certain
    assert purged.result.retrain == ("items",)


def test_the_next_night_leaves_them_out_and_trains_anew(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.night(promotes=True)
    purge(project.loaded, PurgeRequest((WHO, "u3"), "clicks", "test"))
    assert {"read events", "sessionize", "train items"} <= set(project.due())
    project.night(promotes=True)
    assert project.due() == []
    events = list(opened(project, schemas.EVENTS))[-1]
    assert events.manifest.counts["quarantined_purged"] == 11 + 6
    rows = [row for row in events.read("quarantine").to_pylist() if row["reason"] == "purged"]
    assert {(row["detail"], row["excerpt"]) for row in rows} == {("", "")}
    for stage in (schemas.EVENTS, schemas.TOKENS, schemas.ROW_SHARDS):
        assert not any(holds(artifact, WHO) for artifact in opened(project, stage)), stage
    users = set(events.read(schemas.EVENTS).column("user").to_pylist())
    assert users == {f"u{n}" for n in range(60) if n != 3}
    listed = PurgeList.read(project.loaded.pipeline_dir, "clicks")
    assert listed.purged.users == {digest_of(WHO), digest_of("u3")}
    assert WHO not in listed.path.read_text(encoding="utf-8")


def test_a_killed_purge_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path)
    project.night()
    with monkeypatch.context() as patched:
        patched.setattr(purging, "delete_pages", lambda _loaded: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            purge(project.loaded, PurgeRequest((WHO,), None, "test"))
    assert not PurgeList.read(project.loaded.pipeline_dir, "clicks").is_done
    assert finish_purges(project.loaded) is not None
    assert PurgeList.read(project.loaded.pipeline_dir, "clicks").is_done
    assert finish_purges(project.loaded) is None
    (tokens,) = opened(project, schemas.TOKENS)
    assert not holds(tokens, WHO)


def test_a_user_whom_nothing_knows_is_refused(purged: Purged) -> None:
    with pytest.raises(InputError, match="nothing is purged: nobody: no kept event of clicks"):
        purge(purged.project.loaded, PurgeRequest(("nobody",), "clicks", "test"))
