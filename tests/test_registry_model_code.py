"""The registered model where it is used: words to vectors, without Nightjar."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gensim.models import FastText
from gensim.models.fasttext_inner import compute_ngrams_bytes, ft_hash_bytes
from registry_support import (
    VECTORS,
    World,
    mlflow,
)

from nightjar.config import FastTextConfig
from nightjar.model.lookup.vector_table import ngram_buckets
from nightjar.registry.client import import_mlflow
from nightjar.registry.registered_files import model_directory

MIN_N, MAX_N, BUCKET = 2, 4, 500
SENTENCES = [
    ["naïve", "kings", "and", "queens", "ate", "żółć"],
    ["the", "king", "and", "the", "queen", "ate", "日本語"],
] * 5
OUT_OF_VOCABULARY = ("kingly", "queenking", "naïveté", "żółty", "日本", "anda", "ét", "tha t")


@pytest.fixture(scope="module")
def gensim_model() -> Any:
    """A FastText model of gensim's; a bucket that no word uses is a row of zeros."""
    model = FastText(
        SENTENCES,
        vector_size=6,
        min_count=1,
        min_n=MIN_N,
        max_n=MAX_N,
        bucket=BUCKET,
        epochs=2,
        workers=1,
        seed=3,
    )
    vectors = model.wv
    unused = np.setdiff1d(np.arange(BUCKET), np.concatenate(vectors.buckets_word))
    vectors.vectors_ngrams[unused] = 0
    return vectors


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, gensim_model: Any) -> World:
    """Registered: night-w2v with the words of the support module, night-ft with gensim's."""
    world = World.create(tmp_path_factory.mktemp("models"), tmp_path_factory)
    world.crown(world.request())
    used = np.unique(np.concatenate(gensim_model.buckets_word)).astype(np.int32)
    config = FastTextConfig(
        trainer="fasttext", vector_size=6, min_n=MIN_N, max_n=MAX_N, bucket=BUCKET
    )
    embeddings = world.embeddings(
        name="ft",
        words=gensim_model.index_to_key,
        vectors=gensim_model.vectors,
        ngrams=(used, gensim_model.vectors_ngrams[used]),
        model=config,
    )
    world.crown(world.request(name="ft", model=config, embeddings=embeddings))
    return world


@pytest.fixture(scope="module")
def word2vec(world: World) -> Any:
    return load(world, "night-w2v")


@pytest.fixture(scope="module")
def fasttext(world: World) -> Any:
    return load(world, "night-ft")


def load(world: World, name: str) -> Any:
    previous = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(world.uri)
    try:
        return mlflow.pyfunc.load_model(f"models:/{name}@champion")
    finally:
        mlflow.set_tracking_uri(previous)


def test_a_flipped_bit_in_any_file_of_the_model_is_found_when_it_is_loaded(
    world: World, tmp_path: Path
) -> None:
    """Also where Nightjar and the registry are not: the folder has the list of its files."""
    version = world.place.reader().version("night-ft", 1)
    assert version is not None
    folder = tmp_path / "model"
    shutil.copytree(model_directory(world.place, version), folder)
    mlflow.pyfunc.load_model(str(folder))
    names = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and path.is_relative_to(folder / "artifacts")
    ]
    assert {"artifacts/lookup/ngram_rows.npy", "artifacts/code/lookup/model.py"} <= {*names}
    for name in names:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(mlflow.MlflowException, match=f"{name} was changed after it was regist"):
            mlflow.pyfunc.load_model(str(folder))
        (folder / name).unlink()
        with pytest.raises(mlflow.MlflowException, match=f"{name} cannot be read"):
            mlflow.pyfunc.load_model(str(folder))
        (folder / name).write_bytes(content)
    for damaged in (b"", b"[]", b'{"artifacts/lookup/vectors.npy": 1}', b"\xff"):
        (folder / "files.json").write_bytes(damaged)
        with pytest.raises(mlflow.MlflowException, match=r"files\.json cannot be read"):
            mlflow.pyfunc.load_model(str(folder))


@pytest.mark.parametrize(
    "words",
    [
        ["king", "the", "king"],
        np.array(["king", "the", "king"]),
        np.array(["king", "the", "king"], dtype=object),
        pd.Series(["king", "the", "king"]),
        pd.DataFrame({"word": ["king", "the", "king"]}),
    ],
    ids=["list", "array", "object array", "series", "frame"],
)
def test_words_to_vectors(word2vec: Any, words: Any) -> None:
    found = word2vec.predict(words)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VECTORS[[1, 0, 1]])


def test_one_word_is_one_row(word2vec: Any) -> None:
    np.testing.assert_array_equal(word2vec.predict("queen"), VECTORS[[2]])


def test_no_words_are_no_rows(word2vec: Any) -> None:
    assert word2vec.predict(pd.DataFrame({"word": pd.Series([], dtype=str)})).shape == (0, 4)


@pytest.mark.parametrize("level", ["CRITICAL", "WARNING"])
def test_a_parameter_that_the_model_lacks_is_refused_though_mlflow_would_drop_it(
    word2vec: Any, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(level, logger="mlflow"),
        pytest.raises(
            mlflow.MlflowException, match="no parameter 'topnn'; did you mean 'topn'"
        ) as caught,
    ):
        word2vec.predict(["king"], params={"task": "neighbors", "topnn": 5, "topn": 2})
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert len(word2vec.predict(["king"], params={"task": "neighbors", "topn": 2})[0]) == 2


def test_other_models_of_the_process_keep_mlflows_way_with_parameters(
    word2vec: Any, tmp_path: Path
) -> None:
    class Other(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            return [params["topn"]]

    mlflow.pyfunc.save_model(
        tmp_path / "other", python_model=Other(), input_example=(["a"], {"topn": 3})
    )
    other = mlflow.pyfunc.load_model(str(tmp_path / "other"))
    assert other.predict(["a"], params={"topnn": 5}) == [3]


def test_unknown_words_are_all_named_once(word2vec: Any) -> None:
    with pytest.raises(mlflow.MlflowException) as caught:
        word2vec.predict(["king", "zebra", "King", "zebra", ""])
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert str(caught.value) == (
        "night-w2v has no vector for 2 words: zebra, . Words are looked up as written, then as the "
        "model's tokenizer writes them"
    )


def test_a_long_list_of_unknown_words_is_cut_with_a_count(word2vec: Any) -> None:
    with pytest.raises(mlflow.MlflowException, match=r"for 60 words: w0, w1,.* w49 and 10 more\."):
        word2vec.predict([f"w{number}" for number in range(60)])


def test_unknown_words_as_nan(word2vec: Any) -> None:
    found = word2vec.predict(["zebra", "king"], params={"unknown": "nan"})
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], VECTORS[1])


def test_wrong_parameter_names_the_choices(word2vec: Any) -> None:
    with pytest.raises(mlflow.MlflowException, match="unknown is 'zero', choose error or nan"):
        word2vec.predict(["king"], params={"unknown": "zero"})


@pytest.mark.parametrize("wrong", [None, 7, b"king"])
def test_what_is_no_word_is_named_by_its_place(word2vec: Any, wrong: Any) -> None:
    with pytest.raises(mlflow.MlflowException, match=r"item 1 is .*expected a word"):
        word2vec.predict(["king", wrong])


def test_fasttext_gives_the_published_vectors_of_known_words(
    fasttext: Any, gensim_model: Any
) -> None:
    words = list(gensim_model.index_to_key)
    np.testing.assert_array_equal(fasttext.predict(words), gensim_model.vectors)


def test_fasttext_composes_unknown_words_as_gensim_does(fasttext: Any, gensim_model: Any) -> None:
    assert not set(OUT_OF_VOCABULARY) & set(gensim_model.index_to_key)
    expected = np.stack([gensim_model.get_vector(word) for word in OUT_OF_VOCABULARY])
    assert np.abs(expected).max(axis=1).min() > 0
    found = fasttext.predict(list(OUT_OF_VOCABULARY))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_fasttext_does_not_know_a_word_without_a_known_ngram(
    fasttext: Any, gensim_model: Any
) -> None:
    used = set(np.concatenate(gensim_model.buckets_word).tolist())
    strange = next(
        word
        for word in (chr(0x4E00 + number) * 2 for number in range(5_000))
        if not {ft_hash_bytes(gram) % BUCKET for gram in compute_ngrams_bytes(word, MIN_N, MAX_N)}
        & used
    )
    with pytest.raises(mlflow.MlflowException, match=f"1 word: {strange}"):
        fasttext.predict(["king", strange, "kingly"])
    found = fasttext.predict([strange, "kingly"], params={"unknown": "nan"})
    assert np.isnan(found).all(axis=1).tolist() == [True, False]


@pytest.mark.parametrize("word", ["king", "naïve", "żółć", "日本語", "a", "", "<>", "😀ok"])
@pytest.mark.parametrize(("min_n", "max_n"), [(1, 1), (1, 3), (3, 6), (5, 4), (3, 0)])
def test_ngrams_are_hashed_as_in_facebooks_fasttext(word: str, min_n: int, max_n: int) -> None:
    expected = [ft_hash_bytes(gram) % 1_000 for gram in compute_ngrams_bytes(word, min_n, max_n)]
    assert ngram_buckets(word, min_n, max_n, 1_000) == expected


def test_fnv_hash_reads_bytes_as_signed() -> None:
    def hashed(data: bytes) -> int:
        value = np.uint64(2_166_136_261)
        for byte in np.frombuffer(data, np.int8):
            value = (value ^ np.uint64(np.uint32(int(byte) % 2**32))) * np.uint64(16_777_619)
            value %= np.uint64(2**32)
        return int(value)

    assert ngram_buckets("é", 3, 3, 2**40) == [hashed("<é>".encode())]


def test_ngrams_of_text_that_utf8_cannot_hold() -> None:
    assert len(ngram_buckets("a\ud800", 3, 3, 1_000)) == 2


ISOLATED = """
import importlib.metadata, json, sys
from packaging.requirements import Requirement

needed, waiting = set(), ["mlflow", "numpy", "pyarrow"]
while waiting:
    name = waiting.pop().lower().replace("_", "-").replace(".", "-")
    if name not in needed:
        needed.add(name)
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        parsed = [Requirement(text) for text in requires]
        waiting += [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
# Each top-level module that none of them brings.
refused = {"nightjar"} | {
    module
    for module, owners in importlib.metadata.packages_distributions().items()
    if not {owner.lower().replace("_", "-").replace(".", "-") for owner in owners} & needed
}
assert {"gensim", "prefect", "numba"} <= refused

before = set(sys.modules)

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"refused: {name}", name=name)

sys.meta_path.insert(0, Refuse())
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
answers = {
    name: mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(words).tolist()
    for name, words in json.loads(sys.argv[2]).items()
}
print(json.dumps({"answers": answers, "refused": sorted(refused & (set(sys.modules) - before))}))
"""


def test_models_load_where_only_mlflow_numpy_and_pyarrow_are_installed(
    world: World, gensim_model: Any, tmp_path: Path
) -> None:
    words = {"night-w2v": ["king", "queen"], "night-ft": ["king", "kingly"]}
    done = subprocess.run(
        [sys.executable, "-I", "-c", ISOLATED, world.uri, json.dumps(words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        },
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["refused"] == []
    np.testing.assert_array_equal(found["answers"]["night-w2v"], VECTORS[[1, 2]])
    expected = [gensim_model.get_vector("king"), gensim_model.get_vector("kingly")]
    np.testing.assert_allclose(found["answers"]["night-ft"], expected, rtol=0, atol=1e-7)


def test_model_folder_holds_arrays_code_and_text_and_no_pickle(world: World) -> None:
    folders = sorted((world.artifacts_dir / "mlflow" / "artifacts" / "models").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert len(list(folder.rglob("vectors.npy"))) == 1
        for path in folder.rglob("*"):
            if not path.is_file() or path.parent.name == "__pycache__":  # Python's, when loaded
                continue
            if path.suffix == ".npy":
                np.load(path, allow_pickle=False)
            elif path.suffix == ".arrow":
                assert path.read_bytes()[:6] == b"ARROW1"
            else:
                assert path.suffix in ("", ".py", ".json", ".md", ".txt", ".yaml")
                assert path.read_text(encoding="utf-8")


@pytest.mark.parametrize("has_list", [True, False])
@pytest.mark.parametrize(
    "name", ["vectors.npy", "tokens.arrow", "hashes.npy", "settings.json", "lookup.json"]
)
def test_a_model_whose_files_were_cut_is_refused_when_it_is_loaded(
    name: str, has_list: bool, world: World, tmp_path: Path
) -> None:
    folder = next((world.artifacts_dir / "mlflow" / "artifacts" / "models").iterdir())
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (path,) = copy.rglob(name)
    path.write_bytes(path.read_bytes()[:-7])
    if not has_list:
        (copy / "artifacts/files.json").unlink()
    with pytest.raises(Exception, match=r"fetch (it|the model) again") as caught:
        import_mlflow().pyfunc.load_model(str(copy / "artifacts"))
    assert type(caught.value).__name__ == ("MlflowException" if has_list else "TableDamaged")
