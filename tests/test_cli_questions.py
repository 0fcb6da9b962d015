"""Questions on the command line: similar, cluster, rank, encode, and the files behind them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from test_cli import assert_refused, nightjar

from flows.lookups import champion_ref
from flows.questions import open_champion
from nightjar.config import load_config
from nightjar.embeddings import Embeddings
from nightjar.model_files import DIRECTORY
from nightjar.store import Store


@pytest.fixture
def lookup_files(finished_config: Path) -> Path:
    """Where the models' files are kept; none is there at first."""
    directory = finished_config.parent / "artifacts" / DIRECTORY
    shutil.rmtree(directory, ignore_errors=True)
    return directory


def test_similarity_of_two_words_in_every_model(finished_config: Path) -> None:
    done = nightjar("similar", "government", "police", "-c", finished_config, "--json")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert set(answers) == {"cbow", "glove"}
    for name, answer in answers.items():
        ref = champion_ref(load_config(finished_config, []), name)
        vectors = Embeddings.from_artifact(Store(finished_config.parent / "artifacts").open(ref))
        a, b = (vectors.unit_matrix[vectors.ids[word]] for word in ("government", "police"))
        assert answer["similarity"] == pytest.approx([float(a @ b)], abs=1e-6)
    shown = nightjar("similar", "government", "police", "-c", finished_config).stdout
    assert f"{answers['glove']['similarity'][0]:.3f}" in shown


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
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"", ["no text is given"]),
        (b"caf\xe9\n", ["standard input is not UTF-8", "byte 3"]),
    ],
)
def test_texts_from_standard_input(finished_config: Path, given: bytes, words: list[str]) -> None:
    command = ["python", "-m", "flows.cli", "encode", "-m", "glove", "-c", str(finished_config)]
    import sys  # noqa: PLC0415

    command[0] = sys.executable
    done = subprocess.run(command, input=b"the police\n", capture_output=True, check=True)
    assert json.loads(done.stdout)["text"] == "the police"
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_wrong_questions_are_refused(finished_config: Path, tmp_path: Path) -> None:
    config = ["-c", finished_config]
    assert_refused(nightjar("encode", "the", *config), 2, "--model", "cbow, glove")
    assert_refused(nightjar("similar", "governmnt", "the", *config), 2, "did you mean government")
    done = nightjar("cluster", "the", "of", "-k", 3, "-m", "glove", *config)
    assert_refused(done, 2, "n_clusters is 3: choose 1 to 2")
    output = tmp_path / "missing" / "vectors.npy"
    done = nightjar("encode", "the", "-m", "glove", "-o", output, *config)
    assert_refused(done, 2, str(output), "cannot be written")


def test_files_are_written_once_and_again_when_they_were_cut(
    finished_config: Path, lookup_files: Path
) -> None:
    loaded = load_config(finished_config, [])
    first = open_champion(loaded, "glove").vectors(["the"])
    (directory,) = lookup_files.iterdir()
    before = directory.stat().st_ino
    np.testing.assert_array_equal(open_champion(loaded, "glove").vectors(["the"]), first)
    assert directory.stat().st_ino == before
    os.truncate(directory / "vectors.npy", 500)
    np.testing.assert_array_equal(open_champion(loaded, "glove").vectors(["the"]), first)
    assert [path.name for path in lookup_files.iterdir()] == [directory.name]


def test_several_may_write_the_same_files_at_once(
    finished_config: Path, lookup_files: Path
) -> None:
    loaded = load_config(finished_config, [])
    with ThreadPoolExecutor(6) as pool:
        models = list(pool.map(lambda _: open_champion(loaded, "glove"), range(12)))
    expected = models[0].vectors(["the", "police"])
    for model in models:
        np.testing.assert_array_equal(model.vectors(["the", "police"]), expected)
    assert len(list(lookup_files.iterdir())) == 1


def test_a_directory_that_cannot_be_written_is_named(
    finished_config: Path, lookup_files: Path
) -> None:
    lookup_files.write_text("in the way")
    try:
        done = nightjar("neighbors", "the", "-m", "glove", "-c", finished_config)
        assert_refused(done, 1, str(lookup_files.parent))
    finally:
        lookup_files.unlink()
