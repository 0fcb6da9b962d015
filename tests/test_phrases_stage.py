"""Phrases in the tokens artifact, in the models that are trained on it, and in their exports."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lookup_support import SETTINGS, model_of_artifact, random_matrix
from phrases_support import gensim_passes
from stage_support import context_of
from test_text_stage import publish_documents, publish_tokens, words_of
from test_tokenizers_travel import publish_embeddings

from nightjar.config import PhrasesConfig, TokenizeConfig
from nightjar.core.executors import ProcessExecutor
from nightjar.errors import InputError
from nightjar.formats import ExportedVectors, write_vectors
from nightjar.model.lookup import TableDamaged, VectorModel
from nightjar.stages.tokenize import cutting, tokenize, tokens_identity
from nightjar.store import Artifact, Staging, Store, publish, schemas

NAMES = ("New York City", "a bank of America", "New York")
PHRASES = {"min_count": 1, "threshold": 2.0, "connector_words": "english", "passes": 2}


def texts(n: int = 60) -> list[str]:
    """Random words with a few that belong together."""
    rng = random.Random(3)
    words = [f"w{number}" for number in range(60)]
    return [
        " ".join(
            f"{' '.join(rng.choices((*words, *NAMES), [1] * 60 + [6] * 3, k=8))}."
            for _ in range(rng.randrange(1, 6))
        )
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Tokens with phrases."""
    return publish_tokens(tmp_path_factory.mktemp("joined"), texts(), phrases=PHRASES)


def test_sentences_and_phrases_are_those_of_gensim(tmp_path: Path, joined: Artifact) -> None:
    plain = words_of(publish_tokens(tmp_path, texts()))
    passes = list(gensim_passes([words for _, _, words in plain], PhrasesConfig(**PHRASES)))  # type: ignore[arg-type]
    expected = passes[-1][1]
    found = words_of(joined)
    assert [words for _, _, words in found] == expected
    assert [row[:2] for row in found] == [row[:2] for row in plain]
    assert any("new_york_city" in words for words in expected)
    assert any("bank_of_america" in words for words in expected)
    table = joined.read("phrases")
    assert table.schema.equals(schemas.PHRASES_SCHEMA)
    assert {"new_york", "bank_of_america"} <= set(table.column("phrase").to_pylist())
    assert table.column("pass").to_pylist() == sorted(table.column("pass").to_pylist())


def test_the_vocabulary_counts_tokens_and_documents_after_joining(joined: Artifact) -> None:
    sentences = words_of(joined)
    counts = Counter(word for _, _, words in sentences for word in words)
    documents = Counter(
        word for _, word in {(doc, word) for doc, _, words in sentences for word in words}
    )
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = joined.read("vocabulary").to_pylist()
    assert [row["token"] for row in vocabulary] == expected
    assert [row["count"] for row in vocabulary] == [counts[word] for word in expected]
    assert [row["n_documents"] for row in vocabulary] == [documents[word] for word in expected]
    manifest = joined.manifest
    assert manifest.counts["tokens"] == counts.total()
    assert manifest.counts["tokens_before_phrases"] > counts.total()
    assert manifest.counts["vocabulary"] == len(expected)
    assert manifest.counts["phrases"] == joined.rows("phrases")
    assert "new_york" in manifest.report["best_phrases"][0]


def test_workers_and_small_row_groups_give_the_same_bytes(
    tmp_path: Path, joined: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightjar.stages.tokenize.tokenize_stage.INLINE_BYTES", 0)
    documents = publish_documents(tmp_path, texts())
    settings = TokenizeConfig(phrases=PHRASES)  # type: ignore[arg-type]
    with ProcessExecutor(2) as executor:

        def write(staging: Staging) -> None:
            tokenize(settings, documents, context_of(staging, executor=executor))
            assert not any(path.name.startswith(".") for path in staging.directory.iterdir())

        ref = publish(tmp_path, tokens_identity(settings, documents.ref.version), write)
    assert Store(tmp_path).open(ref).manifest.files == joined.manifest.files

    monkeypatch.setattr(cutting, "BATCH_TOKENS", 50)
    monkeypatch.setattr(cutting, "READ_ROWS", 3)
    small = publish_tokens(tmp_path / "small", texts(), phrases=PHRASES)
    for table in ("vocabulary", "phrases"):
        assert small.read(table).equals(joined.read(table))
    assert words_of(small) == words_of(joined)


def test_a_corpus_without_phrases_keeps_its_tokens(tmp_path: Path) -> None:
    phrases = {"threshold": 1e9, "passes": 3}
    tokens = publish_tokens(tmp_path / "a", texts(), phrases=phrases)
    plain = publish_tokens(tmp_path / "b", texts())
    assert tokens.rows("phrases") == 0
    for table in ("sentences", "vocabulary"):
        assert tokens.read(table).equals(plain.read(table))


def test_phrases_are_looked_for_in_the_shards_that_are_there(tmp_path: Path) -> None:
    plain = publish_tokens(tmp_path, texts())
    joined = publish_tokens(tmp_path, texts(), phrases=PHRASES)
    other = publish_tokens(tmp_path, texts(), phrases={**PHRASES, "threshold": 3.0})
    assert len({plain.ref.version, joined.ref.version, other.ref.version}) == 3
    assert len(list((tmp_path / schemas.TOKEN_SHARDS).iterdir())) == 1


def test_a_model_joins_phrases_in_texts_as_its_corpus_has_them(joined: Artifact) -> None:
    root = Path(joined.ref.path).parents[1]
    model = model_of_artifact(publish_embeddings(root, joined))
    assert model.words("In NEW YORK City, a bank of America? New jobs. York") == [
        *("in", "new_york_city", "a", "bank_of_america", "new", "jobs", "york"),
    ]
    some = texts(5)
    expected = [words for doc, _, words in words_of(joined) if int(doc[1:]) < 5]
    assert [word for text in some for word in model.words(text)] == list(chain(*expected))
    assert model.encode(["new york city"]) == pytest.approx(model.vectors(["new_york_city"]))


def test_a_damaged_file_of_phrases_is_named(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, texts(), phrases=PHRASES)
    opened = model_of_artifact(publish_embeddings(tmp_path, tokens))
    assert opened.phrases is not None
    size = opened.phrases.stat().st_size
    opened.phrases.write_text("[" + " " * (size - 2) + "]")
    model = VectorModel.open(opened.phrases.parent)
    with pytest.raises(TableDamaged, match=r"phrases\.json cannot be read .* fetch the model"):
        model.words("new york")
    opened.phrases.unlink()
    with pytest.raises(TableDamaged, match=r"phrases\.json is missing"):
        VectorModel.open(opened.phrases.parent)


@pytest.mark.parametrize("form", ["model2vec", "sentence-transformers"])
def test_static_embeddings_refuse_joined_words(tmp_path: Path, form: str) -> None:
    vectors = ExportedVectors(["a", "b_c"], np.array([2, 1]), random_matrix(2), SETTINGS)
    exported: Any = replace(vectors, has_phrases=True)
    with pytest.raises(InputError, match=r"tokenize.phrases.* choose a format of words alone"):
        write_vectors(exported.first(1), form, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
