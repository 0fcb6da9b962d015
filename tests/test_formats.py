"""Formats: each is opened by the library it is for, gives the same vectors, and reads back."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats import FORMATS, ExportedVectors, Ngrams, read_vectors, write_vectors
from nightjar.formats.origins import KEEPS_INSIDE, companion_of, read_origin
from nightjar.formats.static import make_hf_tokenizer
from nightjar.model.lookup import ModelContent, NgramRows, Rows, VectorModel, write_model
from nightjar.model.tokenization import Settings
from nightjar.model.tokenization.letter_forms import invisible_characters, letter_forms
from nightjar.model.tokenization.settings import NormalForm
from nightjar.model.tokenization.tokenizers import make_word_finder

SETTINGS = Settings("unicode", None, "forms", True, True, 1, 40)
WORDS = ["the", "king", "queen", "naïve", "don't", "3.14", "日", "river", "sea", "a", "x", "кот"]
SIZE = 7
SOURCE = {"model": "night-w2v", "embeddings_version": "0123456789ab", "git_commit": "abc"}
Floats = NDArray[np.float32]


def make_vectors(has_ngrams: bool = False) -> ExportedVectors:
    generator = np.random.default_rng(3)
    matrix = generator.normal(size=(len(WORDS), SIZE)).astype(np.float32)
    matrix[2, 0] = np.float32(1e-30)
    counts = np.arange(100, 100 - len(WORDS), -1)
    ngrams = None
    if has_ngrams:
        buckets = np.arange(0, 500, 3, dtype=np.int32)
        rows = generator.normal(size=(len(buckets), SIZE)).astype(np.float32)
        ngrams = Ngrams(3, 5, 500, buckets, rows)
    return ExportedVectors(WORDS, counts, matrix, SETTINGS, ngrams, SOURCE)


@pytest.fixture
def vectors() -> ExportedVectors:
    return make_vectors()


def served(vectors: ExportedVectors, directory: Path) -> VectorModel:
    """The same vectors as our own model answers for them."""
    directory.mkdir()
    ngrams = None
    if vectors.ngrams is not None:
        given = vectors.ngrams
        stretches = [(given.buckets, given.vectors)]
        sizes = (given.min_n, given.max_n, given.bucket)
        ngrams = NgramRows(*sizes, len(given.buckets), stretches)
    rows = [Rows(vectors.tokens, vectors.counts, vectors.matrix)]
    content = ModelContent("m", SETTINGS, len(vectors.tokens), SIZE, rows, ngrams)
    write_model(directory, content)
    return VectorModel.open(directory)


def write(vectors: ExportedVectors, name: str, tmp_path: Path) -> Path:
    path = tmp_path / f"written{FORMATS[name].suffix}"
    write_vectors(vectors, name, path)
    return path


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_and_folders_have_the_modes_of_any_new_ones(
    vectors: ExportedVectors, name: str, umask: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        path = write(vectors, name, tmp_path)
    finally:
        os.umask(before)
    written = {path} | ({companion_of(path)} if has_companion(name, path) else set())
    for found in (*written, *path.rglob("*")):
        usual = 0o777 if found.is_dir() else 0o666
        assert found.stat().st_mode & 0o777 == usual & ~umask, found
    assert set(tmp_path.iterdir()) == written


def has_companion(name: str, path: Path) -> bool:
    """Whether what the format cannot say is in a file of its own beside ``path``."""
    return path.is_file() and name not in KEEPS_INSIDE


# -- opened by the library each is for -------------------------------------------------------


def open_word2vec(path: Path) -> KeyedVectors:
    return KeyedVectors.load_word2vec_format(str(path))


def open_binary(path: Path) -> KeyedVectors:
    return KeyedVectors.load_word2vec_format(str(path), binary=True)


def open_glove(path: Path) -> KeyedVectors:
    return KeyedVectors.load_word2vec_format(str(path), no_header=True)


def open_facebook(path: Path) -> KeyedVectors:
    return load_facebook_vectors(str(path))


def open_gensim(path: Path) -> KeyedVectors:
    return KeyedVectors.load(str(path / "vectors.kv"), mmap="r")


GENSIM: dict[str, Callable[[Path], KeyedVectors]] = {
    "word2vec": open_word2vec,
    "word2vec-binary": open_binary,
    "glove": open_glove,
    "fasttext": open_facebook,
    "gensim": open_gensim,
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gensim's files
@pytest.mark.parametrize("name", GENSIM)
def test_gensim_opens_it_and_finds_the_same_neighbours(
    name: str, vectors: ExportedVectors, tmp_path: Path
) -> None:
    opened = GENSIM[name](write(vectors, name, tmp_path))
    assert opened.index_to_key == WORDS
    np.testing.assert_array_equal(opened.vectors, vectors.matrix)
    ours = served(vectors, tmp_path / "ours").neighbors(["king"], topn=5)[0]
    theirs = opened.most_similar("king", topn=5)
    assert [neighbor.token for neighbor in ours] == [word for word, _ in theirs]
    np.testing.assert_allclose(
        [neighbor.similarity for neighbor in ours], [value for _, value in theirs], atol=1e-5
    )


@pytest.mark.parametrize("name", ["fasttext", "gensim"])
def test_gensim_composes_unknown_words_as_we_do(name: str, tmp_path: Path) -> None:
    vectors = make_vectors(has_ngrams=True)
    opened = GENSIM[name](write(vectors, name, tmp_path))
    np.testing.assert_allclose(opened.vectors, vectors.matrix, rtol=1e-5, atol=1e-6)
    words = ["kingly", "queens", "日本語"]
    expected = served(vectors, tmp_path / "ours").vectors(words)
    np.testing.assert_allclose([opened[word] for word in words], expected, rtol=1e-4, atol=1e-6)


def test_safetensors_opens_it(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors", reason="the extra formats is not installed")
    vectors = make_vectors(has_ngrams=True)
    path = write(vectors, "safetensors", tmp_path)
    with safetensors.safe_open(str(path), framework="numpy") as file:
        assert file.metadata()["embeddings_version"] == "0123456789ab"
        np.testing.assert_array_equal(file.get_tensor("vectors"), vectors.matrix)
        text, offsets = file.get_tensor("tokens").tobytes(), file.get_tensor("token_offsets")
        assert text[offsets[3] : offsets[4]].decode() == "naïve"
        assert file.get_tensor("ngram_sizes").tolist() == [3, 5, 500]


def test_numpy_opens_it_without_pickle(vectors: ExportedVectors, tmp_path: Path) -> None:
    with np.load(write(vectors, "numpy", tmp_path), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["vectors"], vectors.matrix)
        assert archive["tokens"].tolist() == WORDS
        assert archive["counts"].tolist() == vectors.counts.tolist()
        assert json.loads(str(archive["source"])) == SOURCE


def test_parquet_opens_it(vectors: ExportedVectors, tmp_path: Path) -> None:
    table = pq.read_table(write(vectors, "parquet", tmp_path))
    assert table.column("token").to_pylist() == WORDS
    np.testing.assert_array_equal(np.array(table.column("vector").to_pylist()), vectors.matrix)
    assert json.loads(table.schema.metadata[b"nightjar"]) == SOURCE


def test_sqlite_opens_it_and_looks_a_word_up_by_its_key(
    vectors: ExportedVectors, tmp_path: Path
) -> None:
    database = sqlite3.connect(write(vectors, "sqlite", tmp_path))
    try:
        query = "SELECT rank, count, vector FROM vectors WHERE token = ?"
        rank, count, blob = database.execute(query, ["naïve"]).fetchone()
        plan = database.execute(f"EXPLAIN QUERY PLAN {query}", ["x"]).fetchone()[-1]
        metadata = dict(database.execute("SELECT key, value FROM metadata").fetchall())
    finally:
        database.close()
    assert (rank, count) == (3, 97)
    np.testing.assert_array_equal(np.frombuffer(blob, "<f4"), vectors.matrix[3])
    assert "PRIMARY KEY" in plan
    assert metadata["model"] == "night-w2v"
    assert metadata["vector_size"] == "7"


def test_the_projector_gets_a_row_and_a_label_each(
    vectors: ExportedVectors, tmp_path: Path
) -> None:
    path = write(vectors, "projector", tmp_path)
    np.testing.assert_array_equal(
        np.loadtxt(path / "vectors.tsv", delimiter="\t", dtype=np.float32), vectors.matrix
    )
    labels = (path / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert labels[:2] == ["token\tcount", "the\t100"]
    assert len(labels) == len(WORDS) + 1
    assert 'tensor_path: "vectors.tsv"' in (path / "projector_config.pbtxt").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_spacy_opens_it(vectors: ExportedVectors, tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy", reason="the extra formats is not installed")
    pipeline = spacy.load(write(vectors, "spacy", tmp_path))
    np.testing.assert_array_equal(pipeline.vocab["naïve"].vector, vectors.matrix[3])
    assert pipeline.vocab.vectors.shape == (len(WORDS), SIZE)
    similarity = pipeline("king").similarity(pipeline("queen"))
    ours = served(vectors, tmp_path / "ours").similarities([("king", "queen")])[0]
    assert similarity == pytest.approx(float(ours), abs=1e-5)
    assert pipeline.meta["nightjar"]["embeddings_version"] == "0123456789ab"


TEXTS = [
    "The KING isn\u2019t naïve; don\u2019t ask!",
    "xyzzy the the queen-king of 3.14 rivers, a river",
    "日本 кот \u041a\u041e\u0422 \u00adking",
    "nothing known here",
]


@pytest.mark.parametrize("form", ["forms", "NFC", "NFKC", None])
def test_every_letter_form_is_what_it_is_in_training(form: NormalForm | None) -> None:
    """Each character by itself and between letters, in a Hugging Face tokenizer and in ours."""
    pytest.importorskip("tokenizers", reason="the extra formats is not installed")
    settings = replace(SETTINGS, normalization=form)
    find = make_word_finder(settings)
    signs = [*letter_forms(), *invisible_characters(), *"²½①™ⅷé㎏", "e\u0301"]
    # The library's tables of NFKC are of an older Unicode.
    signs = [sign for sign in signs if form != "NFKC" or ord(sign[0]) < 0x1FBF0]
    texts = [f"xa{sign}bx {sign}" for sign in signs]
    words = sorted({word for text in texts for word in find(text)})
    tokenizer = make_hf_tokenizer(words, settings)
    found = [[words[row] for row in tokenizer.encode(text).ids] for text in texts]
    assert found == [find(text) for text in texts]


def expected_means(vectors: ExportedVectors, tmp_path: Path) -> Floats:
    return served(vectors, tmp_path / "ours").encode(TEXTS, unknown="zero")


def test_model2vec_encodes_texts_as_we_do(vectors: ExportedVectors, tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec", reason="the extra formats is not installed")
    model = model2vec.StaticModel.from_pretrained(write(vectors, "model2vec", tmp_path))
    np.testing.assert_allclose(
        model.encode(TEXTS), expected_means(vectors, tmp_path), rtol=1e-5, atol=1e-6
    )
    long = ["the king " * 5_000 + "queen"]
    ours = served(vectors, tmp_path / "long").encode(long)
    np.testing.assert_allclose(model.encode(long), ours, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["sentence-transformers", "model2vec"])
def test_sentence_transformers_encodes_texts_as_we_do(
    name: str, vectors: ExportedVectors, tmp_path: Path
) -> None:
    library = pytest.importorskip(
        "sentence_transformers", reason="the extra encoders is not installed"
    )
    path = write(vectors, name, tmp_path)
    model = library.SentenceTransformer(str(path), device="cpu", local_files_only=True)
    np.testing.assert_allclose(
        model.encode(TEXTS), expected_means(vectors, tmp_path), rtol=1e-5, atol=1e-6
    )


# -- and read back ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_back(name: str, vectors: ExportedVectors, tmp_path: Path) -> None:
    if name in ("spacy", "model2vec", "sentence-transformers", "safetensors"):
        pytest.importorskip("spacy", reason="the extra formats is not installed")
    path = write(vectors, name, tmp_path)
    found_name, found = read_vectors(path, "gensim" if name == "gensim" else "auto")
    assert found_name == name
    assert found.tokens == WORDS
    np.testing.assert_array_equal(found.matrix, vectors.matrix)
    assert not found.faults
    if found.counts is not None:
        assert found.counts.tolist() == vectors.counts.tolist()
    _, few = read_vectors(path, name, 3)
    assert few.tokens == WORDS[:3]
    np.testing.assert_array_equal(few.matrix, vectors.matrix[:3])


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.keeps_ngrams])
def test_ngrams_are_read_back(name: str, tmp_path: Path) -> None:
    vectors = make_vectors(has_ngrams=True)
    _, found = read_vectors(write(vectors, name, tmp_path), name)
    assert found.ngrams is not None
    assert vectors.ngrams is not None
    assert (found.ngrams.min_n, found.ngrams.max_n, found.ngrams.bucket) == (3, 5, 500)
    np.testing.assert_array_equal(found.ngrams.buckets, vectors.ngrams.buckets)
    np.testing.assert_array_equal(found.ngrams.vectors, vectors.ngrams.vectors)
    np.testing.assert_allclose(found.matrix, vectors.matrix, rtol=1e-5, atol=1e-6)


def test_a_real_fasttext_model_of_gensims_is_read_value_by_value(tmp_path: Path) -> None:
    sentences = [["king", "queen", "land"], ["naïve", "king", "日本"]] * 5
    model = FastText(sentences, vector_size=6, min_count=1, bucket=300, epochs=1, workers=1)
    path = tmp_path / "model.bin"
    save_facebook_model(model, str(path))
    name, found = read_vectors(path)
    assert name == "fasttext"
    assert found.tokens == model.wv.index_to_key
    np.testing.assert_allclose(found.matrix, model.wv.vectors, rtol=1e-5, atol=1e-7)
    assert found.counts is not None
    assert found.counts.tolist() == [model.wv.get_vecattr(word, "count") for word in found.tokens]
    assert found.ngrams is not None
    np.testing.assert_array_equal(
        found.ngrams.vectors, model.wv.vectors_ngrams[found.ngrams.buckets]
    )


# -- what cannot be written ------------------------------------------------------------------

HOSTILE = ["ok", "two words", "tab\tbed", "line\nbreak", "nul\0", "\u00a0nbsp", "\u2028sep", "é"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FORMATS)
def test_tokens_that_a_format_cannot_hold_are_left_out_and_counted(
    name: str, tmp_path: Path
) -> None:
    pytest.importorskip("spacy", reason="the extra formats is not installed")
    matrix = np.arange(len(HOSTILE) * 3, dtype=np.float32).reshape(-1, 3) + 1
    vectors = ExportedVectors(HOSTILE, np.arange(8, 0, -1), matrix, SETTINGS)
    path = tmp_path / "written"
    left_out = write_vectors(vectors, name, path)
    _, found = read_vectors(path, name)
    assert len(found.tokens) == len(HOSTILE) - left_out["token_cannot_be_written"]
    for token, row in zip(found.tokens, found.matrix, strict=True):
        np.testing.assert_array_equal(row, matrix[HOSTILE.index(token)])
    if name in ("safetensors", "parquet"):
        assert not left_out


def test_ngrams_that_a_format_does_not_have_are_counted(tmp_path: Path) -> None:
    left_out = write_vectors(make_vectors(has_ngrams=True), "glove", tmp_path / "x.txt")
    assert left_out == {"ngrams": 167}


def test_what_is_there_is_replaced_only_by_force(vectors: ExportedVectors, tmp_path: Path) -> None:
    for name in ("glove", "projector"):
        path = tmp_path / name
        path.write_text("precious")
        with pytest.raises(InputError, match="is there already; choose another path, or add"):
            write_vectors(vectors, name, path)
        assert path.read_text() == "precious"
        write_vectors(vectors, name, path, replaces=True)
        write_vectors(vectors, name, path, replaces=True)
        assert read_vectors(path)[1].tokens == WORDS
    found = sorted(file.name for file in tmp_path.iterdir())
    assert found == ["glove", "glove.nightjar.json", "projector"]


@pytest.mark.parametrize("name", ["glove", "projector"])
def test_what_is_no_file_and_no_folder_is_not_replaced(
    name: str, vectors: ExportedVectors, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path / "link"):
        if path != pipe:
            path.symlink_to(pipe)
        with pytest.raises(InputError, match="is a device, a pipe or a socket; name a file"):
            write_vectors(vectors, name, path, replaces=True)
    assert pipe.is_fifo()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("path", [".", "./", "..", "../..", "/", "../here"])
def test_the_folder_in_which_one_stands_is_not_replaced(
    path: str, vectors: ExportedVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="is the current folder, or one above it; name a file"):
        write_vectors(vectors, "glove", Path(path), replaces=True)
    assert [file.name for file in tmp_path.rglob("*")] == ["here"]


def test_impossible_paths_are_one_message(vectors: ExportedVectors, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for end in ("file/x", "nowhere/x", "x" * 256):
        for name in ("glove", "projector"):
            with pytest.raises(
                InputError, match=r"cannot be written: (Not a dir|No such|File name)"
            ):
                write_vectors(vectors, name, tmp_path / end)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["glove", "projector"])
def test_a_name_may_be_as_long_as_the_disk_takes(
    name: str, vectors: ExportedVectors, tmp_path: Path
) -> None:
    path = tmp_path / ("x" * 255)
    for _ in range(2):
        write_vectors(vectors, name, path, replaces=True)
    assert read_vectors(path)[1].tokens == WORDS
    assert read_origin(path) == vectors.source
    companion = {companion_of(path)} if has_companion(name, path) else set()
    assert set(tmp_path.iterdir()) == {path, *companion}


@pytest.mark.parametrize("name", ["glove", "projector", "sqlite", "numpy"])
def test_a_failed_export_leaves_nothing_behind(
    name: str, vectors: ExportedVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    write_vectors(vectors, name, path)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    for method in ("replace", "rename"):
        monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(InputError, match="No space left on device; nothing was left behind"):
        write_vectors(vectors, name, path, replaces=True)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
    assert read_vectors(path, name)[1].tokens == WORDS


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_that_takes_no_more_is_one_message_and_leaves_nothing(
    name: str, tmp_path: Path
) -> None:
    pytest.importorskip("spacy", reason="the extra formats is not installed")
    matrix = np.random.default_rng(1).normal(size=(20_000, 8)).astype(np.float32)
    words = [f"w{row}" for row in range(len(matrix))]
    vectors = ExportedVectors(words, np.arange(len(words), 0, -1), matrix, SETTINGS)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot be written: .*; nothing was left behind"):
            write_vectors(vectors, name, tmp_path / "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(vectors: ExportedVectors, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        write_vectors(vectors, "glove", tmp_path / "nowhere" / "x.txt")


def test_a_missing_extra_is_named(
    vectors: ExportedVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(InputError, match=r"needs safetensors: pip install 'nightjar\[formats\]'"):
        write_vectors(vectors, "safetensors", tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_huge_models_are_written_in_blocks(tmp_path: Path) -> None:
    n_tokens = 20_000
    matrix: Any = np.arange(n_tokens * 2, dtype=np.float32).reshape(-1, 2) + 1
    words = [f"w{row}" for row in range(n_tokens)]
    vectors = ExportedVectors(words, np.arange(n_tokens, 0, -1), matrix, SETTINGS)
    for name in ("glove", "word2vec-binary", "fasttext", "parquet", "sqlite", "projector"):
        write_vectors(vectors, name, tmp_path / name)
        _, found = read_vectors(tmp_path / name)
        assert found.tokens == words
        np.testing.assert_array_equal(found.matrix, matrix)
