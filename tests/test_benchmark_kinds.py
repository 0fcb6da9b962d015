"""Every kind of benchmark: its files, its answers by hand, and what they are worth."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import skew
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_evaluation_stage import publish_vectors, structured_vectors

from nightjar.config import (
    AnalogyBenchmark,
    BenchmarkConfig,
    CategorizationBenchmark,
    ClassificationBenchmark,
    NeighborsBenchmark,
    OutlierBenchmark,
    SimilarityBenchmark,
    StsBenchmark,
)
from nightjar.errors import BenchmarkError
from nightjar.formats.model_files import temporary_model
from nightjar.model.lookup import VectorModel
from nightjar.scoring.metrics import score
from nightjar.stages.evaluate.analogies import Analogies
from nightjar.stages.evaluate.benchmark_items import Answered, Examinee
from nightjar.stages.evaluate.categorization import CategorizedWords
from nightjar.stages.evaluate.classification import LabelledTexts, _parts
from nightjar.stages.evaluate.expected_neighbors import ExpectedNeighbors
from nightjar.stages.evaluate.health import hubness, isotropy
from nightjar.stages.evaluate.kinds import KINDS, benchmark_identity, read_benchmark
from nightjar.stages.evaluate.outliers import OutlierSets, outlier_place
from nightjar.stages.evaluate.word_pairs import WordPairs
from nightjar.stages.evaluate.word_table import WordTable

SHARED = Path(__file__).parents[2] / "shared" / "data" / "eval"
Floats = NDArray[np.float32]

EXAMPLES: dict[type[Any], tuple[dict[str, list[Any]], str]] = {
    SimilarityBenchmark: (
        {"word1": ["a", "b"], "word2": ["b", "c"], "score": [1.5, 2.0]},
        "word1\tword2\tscore\na\tb\t1.5\nb\tc\t2\n",
    ),
    AnalogyBenchmark: (
        {
            "a": ["a", "c"],
            "b": ["b", "d"],
            "c": ["c", "a"],
            "d": ["d", "b"],
            "category": ["x", "y"],
        },
        ": x\na b c d\n: y\nc d a b\n",
    ),
    CategorizationBenchmark: (
        {"category": ["x", "y"], "word": ["a", "b"]},
        "category\tword\nx\ta\ny\tb\n",
    ),
    OutlierBenchmark: (
        {"words": [["a", "b", "c"]], "outliers": [["d", "e"]]},
        "category\twords\toutliers\nx\ta b c\td e\n",
    ),
    StsBenchmark: (
        {
            "score": [1.0, 2.0],
            "sentence1": ["a b", "c"],
            "sentence2": ["b", "a"],
            "genre": ["x", "y"],
        },
        "genre\tscore\tsentence1\tsentence2\nx\t1\ta b\tb\ny\t2\tc\ta\n",
    ),
    ClassificationBenchmark: (
        {"text": ["a", "b", "a b", "c"], "label": [0, 1, 0, 1]},
        "text\tlabel\na\t0\nb\t1\na b\t0\nc\t1\n",
    ),
    NeighborsBenchmark: (
        {"word": ["a", "b"], "neighbors": [["b", "c"], ["a"]]},
        "word\tneighbors\na\tb c\nb\ta\n",
    ),
}


def config_of(kind: type[Any], path: Path, **more: Any) -> BenchmarkConfig:
    name = kind.model_fields["type"].annotation.__args__[0]
    if kind is ClassificationBenchmark:
        more = {"folds": 2, **more}
    config: BenchmarkConfig = kind(type=name, path=str(path), **more)
    return config


def asked(tokens: list[str], matrix: Floats) -> Examinee:
    """Words alone, for kinds that need no texts."""
    return Examinee(None, WordTable.of(tokens, matrix, case_insensitive=True), seed=1)  # type: ignore[arg-type]


def measured(metric: str, found: Answered) -> float | None:
    covered = found.answers.only(found.answers.is_covered)
    return score(metric, covered.values, covered.gold)


# -- files ----------------------------------------------------------------------------------


def test_every_kind_of_the_config_has_items() -> None:
    of_texts = {kind for kind in KINDS if kind.CORPUS_KIND == "text"}
    assert of_texts == set(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_parquet_and_text_are_the_same_benchmark(kind: type[Any], tmp_path: Path) -> None:
    columns, text = EXAMPLES[kind]
    parquet, tsv = tmp_path / "benchmark.parquet", tmp_path / "benchmark.tsv"
    pq.write_table(pa.table(columns), parquet)
    tsv.write_text(text, encoding="utf-8")
    found = [read_benchmark("mine", config_of(kind, path), tmp_path) for path in (parquet, tsv)]
    assert len(found[0]) == len(found[1]) > 0
    for name in found[0].__dataclass_fields__:  # type: ignore[attr-defined]
        first, second = (getattr(items, name) for items in found)
        np.testing.assert_array_equal(np.array(first, object), np.array(second, object))


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_a_missing_column_is_named_with_those_that_are_there(
    kind: type[Any], tmp_path: Path
) -> None:
    columns, _ = EXAMPLES[kind]
    dropped = {"a": "d", "category": "word", "text": "label"}.get(next(iter(columns)), "word1")
    dropped = dropped if dropped in columns else list(columns)[-1]
    dropped = "sentence2" if dropped == "genre" else dropped
    path = tmp_path / "benchmark.parquet"
    pq.write_table(pa.table(columns).drop_columns([dropped]), path)
    with pytest.raises(
        BenchmarkError, match=rf"benchmark\.parquet: the file has no column {dropped}; it"
    ):
        read_benchmark("mine", config_of(kind, path), tmp_path)


def written(path: Path, names: list[str], columns: list[list[Any]], suffix: str) -> Path:
    """A table with those columns, whose names may be the same, as Parquet or text."""
    path = path.with_suffix(suffix)
    if suffix == ".parquet":
        arrays = [pa.array(column) for column in columns]
        pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
    else:
        lines = [names, *([str(cell) for cell in row] for row in zip(*columns, strict=True))]
        path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


SUFFIXES = pytest.mark.parametrize("suffix", [".tsv", ".parquet"])


@SUFFIXES
@pytest.mark.parametrize(
    ("names", "repeated"),
    [
        (["label", "text", "text"], "text"),
        (["Label", "LABEL", "text"], "label"),
        (["Text", "label", "TEXT"], "text"),
    ],
)
def test_a_repeated_column_is_named_in_every_format(
    names: list[str], repeated: str, suffix: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "benchmark", names, [["a", "b"]] * 3, suffix)
    with pytest.raises(
        BenchmarkError, match=rf"benchmark{re.escape(suffix)}.* names {repeated} several times, in"
    ):
        read_benchmark("mine", config_of(ClassificationBenchmark, path), tmp_path)


@SUFFIXES
def test_a_column_in_another_case_is_found_and_the_exact_one_first(
    suffix: str, tmp_path: Path
) -> None:
    columns = [["x", "y"] * 2, ["a", "b", "c", "d"], ["other"] * 4, ["more"] * 4]
    names = ["LABEL", "text", "Text", "more"]
    path = written(tmp_path / "benchmark", names, columns, suffix)
    items = read_benchmark("mine", config_of(ClassificationBenchmark, path), tmp_path)
    assert items.texts == ("a", "b", "c", "d")  # type: ignore[attr-defined]
    assert items.labels == ("x", "y", "x", "y")  # type: ignore[attr-defined]


@SUFFIXES
def test_repeated_columns_that_nobody_reads_are_ignored(suffix: str, tmp_path: Path) -> None:
    names = ["note", "text", "label", "note"]
    columns = [["n"] * 4, ["a", "b", "c", "d"], ["x", "y"] * 2, ["n"] * 4]
    path = written(tmp_path / "benchmark", names, columns, suffix)
    assert len(read_benchmark("mine", config_of(ClassificationBenchmark, path), tmp_path)) == 4


@SUFFIXES
def test_one_column_cannot_be_text_and_label(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path / "benchmark", ["TEXT"], [["a", "b"] * 2], suffix)
    config = config_of(ClassificationBenchmark, path, text_column="Text", label_column="text")
    with pytest.raises(BenchmarkError, match="has one column TEXT for Text and text; each needs"):
        read_benchmark("mine", config, tmp_path)
    with pytest.raises(ValidationError, match="text_column and label_column are both 'text'"):
        config_of(ClassificationBenchmark, path, text_column="text", label_column="text")


@SUFFIXES
@pytest.mark.parametrize(
    ("kind", "names", "rows", "message"),
    [
        (
            OutlierBenchmark,
            ["words", "outliers"],
            [["a b c", "d e f"], ["x", "y e"]],
            "{row}: the outlier 'e' is one of the words of its own set",
        ),
        (
            NeighborsBenchmark,
            ["word", "neighbors"],
            [["a", "b"], ["c", "a b"]],
            "{row}: the word 'b' is one of its own expected neighbours",
        ),
    ],
)
def test_items_that_no_model_can_answer_are_refused(
    kind: type[Any],
    names: list[str],
    rows: list[list[Any]],
    message: str,
    suffix: str,
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "benchmark", names, rows, suffix)
    row = {".tsv": "line 3", ".parquet": "row 2"}[suffix]
    with pytest.raises(
        BenchmarkError, match=rf"benchmark{re.escape(suffix)}, {message.format(row=row)}"
    ):
        read_benchmark("mine", config_of(kind, path), tmp_path)


@pytest.mark.parametrize(
    ("kind", "columns", "message"),
    [
        (
            SimilarityBenchmark,
            {"word1": ["a", None], "word2": ["b", "c"], "score": [1.0, 2.0]},
            "row 2: the column word1 should have a text, found nothing",
        ),
        (
            SimilarityBenchmark,
            {"word1": ["a"], "word2": ["b"], "score": [float("nan")]},
            "row 1: the column score should have a number, found nan",
        ),
        (
            NeighborsBenchmark,
            {"word": ["a"], "neighbors": [[]]},
            "row 1: the column neighbors should have words, separated by spaces",
        ),
        (
            CategorizationBenchmark,
            {"category": ["x", "x"], "word": ["a", "b"]},
            "all words have the same category",
        ),
        (ClassificationBenchmark, {"text": ["a"], "label": ["x"]}, "all texts have the label 'x'"),
        (
            ClassificationBenchmark,
            {"text": ["a", "b", "c"], "label": ["x", "x", "y"]},
            "the label 'y' has 1 text, fewer than there are folds",
        ),
        (OutlierBenchmark, {"words": [["a", "b"]], "outliers": [["c"]]}, "row 1: a set needs 3"),
        (SimilarityBenchmark, {"word1": [], "word2": [], "score": []}, "there is no row in it"),
        (
            AnalogyBenchmark,
            {"a": ["a"], "b": ["b"], "c": ["c"], "d": ["d"], "category": ["all"]},
            "row 1: the category name 'all'",
        ),
    ],
)
def test_what_is_wrong_in_parquet_is_named(
    kind: type[Any], columns: dict[str, list[Any]], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "benchmark.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(BenchmarkError, match=message):
        read_benchmark("mine", config_of(kind, path), tmp_path)


@pytest.mark.parametrize("kept", [4, 40, -12])
def test_damaged_parquet_is_an_error_with_the_file(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "benchmark.parquet"
    pq.write_table(pa.table(EXAMPLES[SimilarityBenchmark][0]), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BenchmarkError, match=r"benchmark\.parquet: this Parquet file cannot be"):
        read_benchmark("mine", config_of(SimilarityBenchmark, path), tmp_path)


def test_a_file_with_another_sha256_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(EXAMPLES[SimilarityBenchmark][1], encoding="utf-8")
    found = benchmark_identity("mine", config_of(SimilarityBenchmark, path), tmp_path)
    same = config_of(SimilarityBenchmark, path, sha256=found.sha256)
    assert benchmark_identity("mine", same, tmp_path) == found
    other = config_of(SimilarityBenchmark, path, sha256="0" * 64)
    with pytest.raises(BenchmarkError, match=rf"mine: .*{found.sha256}, not that of the config"):
        benchmark_identity("mine", other, tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "n_items"),
    [
        (CategorizationBenchmark, "categorization/ap.tsv", 402),
        (CategorizationBenchmark, "categorization/bless.tsv", 200),
        (CategorizationBenchmark, "categorization/essli-2008.tsv", 45),
        (OutlierBenchmark, "outlier/8-8-8.tsv", 64),
    ],
)
def test_real_sets_are_read_whole(kind: type[Any], name: str, n_items: int) -> None:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{name} is not there: the evaluation sets are not beside the project")
    assert len(read_benchmark("mine", config_of(kind, path), path.parent)) == n_items


# -- analogies ------------------------------------------------------------------------------


def test_products_of_similarities_are_those_of_the_paper_and_nearly_gensims(
    tmp_path: Path,
) -> None:
    """Levy and Goldberg 2014, equation 5; gensim has another epsilon, 1e-6."""
    path = tmp_path / "questions.txt"
    lines = Path(datapath("questions-words.txt")).read_text(encoding="utf-8").splitlines()
    kept = [line for number, line in enumerate(lines) if line.startswith(":") or number % 40 == 0]
    path.write_text("\n".join(kept), encoding="utf-8")
    tokens, matrix = structured_vectors(path)
    items = Analogies.read(path, AnalogyBenchmark(type="analogy", path="x", method="3cosmul"))
    exact = WordTable.of(tokens, matrix, case_insensitive=False)
    found = items.answer(Examinee(None, exact, seed=1)).answers  # type: ignore[arg-type]
    units = exact.unit_matrix.astype(np.float64)
    shifted = (units @ units.T + 1) / 2
    vectors = KeyedVectors(matrix.shape[1])
    # gensim takes products of the vectors as they are for cosines.
    vectors.add_vectors(tokens, exact.unit_matrix)
    expected, gensims = [], []
    covered = [set(words) <= set(tokens) for words in items.questions]
    for question in itertools.compress(items.questions, covered):
        a, b, c, d = (tokens.index(word) for word in question)
        scores = shifted[b] * shifted[c] / (shifted[a] + 0.001)
        scores[[a, b, c]] = -1
        expected.append(float(scores.argmax() == d))
        with warnings.catch_warnings(action="ignore"):  # of gensim's own old names
            [(answer, _)] = vectors.most_similar_cosmul(
                positive=[question[1], question[2]], negative=[question[0]], topn=1
            )
        gensims.append(float(answer == question[3]))
    assert found.is_covered.tolist() == covered
    assert found.values[covered].tolist() == expected
    assert 20 < sum(expected) < len(expected) - 20
    assert np.mean(np.equal(expected, gensims)) > 0.99


def test_questions_are_resampled_by_their_pairs() -> None:
    items = Analogies(
        (("a", "b", "c", "d"), ("a", "b", "e", "f"), ("c", "d", "a", "b")), ("x",) * 3
    )
    assert items.pairs().tolist() == [[0, 1], [0, 2], [1, 0]]


# -- categorization -------------------------------------------------------------------------


def test_words_of_separate_directions_are_categorized() -> None:
    generator = np.random.default_rng(1)
    words = [f"{name}{number}" for name in "abc" for number in range(8)]
    matrix = np.repeat(np.eye(3), 8, axis=0) + 0.1 * generator.normal(size=(24, 3))
    items = CategorizedWords((*words, "unknown"), (*(word[0] for word in words), "c"))
    found = items.answer(asked(words, matrix.astype(np.float32)))
    assert [measured(metric, found) for metric in items.metrics] == pytest.approx([1, 1, 1])
    assert list(found.missing) == ["unknown"]
    assert int(found.answers.is_covered.sum()) == 24


def test_words_without_structure_are_worth_what_chance_gives() -> None:
    generator = np.random.default_rng(1)
    words = [f"w{number}" for number in range(300)]
    matrix = generator.normal(size=(300, 10)).astype(np.float32)
    categories = tuple(str(number % 3) for number in range(300))
    found = CategorizedWords(tuple(words), categories).answer(asked(words, matrix))
    assert measured("adjusted_information", found) == pytest.approx(0, abs=0.02)
    assert measured("purity", found) == pytest.approx(0.38, abs=0.05)


# -- outliers -------------------------------------------------------------------------------


def plain_place(units: NDArray[np.float64]) -> int:
    """Camacho-Collados and Navigli 2016, equations 1 and 2, as they stand."""
    n = len(units)
    compactness = []
    for left_out in range(n):
        others = [row for row in range(n) if row != left_out]
        pairs = list(itertools.permutations(others, 2))
        compactness.append(sum(units[i] @ units[j] for i, j in pairs) / len(pairs))
    order = sorted(range(n), key=lambda row: compactness[row])
    return order.index(n - 1)


def test_the_place_of_an_outlier_is_that_of_the_paper() -> None:
    generator = np.random.default_rng(4)
    places = []
    for _ in range(40):
        units = generator.normal(size=(9, 3))
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        place = outlier_place(units.astype(np.float32))
        assert place == plain_place(units.astype(np.float32).astype(np.float64))
        places.append(place)
    assert len(set(places)) > 4


def test_outliers_are_found_and_half_known_sets_are_covered() -> None:
    words = ["a", "b", "c", "d", "far", "new", "york"]
    matrix = np.array(
        [[1, 0], [1, 0.1], [1, -0.1], [0.9, 0], [-1, 0.2], [1, 0.3], [1, -0.3]], np.float32
    )
    items = OutlierSets(
        (
            ("a", "b", "c", "d"),
            ("a", "b", "c", "x", "y"),
            ("a", "b", "x", "y"),
            ("a", "b", "c"),
            ("a", "b", "New_York"),
        ),
        ("far", "far", "far", "gone", "far"),
    )
    found = items.answer(asked(words, matrix)).answers
    assert found.is_covered.tolist() == [True, True, False, False, True]
    assert found.values[[0, 1, 4]].tolist() == [4, 3, 3]
    assert found.gold[[0, 1, 4]].tolist() == [4, 3, 3]


# -- neighbours -----------------------------------------------------------------------------


def test_expected_neighbours_are_counted_among_the_nearest() -> None:
    words = ["a", "A", "b", "c", "d"]
    matrix = np.array([[1, 0], [1, 0.01], [1, 0.1], [1, 0.5], [0, 1]], np.float32)
    items = ExpectedNeighbors(("a", "d", "gone"), (("c", "b", "gone"), ("b",), ("a",)), topn=2)
    found = items.answer(asked(words, matrix))
    assert found.answers.values.tolist()[:2] == [2, 1]
    assert found.answers.gold.tolist() == [2, 1, 1]
    assert np.isnan(found.answers.values[2])
    assert measured("share", found) == pytest.approx(1.0)
    assert list(found.missing) == ["gone"]
    one = ExpectedNeighbors(items.words, items.neighbors, topn=1).answer(asked(words, matrix))
    assert one.answers.values.tolist()[:2] == [1, 0]
    assert one.answers.gold.tolist() == [1, 1, 1]


# -- classification -------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> VectorModel:
    words = ["good", "fine", "bad", "awful", "film"]
    matrix = np.array([[1, 0.2], [0.9, 0.1], [-1, 0.2], [-0.9, 0.1], [0.1, 1]], np.float32)
    embeddings = publish_vectors(tmp_path / "store", words, matrix)
    with temporary_model("m", embeddings) as opened:
        yield opened


def test_texts_of_separate_words_are_classified(model: VectorModel) -> None:
    texts = [
        f"a {word} film {number}"
        for number in range(10)
        for word in ("good", "fine", "bad", "awful")
    ]
    labels = ["pos", "pos", "neg", "neg"] * 10
    items = LabelledTexts((*texts, "no word known"), (*labels, "neg"), folds=5)
    words = WordTable.of(["a"], np.ones((1, 2), np.float32), case_insensitive=True)
    found = items.answer(Examinee(model, words, seed=1))
    assert measured("accuracy", found) == measured("macro_f1", found) == 1.0
    assert list(found.missing) == ["no word known"]


def test_predictions_are_those_of_scikit_learn(model: VectorModel) -> None:
    generator = np.random.default_rng(1)
    vocabulary = ["good", "fine", "bad", "awful", "film"]
    texts = tuple(" ".join(generator.choice(vocabulary, 3)) for _ in range(90))
    labels = tuple(generator.choice(["x", "y", "z"], 90).tolist())
    items = LabelledTexts(texts, labels, folds=3)
    words = WordTable.of(["a"], np.ones((1, 2), np.float32), case_insensitive=True)
    found = items.answer(Examinee(model, words, seed=1)).answers
    codes = np.unique(labels, return_inverse=True)[1]
    peer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    vectors = model.encode(texts).astype(np.float64)
    expected = cross_val_predict(peer, vectors, codes, cv=PredefinedSplit(_parts(codes, 3, 1)))
    assert np.mean(found.values == expected) > 0.97  # ties of equal texts may fall either way


def test_a_large_file_is_sampled_evenly_and_alike(tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    labels = ["x"] * 900 + ["y"] * 100
    pq.write_table(pa.table({"text": [f"t{n}" for n in range(1_000)], "label": labels}), path)
    config = config_of(ClassificationBenchmark, path, max_texts=100)
    first, second = (read_benchmark("mine", config, tmp_path) for _ in range(2))
    assert first == second
    assert isinstance(first, LabelledTexts)
    assert len(first) == 100
    assert first.labels.count("y") == 10


# -- words outside the vocabulary -----------------------------------------------------------


def test_words_with_ngrams_are_composed_and_pairs_with_them_covered() -> None:
    def compose(words: list[str]) -> Floats:
        rows = {"dogs": [1.0, 0.1]}
        return np.array([rows.get(word, [np.nan, np.nan]) for word in words], np.float32)

    matrix = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    words = WordTable.of(["dog", "cat", "pet"], matrix, True, compose)  # type: ignore[arg-type]
    items = WordPairs(
        ("dog", "dogs", "dog", "dog"), ("cat", "dog", "gone", "pet"), np.array([1.0, 9, 5, 4])
    )
    found = items.answer(Examinee(None, words, seed=1))  # type: ignore[arg-type]
    assert found.answers.is_covered.tolist() == [True, True, False, True]
    assert list(found.missing) == ["gone"]
    assert words.composed == {"dogs"}
    assert found.answers.values[1] == pytest.approx(1 / np.sqrt(1.01), abs=1e-6)


def test_a_composed_word_may_be_asked_but_is_no_answer() -> None:
    def compose(words: list[str]) -> Floats:
        return np.array([[0.2, 1.0] for _ in words], np.float32)

    matrix = np.array([[1, 0], [0, 1], [1, 1], [0.3, 2]], np.float32)
    words = WordTable.of(["man", "king", "woman", "queen"], matrix, True, compose)  # type: ignore[arg-type]
    items = Analogies(
        (("man", "kings", "woman", "queen"), ("man", "king", "woman", "queens")), ("x", "x")
    )
    found = items.answer(Examinee(None, words, seed=1))  # type: ignore[arg-type]
    assert found.answers.is_covered.tolist() == [True, False]
    assert list(found.missing) == ["queens"]


# -- health ---------------------------------------------------------------------------------


def test_isotropy_is_high_for_a_ball_and_low_for_a_cone() -> None:
    ball = np.random.default_rng(1).normal(size=(4_000, 20)).astype(np.float32)
    cone = ball + 5 * np.eye(20, dtype=np.float32)[0]
    found = isotropy(ball), isotropy(cone)
    assert found[0] is not None
    assert found[1] is not None
    assert found[0] > 0.95
    assert found[1] < 0.3
    assert isotropy(np.zeros((5, 3), np.float32)) is None


def test_hubness_is_the_skewness_of_a_plain_count() -> None:
    vectors = np.random.default_rng(1).normal(size=(300, 40)).astype(np.float32)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1)[:, :10]
    times = np.bincount(nearest.ravel(), minlength=300)
    assert hubness(vectors) == pytest.approx(skew(times), abs=0.02)
    flat = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
    high, low = hubness(vectors), hubness(flat)
    assert high is not None
    assert low is not None
    assert high > low + 0.3
