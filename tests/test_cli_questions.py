"""Questions on the command line: similar, cluster, rank, encode, and the files behind them."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from asking_support import asked, asked_json, refused
from fork_support import COMMANDS
from gensim.models import KeyedVectors
from nights_support import GOOD, POOR, HandMade
from sharing_support import shared
from test_cli import assert_refused, nightjar

from nightjar.cli import questions
from nightjar.cli.questions import Asked
from nightjar.config import load_config
from nightjar.errors import (
    InputError,
    ModelFilesDamaged,
    NightjarError,
    StoreNotWritable,
    UnknownTokenError,
)
from nightjar.formats.embeddings import Embeddings
from nightjar.formats.gensim import from_gensim
from nightjar.model.lookup import QueryError, TableDamaged, UnknownWords, VectorModel
from nightjar.model.lookup.nearest import unit_rows
from nightjar.pipeline.answerers import Answerers, named_model_errors
from nightjar.registry import model_files
from nightjar.store import first_reading
from nightjar.store.first_reading import RECORDS_DIR


def test_similarity_of_two_words_in_every_model(finished_config: Path) -> None:
    done = nightjar("similar", "government", "police", "-c", finished_config, "--json")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert set(answers) == {"cbow", "glove"}
    for name, answer in answers.items():
        answerers = Answerers(load_config(finished_config, []))
        vectors = Embeddings.from_artifact(answerers.embeddings(answerers.model(name)))
        units = unit_rows(vectors.matrix)
        a, b = (units[vectors.ids[word]] for word in ("government", "police"))
        assert answer["similarity"] == pytest.approx([float(a @ b)], abs=1e-6)
    shown = nightjar("similar", "government", "police", "-c", finished_config).stdout
    assert f"{answers['glove']['similarity'][0]:.3f}" in shown


def test_a_word_in_another_spelling_is_asked_and_told(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    shown = asked(project.path, "neighbors", "LEFT1", "--not", "Right2")
    assert "words: LEFT1 is read as left1\nwords: Right2 is read as right2\n" in shown
    given = asked_json(project.path, "similar", "Left1", "right1")["words"]
    assert given["remarks"] == ["Left1 is read as left1"]
    known = asked_json(project.path, "similar", "left1", "right1")["words"]
    assert (known["similarity"], known["remarks"]) == (given["similarity"], [])


def test_neighbors_of_several_words_and_away_from_one(finished_config: Path) -> None:
    words = ["government", "police", "--not", "cricket"]
    done = nightjar("neighbors", *words, "-c", finished_config, "-n", 4, "--json")
    assert done.returncode == 0, done.stderr
    found = [near["token"] for near in json.loads(done.stdout)["glove"]["neighbors"]]
    assert len(found) == 4
    assert not set(found) & set(words)
    done = nightjar("neighbors", "government", "--threshold", 0.999999, "-c", finished_config)
    assert done.returncode == 0, done.stderr


def test_a_version_and_an_alias_can_be_asked(finished_config: Path) -> None:
    pair = ("similar", "government", "police", "-c", finished_config, "--json")
    champion = json.loads(nightjar(*pair, "-m", "glove").stdout)["glove"]
    for name in ("glove@1", "glove@champion", "small-glove@1"):
        assert json.loads(nightjar(*pair, "-m", name).stdout)[name] == champion
    assert_refused(nightjar(*pair, "-m", "glove@challenger"), 2, "no version or alias 'challenger'")
    assert_refused(nightjar(*pair, "-m", "glov"), 2, "did you mean 'glove'?")


def test_a_model_that_came_from_gensim_can_be_asked_by_its_name(finished_copy: Path) -> None:
    keyed = KeyedVectors(2)
    keyed.add_vectors(["king", "queen"], np.array([[1, 0], [1, 1]], np.float32))
    path = finished_copy.parent / "other.kv"
    keyed.save(str(path))
    config = ("-c", finished_copy)
    assert nightjar("from-gensim", path, "--name", "other", *config).returncode == 0
    done = nightjar("similar", "king", "queen", "-m", "other", *config, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["other"]["similarity"] == pytest.approx([2**-0.5])


def test_the_odd_word_is_named_in_every_model(finished_config: Path) -> None:
    words = ["government", "police", "cricket", "test"]
    done = nightjar("odd", *words, "-c", finished_config, "--json")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    shown = nightjar("odd", *words, "-c", finished_config).stdout
    for name, answer in answers.items():
        found = answer["odd_one_out"][0]
        assert found["word"] == words[int(np.argmin(found["similarities"]))]
        assert f"{name}: {found['word']}" in shown
        assert f"{found['similarities'][0]:.3f}" in shown
    done = nightjar("odd", "government", "police", "-c", finished_config)
    assert_refused(done, 2, "at least 3 words")


def test_clusters_and_rankings(finished_config: Path) -> None:
    words = ["government", "police", "cricket", "test"]
    done = nightjar("cluster", *words, "-k", 2, "-m", "glove", "-c", finished_config, "--json")
    clusters = json.loads(done.stdout)["glove"]["clusters"]
    assert clusters[0] == 0
    assert set(clusters) == {0, 1}
    texts = ["nothing-known-qqq", "the police said", "The Government!"]
    done = nightjar("rank", "government", *texts, "-c", finished_config, "--json")
    ranking = json.loads(done.stdout)["cbow"]["ranking"]
    assert [found["item"] for found in ranking] == [2, 1, 0]
    table = nightjar("rank", "government", *texts, "-c", finished_config).stdout
    assert table.index("The Government!") < table.index("the police said")


def test_encode_writes_json_lines_or_a_file(finished_config: Path, tmp_path: Path) -> None:
    output = tmp_path / "vectors.npy"
    texts = ["The police.", "qqq", "the the police"]
    done = nightjar("encode", *texts, "-m", "glove", "-c", finished_config)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in lines] == texts
    assert lines[1]["vector"] is None
    done = nightjar("encode", *texts, "-m", "glove", "-c", finished_config, "-o", output)
    assert done.returncode == 0, done.stderr
    found = np.load(output)
    np.testing.assert_allclose(found[0], lines[0]["vector"], rtol=1e-6)
    assert np.isnan(found[1]).all()
    companion = tmp_path / "vectors.npy.nightjar.json"
    assert sorted(tmp_path.iterdir()) == [output, companion]
    origin = {"model": "glove", "space": lines[0]["space"]}
    assert json.loads(companion.read_text(encoding="utf-8")) == origin


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"", ["no text is given"]),
        (b"caf\xe9\n", ["standard input is not UTF-8", "byte 3"]),
    ],
)
def test_texts_from_standard_input(finished_config: Path, given: bytes, words: list[str]) -> None:
    command = ["encode", "-m", "glove", "-c", str(finished_config)]
    done = COMMANDS.run(command, os.environ, given=b"the police\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "the police"
    done = COMMANDS.run(command, os.environ, given=given)
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_questions_are_refused(finished_config: Path, tmp_path: Path) -> None:
    config = ["-c", finished_config]
    assert_refused(nightjar("encode", "the", *config), 2, "--model", "cbow, glove")
    assert_refused(nightjar("similar", "governmnt", "the", *config), 2, "did you mean government")
    done = nightjar("cluster", "the", "of", "-k", 3, "-m", "glove", *config)
    assert_refused(done, 2, "n_clusters is 3: choose 1 to 2")
    output = tmp_path / "missing" / "vectors.npy"
    done = nightjar("encode", "the", "-m", "glove", "-o", output, *config)
    assert_refused(done, 2, str(output), "cannot be written")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for wrong in (pipe, tmp_path, Path("/")):
        error = refused(finished_config, "encode", "the", "-m", "glove", "-o", wrong)
        assert error.exit_code == 2
        assert f"{wrong} cannot be written" in str(error)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def files_of(config: Path, what: str = "glove") -> Path:
    """The directory that a question to a champion is answered from."""
    answerers = Answerers(load_config(config, []))
    registered = answerers.model(what).registered
    assert registered is not None
    return model_files(answerers.place, registered)


def tree(directory: Path) -> dict[str, int]:
    """The files below ``directory`` and when they were written, except what was read in full."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in found if RECORDS_DIR not in path.parts}


def test_questions_read_the_registered_files_and_write_only_that_they_are_whole(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_reading, "SETTLED_NS", 0)  # the copy counts as old
    artifacts = finished_copy.parent / "artifacts"
    before = tree(artifacts)
    answerers = Answerers(load_config(finished_copy, []))
    with answerers.opened(answerers.model("glove")) as model:
        expected = model.vectors(["police"])
    directory = files_of(finished_copy)
    assert directory.is_relative_to(artifacts / "mlflow")
    np.testing.assert_array_equal(VectorModel.open(directory).vectors(["police"]), expected)
    done = nightjar("similar", "government", "police", "-c", finished_copy)
    assert done.returncode == 0, done.stderr
    assert tree(artifacts) == before
    records = [path.read_text() for path in (artifacts / RECORDS_DIR).iterdir()]
    assert any("artifacts/lookup/vectors.npy" in record for record in records)


def test_registered_files_that_were_cut_are_named_with_what_to_do(finished_copy: Path) -> None:
    os.truncate(files_of(finished_copy) / "vectors.npy", 500)
    done = nightjar("neighbors", "the", "-m", "glove", "-c", finished_copy)
    assert_refused(
        done, 1, "small-glove version 1", "vectors.npy has 500 bytes", "nightjar rollback"
    )


def test_a_model_that_came_from_gensim_needs_a_temporary_directory(
    finished_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = KeyedVectors(2)
    keyed.add_vectors(["king", "queen"], np.array([[1, 0], [1, 1]], np.float32))
    loaded = load_config(finished_copy, [])
    from_gensim(keyed, loaded.artifacts_dir, "other")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "files"))
    with pytest.raises(StoreNotWritable, match=r"the files of other cannot be written .* TMPDIR"):
        questions.ask(loaded, Asked("other"), ["king", "queen"], task="similarity")
    (tmp_path / "files").mkdir()
    (answer,) = questions.ask(loaded, Asked("other"), ["king", "queen"], task="similarity")
    assert answer.found == pytest.approx([2**-0.5])
    assert not list((tmp_path / "files").iterdir())


def test_of_embeddings_published_by_hand_the_newest_answer(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    for second in (1.0, 2.0):
        keyed = KeyedVectors(2)
        keyed.add_vectors(["king", "queen"], np.array([[1, 0], [1, second]], np.float32))
        from_gensim(keyed, project.loaded.artifacts_dir, "other")
    (answer,) = questions.ask(project.loaded, Asked("other"), ["king", "queen"], task="similarity")
    assert answer.found == pytest.approx([5**-0.5])
    shown = asked_json(project.path, "show", "other")
    newest = max(asked_json(project.path, "versions")["artifacts"], key=lambda e: e["created_at"])
    assert shown["version"] == newest["version"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (UnknownWords("no vector for qqq", ["qqq"]), UnknownTokenError),
        (QueryError("topn is 0"), InputError),
        (TableDamaged("vectors.npy was cut"), ModelFilesDamaged),
    ],
)
def test_what_a_model_raises_becomes_an_error_with_an_exit_code(
    raised: Exception, expected: type[NightjarError]
) -> None:
    with pytest.raises(NightjarError, match=str(raised)) as error, named_model_errors():
        raise raised
    assert type(error.value) is expected


def test_when_no_model_answers_each_reason_is_told_once(finished_config: Path) -> None:
    done = nightjar("neighbors", "the", "--night", 99, "-c", finished_config)
    assert_refused(done, 2, "there is no night 99")
    assert done.stderr.count("there is no night 99") == 1


# -- other versions, other nights --------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> HandMade:
    """Version 1 of night 1, version 2 of the blocked night 2, version 3 of a trial."""
    return shared(tmp_path_factory, "questions", three_nights)


def three_nights(directory: Path) -> HandMade:
    project = HandMade(directory / "project")
    project.night()
    project.write_vectors(POOR)
    project.night()
    project.write_vectors(GOOD, "other.txt", seed=2000)
    project.night("models.words.path=other.txt")
    return project


def similarity(project: HandMade, model: str | None = None, night: int | None = None) -> float:
    pair = ["left19", "right19"]
    (answer,) = questions.ask(project.loaded, Asked(model, night), pair, task="similarity")
    value: float = answer.found[0]
    return value


def test_versions_aliases_and_nights_answer_when_they_are_named(project: HandMade) -> None:
    first, blocked, trial = (similarity(project, f"words@{number}") for number in (1, 2, 3))
    assert len({first, blocked, trial}) == 3
    assert similarity(project) == similarity(project, "words@champion") == first
    assert (
        similarity(project, "night-words@2") == similarity(project, "words@challenger") == blocked
    )
    nights = [similarity(project, None, number) for number in (1, 2, 3)]
    assert nights == [first, blocked, trial]


@pytest.mark.parametrize(
    ("model", "night", "message"),
    [
        ("words@9", None, "night-words has no version or alias '9'; 'nightjar show words'"),
        ("words@best", None, "has no version or alias 'best'"),
        ("words@" + "9" * 30, None, "has no version or alias '999"),
        ("words@1", 1, "name a version or a night, not both"),
        ("words", 9, "there is no night 9; 'nightjar nights' lists them"),
        ("wrods", None, "no such model; did you mean 'words'?"),
        ("wrods", 1, "no such model; did you mean 'words'?"),
    ],
)
def test_what_is_not_there_is_named(
    project: HandMade, model: str, night: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        similarity(project, model, night)


def test_a_night_that_did_not_make_a_model_says_so(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    again = {**project.document["models"]["words"]}
    project.document["models"]["again"] = again
    project.save()
    with pytest.raises(InputError, match="night-again has no champion yet: 'nightjar run'"):
        similarity(project, "again")
    pair = ["left1", "right1"]
    words, other = questions.ask(project.loaded, Asked(), pair, task="similarity")
    assert words.problem is None
    assert "no champion yet" in (other.problem or "")
    project.night()
    words, other = questions.ask(project.loaded, Asked(None, 1), pair, task="similarity")
    assert words.problem is None
    assert "night 1 made no again" in (other.problem or "")


def test_a_model_that_is_gone_from_the_config_still_answers(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    expected = similarity(project)
    project.document["models"] = {"others": project.document["models"].pop("words")}
    project.save()
    assert similarity(project, "words") == expected


def test_a_retired_model_answers_by_version_alone(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    expected = similarity(project)
    project.document["models"] = {"others": project.document["models"].pop("words")}
    project.save()
    asked(project.path, "retire", "words")
    with pytest.raises(InputError, match="words is retired; name one of its versions"):
        similarity(project, "words")
    assert similarity(project, "words@1") == expected


def test_a_version_that_is_not_in_the_registry_any_more_is_named(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    shutil.rmtree(project.loaded.artifacts_dir / "mlflow")
    with pytest.raises(ModelFilesDamaged, match="version 1 is no longer in the registry"):
        similarity(project)
