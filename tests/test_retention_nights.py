"""Real nights in a row: what the disk takes, what goes in MLflow, what readers still find."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from retention_support import Project, disk_bytes, make_project, sentences
from sharing_support import shared
from typer.testing import CliRunner

from nightjar.cli.main import app
from nightjar.core import Nights
from nightjar.pipeline.retention import ItemKind, collect, plan_collection
from nightjar.promotion import Steward, read_standing
from nightjar.registry import (
    CHAMPION,
    ClientWriter,
    RegistryPlace,
    check_files_whole,
)
from nightjar.store import Store, names, schemas

pytestmark = [
    pytest.mark.slow,  # the nights that most of it starts from
    pytest.mark.usefixtures("light_nights"),
]

GLOVE = {"trainer": "glove", "vector_size": 16, "window": 3, "epochs": 1, "min_count": 1}
N_NIGHTS = 8
N_FIRST, N_MORE = 800, 30
"""Documents of the first night, and how many come each night."""


def with_two_models(directory: Path) -> Project:
    project = make_project(directory)
    words = project.load().config.models["words"].model_dump(mode="json", exclude_unset=True)
    return make_project(
        directory.with_name(f"{directory.name}-two"),
        models={
            "words": words,
            "counted": GLOVE,
        },
    )


def lines_of_night(number: int) -> list[str]:
    return sentences(N_FIRST + N_MORE * number, seed=7, n_words=20)


def place(project: Project) -> RegistryPlace:
    loaded = project.load()
    return RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)


def registered(project: Project, model: str) -> list[int]:
    return [found.version for found in place(project).reader().versions(f"small-{model}")]


def roots(project: Project, model: str) -> list[int]:
    loaded = project.load()
    standing = read_standing(loaded).model(model)
    return sorted(found.number for found in standing.roots(loaded.config.keep.rollback_versions))


def rows(project: Project, query: str) -> list[tuple[object, ...]]:
    path = project.artifacts / "mlflow/mlflow.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def check_what_is_read(project: Project) -> None:
    """Search and questions to champions find all of their files."""
    store, standing = Store(project.artifacts), read_standing(project.load())
    served = standing.serving["by-words"]
    for stage, version in (
        (schemas.DOCUMENTS, served.documents),
        (schemas.DOCUMENT_VECTORS, served.document_vectors),
        (schemas.SEARCH_INDEX, served.search_index),
    ):
        assert store.verify(store.ref(stage, version)) == []
    for model in ("words", "counted"):
        champion = place(project).reader().alias(f"small-{model}", CHAMPION)
        assert champion is not None
        assert check_files_whole(place(project), champion) == []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Nights of growing text; each leaves a plan that is empty and what readers need."""
    return shared(tmp_path_factory, "retention", nights_in_a_row)


def nights_in_a_row(directory: Path) -> Project:
    project = with_two_models(directory / "nights")
    sizes = []
    for number in range(N_NIGHTS):
        project.write_lines(lines_of_night(number))
        night = project.night()
        assert night.alarms == ()
        assert project.due() == []
        check_what_is_read(project)
        sizes.append((disk_bytes(project.artifacts), len(roots(project, "words"))))
    (project.directory / "sizes.json").write_text(json.dumps(sizes))
    return project


def test_disk_after_any_number_of_nights_is_less_than_roots_and_two_nights(
    project: Project, tmp_path: Path
) -> None:
    once = with_two_models(tmp_path / "once")
    once.write_lines(lines_of_night(N_NIGHTS - 1))
    once.night()
    one_night = disk_bytes(once.artifacts)
    sizes = json.loads((project.directory / "sizes.json").read_text())
    assert sizes[-1][1] == 4  # champion, reference, two to go back to
    for n_bytes, n_roots in sizes:
        assert n_bytes < (n_roots + 2) * one_night
    # All nights together: what is kept of each for ever are records and scores.
    everything = (
        one_night
        * sum(N_FIRST + N_MORE * n for n in range(N_NIGHTS))
        / (N_FIRST + N_MORE * (N_NIGHTS - 1))
    )
    assert sizes[-1][0] < everything / 2


def test_of_registered_versions_the_roots_stay_and_nothing_else_of_mlflow(
    project: Project,
) -> None:
    kept = {model: registered(project, model) for model in ("words", "counted")}
    for model, numbers in kept.items():
        assert numbers == roots(project, model)
        assert numbers[-1] == N_NIGHTS
    n_versions = sum(map(len, kept.values()))
    n_reports = len(Store(project.artifacts).versions(schemas.CORPUS_REPORT))
    assert n_reports == 2
    assert rows(project, "SELECT count(*) FROM logged_models") == [(n_versions,)]
    assert rows(project, "SELECT count(*) FROM runs") == [(n_versions + n_reports,)]
    models = project.artifacts / "mlflow/artifacts/models"
    assert len(names(models)) == n_versions
    runs = {path.name for path in models.parent.iterdir()} - {"models"}
    assert len(runs) == n_versions + n_reports
    assert list(project.artifacts.rglob(".unfinished-*")) == []


def test_counts_and_documents_are_those_of_two_accepted_nights(project: Project) -> None:
    store = Store(project.artifacts)
    for stage in (schemas.DOCUMENTS, schemas.TOKENS, schemas.COOCCURRENCES):
        assert len(store.versions(stage)) == 2
    assert len(store.versions(schemas.DOCUMENT_VECTORS)) == 1
    assert len(store.versions(schemas.EVALUATION)) == 2 * N_NIGHTS  # for ever
    assert Nights(project.load().pipeline_dir).numbers() == list(range(1, N_NIGHTS + 1))


@pytest.fixture
def two_nights(tmp_path: Path) -> Project:
    project = make_project(tmp_path / "project")
    for number in range(2):
        project.write_lines(sentences(60 + number, seed=number))
        project.night()
    return project


def test_a_version_that_is_rolled_back_to_and_one_that_is_pinned_stay(two_nights: Project) -> None:
    project = two_nights
    loaded = project.load("keep.rollback_versions=0")
    Steward(loaded, "ann").pin("words", 1)
    for number in range(2, 4):
        project.write_lines(sentences(60 + number, seed=number))
        project.night("keep.rollback_versions=0", promotes=True)
    assert registered(project, "words") == [1, 4]
    collected = collect(project.load("keep.rollback_versions=0"))
    assert {item.kind for item in collected.items} == {ItemKind.RECORD}


def test_a_trial_keeps_what_nights_need_and_its_own_artifacts_till_the_next(
    two_nights: Project,
) -> None:
    project = two_nights
    before = {str(item.name) for item in plan_collection(project.load()).kept}
    project.night("models.words.window=2")
    assert project.due() == []
    assert project.due("models.words.window=2") == []
    after = {str(item.name) for item in plan_collection(project.load()).kept}
    assert before < after
    assert registered(project, "words") == [1, 2, 3]
    project.night("models.words.window=4")
    assert project.due("models.words.window=2") != []
    assert registered(project, "words") == [1, 2, 4]
    assert before < {str(item.name) for item in plan_collection(project.load()).kept}


def test_a_champion_of_long_ago_still_scores_and_embeds_what_is_new(tmp_path: Path) -> None:
    """Its tokens and documents are gone: what it needs of them it carries."""
    project = make_project(tmp_path / "project")
    project.write_lines(sentences(60, seed=0))
    project.night()
    Steward(project.load(), "ann").hold("words", "any")
    for number in range(1, 4):
        project.write_lines(sentences(60 + number, seed=0))
        night = project.night()
        assert night.alarms == ()
    standing = read_standing(project.load())
    assert standing.model("words").champion is not None
    assert standing.model("words").champion.number == 1
    store = Store(project.artifacts)
    embeddings = store.open(store.ref(schemas.EMBEDDINGS, standing.serving["by-words"].embeddings))
    assert not store.is_published(schemas.TOKENS, embeddings.manifest.parents[schemas.TOKENS])
    served = standing.serving["by-words"]
    index = store.open(store.ref(schemas.SEARCH_INDEX, served.search_index))
    assert index.rows("entries") == 63


# -- the command -----------------------------------------------------------------------------


def run(project: Project, *arguments: str) -> str:
    command = [*arguments, "--config", str(project.config)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_tells_before_it_deletes_and_does_what_it_told(two_nights: Project) -> None:
    project = two_nights
    change = ("--set", "keep.rollback_versions=0", "--set", "keep.accepted_nights=1")
    # The first version is the reference: the second one takes its place.
    Steward(project.load(), "ann").rebase("words", 2)
    before = disk_bytes(project.artifacts)
    told = json.loads(run(project, "collect", "--dry-run", "--json", *change))
    text = run(project, "collect", "--dry-run", *change)
    assert "would be deleted" in text
    assert f"{told['bytes']:,} bytes would be freed" in text
    assert abs(disk_bytes(project.artifacts) - before) < 1_000
    done = json.loads(run(project, "collect", "--json", *change))
    assert [item["name"] for item in done["items"]] == [item["name"] for item in told["doomed"]]
    assert done["bytes"] == told["bytes"]
    kinds = {item["kind"] for item in done["items"]}
    assert {ItemKind.ARTIFACT, ItemKind.VERSION} <= kinds
    assert registered(project, "words") == [2]
    # What MLflow's database holds of it is gone, its file keeps its size.
    assert before - disk_bytes(project.artifacts) > 0.9 * done["bytes"]
    assert json.loads(run(project, "collect", "--json", *change))["items"] == []
    assert "0 bytes freed" in run(project, "collect", *change)


def test_an_alias_by_hand_keeps_a_version(
    two_nights: Project,
) -> None:
    project = two_nights
    Steward(project.load(), "ann").rebase("words", 2)
    change = ("--set", "keep.rollback_versions=0")
    ClientWriter(place(project)).point("small-words", "mine", 1)
    done = json.loads(run(project, "collect", "--json", *change))
    assert "small-words version 1 is not deleted: the alias mine points to it" in done["notes"]
    assert registered(project, "words") == [1, 2]
    ClientWriter(place(project)).point("small-words", "mine", None)
    run(project, "collect", *change)
    assert registered(project, "words") == [2]
