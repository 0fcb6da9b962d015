"""Semantic textual similarity: pairs of texts, scored by what encodes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from stage_support import context_of
from test_evaluation_stage import publish_vectors

from nightjar.config import EvaluationConfig, SimilarityBenchmark, StsBenchmark
from nightjar.errors import BenchmarkError, EncoderError
from nightjar.formats.model_files import model_code_digest
from nightjar.model.lookup import QueryError, VectorModel
from nightjar.scoring.scores import Score, read_scores
from nightjar.stages.evaluate import evaluate, evaluation_identity
from nightjar.stages.evaluate.benchmark_items import Examinee
from nightjar.stages.evaluate.text_pairs import TextPairs
from nightjar.stages.evaluate.word_table import WordTable
from nightjar.store import Artifact, Store, publish, schemas

PAIRS = [
    ("talk", 5.0, "A dog barks.", "the dog barks"),
    ("talk", 1.0, "a dog", "two kings"),
    ("talk", 2.0, "the king barks", "a dog barks"),
    ("news", 4.0, "two kings met", "two kings"),
    ("news", 0.0, "the", "Xyzzy plugh"),
    ("news", 3.0, "kings and dogs", "a king, a dog"),
    ("news", 2.5, "dogs bark and bark", "a king barks"),
]
WORDS = ["the", "a", "dog", "dogs", "barks", "bark", "king", "kings", "two", "met", "and"]


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    matrix = np.random.default_rng(4).normal(size=(len(WORDS), 6)).astype(np.float32)
    return publish_vectors(tmp_path / "store", WORDS, matrix)


@pytest.fixture
def sts(tmp_path: Path) -> Path:
    path = tmp_path / "sts.tsv"
    lines = ["\t".join((genre, str(score), a, b)) for genre, score, a, b in PAIRS]
    path.write_text("\n".join(["genre\tscore\tsentence1\tsentence2", *lines]), encoding="utf-8")
    return path


def scores_of(model: Artifact, path: Path, root: Path) -> dict[tuple[str, str], Score]:
    config = EvaluationConfig(
        benchmarks={"texts": StsBenchmark(type="sts", path=str(path))}, bootstrap_samples=50
    )
    identity = evaluation_identity("m", config, root, model.ref.version)
    ref = publish(
        root,
        identity,
        lambda staging: evaluate(config, model, context_of(staging, identity, root)),
    )
    scores = read_scores(Store(root).open(ref))
    return {(score.category, score.metric): score for score in scores}


def expected_cosines(model: Artifact) -> list[float | None]:
    """By hand: the mean of the known words' vectors, cosine."""
    rows = {row["token"]: np.array(row["vector"]) for row in model.read("vectors").to_pylist()}

    def mean(text: str) -> NDArray[np.float64] | None:
        words = [word.strip(".,").lower() for word in text.split()]
        known = [rows[word] for word in words if word in rows]
        return np.mean(known, axis=0) if known else None

    found: list[float | None] = []
    for _, _, left, right in PAIRS:
        a, b = mean(left), mean(right)
        defined = a is not None and b is not None
        found.append(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) if defined else None)
    return found


def test_scores_are_scipys_correlations_over_the_covered_pairs(
    model: Artifact, sts: Path, tmp_path: Path
) -> None:
    scores = scores_of(model, sts, tmp_path / "store")
    cosines = expected_cosines(model)
    for category in ("all", "talk", "news"):
        pairs = [
            (cosine, gold)
            for cosine, (genre, gold, _, _) in zip(cosines, PAIRS, strict=True)
            if cosine is not None and category in ("all", genre)
        ]
        x, y = zip(*pairs, strict=True)
        spearman, pearson = scores[category, "spearman"], scores[category, "pearson"]
        assert spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
        assert pearson.value == pytest.approx(stats.pearsonr(x, y).statistic)
        assert spearman.n_covered == len(pairs)
        assert spearman.max_vocabulary == len(WORDS)
    assert scores["all", "spearman"].n_items == 7
    assert scores["all", "spearman"].n_covered == 6


def test_zero_vectors_are_similar_to_nothing_and_nan_is_not_covered() -> None:
    items = TextPairs(("a", "b", "c"), ("a", "a", "a"), np.array([1.0, 2.0, 3.0]), ())

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        rows = {"a": [3.0, 4.0], "b": [0.0, 0.0], "c": [np.nan, np.nan]}
        return np.array([rows[text] for text in texts], np.float32)

    class Model:
        def encode(self, texts: Sequence[str], unknown: str) -> NDArray[np.float32]:
            assert unknown == "nan"
            return encode(texts)

    words = WordTable.of(["a"], np.ones((1, 2), np.float32), case_insensitive=True)
    found = items.answer(Examinee(cast("VectorModel", Model()), words, seed=1))
    np.testing.assert_allclose(found.answers.values, [1.0, 0.0, np.nan])
    assert found.missing == ["c | a"]


def test_each_text_is_encoded_once(
    sts: Path, model: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    encode = VectorModel.encode

    def counting(
        self: VectorModel, texts: Sequence[str], unknown: str = "error"
    ) -> NDArray[np.float32]:
        seen.extend(texts)
        return encode(self, texts, unknown)

    monkeypatch.setattr(VectorModel, "encode", counting)
    scores_of(model, sts, tmp_path / "store")
    texts = [text for _, _, left, right in PAIRS for text in (left, right)]
    assert len(seen) == len(set(seen)) == len(set(texts))


def test_a_benchmark_of_texts_in_another_language_is_refused(
    model: Artifact, tmp_path: Path
) -> None:
    path = tmp_path / "sts.tsv"
    path.write_text("score\tsentence1\tsentence2\n1\tder Hund\tein Hund\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match=r"missing: der Hund \| ein Hund"):
        scores_of(model, path, tmp_path / "store")


def test_a_model_that_cannot_cut_texts_is_named(
    sts: Path, model: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: VectorModel, text: str) -> list[str]:
        raise QueryError("the tokenizer needs jieba")

    monkeypatch.setattr(VectorModel, "words", missing)
    with pytest.raises(EncoderError, match="needs jieba"):
        scores_of(model, sts, tmp_path / "store")


def test_the_scores_depend_on_the_code_that_travels_with_the_model(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("a\tb\t1\n", encoding="utf-8")
    words = {"words": SimilarityBenchmark(type="similarity", path=str(pairs))}
    identity = evaluation_identity("m", EvaluationConfig(benchmarks=words), tmp_path, "0" * 12)
    assert identity.code["lookup"] == model_code_digest()
    assert identity.stage == schemas.EVALUATION
