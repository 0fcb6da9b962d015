"""Where interchange meets the rest: the page about it, the registry, the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from asking_support import asked
from conftest import PROJECT_ROOT
from gensim.models import FastText, KeyedVectors, Word2Vec
from nights_support import HandMade
from numpy.typing import NDArray
from registry_support import World, mlflow
from test_cli import nightjar
from training_support import publish_tokens, sentences_with_distinct_counts, train_model

from nightjar.cli.exchange import read_gensim, write_gensim
from nightjar.config import FastTextConfig, load_config
from nightjar.errors import ArtifactMissing, InputError, NightjarError, VocabularyError
from nightjar.formats.gensim import from_gensim, to_gensim
from nightjar.store import Artifact, FileIdentity, Identity, Store, publish, schemas

SENTENCES = sentences_with_distinct_counts()


def test_examples_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (PROJECT_ROOT / "docs" / "interchange.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    tokens = publish_tokens(tmp_path / "tokens", SENTENCES)
    train_model(tokens, tmp_path / "artifacts", "word2vec")
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "docs/interchange.md", "exec"), names)
    assert isinstance(names["model"], Word2Vec)
    store = Store(tmp_path / "artifacts")
    assert {store.open(ref).manifest.name for ref in store.versions("embeddings")} == {
        "word2vec",
        "from-gensim",
    }


def test_imported_fasttext_is_registered_and_answers_for_unknown_words(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World.create(tmp_path, tmp_path_factory)
    plain = FastText(SENTENCES, vector_size=4, min_count=1, bucket=500, workers=1, epochs=1)
    embeddings = world.store.open(from_gensim(plain, world.artifacts_dir, world.model))
    config = FastTextConfig(trainer="fasttext", vector_size=4, bucket=500)
    entry = world.register(world.request(embeddings=embeddings, model=config))
    mlflow.set_tracking_uri(world.uri)
    try:
        model = mlflow.pyfunc.load_model(f"models:/{world.name}/{entry.version}")
    finally:
        mlflow.set_tracking_uri(None)
    words = [plain.wv.index_to_key[0], "aword17", "zzzz", "où"]
    np.testing.assert_allclose(model.predict(words), plain.wv[words], rtol=1e-6)


# -- artifacts that no trainer publishes -------------------------------------------------------


def hand_made(root: Path, tokens: list[str], vectors: NDArray[np.float32]) -> Artifact:
    flat = pa.array(vectors.reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(flat, type=schemas.vector_type(2))
    columns = [pa.array(tokens, pa.string()), pa.array([1] * len(tokens), pa.int64()), rows]
    table = pa.table(columns, schema=schemas.vectors_schema(2))
    identity = Identity(schemas.EMBEDDINGS, "made", {})
    ref = publish(root, identity, lambda staging: staging.write("vectors", table))
    return Store(root).open(ref)


@pytest.mark.parametrize(
    ("tokens", "vectors", "error", "message"),
    [
        ([], np.zeros((0, 2), np.float32), VocabularyError, "there are no words"),
        (["a", "a"], np.ones((2, 2), np.float32), VocabularyError, "'a' has more than one vector"),
        (
            ["a", "b"],
            np.array([[1, 2], [3, np.nan]], np.float32),
            InputError,
            "the vector of 'b' holds NaN",
        ),
    ],
)
def test_artifact_that_is_no_model_is_refused(
    tmp_path: Path,
    tokens: list[str],
    vectors: NDArray[np.float32],
    error: type[NightjarError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        to_gensim(hand_made(tmp_path, tokens, vectors))


# -- the command line --------------------------------------------------------------------------


def test_champion_as_a_gensim_file_and_back(finished_copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "glove.gensim"
    done = nightjar("to-gensim", "glove", "-o", path, "-c", finished_copy, "--json")
    assert done.returncode == 0, done.stderr
    store = Store(finished_copy.parent / "artifacts")
    artifact = store.open(store.find(json.loads(done.stdout)["artifact"]))
    assert artifact.manifest.name == "glove"
    vectors = artifact.read("vectors")
    wv = KeyedVectors.load(str(path))
    assert wv.index_to_key == vectors.column("token").to_pylist()

    by_version, loaded = tmp_path / "again.gensim", load_config(finished_copy, [])
    ref = write_gensim(loaded, "glove@1", None, by_version)
    assert ref == artifact.ref
    np.testing.assert_array_equal(KeyedVectors.load(str(by_version)).vectors, wv.vectors)
    back = store.open(read_gensim(loaded, path, "back"))
    assert back.manifest.name == "back"
    assert back.read("vectors").equals(vectors)


def test_mistakes_of_the_exchange_are_one_message(finished_config: Path, tmp_path: Path) -> None:
    loaded, output = load_config(finished_config, []), tmp_path / "model"
    with pytest.raises(InputError, match=r"glov: .* did you mean 'glove'"):
        write_gensim(loaded, "glov", None, output)
    assert not output.exists()
    with pytest.raises(InputError, match="nothing: cannot be read"):
        read_gensim(loaded, tmp_path / "nothing", "back")


def test_a_gensim_file_replaces_what_is_there_only_by_force(
    finished_config: Path, tmp_path: Path
) -> None:
    output, pipe, loaded = tmp_path / "model", tmp_path / "pipe", load_config(finished_config, [])
    output.write_text("precious")
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is there already; choose another path, or add --force"):
        write_gensim(loaded, "glove", None, output)
    assert output.read_text() == "precious"
    asked(finished_config, "to-gensim", "glove", "-o", output, "--force")
    assert KeyedVectors.load(str(output)).index_to_key
    for path, message in ((pipe, "a device, a pipe or a socket"), (tmp_path, "is a folder")):
        with pytest.raises(InputError, match=message):
            write_gensim(loaded, "glove", None, path, replaces=True)
    assert pipe.is_fifo()


def test_embeddings_of_another_training_are_not_taken_for_those_that_are_registered(
    tmp_path: Path,
) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    loaded = project.loaded
    (ref,) = Store(loaded.artifacts_dir).versions("embeddings")
    manifest = Store(loaded.artifacts_dir).open(ref).manifest
    vectors = Store(loaded.artifacts_dir).open(ref).read("vectors")
    shutil.rmtree(ref.path)
    identity = Identity(
        manifest.stage,
        manifest.name,
        manifest.identity["config"],
        inputs=tuple(FileIdentity(**entry) for entry in manifest.identity["inputs"]),
        code=manifest.identity["code"],
    )
    again = publish(
        loaded.artifacts_dir, identity, lambda staging: staging.write("vectors", vectors[::-1])
    )
    assert again == ref
    with pytest.raises(ArtifactMissing, match="trained again after words version 1 was registered"):
        write_gensim(loaded, "words", None, tmp_path / "model")
    exported = tmp_path / "words.npz"
    asked(project.path, "export", "words", "-f", "numpy", "-o", exported)
    with np.load(exported) as archive:
        assert archive["tokens"].tolist() == vectors.column("token").to_pylist()
