"""SIF and uSIF: the rows against the papers' arithmetic on whole sentences."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lookup_support import model_of_artifact
from numpy.typing import NDArray
from pydantic import TypeAdapter
from training_support import publish_tokens, train_model

from nightjar.config.models import ModelConfig, NightjarConfig, SifConfig, UsifConfig
from nightjar.errors import VocabularyError
from nightjar.formats.embeddings import Embeddings, matrix_of
from nightjar.progress import SILENT
from nightjar.stages.evaluate.health import text_coverage
from nightjar.stages.train import fit_encoder
from nightjar.stages.train.sif import common_directions, usif_a
from nightjar.store import Artifact, Identity, Store, publish
from nightjar.store.schemas import EMBEDDINGS, TOKENS

CORPUS = [
    ["the", "king", "rules", "the", "land"],
    ["the", "queen", "rules", "the", "sea"],
    ["a", "river", "meets", "the", "sea"],
    ["the", "dog", "eats", "the", "bone", "of", "a", "fish"],
    ["a", "fish", "swims", "in", "the", "river", "of", "the", "land"],
    ["the", "the", "the"],
]
Floats = NDArray[np.float64]


def encoder(trainer: str, **changes: object) -> SifConfig | UsifConfig:
    model: ModelConfig = TypeAdapter(ModelConfig).validate_python(
        {"trainer": trainer, "model": "base", **changes}
    )
    assert isinstance(model, SifConfig | UsifConfig)
    return model


def fit(model: SifConfig | UsifConfig, base: Artifact, tokens: Artifact, root: Path) -> Artifact:
    identity = Identity(
        EMBEDDINGS,
        "s",
        {"name": "s", "model": model.model_dump(mode="json")},
        {TOKENS: tokens.ref.version, EMBEDDINGS: base.ref.version},
    )
    write = partial(fit_encoder, "s", model, base, tokens)
    return Store(root).open(publish(root, identity, lambda staging: write(staging, SILENT)))


def weights_of(model: SifConfig | UsifConfig) -> dict[str, float]:
    """The weight of each word of CORPUS, written down from the papers."""
    counts = Counter(word for sentence in CORPUS for word in sentence)
    total = sum(counts.values())
    shares = {word: count / total for word, count in counts.items()}
    if isinstance(model, SifConfig):
        return {word: model.a / (model.a + p) for word, p in shares.items()}
    n_steps, n_words = total / len(CORPUS), len(shares)
    threshold = 1 - (1 - 1 / n_words) ** n_steps
    alpha = sum(p > threshold for p in shares.values()) / n_words
    a = (1 - alpha) / (alpha * n_words / 2)
    return {word: a / (a / 2 + p) for word, p in shares.items()}


def paper_vectors(
    model: SifConfig | UsifConfig, base: Embeddings, sentences: list[list[str]]
) -> Floats:
    """Algorithm 1 of SIF (uSIF: section 3) on whole sentences, nothing folded into words."""
    weights = weights_of(model)

    def mean(sentence: list[str]) -> Floats:
        rows = [weights[word] * base.matrix[base.ids[word]].astype(np.float64) for word in sentence]
        return np.mean(rows, axis=0)

    corpus = np.array([mean(sentence) for sentence in CORPUS])
    _, values, directions = np.linalg.svd(corpus, full_matrices=False)
    squares = values[: model.components] ** 2
    shares = np.ones(len(squares)) if isinstance(model, SifConfig) else squares / squares.sum()
    found = np.array([mean(sentence) for sentence in sentences])
    result = found.copy()
    for share, direction in zip(shares, directions, strict=False):
        result -= share * np.outer(found @ direction, direction)
    return result


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def tokens(root: Path) -> Artifact:
    return publish_tokens(root, CORPUS, row_group=2)


@pytest.fixture(scope="module")
def base(root: Path, tokens: Artifact) -> Artifact:
    return train_model(tokens, root, "word2vec")


@pytest.mark.parametrize(
    "model",
    [
        encoder("sif", a=0.01),
        encoder("sif", a=0.3, components=3),
        encoder("sif", components=0),
        encoder("usif", components=3),
    ],
    ids=["sif", "sif-3", "sif-0", "usif"],
)
def test_the_mean_of_a_texts_rows_is_the_papers_vector(
    model: SifConfig | UsifConfig, base: Artifact, tokens: Artifact, root: Path
) -> None:
    found = fit(model, base, tokens, root)
    served = model_of_artifact(found)
    texts = [["the", "king", "swims"], ["a", "dog", "of", "the", "sea", "the"]]
    expected = paper_vectors(model, Embeddings.from_artifact(base), texts)
    np.testing.assert_allclose(
        served.encode([" ".join(text) for text in texts]), expected, rtol=2e-4, atol=2e-6
    )
    components = found.read("components")
    assert components.num_rows == model.components
    if isinstance(model, UsifConfig):
        assert sum(components.column("share").to_pylist()) == pytest.approx(1)


def test_ngrams_of_unknown_words_are_weighted_as_words_of_no_probability(
    tokens: Artifact, root: Path
) -> None:
    base = train_model(tokens, root, "fasttext")
    model = encoder("usif", components=2)
    found = fit(model, base, tokens, root)
    components = found.read("components")
    directions = matrix_of(components.to_batches()[0]).astype(np.float64)
    shares = np.array(components.column("share").to_pylist())
    before = model_of_artifact(base).vectors(["kingdoms"])[0].astype(np.float64)
    after = model_of_artifact(found).vectors(["kingdoms"])[0]
    projected = before - (shares * (directions @ before)) @ directions
    np.testing.assert_allclose(after, 2 * projected, rtol=1e-4, atol=1e-6)


def test_words_the_corpus_lacks_weigh_one(root: Path, base: Artifact) -> None:
    other = publish_tokens(root, [["the", "unicorn", "rules"], ["the", "unicorn"]])
    found = fit(encoder("sif", components=0), base, other, root)
    words, rows = Embeddings.from_artifact(base), Embeddings.from_artifact(found)
    king = words.ids["king"]
    np.testing.assert_array_equal(rows.matrix[king], words.matrix[king])
    assert found.manifest.counts["words_not_in_corpus"] == len(words.tokens) - 2
    assert text_coverage(found.manifest.counts) == pytest.approx(3 / 5)  # all but the unicorns
    assert rows.tokens == words.tokens
    np.testing.assert_array_equal(rows.counts, words.counts)


def test_a_corpus_without_any_of_the_words_is_refused(root: Path, base: Artifact) -> None:
    other = publish_tokens(root, [["der", "hund"], ["die", "katze"]])
    with pytest.raises(VocabularyError, match="none of the 16 words of base occurs in the corpus"):
        fit(encoder("sif"), base, other, root)


def test_sentences_are_taken_in_pieces_without_changing_the_result(
    root: Path, base: Artifact, tokens: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = encoder("sif", a=0.05, components=2)
    whole = Embeddings.from_artifact(fit(model, base, tokens, root))
    monkeypatch.setattr("nightjar.stages.train.sif._BATCH_VALUES", 24)
    other = root / "pieces"
    pieces = Embeddings.from_artifact(fit(model, base, tokens, other))
    np.testing.assert_allclose(pieces.matrix, whole.matrix, rtol=1e-4, atol=1e-6)


def test_more_components_than_there_are_is_all_of_them() -> None:
    rows = np.array([[3.0, 0, 0], [0, 2.0, 0]])
    removal = common_directions(rows.T @ rows, 10, all_of_each=False)
    np.testing.assert_allclose(removal.directions, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(removal.shares, [9 / 13, 4 / 13])


def test_a_vocabulary_of_equal_words_still_has_an_a() -> None:
    assert usif_a(np.full(4, 0.25), 3.0) == pytest.approx((1 - 0.25) / (0.25 * 2))
    assert usif_a(np.ones(1), 3.0) == 1.0


def config(models: dict[str, object]) -> NightjarConfig:
    return NightjarConfig.model_validate(
        {
            "corpora": {"text": {"kind": "text", "sources": {"s": {"type": "text", "path": "x"}}}},
            "models": models,
            "evaluation": {"benchmarks": {"b": {"type": "similarity", "path": "b"}}},
            "registry": {"gate": {"benchmarks": ["b"]}},
        }
    )


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"s": {"trainer": "sif", "model": "none"}}, "models.s.model names none, models has s"),
        (
            {"a": {"trainer": "sif", "model": "b"}, "b": {"trainer": "usif", "model": "a"}},
            "would be made from itself: a from b from a",
        ),
        (
            {
                "a": {"trainer": "word2vec", "vector_size": 50},
                "b": {"trainer": "word2vec", "vector_size": 60, "init_from": "a"},
            },
            "models.b.vector_size is 60, that of a, which it starts from, 50",
        ),
        (
            {
                "a": {"trainer": "fasttext"},
                "b": {"trainer": "fasttext", "bucket": 1000, "init_from": "a"},
            },
            "n-grams are numbered by them",
        ),
        (
            {
                "a": {"trainer": "word2vec"},
                "b": {"trainer": "word2vec", "engine": "gensim", "init_from": "a"},
            },
            "models.b.init_from needs engine: native",
        ),
        (
            {"a": {"trainer": "glove", "gate_benchmarks": ["c"]}},
            "models.a.gate_benchmarks names c, evaluation.benchmarks has b",
        ),
    ],
)
def test_models_made_from_others_are_checked(models: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(models)


def test_the_gate_of_a_model_may_have_benchmarks_of_its_own() -> None:
    judged = {"trainer": "glove", "gate_benchmarks": ["b"]}
    loaded = config({"a": {"trainer": "glove"}, "b": judged})
    assert loaded.registry_of("a") is loaded.registry
    assert loaded.registry_of("b").gate.benchmarks == ["b"]


def test_the_log_says_what_was_removed(
    root: Path, base: Artifact, tokens: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        fit(encoder("sif", a=0.07), base, tokens, root)
    assert "s: a = 0.07, 1 direction removed" in caplog.text
