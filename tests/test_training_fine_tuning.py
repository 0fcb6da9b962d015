"""``init_from``: where a fine-tuned model starts, and what its vocabulary becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lookup_support import model_of_artifact
from numpy.typing import NDArray
from stage_support import context_of
from training_support import model_config, publish_cooccurrences, publish_tokens, train_model

from nightjar.config.models import GloVeConfig, TrainingConfig
from nightjar.errors import InputError
from nightjar.formats.embeddings import Embeddings, matrix_of
from nightjar.stages.train import Lessons, Parents, train, trained_identity
from nightjar.store import Artifact, Staging, Store, publish

BASE = [["king", "queen", "land"], ["queen", "rules", "land"], ["king", "rules", "old", "land"]] * 8
MINE = [["queen", "likes", "tea"], ["tea", "of", "the", "queen"], ["likes", "rare"]] * 3
NATIVE = {"engine": "native", "alpha": 1e-9, "min_alpha": 1e-9, "sample": 0.0}
"""So small a learning rate that what comes out is where the training started."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def base_tokens(root: Path) -> Artifact:
    return publish_tokens(root, BASE)


@pytest.fixture(scope="module")
def tokens(root: Path) -> Artifact:
    return publish_tokens(root, MINE)


def tune(
    tokens: Artifact, base: Artifact, root: Path, trainer: str, n_workers: int = 1, **changes: Any
) -> Artifact:
    model = model_config(trainer, init_from="base", **changes)
    identity = trained_identity(
        "tuned", model, TrainingConfig(), Parents(tokens.ref.version, base.ref.version)
    )
    counts = None
    if isinstance(model, GloVeConfig):
        counts = publish_cooccurrences(tokens, root, n_workers=n_workers, **changes)

    def write(staging: Staging) -> None:
        context = context_of(staging, identity, n_workers=n_workers)
        train("tuned", model, TrainingConfig(), Lessons(tokens, counts, base), context)

    return Store(root).open(publish(root, identity, write))


def outputs(artifact: Artifact) -> NDArray[np.float32]:
    return np.concatenate([matrix_of(batch) for batch in artifact.batches("output_vectors")])


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
def test_word2vec_starts_from_the_base_and_gets_its_words(
    architecture: str, n_workers: int, root: Path, base_tokens: Artifact, tokens: Artifact
) -> None:
    base = train_model(base_tokens, root, "word2vec", engine="native", architecture=architecture)
    tuned = tune(tokens, base, root, "word2vec", n_workers, architecture=architecture, **NATIVE)
    before, after = Embeddings.from_artifact(base), Embeddings.from_artifact(tuned)
    assert after.tokens[:6] == ("likes", "queen", "tea", "of", "rare", "the")
    assert after.tokens[6:] == tuple(word for word in before.tokens if word != "queen")
    assert after.counts.tolist() == [6, 6, 6, 3, 3, 3, 0, 0, 0, 0]
    for word in before.tokens:
        np.testing.assert_allclose(
            after.matrix[after.ids[word]], before.matrix[before.ids[word]], atol=1e-6
        )
        np.testing.assert_allclose(
            outputs(tuned)[after.ids[word]], outputs(base)[before.ids[word]], atol=1e-6
        )
    assert tuned.manifest.counts["vocabulary_from_base"] == 4
    assert tuned.manifest.counts["vocabulary_kept"] == 6
    assert tuned.manifest.parents["embeddings"] == base.ref.version


def test_training_moves_the_words_of_the_corpus_and_no_other(
    root: Path, base_tokens: Artifact, tokens: Artifact
) -> None:
    base = train_model(base_tokens, root, "word2vec", engine="native")
    tuned = tune(tokens, base, root, "word2vec", engine="native", alpha=0.5, sample=0.0)
    before, after = Embeddings.from_artifact(base), Embeddings.from_artifact(tuned)
    for word in ("king", "land", "rules", "old"):
        np.testing.assert_array_equal(
            after.matrix[after.ids[word]], before.matrix[before.ids[word]]
        )
    moved = np.abs(after.matrix[after.ids["queen"]] - before.matrix[before.ids["queen"]])
    assert moved.max() > 0.01


def test_words_below_min_count_keep_the_bases_vectors(root: Path, base_tokens: Artifact) -> None:
    base = train_model(base_tokens, root, "word2vec", engine="native")
    mine = publish_tokens(root, [["tea", "queen", "tea", "likes", "likes"], ["tea", "king"]])
    tuned = tune(mine, base, root, "word2vec", min_count=2, **NATIVE)
    found = Embeddings.from_artifact(tuned)
    assert found.tokens == ("tea", "likes", *Embeddings.from_artifact(base).tokens)
    assert tuned.manifest.counts["tokens_dropped_min_count"] == 2


def test_fasttext_starts_from_words_and_ngrams(
    root: Path, base_tokens: Artifact, tokens: Artifact
) -> None:
    base = train_model(base_tokens, root, "fasttext", engine="native")
    tuned = tune(tokens, base, root, "fasttext", **NATIVE)
    before, after = model_of_artifact(base), model_of_artifact(tuned)
    words = ["king", "queen", "rules"]
    np.testing.assert_allclose(after.vectors(words), before.vectors(words), atol=1e-6)
    # All n-grams of an unknown word that the base knows are those of the base.
    np.testing.assert_allclose(after.vectors(["kings"]), before.vectors(["kings"]), atol=1e-6)
    np.testing.assert_allclose(
        outputs(tuned)[Embeddings.from_artifact(tuned).ids["queen"]],
        outputs(base)[Embeddings.from_artifact(base).ids["queen"]],
        atol=1e-6,
    )


def test_glove_goes_on_with_its_own_accumulators(
    root: Path, base_tokens: Artifact, tokens: Artifact
) -> None:
    base = train_model(base_tokens, root, "glove")
    tuned = tune(tokens, base, root, "glove", eta=1e-9)
    np.testing.assert_allclose(
        model_of_artifact(tuned).vectors(["king", "queen", "old"]),
        model_of_artifact(base).vectors(["king", "queen", "old"]),
        atol=1e-6,
    )

    def row(artifact: Artifact, kind: str) -> dict[str, Any]:
        rows = artifact.read("parameters").to_pylist()
        return next(row for row in rows if row["kind"] == kind and row["token"] == "queen")

    for kind in ("word", "context"):
        expected, found = row(base, kind), row(tuned, kind)
        for key in ("vector", "bias", "squared_gradient", "bias_squared_gradient"):
            np.testing.assert_allclose(found[key], expected[key], rtol=0.5, atol=1e-5)
        assert found["squared_gradient"] != [1.0] * 8


def test_glove_starts_from_any_vectors(root: Path, base_tokens: Artifact, tokens: Artifact) -> None:
    base = train_model(base_tokens, root, "word2vec", engine="native")
    tuned = tune(tokens, base, root, "glove", eta=1e-9)
    words = ["king", "queen", "old"]
    np.testing.assert_allclose(
        model_of_artifact(tuned).vectors(words), model_of_artifact(base).vectors(words), atol=1e-6
    )


def test_hierarchical_softmax_starts_its_tree_anew(
    root: Path, base_tokens: Artifact, tokens: Artifact
) -> None:
    hs: dict[str, Any] = {"hs": True, "negative": 0}
    base = train_model(base_tokens, root, "word2vec", engine="native", **hs)
    tuned = tune(tokens, base, root, "word2vec", **(NATIVE | hs))
    np.testing.assert_allclose(
        model_of_artifact(tuned).vectors(["queen", "old"]),
        model_of_artifact(base).vectors(["queen", "old"]),
        atol=1e-6,
    )
    assert np.abs(outputs(tuned)).max() < 1e-6


def test_a_base_that_does_not_fit_is_refused(
    root: Path, base_tokens: Artifact, tokens: Artifact
) -> None:
    small = train_model(base_tokens, root, "word2vec", engine="native")
    with pytest.raises(InputError, match=r"vector_size is 12, and base, .* 8 values; set it to 8"):
        tune(tokens, small, root, "word2vec", engine="native", vector_size=12)
    with pytest.raises(InputError, match=r"learns n-grams, and base, .* has none; start from"):
        tune(tokens, small, root, "fasttext", engine="native")
    ngrams = train_model(base_tokens, root, "fasttext", engine="native")
    with pytest.raises(InputError, match="set min_n: 3, max_n: 6 and bucket: 5000, those of base"):
        tune(tokens, ngrams, root, "fasttext", engine="native", max_n=4)
    assert tune(tokens, small, root, "fasttext", max_n=0, **NATIVE).rows("vectors") == 10


def test_noise_is_never_a_word_of_the_base_alone(
    root: Path, base_tokens: Artifact, tokens: Artifact
) -> None:
    base = train_model(base_tokens, root, "word2vec", engine="native")
    tuned = tune(
        tokens, base, root, "word2vec", engine="native", ns_exponent=-1.0, alpha=0.5, sample=0.0
    )
    before, after = Embeddings.from_artifact(base), Embeddings.from_artifact(tuned)
    for word in ("king", "old"):
        np.testing.assert_array_equal(
            outputs(tuned)[after.ids[word]], outputs(base)[before.ids[word]]
        )
