"""A tokenizer's definition: trained or given, in the tokens artifact and with every model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lookup_support import SETTINGS, model_of_artifact, random_matrix
from stage_support import context_of
from test_text_stage import publish_documents, words_of
from tokenizer_support import config, declaration, declarations, trained

from nightjar.config import TokenizeConfig
from nightjar.errors import ConfigError, EncoderError, InputError, SourceError
from nightjar.formats import ExportedVectors, write_vectors
from nightjar.formats.model_files import write_words
from nightjar.model.lookup import QueryError, VectorModel, copy_code
from nightjar.model.tokenization import (
    DefinitionError,
    Settings,
    make_locator,
    make_tokenizer,
    make_word_finder,
    train_subword,
)
from nightjar.stages.embed.encoder_opening import temporary_own_model
from nightjar.stages.tokenize import tokenize, tokens_identity
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas
from nightjar.store.fingerprint import sha256_of

TEXT = "Everyone has the right to education, l’été. Xyzzy 人人"  # noqa: RUF001


def publish_tokens(root: Path, base_dir: Path, settings: TokenizeConfig) -> Artifact:
    documents = publish_documents(root, list(declarations("eng", "fra")))

    def write(staging: Staging) -> None:
        tokenize(settings, documents, context_of(staging, base_dir=base_dir))

    ref = publish(root, tokens_identity(settings, documents.ref.version, base_dir), write)
    assert Store(root).verify(ref) == []
    return Store(root).open(ref)


def publish_embeddings(root: Path, tokens: Artifact) -> Artifact:
    words = tokens.read("vocabulary").column("token").to_pylist()
    matrix = random_matrix(len(words), 4)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), 4)
    columns = [pa.array(words), pa.array(np.ones(len(words), np.int64)), vectors]
    table = pa.table(columns, schema=schemas.vectors_schema(4))
    parents = {schemas.TOKENS: tokens.ref.version}
    identity = Identity(schemas.EMBEDDINGS, "m", {"name": "m"}, parents)

    def write(staging: Staging) -> None:
        staging.write("vectors", table)
        write_words(tokens, staging)

    return Store(root).open(publish(root, identity, write))


# -- training ----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_trained_pieces_are_frequent_words_and_parts_of_rare_ones(algorithm: str) -> None:
    settings, definition = trained(subword_algorithm=algorithm)
    found = make_word_finder(settings, definition)("The rights of everyone: nonrefoulement!")
    assert found[:4] == ["▁the", "▁rights", "▁of", "▁everyone"]
    assert len(found) > 6
    assert "".join(found[4:]) == "▁nonrefoulement"
    vocabulary = json.loads(definition)["model"]["vocab"]
    assert 780 <= len(vocabulary) <= 800


def test_characters_that_the_corpus_did_not_have_are_left_out() -> None:
    for algorithm in ("bpe", "unigram"):
        settings, definition = trained(subword_algorithm=algorithm)
        assert make_word_finder(settings, definition)("the 中国 right") == ["▁the", "▁right"]


def test_the_same_texts_give_the_same_definition_whatever_the_threads() -> None:
    expected = [trained(subword_algorithm=algorithm)[1] for algorithm in ("bpe", "unigram")]
    code = (
        "import json, sys\n"
        "from tokenizer_support import trained\n"
        "found = [trained(subword_algorithm=name)[1] for name in ('bpe', 'unigram')]\n"
        "sys.stdout.write(json.dumps(found))\n"
    )
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root), str(root / "tests")])
    for threads, seed in (("1", "1"), ("3", "2")):
        variables = {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **variables},
            capture_output=True,
            check=True,
        )
        assert json.loads(done.stdout) == expected


PIECES = {"a": 0, "b": 1, "ab": 2}


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ({"type": "WordLevel", "vocab": {}, "unk_token": "x"}, []),
        ({"type": "WordLevel", "vocab": PIECES, "unk_token": "x"}, ["ab", "b", "a"]),
        ({"type": "Unigram", "unk_id": None, "vocab": [["a", -1.0], ["b", -2.0]]}, list("abba")),
        ({"type": "BPE", "vocab": PIECES, "merges": ["a b"], "unk_token": "x"}, ["ab", "b", "a"]),
        ({"type": "BPE", "vocab": PIECES, "merges": ["a b"]}, ["ab", "b", "a"]),
        (
            {
                "type": "WordPiece", "vocab": PIECES, "unk_token": "x",
                "continuing_subword_prefix": "##", "max_input_chars_per_word": 9,
            },
            ["ab", "b", "a"],
        ),
    ],
)  # fmt: skip
def test_pieces_are_left_out_where_a_file_has_no_unknown_token(
    model: dict[str, Any], tokens: list[str]
) -> None:
    definition = json.dumps({"pre_tokenizer": {"type": "WhitespaceSplit"}, "model": model})
    settings, text = config("subword"), "ab \u4e2d b \U0001f600 x a"
    assert make_tokenizer(settings, definition)(text) == tokens
    assert [found.text for found in make_locator(settings, definition)(text)] == tokens


def test_a_vocabulary_smaller_than_the_alphabet_is_refused() -> None:
    settings = config("subword", subword_vocabulary=20)
    with pytest.raises(DefinitionError, match=r"subword_vocabulary is 20.* different characters"):
        train_subword(settings, declarations("eng"))
    with pytest.raises(DefinitionError, match="no word to train"):
        train_subword(settings, iter(["...", ""]))


def test_a_word_of_a_million_letters_is_trained_on_in_parts() -> None:
    settings = config("subword", subword_vocabulary=300)
    definition = train_subword(settings, iter([*declarations("eng"), "abcd" * 250_000]))
    pieces = make_word_finder(settings, definition)("abcd" * 3)
    assert "".join(pieces).removeprefix("▁") == "abcd" * 3
    assert len(json.loads(definition)["model"]["vocab"]) == 300


# -- a file ------------------------------------------------------------------------------


def test_a_file_s_special_tokens_padding_and_truncation_play_no_part() -> None:
    settings, definition = trained()
    changed = json.loads(definition)
    changed["truncation"] = {
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    changed["padding"] = {
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>",
    }  # fmt: skip
    cut = make_tokenizer(settings, json.dumps(changed))
    assert cut("everyone has the right") == ["▁everyone", "▁has", "▁the", "▁right"]


@pytest.mark.parametrize("definition", ["", "{}", '{"model": {}}', "[1]"])
def test_a_damaged_definition_is_refused(definition: str) -> None:
    with pytest.raises(DefinitionError, match="cannot be used"):
        make_tokenizer(config("subword"), definition)


def test_a_definition_at_which_the_library_panics_is_refused() -> None:
    """Its panic is no Exception."""
    settings, definition = trained()
    changed = json.loads(definition)
    changed["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAAA"}
    with pytest.raises(DefinitionError, match="cannot be used"):
        make_tokenizer(settings, json.dumps(changed))


def test_the_file_s_content_shapes_the_version_and_its_path_does_not(tmp_path: Path) -> None:
    _, definition = trained()
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(definition, encoding="utf-8")
    one, two = (
        tokens_identity(config("subword", subword_path=f"{name}.json"), "0" * 12, tmp_path)
        for name in ("one", "two")
    )
    assert one.inputs[0].sha256 == sha256_of(tmp_path / "one.json")
    assert one.version == two.version
    (tmp_path / "two.json").write_text(definition + " ", encoding="utf-8")
    again = tokens_identity(config("subword", subword_path="two.json"), "0" * 12, tmp_path)
    assert again.version != one.version
    assert tokens_identity(config("subword"), "0" * 12).version != one.version


def test_a_file_that_is_not_there_or_no_definition_is_refused(tmp_path: Path) -> None:
    settings = config("subword", subword_path="missing.json")
    with pytest.raises(ConfigError, match=r"'missing.json' names no file"):
        tokens_identity(settings, "0" * 12, tmp_path)
    (tmp_path / "text.json").write_text("hello", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be used"):
        publish_tokens(tmp_path / "a", tmp_path, config("subword", subword_path="text.json"))
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        publish_tokens(tmp_path / "b", tmp_path, config("subword", subword_path="bytes.json"))
    (tmp_path / "closed.json").mkdir()
    with pytest.raises((ConfigError, SourceError)):
        tokens_identity(config("subword", subword_path="closed.json"), "0" * 12, tmp_path)


# -- the identity ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokenizer", "libraries"),
    [("unicode", []), ("chinese", ["rjieba"]), ("japanese", ["sudachipy", "sudachidict-core"]),
     ("thai", ["pythainlp"]), ("subword", ["tokenizers"]), ("spacy", ["spacy"])],
)  # fmt: skip
def test_versions_of_the_tokenizer_s_libraries_shape_the_tokens(
    tokenizer: str, libraries: list[str]
) -> None:
    code = tokens_identity(config(tokenizer), "0" * 12).code
    assert set(code) == {"revision", "unicode", *libraries}
    assert all(code[name] == metadata.version(name) for name in libraries)


def test_a_missing_extra_is_named_while_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(sys.modules["nightjar.store.fingerprint"], "_library_version", missing)
    with pytest.raises(InputError, match=r"nightjar\[chinese\]"):
        tokens_identity(TokenizeConfig(tokenizer="chinese"), "0" * 12)


# -- with a model ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        {"tokenizer": "subword", "subword_vocabulary": 800},
        {"tokenizer": "subword", "subword_vocabulary": 800, "subword_algorithm": "unigram"},
        {"tokenizer": "subword", "subword_path": "given.json"},
        {"tokenizer": "unicode", "hyphens": "keep", "apostrophes": "split", "locale": "tr"},
        {"tokenizer": "chinese"},
        {"tokenizer": "japanese", "japanese_mode": "A"},
        {"tokenizer": "thai"},
        {"tokenizer": "spacy", "spacy_language": "en"},
    ],
)
def test_a_model_cuts_texts_as_its_tokens_were_where_nightjar_is_not_installed(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    (tmp_path / "given.json").write_text(trained()[1], encoding="utf-8")
    settings = config(**keys)
    tokens = publish_tokens(tmp_path / "artifacts", tmp_path, settings)
    store = Store(tmp_path / "artifacts")
    model = model_of_artifact(publish_embeddings(store.root, tokens))
    sentences = [words for document, _, words in words_of(tokens) if document == "d1"]
    french = declaration("fra")
    assert model.words(french) == [word for words in sentences for word in words]
    (tmp_path / "code").mkdir()
    copy_code(tmp_path / "code")
    lookup = next((store.root / "files").iterdir())
    code = (
        "import importlib, json, pathlib, sys, types\n"
        "package = types.ModuleType('_model')\n"
        "package.__path__ = [sys.argv[1]]\n"
        "sys.modules['_model'] = package\n"
        "lookup = importlib.import_module('_model.lookup')\n"
        "model = lookup.VectorModel.open(pathlib.Path(sys.argv[2]))\n"
        "sys.stdout.write(json.dumps(model.words(sys.argv[3])))\n"
        "assert 'nightjar' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "code"), str(lookup), TEXT],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == model.words(TEXT)


def model_of(settings: Mapping[str, Any], definition: str | None = None) -> VectorModel:
    given = replace(SETTINGS, **settings)
    return VectorModel("m", None, given, None, definition)  # type: ignore[arg-type]


def test_a_library_that_is_missing_where_a_model_answers_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(QueryError, match=r"m cannot cut texts .* pip install rjieba"):
        model_of({"tokenizer": "chinese"}).words("人人")
    with pytest.raises(QueryError, match="has no definition here"):
        model_of({"tokenizer": "subword"}).words("people")


def test_documents_are_not_encoded_by_a_model_whose_tokenizer_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = publish_tokens(tmp_path, tmp_path, config("chinese"))
    embeddings = publish_embeddings(tmp_path, tokens)
    monkeypatch.setitem(sys.modules, "rjieba", None)
    encoder = temporary_own_model(embeddings, tmp_path, is_normalized=False)
    with pytest.raises(EncoderError, match=r"nightjar\[chinese\]"), encoder:
        pass


# -- what other formats cannot express -----------------------------------------------------


def exported(settings: Settings) -> ExportedVectors:
    return ExportedVectors(["a", "b"], np.array([2, 1]), random_matrix(2), settings)


@pytest.mark.parametrize("form", ["model2vec", "sentence-transformers"])
@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"tokenizer": "chinese"}, "tokenizer: chinese"),
        ({"tokenizer": "japanese"}, "tokenizer: japanese"),
        ({"tokenizer": "thai"}, "tokenizer: thai"),
        ({"tokenizer": "subword"}, "tokenizer: subword"),
        ({"tokenizer": "spacy"}, "tokenizer: spacy"),
        ({"casefold": True}, "casefold: true"),
        ({"locale": "tr"}, "locale: tr"),
    ],
)
def test_static_embeddings_refuse_what_they_cannot_express(
    tmp_path: Path, form: str, keys: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"{named}.* choose a format of words alone"):
        write_vectors(exported(replace(SETTINGS, **keys)), form, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tokenizer", ["chinese", "japanese", "thai", "subword"])
def test_spacy_refuses_words_that_it_would_never_find(tmp_path: Path, tokenizer: str) -> None:
    with pytest.raises(InputError, match=f"tokenizer: {tokenizer} .* would not find"):
        write_vectors(exported(replace(SETTINGS, tokenizer=tokenizer)), "spacy", tmp_path / "out")


def test_spacy_s_own_words_are_cut_by_the_pipeline_of_their_language(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    settings = replace(SETTINGS, tokenizer="spacy", spacy_language="de")
    write_vectors(exported(settings), "spacy", tmp_path / "out")
    assert [token.text for token in spacy.load(tmp_path / "out")("z.B. so")] == ["z.B.", "so"]


@pytest.mark.parametrize("keys", [{}, {"hyphens": "keep"}, {"apostrophes": "split"}])
def test_static_embeddings_cut_words_by_the_same_options(keys: dict[str, str]) -> None:
    pytest.importorskip("tokenizers")
    from nightjar.formats.static import MARK, make_hf_tokenizer  # noqa: PLC0415

    settings = replace(SETTINGS, **keys)  # type: ignore[arg-type]
    text = "Re-read the e\u2011mail, don’t -x- l'an 3.14"  # noqa: RUF001
    words = make_word_finder(settings)(text)
    theirs = make_hf_tokenizer(sorted(set(words)), settings).encode(text).tokens
    assert [piece.removeprefix(MARK) for piece in theirs] == words
