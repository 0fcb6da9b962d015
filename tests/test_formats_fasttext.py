"""fastText's .bin: word by word the vectors that its own program gives, whatever its options.

``fasttext_models.json`` holds tiny models that fastText 0.9.2 trained, and its own vectors of their
words and of some unknown ones. Where the package ``fasttext`` is installed, every combination of
options is trained and compared.
"""

from __future__ import annotations

import base64
import bz2
import itertools
import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats import (
    ExportedVectors,
    Ngrams,
    ReadVectors,
    facebook,
    read_vectors,
    write_vectors,
)
from nightjar.model.lookup.vector_table import SubwordVectors
from nightjar.model.tokenization import Settings

MODELS: dict[str, Any] = json.loads(Path(__file__).with_name("fasttext_models.json").read_text())
SETTINGS = Settings("unicode", None, "NFKC", True, True, 1, 40)
VERSION_AT = 4
DICTIONARY_AT = 8 + 4 * 12 + 8
DICTIONARY = struct.Struct("<3i2q")


def content_of(name: str) -> bytearray:
    return bytearray(bz2.decompress(base64.b64decode(MODELS[name]["model"])))


def read(tmp_path: Path, content: bytes) -> ReadVectors:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    name, found = read_vectors(path)
    assert name == "fasttext"
    return found


def unknown_vectors(found: ReadVectors, words: Sequence[str]) -> NDArray[np.float32]:
    """As our model composes them; zeros where it has none, as fastText gives them."""
    ngrams = found.ngrams
    if ngrams is None:
        return np.zeros((len(words), found.matrix.shape[1]), np.float32)
    sizes = (ngrams.min_n, ngrams.max_n, ngrams.bucket)
    return np.nan_to_num(SubwordVectors(ngrams.buckets, ngrams.vectors, *sizes).vectors(words))


@pytest.mark.parametrize("name", MODELS)
def test_each_word_has_the_vector_that_fasttext_gives_it(name: str, tmp_path: Path) -> None:
    found = read(tmp_path, content_of(name))
    words = [bytes.fromhex(word) for word, _ in MODELS[name]["vectors"]]
    assert found.tokens == [word.decode("utf-8", "replace") for word in words]
    expected = [vector for _, vector in MODELS[name]["vectors"]]
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-5, atol=1e-8)
    unknown = MODELS[name]["unknown"]
    np.testing.assert_allclose(
        unknown_vectors(found, [word for word, _ in unknown]),
        [vector for _, vector in unknown],
        rtol=1e-5,
        atol=1e-8,
    )
    assert found.faults["label_left_out"] == MODELS[name]["labels"]
    assert found.faults["token_not_utf8"] == sum("\ufffd" in token for token in found.tokens)


def test_version_11_is_read_as_version_12(tmp_path: Path) -> None:
    content = content_of("minn 0")
    content[VERSION_AT] = 11
    found = read(tmp_path, content)
    expected = [vector for _, vector in MODELS["minn 0"]["vectors"]]
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-5, atol=1e-8)
    assert found.ngrams is not None


def test_a_classifier_of_version_11_has_no_ngrams(tmp_path: Path) -> None:
    """fastText sets max_n to 0 when it loads one."""
    content = content_of("classifier with n-grams")
    content[VERSION_AT] = 11
    found = read(tmp_path, content)
    assert found.ngrams is None
    own_rows = content.index(b"\0" + struct.pack("<2q", len(found.tokens) + 12, 2)) + 17
    expected = np.frombuffer(bytes(content), "<f4", 2 * len(found.tokens), own_rows)
    np.testing.assert_array_equal(found.matrix.ravel(), expected)


def test_a_model_whose_ngrams_were_all_pruned_has_none(tmp_path: Path) -> None:
    content = content_of("minn 0")
    n_entries, n_words, n_labels, n_tokens, _ = DICTIONARY.unpack_from(content, DICTIONARY_AT)
    DICTIONARY.pack_into(content, DICTIONARY_AT, n_entries, n_words, n_labels, n_tokens, 0)
    assert read(tmp_path, content).ngrams is None


def test_other_versions_are_refused_by_name(tmp_path: Path) -> None:
    content = content_of("minn 0")
    content[VERSION_AT] = 10
    with pytest.raises(InputError, match=r"no fastText model of format version 11 or 12"):
        read(tmp_path, content)


def test_a_model_from_before_the_versions_is_recognized_and_refused(tmp_path: Path) -> None:
    content = content_of("minn 0")[8:]  # it began with the options
    with pytest.raises(InputError, match=r"from before May 2017 is opened by gensim's load"):
        read(tmp_path, content)


def test_words_and_labels_other_than_declared_are_refused(tmp_path: Path) -> None:
    content = content_of("classifier")
    n_entries, n_words, n_labels, *rest = DICTIONARY.unpack_from(content, DICTIONARY_AT)
    changed = (n_entries, n_words + 1, n_labels - 1, *rest)
    DICTIONARY.pack_into(content, DICTIONARY_AT, *changed)
    with pytest.raises(InputError, match=rf"entry {n_words} of its dictionary is of kind 1"):
        read(tmp_path, content)


def endless(*words: str) -> bytes:
    """A model with two buckets and n-grams of 3 and more characters, without a longest."""
    arguments = (2, 5, 5, 1, 5, 1, 2, 2, 2, 3, -1, 100)
    data = struct.pack("<2i12id", 793_712_314, 12, *arguments, 1e-4)
    data += DICTIONARY.pack(len(words), len(words), 0, 7, -1)
    for word in words:
        data += word.encode() + b"\0" + struct.pack("<qb", 1, 0)
    rows = np.arange(1, 2 * (len(words) + 2) + 1, dtype="<f4")
    data += b"\0" + struct.pack("<2q", len(words) + 2, 2) + rows.tobytes()
    return data + b"\0" + struct.pack("<2q", 0, 2)


def test_a_word_whose_ngrams_never_end_is_refused_by_name(tmp_path: Path) -> None:
    message = r"word 2 \('a{30}'\.\.\.\) is of 60,000 characters .* more than 1,000,000"
    with pytest.raises(InputError, match=message):
        read(tmp_path, endless("king", "a" * 60_000))


def test_ngrams_are_summed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["king", "a" * 100, "queen", "b" * 90, "c"]
    whole = read(tmp_path, endless(*words))
    sizes = []
    searched = np.searchsorted

    def seen(known: Any, wanted: Any) -> Any:
        sizes.append(len(wanted))
        return searched(known, wanted)

    monkeypatch.setattr(facebook, "_NGRAMS_AT_ONCE", 4_000)
    monkeypatch.setattr(facebook, "_ROWS_AT_ONCE", 100)
    monkeypatch.setattr(np, "searchsorted", seen)
    found = read(tmp_path, endless(*words))
    assert found.tokens == words
    np.testing.assert_allclose(found.matrix, whole.matrix, rtol=1e-6)
    assert sizes == [10 + 5_050, 15 + 4_095, 1]


def test_a_matrix_with_other_rows_than_words_and_buckets_is_refused(tmp_path: Path) -> None:
    content = content_of("minn 0")
    n_words = DICTIONARY.unpack_from(content, DICTIONARY_AT)[1]
    place = content.index(b"\0" + struct.pack("<2q", n_words + 12, 2)) + 1
    struct.pack_into("<q", content, place, n_words + 11)
    with pytest.raises(InputError, match=rf"matrix of {n_words + 11} x 2 values does not fit"):
        read(tmp_path, content)


def test_a_file_cut_within_the_output_layer_is_read_and_counted(tmp_path: Path) -> None:
    content = content_of("minn 0")
    whole = read(tmp_path, content)
    found = read(tmp_path, content[:-3])
    assert found.faults - whole.faults == {"cut_output_layer": 1}
    np.testing.assert_array_equal(found.matrix, whole.matrix)


def special_vectors() -> ExportedVectors:
    tokens = ["</s>", "sea", '5"', "日本", "é", "new york"]
    generator = np.random.default_rng(4)
    matrix = generator.normal(size=(len(tokens), 3)).astype(np.float32)
    rows = generator.normal(size=(30, 3)).astype(np.float32)
    ngrams = Ngrams(1, 4, 30, np.arange(30, dtype=np.int32), rows)
    return ExportedVectors(tokens, np.arange(6, 0, -1), matrix, SETTINGS, ngrams)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gensim's files
@pytest.mark.parametrize("name", ["fasttext", "gensim"])
def test_the_end_of_a_sentence_keeps_its_vector(name: str, tmp_path: Path) -> None:
    vectors = special_vectors()
    write_vectors(vectors, name, tmp_path / "written")
    _, found = read_vectors(tmp_path / "written", name)
    assert found.tokens == vectors.tokens
    np.testing.assert_allclose(found.matrix, vectors.matrix, rtol=1e-5, atol=1e-6)


# -- beside fastText's own program -----------------------------------------------------------


@pytest.fixture
def fasttext() -> Any:
    return pytest.importorskip("fasttext", reason="fastText's own package is not installed")


def own_vectors(model: Any, words: Sequence[str]) -> list[list[float]]:
    return [model.get_word_vector(word).tolist() for word in words]


def test_fasttext_opens_what_we_write_and_gives_the_same_vectors(
    fasttext: Any, tmp_path: Path
) -> None:
    vectors = special_vectors()
    path = tmp_path / "ours.bin"
    write_vectors(vectors, "fasttext", path)
    model = fasttext.load_model(str(path))
    assert model.words == vectors.tokens
    np.testing.assert_allclose(
        own_vectors(model, vectors.tokens), vectors.matrix, rtol=1e-5, atol=1e-6
    )
    unknown = ["seaside", "日本語", "q"]
    _, found = read_vectors(path)
    np.testing.assert_allclose(
        unknown_vectors(found, unknown), own_vectors(model, unknown), rtol=1e-5, atol=1e-6
    )


LENGTHS = [(0, 0), (0, 3), (1, 1), (2, 5), (4, 2), (3, 0), (6, 50), (-2, 3), (2, -2)]


def training_text(tmp_path: Path, every: int) -> str:
    """Lines of words; every so many-th has a label."""
    generator = random.Random(5)
    words = ["the", "sea", "café", "日本", "кот", "a", '5"', "don't", "😀", "e\u0301", "a\u00a0b"]
    lines = []
    for number in range(60):
        label = [f"__label__{'xy'[number % 2]}"] if every and number % every == 0 else []
        lines.append(" ".join([*label, *generator.choices(words, k=7)]))
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["skipgram", "cbow", "supervised"])
def test_every_combination_of_fasttexts_options(fasttext: Any, kind: str, tmp_path: Path) -> None:
    is_classifier = kind == "supervised"
    text = training_text(tmp_path, 1 if is_classifier else 7)
    options = {"minCount": 1, "epoch": 1, "thread": 1, "verbose": 0}
    losses = ["ns", "hs", "softmax"] + ["ova"] * is_classifier
    combinations = itertools.product(losses, LENGTHS, [7, 300], [1, 2])
    for number, (loss, (min_n, max_n), bucket, word_ngrams) in enumerate(combinations):
        given = {"loss": loss, "minn": min_n, "maxn": max_n, "bucket": bucket}
        given |= {"wordNgrams": word_ngrams, "dim": 1 + number % 5, **options}
        if is_classifier:
            model = fasttext.train_supervised(text, **given)
        else:
            model = fasttext.train_unsupervised(text, model=kind, **given)
        path = tmp_path / "model.bin"
        model.save_model(str(path))
        for version in (12, 11):
            content = bytearray(path.read_bytes())
            content[VERSION_AT] = version
            path.write_bytes(content)
            model = fasttext.load_model(str(path))
            found = read(tmp_path, content)
            assert found.tokens == model.words
            message = f"{kind} {given} version {version}"
            np.testing.assert_allclose(
                found.matrix,
                own_vectors(model, model.words),
                rtol=1e-4,
                atol=1e-6,
                err_msg=message,
            )
            unknown = ["seaside", "日", "q"]
            np.testing.assert_allclose(
                unknown_vectors(found, unknown),
                own_vectors(model, unknown),
                rtol=1e-4,
                atol=1e-6,
                err_msg=message,
            )
