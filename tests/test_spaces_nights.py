"""Models that keep a space, over nights in a row: whatever happens, nothing is due afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from asking_support import asked, asked_json, refused
from copying_support import copy_project
from retention_support import PROVENANCE, Project, make_project, sentences
from sharing_support import shared
from typer.testing import CliRunner

import nightjar
from nightjar.cli.main import app
from nightjar.core import Night, NightStatus, Step
from nightjar.errors import InputError, PromotionRefused, StoreError
from nightjar.formats.origins import read_origin
from nightjar.formats.spaces import space_of
from nightjar.pipeline import DirectRunner, NightFailed, NightRequest, run_night
from nightjar.pipeline.retention import PurgeRequest, purge
from nightjar.pipeline.searching import SearchRequest, find_documents, open_search
from nightjar.promotion import ModelStanding, Steward, VersionRef, read_events, standing_of
from nightjar.registry import RegistryPlace, open_writer
from nightjar.store import Artifact, Store, delete

pytestmark = pytest.mark.usefixtures("light_nights")

MODES = ("aligned", "warm", "compass")
TEXT = sentences(400, seed=3)
FIRST, GROWN, SPOILT = 200, 240, 30
WORDS: dict[str, Any] = {
    "trainer": "word2vec",
    "vector_size": 16,
    "epochs": 1,
    "min_count": 1,
    "window": 3,
}


def project_of(directory: Path, **models: Any) -> Project:
    project = make_project(
        directory,
        models={name: {**WORDS, **model} for name, model in models.items()},
        document_vectors={"found": {"model": next(iter(models))}},
    )
    project.write_lines(TEXT[:FIRST])
    return project


def changed(project: Project, **model: Any) -> None:
    """Change the settings of the model ``words`` in the file."""
    config = yaml.safe_load(project.config.read_text(encoding="utf-8"))
    config["models"]["words"].update(model)
    project.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def standing(project: Project, model: str = "words") -> ModelStanding:
    return standing_of(read_events(project.load())).model(model)


def champion(project: Project, model: str = "words") -> VersionRef:
    found = standing(project, model).champion
    assert found is not None
    return found


def vectors(project: Project, version: VersionRef) -> Artifact:
    store = Store(project.artifacts)
    return store.open(store.ref("embeddings", version.embeddings))


def outcome(night: Night, model: str = "words") -> str:
    (found,) = [entry for entry in night.decisions if entry["model"] == model]
    return str(found["outcome"])


def trained(night: Night) -> list[str]:
    """What was learned or turned in a night."""
    return [step.label for step in night.steps if step.was_run and "embeddings" in step.stage]


def steward(project: Project) -> Steward:
    return Steward(project.load(), "test")


Founded = Callable[[str], Project]


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    """A project of a mode whose first night is over. Read only."""

    def of(mode: str) -> Project:
        def make(directory: Path) -> Project:
            project = project_of(directory / "project", words={"space": mode})
            assert outcome(project.night()) == "promoted"
            return project

        return shared(tmp_path_factory, f"founded-{mode}", make)

    return of


@pytest.fixture
def copied(founded: Founded, tmp_path: Path) -> Founded:
    """A copy of such a project, free to change."""

    def of(mode: str) -> Project:
        return Project(copy_project(founded(mode).directory, tmp_path / "copy"))

    return of


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", MODES)
def test_a_space_is_kept_whatever_happens(mode: str, copied: Founded) -> None:
    project = copied(mode)
    first = champion(project)
    space = vectors(project, first).manifest.digest[:12]
    assert space_of(vectors(project, first)) == space
    # Night 2, the same text: nothing to do, and the founder is not due again.
    assert project.due() == []
    assert project.night().status is NightStatus.NOTHING_TO_DO
    # Night 3, more text.
    project.write_lines(TEXT[:GROWN])
    assert outcome(project.night()) == "promoted"
    second = champion(project)
    assert second != first
    assert space_of(vectors(project, second)) == space
    kept = vectors(project, second).manifest.report["space"]
    assert kept["mode"] == mode
    assert kept["anchor"] == {"embeddings": first.embeddings, "digest": first.digest}
    assert project.due() == []
    # Night 4 is spoilt and blocked: its vectors are of the space, too, and nothing is due.
    project.write_lines(TEXT[:SPOILT])
    night = project.night()
    assert outcome(night) == "blocked"
    assert champion(project) == second
    assert project.due() == []
    # The text of night 3 is back, and then that of night 1.
    project.write_lines(TEXT[:GROWN])
    assert project.due() == []
    assert trained(project.night()) == []
    project.write_lines(TEXT[:FIRST])
    night = project.night()
    assert trained(night) == []
    assert project.due() == []
    # Another config and back again.
    assert champion(project) == first
    changed(project, window=4)
    assert outcome(project.night()) == "promoted"
    assert space_of(vectors(project, champion(project))) == space
    assert project.due() == []
    changed(project, window=3)
    assert project.due() == []
    night = project.night()
    assert trained(night) == []
    assert champion(project).embeddings == first.embeddings
    # A rollback, whose champion is of the space; then an alias moved by hand.
    asked(project.config, "rollback", "words")
    assert champion(project) != first
    assert space_of(vectors(project, champion(project))) == space
    assert project.due() == []
    loaded = project.load()
    place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
    open_writer(place).point("small-words", "champion", second.number)
    assert project.due() == []
    project.night()
    asked(project.config, "adopt", "words")
    assert champion(project) == second
    assert project.due() == []
    assert [anchor.version for anchor in standing(project).anchors] == [first]


def test_raw_embeddings_name_no_anchor_and_are_turned_each_night(copied: Founded) -> None:
    project = copied("aligned")
    store = Store(project.artifacts)
    project.write_lines(TEXT[:GROWN])
    project.night()
    turned = vectors(project, champion(project))
    version = turned.manifest.parents["raw_embeddings"]
    raw = store.open(store.ref("raw_embeddings", version))
    assert "anchor" not in raw.manifest.identity["config"]
    assert set(raw.manifest.parents) == {"tokens"}
    assert "space" not in raw.manifest.report
    # A person moves the anchor: nothing is learned again, only turned.
    steward(project).rebase("words", champion(project).number, of_space=True)
    assert project.due() == []  # the anchor is its own training
    project.write_lines(TEXT[:FIRST])
    assert not {"train words", "align words"} & {*project.due()}  # and so is the one before it
    project.write_lines(TEXT[:300])
    project.night()
    assert vectors(project, champion(project)).manifest.report["space"]["anchor"] == {
        "embeddings": turned.ref.version,
        "digest": turned.manifest.digest,
    }
    assert space_of(vectors(project, champion(project))) == space_of(turned)
    assert project.due() == []


def test_a_killed_alignment_goes_on_without_training(copied: Founded) -> None:
    project = copied("aligned")
    project.write_lines(TEXT[:GROWN])

    class Killed(DirectRunner):
        def run(self, step: Step) -> None:
            if step.label == "align words":
                raise KeyboardInterrupt
            super().run(step)

    loaded = project.load()
    with pytest.raises(KeyboardInterrupt):
        run_night(loaded, Killed(loaded, PROVENANCE), PROVENANCE, NightRequest("test"))
    assert "train words" not in project.due()
    assert "align words" in project.due()
    assert trained(project.night()) == ["align words"]
    assert project.due() == []


@pytest.mark.timeout(1800)
def test_nights_in_a_row_keep_the_anchor_and_little_else(copied: Founded) -> None:
    project = copied("aligned")
    config = yaml.safe_load(project.config.read_text(encoding="utf-8"))
    config["keep"] = {"rollback_versions": 0, "accepted_nights": 1}
    project.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    first = champion(project)
    for number in range(1, 5):
        project.write_lines(TEXT[: FIRST + 15 * number])
        assert outcome(project.night()) == "promoted"
        steward(project).rebase("words")  # the reference follows: the anchor is kept for itself
    project.night()  # which deletes what the last order freed
    store = Store(project.artifacts)
    kept = [ref.version for ref in store.versions("embeddings")]
    assert kept == [first.embeddings, champion(project).embeddings]
    assert len(store.versions("raw_embeddings")) == 2
    assert space_of(vectors(project, champion(project))) == first.digest[:12]
    assert project.due() == []
    # Ordered to another anchor, the first one goes.
    steward(project).rebase("words", of_space=True)
    project.night()
    assert [ref.version for ref in store.versions("embeddings")] == [champion(project).embeddings]
    assert project.due() == []


def test_a_lost_anchor_fails_the_night_with_a_way_out(copied: Founded) -> None:
    project = copied("aligned")
    first = champion(project)
    project.write_lines(TEXT[:GROWN])
    project.night()
    delete(vectors(project, first).directory)
    project.write_lines(TEXT[:300])
    with pytest.raises(NightFailed, match="rebase words --space"):
        project.night()
    steward(project).rebase("words", of_space=True)
    assert outcome(project.night()) == "promoted"
    assert space_of(vectors(project, champion(project))) == first.digest[:12]


def test_a_model_that_begins_to_keep_a_space_keeps_to_its_champion(tmp_path: Path) -> None:
    project = project_of(tmp_path / "project", words={"space": "own"})
    project.night()
    project.write_lines(TEXT[:GROWN])
    project.night()
    before = champion(project)
    own = space_of(vectors(project, before))
    changed(project, space="aligned")
    night = project.night()
    # The same training, turned onto the vectors that consumers have.
    assert trained(night) == ["train words", "align words"]
    after = champion(project)
    assert space_of(vectors(project, after)) == own
    assert vectors(project, after).manifest.report["space"]["residual"] < 1e-6
    assert [anchor.version for anchor in standing(project).anchors] == [before]
    assert project.due() == []
    # Warm: the champion's training is its own start, so it is not repeated.
    changed(project, space="warm")
    assert project.due() == []
    project.write_lines(TEXT[:300])
    project.night()
    assert space_of(vectors(project, champion(project))) == own
    assert project.due() == []


def test_another_size_founds_a_space_of_its_own_and_the_first_one_waits(
    copied: Founded,
) -> None:
    project = copied("aligned")
    first = champion(project)
    changed(project, vector_size=12)
    assert outcome(project.night()) == "promoted"
    small = champion(project)
    assert space_of(vectors(project, small)) == small.digest[:12] != first.digest[:12]
    assert project.due() == []
    project.write_lines(TEXT[:GROWN])
    project.night()
    assert space_of(vectors(project, champion(project))) == small.digest[:12]
    changed(project, vector_size=16)
    project.night()
    assert space_of(vectors(project, champion(project))) == first.digest[:12]
    assert project.due() == []


def test_two_models_and_an_encoder_keep_a_space_each(tmp_path: Path) -> None:
    project = project_of(
        tmp_path / "project", words={"space": "aligned"}, others={"space": "compass", "window": 2}
    )
    config = yaml.safe_load(project.config.read_text(encoding="utf-8"))
    config["models"]["sif"] = {"trainer": "sif", "model": "words", "space": "aligned"}
    project.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    project.night()
    names = ("words", "others", "sif")
    spaces = {name: space_of(vectors(project, champion(project, name))) for name in names}
    assert len(set(spaces.values())) == 3
    assert project.due() == []
    project.write_lines(TEXT[:GROWN])
    project.night()
    for name in names:
        assert space_of(vectors(project, champion(project, name))) == spaces[name]
    assert project.due() == []
    base = vectors(project, champion(project))
    assert vectors(project, champion(project, "sif")).manifest.parents["embeddings"] == (
        base.ref.version
    )


def test_a_deterministic_pipeline_turns_alike(copied: Founded, tmp_path: Path) -> None:
    one, two = copied("aligned"), project_of(tmp_path / "two", words={"space": "aligned"})
    two.night()
    digests = []
    for project in (one, two):
        project.write_lines(TEXT[:GROWN])
        project.night()
        digests.append([anchor.version for anchor in standing(project).anchors])
        digests[-1].append(champion(project))
    assert digests[0] == digests[1]


def test_a_purge_names_the_anchor_and_the_next_night_keeps_its_space(copied: Founded) -> None:
    project = copied("aligned")
    first = champion(project)
    project.write_lines(TEXT[:GROWN])
    project.night()
    store = Store(project.artifacts)
    (documents,) = {step.version for step in project.night().steps if step.stage == "documents"}
    found = store.open(store.ref("documents", documents))
    doc_id = found.read("documents", ["doc_id"]).column(0)[0].as_py()
    result = purge(project.load(), PurgeRequest((doc_id,), None, "test"))
    assert {one.embeddings for one in result.trained} >= {
        first.embeddings,
        champion(project).embeddings,
        *(ref.version for ref in store.versions("raw_embeddings")),
    }
    assert any("rebase words --space" in note for note in result.notes)
    project.night()
    assert space_of(vectors(project, champion(project))) == first.digest[:12]
    assert project.due() == []


# -- what consumers see ----------------------------------------------------------------------------


def told(project: Project, *arguments: object) -> str:
    """What a command prints, on one line."""
    return " ".join(asked(project.config, *arguments).split())


def problem(project: Project, *arguments: object) -> str:
    """What a mistake of the user is told; it ends with exit code 2."""
    error = refused(project.config, *arguments)
    assert isinstance(error, InputError)
    assert error.exit_code == 2
    return str(error)


@pytest.fixture(scope="session")
def two_spaces(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose two versions are of two spaces. Read only."""

    def make(directory: Path) -> Project:
        project = project_of(directory / "project", words={"space": "own"})
        project.night()
        project.write_lines(TEXT[:GROWN])
        project.night()
        return project

    return shared(tmp_path_factory, "two-spaces", make)


def test_every_way_to_a_vector_tells_its_space(two_spaces: Project) -> None:
    found = vectors(two_spaces, champion(two_spaces))
    space = space_of(found)
    model = nightjar.Pipeline(two_spaces.config).model("words")
    assert model.space == space
    assert nightjar.Pipeline(two_spaces.config).model("words@1").space != space
    assert asked_json(two_spaces.config, "show", "words")["lineage"]["nightjar.space"] == space
    similar = asked_json(two_spaces.config, "similar", model.words[0], model.words[1])
    assert similar["words"]["space"] == space
    result = find_documents(two_spaces.load(), SearchRequest(model.words[0]))
    assert result.as_json()["space"] == space


def test_map_vectors_carries_vectors_over(two_spaces: Project, tmp_path: Path) -> None:
    pipeline = nightjar.Pipeline(two_spaces.config)
    old, new = pipeline.model("words@1"), pipeline.model("words")
    words = [word for word in old.words if word in new]
    path, out = tmp_path / "kept.parquet", tmp_path / "out.parquet"
    table = pa.table({"word": words, "vector": old.vectors(words).tolist()})
    pq.write_table(table, path)
    arguments = ("map-vectors", path, "--from", "words/1", "--to", "words", "--output", out)
    output = told(two_spaces, *arguments)
    assert f"carried from the space {old.space} to {new.space}" in output
    assert "mean cosine distance after it" in output
    assert read_origin(out)["space"] == new.space
    found = pq.read_table(out)
    assert found.column("word").to_pylist() == words
    moved = np.array(found.column("vector").to_pylist())

    def nearness(rows: Any) -> float:
        expected = new.vectors(words)
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(expected, axis=1)
        return float(np.mean(np.sum(rows * expected, axis=1) / lengths))

    assert nearness(moved) > 0.85
    assert nearness(moved) > nearness(old.vectors(words))
    # The result knows its space: it is refused as one of the old, and not overwritten.
    assert "is there already" in problem(two_spaces, *arguments)
    wrong = problem(two_spaces, "map-vectors", out, "--from", "words@1", "--to", "words")
    assert f"says that its vectors are of the space {new.space}" in wrong
    embeddings = f"embeddings/{new.embeddings_version}"
    output = told(two_spaces, "map-vectors", out, "--from", embeddings, "--to", "words")
    assert "copied unchanged" in output
    copy = tmp_path / f"out-{new.space}.parquet"
    assert pq.read_table(copy).equals(found)


def test_a_map_between_two_turns_of_one_training_is_exact(copied: Founded, tmp_path: Path) -> None:
    project = copied("aligned")
    project.write_lines(TEXT[:GROWN])
    project.night()
    second = champion(project)
    # Another founder, of another space: the first training again, under another seed.
    changed(project, seed=5, space="own")
    project.night()
    other = champion(project)
    changed(project, seed=1, space="aligned")
    steward(project).rebase("words", other.number, of_space=True)
    project.night()
    third = champion(project)
    assert space_of(vectors(project, third)) == space_of(vectors(project, other))
    old = nightjar.Pipeline(project.config).model(f"words@{second.number}")
    new = nightjar.Pipeline(project.config).model("words")
    np.save(tmp_path / "kept.npy", old.vectors(old.words))
    versions = ("--from", f"words@{second.number}", "--to", "words")
    out = tmp_path / "out.npy"
    assert "the map is exact" in told(
        project, "map-vectors", tmp_path / "kept.npy", *versions, "--output", out
    )
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), new.vectors(old.words), atol=1e-6)


def test_an_index_and_a_model_of_two_spaces_refuse_each_other(
    copied: Founded, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copied("warm")
    with open_search(project.load(), None) as search:
        assert search.words is not None
        space = search.words.space
    monkeypatch.setattr("nightjar.pipeline.searching.space_of_documents", lambda found: "0" * 12)
    with pytest.raises(StoreError, match=f"space 0{{12}} .* of the space {space}"):
        find_documents(project.load(), SearchRequest("bolo"))


def test_an_order_that_keeps_no_space_is_refused(two_spaces: Project) -> None:
    with pytest.raises(PromotionRefused, match=r"set models\.words\.space to aligned"):
        steward(two_spaces).rebase("words", of_space=True)


def test_help_says_what_the_command_does() -> None:
    result = CliRunner().invoke(app, ["map-vectors", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for word in ("--from", "--to", "--column", "coordinates of another version"):
        assert word in result.output


def test_mistakes_are_told_with_a_way_on(two_spaces: Project, tmp_path: Path) -> None:
    path = tmp_path / "kept.npy"
    np.save(path, np.zeros((2, 3), np.float32))
    for file, old, told_of in (
        (path, "nobody", "have words"),
        (path, "words@9", "has no version or alias '9'"),
        (path, "embeddings/0123", "no artifact matches"),
        (path, "words@1", "its vectors have 3 values"),
        (tmp_path / "gone.npy", "words@1", "no such file"),
    ):
        versions = ("--from", old, "--to", "words")
        assert told_of in problem(two_spaces, "map-vectors", file, *versions)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.npy"]
