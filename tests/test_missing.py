"""What is needed but gone: `nightjar verify` names it, but nothing that was never made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from asking_support import asked, invoked
from nights_support import FAIR, GOOD, HandMade, copied, make_blocked_night
from sharing_support import shared

from nightjar.errors import NightjarError
from nightjar.pipeline.retention import PurgeRequest, find_missing, purge
from nightjar.registry import delete_version
from nightjar.store import Store

pytestmark = [
    pytest.mark.slow,  # the nights that most of it starts from
    pytest.mark.usefixtures("light_nights"),
]


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night that promoted, and one that the gate blocked. Read only."""
    return shared(tmp_path_factory, "blocked-night", make_blocked_night)


@pytest.fixture
def project(two_nights: Path, tmp_path: Path) -> HandMade:
    """A copy of it, free to change."""
    return copied(two_nights, tmp_path / "project")


def names(project: HandMade) -> list[tuple[str, str]]:
    """Stage and reason of what is missing."""
    return [(entry.name.partition("/")[0], entry.reason) for entry in find_missing(project.loaded)]


def lose(project: HandMade, stage: str, version: str) -> None:
    shutil.rmtree(Store(project.loaded.artifacts_dir).ref(stage, version).path)


def test_nothing_is_missing_after_nights(project: HandMade) -> None:
    assert find_missing(project.loaded) == ()
    assert "all whole" in asked(project.path, "verify")


def test_what_another_pipeline_has_rightly_deleted_is_not_missing(tmp_path: Path) -> None:
    directory = {"artifacts_dir": str(tmp_path / "artifacts")}
    first = HandMade(tmp_path / "first", pipeline={"name": "first", **directory})
    second = HandMade(
        tmp_path / "second",
        pipeline={"name": "second", **directory},
        document_vectors={"documents": {"model": "words"}},
    )
    first.night()
    second.night()
    second.write_text(110)
    second.write_vectors(GOOD, seed=1)
    second.night()
    assert names(first) == names(second) == []
    lose(first, "search_index", second.standing.serving["documents"].search_index)
    assert names(first) == [("search_index", "night 2 of pipeline second, the newest")]


def test_verify_names_lost_vectors_of_a_champion(project: HandMade) -> None:
    champion = project.standing.model("words").champion
    assert champion is not None
    lose(project, "embeddings", champion.embeddings)
    done = invoked(project.path, "verify")
    assert done.exit_code == 1
    assert done.stdout == (
        f"embeddings/{champion.embeddings} is missing (champion of words, v1); restore it from a "
        f"backup: no night makes it again\n"
    )


def test_what_the_newest_night_has_made_is_made_again_by_the_next(project: HandMade) -> None:
    store = Store(project.loaded.artifacts_dir)
    (tokens,) = store.versions("tokens")
    lose(project, "tokens", tokens.version)
    assert names(project) == [("tokens", "night 2, the newest")]
    assert "'nightjar run' makes it again" in invoked(project.path, "verify").stdout
    project.night()
    assert names(project) == []


def test_a_deleted_version_of_a_champion_is_named(project: HandMade) -> None:
    reader = project.place.reader()
    (champion,) = [found for found in reader.versions("night-words") if found.version == 1]
    from nightjar.registry.client import connect  # noqa: PLC0415

    connect(project.place.uri).delete_registered_model_alias("night-words", "champion")
    delete_version(project.place, champion)
    assert ("night-words version 1", "champion of words, v1") in names(project)


def test_what_a_failed_night_did_not_make_is_not_missing(project: HandMade) -> None:
    (project.directory / "vectors.txt").write_text("left1 1.0 nonsense\n", encoding="utf-8")
    with pytest.raises(NightjarError):
        project.night()
    assert names(project) == []


def test_what_retention_deleted_is_not_missing_when_it_is_told_to_keep_more(
    tmp_path: Path,
) -> None:
    project = HandMade(
        tmp_path / "project",
        keep={"accepted_nights": 1, "rollback_versions": 0, "trials": 0},
    )
    for n_lines in (100, 101, 102):
        project.write_text(n_lines)
        project.write_vectors(FAIR, seed=n_lines)
        project.night()
    project.document["keep"] = {"accepted_nights": 9, "rollback_versions": 9, "trials": 9}
    project.save()
    assert len(Store(project.loaded.artifacts_dir).versions("documents")) == 1
    assert names(project) == []


def test_what_a_purge_erased_is_not_missing(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project", document_vectors={"documents": {"model": "words"}})
    project.night()
    documents = Store(project.loaded.artifacts_dir).versions("documents")[0]
    found = Store(project.loaded.artifacts_dir).open(documents).read("documents")
    doc_id = found.column("doc_id")[0].as_py()
    purge(project.loaded, PurgeRequest((doc_id,), None, "test"))
    assert names(project) == []


def test_a_night_that_is_not_accepted_is_not_missing_from_what_is_accepted(
    project: HandMade,
) -> None:
    project.write_text(20)
    assert not project.night().accepted["text"]["is_accepted"]
    assert names(project) == []
