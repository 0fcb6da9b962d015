"""The evaluate stage: embeddings in, scores out, in agreement with gensim."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from gensim.models import KeyedVectors, Word2Vec
from gensim.models.word2vec import LineSentence
from gensim.test.utils import datapath
from numpy.typing import NDArray
from stage_support import context_of

from nightjar.config import (
    AnalogyBenchmark,
    BenchmarkConfig,
    EvaluationConfig,
    SimilarityBenchmark,
)
from nightjar.errors import BenchmarkError, TrainingError
from nightjar.progress import SILENT, Progress
from nightjar.scoring.metrics import score
from nightjar.scoring.scores import Score, main_scores, read_answers, read_scores
from nightjar.stages.evaluate import evaluate, evaluation_identity
from nightjar.stages.evaluate.analogies import Analogies, answer_questions
from nightjar.stages.evaluate.health import text_coverage
from nightjar.stages.evaluate.word_table import WordTable
from nightjar.store import Artifact, Identity, Store, publish, schemas

QUESTIONS = Path(datapath("questions-words.txt"))
WORDSIM = Path(datapath("wordsim353.tsv"))
SIMLEX = Path(datapath("simlex999.txt"))


# -- embeddings to evaluate -----------------------------------------------------------------


def publish_vectors(root: Path, tokens: Sequence[str], matrix: NDArray[np.float32]) -> Artifact:
    size = matrix.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(matrix.ravel()), type=schemas.vector_type(size)
    )
    counts = pa.array(range(len(tokens), 0, -1), pa.int64())
    table = pa.table(
        [pa.array(tokens, pa.string()), counts, vectors], schema=schemas.vectors_schema(size)
    )
    identity = Identity(schemas.EMBEDDINGS, "test", {"tokens": list(tokens)})
    ref = publish(root, identity, lambda staging: staging.write("vectors", table))
    return Store(root).open(ref)


def keyed_vectors(tokens: Sequence[str], matrix: NDArray[np.float32]) -> KeyedVectors:
    vectors = KeyedVectors(matrix.shape[1])
    vectors.add_vectors(list(tokens), matrix)
    return vectors


def structured_vectors(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Vectors of a question file's words: an offset a category, noise, and case variants.

    Some questions come out right and some wrong; every tenth word also occurs lower-cased.
    """
    generator = np.random.default_rng(5)
    items = Analogies.read(path)
    offsets = {name: generator.normal(size=20) for name in dict.fromkeys(items.categories)}
    vectors: dict[str, NDArray[np.float64]] = {}
    for (a, b, _, _), category in zip(items.questions, items.categories, strict=True):
        start = vectors.setdefault(a, generator.normal(size=20))
        vectors.setdefault(b, start + offsets[category] + 0.7 * generator.normal(size=20))
    for word in list(vectors)[::10]:
        vectors.setdefault(word.lower(), vectors[word] + 0.2 * generator.normal(size=20))
    tokens = [str(token) for token in generator.permutation(sorted(vectors))]
    matrix = np.array([vectors[token] for token in tokens]) * generator.uniform(1, 9)
    return tokens, matrix.astype(np.float32)


@pytest.fixture(scope="module")
def questions_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every 6th question of Google's set, with its categories."""
    path = tmp_path_factory.mktemp("questions") / "questions.txt"
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    kept = [line for number, line in enumerate(lines) if line.startswith(":") or number % 6 == 0]
    path.write_text("\n".join(kept), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def structured(questions_path: Path) -> tuple[list[str], NDArray[np.float32]]:
    return structured_vectors(questions_path)


@pytest.fixture(scope="module")
def trained() -> tuple[list[str], NDArray[np.float32]]:
    """Real vectors: Word2Vec on the news corpus of the gensim wheel."""
    sentences = LineSentence(datapath("lee_background.cor"))
    model = Word2Vec(sentences, vector_size=30, min_count=2, epochs=2, seed=1, workers=1)
    return list(model.wv.index_to_key), np.array(model.wv.vectors)


# -- running the stage ----------------------------------------------------------------------


def config_of(paths: Mapping[str, Path], **settings: Any) -> EvaluationConfig:
    def benchmark(path: Path) -> BenchmarkConfig:
        if "questions" in path.name:
            return AnalogyBenchmark(type="analogy", path=str(path))
        return SimilarityBenchmark(type="similarity", path=str(path))

    benchmarks = {name: benchmark(path) for name, path in paths.items()}
    return EvaluationConfig(benchmarks=benchmarks, **{"bootstrap_samples": 50, **settings})


def run_stage(
    root: Path,
    vectors: tuple[Sequence[str], NDArray[np.float32]],
    config: EvaluationConfig,
    progress: Progress = SILENT,
) -> Artifact:
    embeddings = publish_vectors(root, *vectors)
    identity = evaluation_identity("test", config, root, embeddings.ref.version)
    ref = publish(
        root,
        identity,
        lambda staging: evaluate(
            config, embeddings, context_of(staging, identity, root, progress=progress)
        ),
    )
    assert Store(root).verify(ref) == []
    return Store(root).open(ref)


def scores_of(artifact: Artifact) -> dict[tuple[str, str, str], Score]:
    return {
        (score.benchmark, score.category, score.metric): score for score in read_scores(artifact)
    }


# -- agreement with gensim ------------------------------------------------------------------


@pytest.mark.parametrize("case_insensitive", [True, False])
@pytest.mark.parametrize("max_vocabulary", [300_000, 1_500])
@pytest.mark.parametrize("path", [WORDSIM, SIMLEX], ids=lambda path: path.stem)
def test_word_pairs_score_as_in_gensim(
    tmp_path: Path,
    trained: tuple[list[str], NDArray[np.float32]],
    path: Path,
    max_vocabulary: int,
    case_insensitive: bool,
) -> None:
    pearson, spearman, oov_percent = keyed_vectors(*trained).evaluate_word_pairs(
        str(path), restrict_vocab=max_vocabulary, case_insensitive=case_insensitive
    )
    config = config_of(
        {"pairs": path}, max_vocabulary=max_vocabulary, case_insensitive=case_insensitive
    )
    scores = scores_of(run_stage(tmp_path, trained, config))
    found = scores["pairs", "all", "spearman"]
    assert found.value == pytest.approx(spearman.statistic, abs=1e-6)
    assert scores["pairs", "all", "pearson"].value == pytest.approx(pearson.statistic, abs=1e-6)
    assert 100 * (1 - found.coverage) == pytest.approx(oov_percent)
    assert found.n_covered >= 20
    assert found.max_vocabulary == max_vocabulary


@pytest.mark.parametrize("case_insensitive", [True, False])
@pytest.mark.parametrize("max_vocabulary", [300_000, 700])
def test_analogies_score_as_in_gensim(
    tmp_path: Path,
    structured: tuple[list[str], NDArray[np.float32]],
    questions_path: Path,
    max_vocabulary: int,
    case_insensitive: bool,
) -> None:
    accuracy, sections = keyed_vectors(*structured).evaluate_word_analogies(
        str(questions_path), restrict_vocab=max_vocabulary, case_insensitive=case_insensitive
    )
    config = config_of(
        {"google": questions_path},
        max_vocabulary=max_vocabulary,
        case_insensitive=case_insensitive,
    )
    scores = scores_of(run_stage(tmp_path, structured, config))
    assert 0.1 < accuracy < 0.9
    assert scores["google", "all", "accuracy"].value == pytest.approx(accuracy, abs=1e-12)
    for section in sections[:-1]:
        found = scores["google", section["section"], "accuracy"]
        n_covered = len(section["correct"]) + len(section["incorrect"])
        assert found.n_covered == n_covered
        if n_covered:
            assert found.value == pytest.approx(len(section["correct"]) / n_covered, abs=1e-12)
    assert sum(len(section["correct"]) for section in sections[:-1]) >= 100
    assert sum(len(section["incorrect"]) for section in sections[:-1]) >= 100


@pytest.mark.parametrize("block_bytes", [1, 50_000, 1 << 26])
def test_the_same_questions_are_right_as_in_gensim_whatever_the_block(
    structured: tuple[list[str], NDArray[np.float32]], questions_path: Path, block_bytes: int
) -> None:
    tokens, matrix = structured
    _, sections = keyed_vectors(tokens, matrix).evaluate_word_analogies(str(questions_path))
    items = Analogies.read(questions_path)
    is_right = answers(tokens, matrix, items, block_bytes=block_bytes)
    right = {
        (category, *(word.upper() for word in question))
        for category, question, right in zip(
            items.categories, items.questions, is_right, strict=True
        )
        if right
    }
    assert right == {
        (section["section"], *question)
        for section in sections[:-1]
        for question in section["correct"]
    }


def test_analogies_of_trained_vectors_score_as_in_gensim(
    tmp_path: Path, trained: tuple[list[str], NDArray[np.float32]]
) -> None:
    accuracy, sections = keyed_vectors(*trained).evaluate_word_analogies(str(QUESTIONS))
    found = scores_of(run_stage(tmp_path, trained, config_of({"google": QUESTIONS})))
    total = found["google", "all", "accuracy"]
    assert total.value == pytest.approx(accuracy, abs=1e-12)
    assert total.n_covered == len(sections[-1]["correct"]) + len(sections[-1]["incorrect"]) > 100
    assert total.n_items == 19_544


# -- known answers --------------------------------------------------------------------------


def answers(
    tokens: Sequence[str],
    matrix: NDArray[np.float32],
    items: Analogies,
    case_insensitive: bool = True,
    block_bytes: int = 1 << 20,
    method: str = "3cosadd",
) -> list[bool]:
    """Which questions are right; all their words must be known."""
    words = WordTable.of(tokens, matrix, case_insensitive)
    rows = words.find([word for question in items.questions for word in question])
    questions = rows.reshape(-1, 4)
    numbers = np.arange(len(words.unit_matrix))
    found = answer_questions(
        questions[:, :3], words.unit_matrix, numbers, words, method, block_bytes
    )
    right: list[bool] = ((found >= 0) & (words.word_of[found] == questions[:, 3])).tolist()
    return right


def test_input_words_and_their_case_variants_are_no_answers() -> None:
    # "King" lies nearest to the query, as a variant of the input word "king".
    tokens = ["man", "woman", "king", "King", "QUEEN", "queen", "cow"]
    matrix = np.array(
        [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 0.9, 1.2], [0, -1, 0], [0, 1, 0.2]],
        np.float32,
    )
    items = Analogies((("man", "woman", "king", "queen"),), ("family",))
    assert answers(tokens, matrix, items) == [True]
    assert answers(tokens, matrix, items, case_insensitive=False) == [False]


def test_an_answer_that_is_an_input_word_is_wrong() -> None:
    matrix = np.eye(3, dtype=np.float32)
    items = Analogies((("a", "b", "c", "c"), ("a", "b", "c", "a")), ("x", "x"))
    assert answers(["a", "b", "c"], matrix, items) == [False, False]


def test_of_equal_similarities_the_most_frequent_answers() -> None:
    matrix = np.array([[1, 0], [0, 1], [1, 1], [-2, 4], [-1, 2]], np.float32)
    items = Analogies((("a", "b", "c", "d"), ("a", "b", "c", "e")), ("x", "x"))
    assert answers(list("abcde"), matrix, items) == [True, False]


def test_most_frequent_case_variant_stands_for_a_word(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("Apple\tpear\t9\napple\tplum\t5\nAPPLE\tcar\t1\n", encoding="utf-8")
    tokens = ["apple", "Apple", "pear", "plum", "car"]
    matrix = np.array([[1, 0], [-1, 0], [1, 0.1], [1, 1], [0, 1]], np.float32)
    insensitive = scores_of(run_stage(tmp_path, (tokens, matrix), config_of({"pairs": path})))
    assert insensitive["pairs", "all", "spearman"].value == pytest.approx(1.0)
    sensitive = config_of({"pairs": path}, case_insensitive=False)
    found = scores_of(run_stage(tmp_path, (tokens, matrix), sensitive))
    assert found["pairs", "all", "spearman"].n_covered == 2
    assert found["pairs", "all", "spearman"].value is None


def test_words_below_the_cap_take_no_part(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\t1\na\tc\t2\nb\tc\t3\nc\td\t4\n", encoding="utf-8")
    vectors = list("abcd"), np.array([[1, 0], [0, 1], [1, 1], [2, 1]], np.float32)
    capped = run_stage(tmp_path, vectors, config_of({"pairs": path}, max_vocabulary=3))
    found = scores_of(capped)["pairs", "all", "spearman"]
    assert (found.n_covered, found.n_items, found.coverage) == (3, 4, 0.75)
    assert capped.manifest.counts == {
        "items_covered": 3,
        "items_read": 4,
        "item_not_covered": 1,
    }
    assert capped.manifest.report["missing_words"]["pairs"] == {"n_words": 1, "examples": ["d"]}


def test_a_zero_vector_is_similar_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\t3\na\tzero\t2\na\tc\t1\n", encoding="utf-8")
    matrix = np.array([[1, 0], [1, 0.1], [-1, 0], [0, 0]], np.float32)
    artifact = run_stage(tmp_path, (["a", "b", "c", "zero"], matrix), config_of({"pairs": path}))
    assert scores_of(artifact)["pairs", "all", "spearman"].value == pytest.approx(1.0)


# -- what is written ------------------------------------------------------------------------


def test_rows_are_the_total_the_two_halves_and_each_category(
    tmp_path: Path, structured: tuple[list[str], NDArray[np.float32]], questions_path: Path
) -> None:
    scores = read_scores(
        run_stage(tmp_path, structured, config_of({"pairs": SIMLEX, "google": questions_path}))
    )
    rows = [(score.benchmark, score.category, score.metric) for score in scores]
    assert rows[:5] == [
        ("pairs", "all", "spearman"),
        ("pairs", "all", "pearson"),
        ("google", "all", "accuracy"),
        ("google", "semantic", "accuracy"),
        ("google", "syntactic", "accuracy"),
    ]
    assert [category for _, category, _ in rows[5:]] == list(
        dict.fromkeys(Analogies.read(questions_path).categories)
    )
    by_category = {score.category: score for score in scores if score.benchmark == "google"}
    total, semantic, syntactic = (by_category[name] for name in ("all", "semantic", "syntactic"))
    assert total.n_items == semantic.n_items + syntactic.n_items
    gram = [score for name, score in by_category.items() if name.startswith("gram")]
    assert len(gram) == 9
    assert syntactic.n_covered == sum(score.n_covered for score in gram)
    n_right = sum(score.value * score.n_covered for score in gram if score.value is not None)
    assert syntactic.value == pytest.approx(n_right / syntactic.n_covered)
    assert all(score.model == "test" and score.seconds >= 0 for score in scores)


def test_summary_holds_the_main_score_of_each_benchmark(
    tmp_path: Path, structured: tuple[list[str], NDArray[np.float32]], questions_path: Path
) -> None:
    artifact = run_stage(
        tmp_path, structured, config_of({"pairs": WORDSIM, "google": questions_path})
    )
    main = main_scores(read_scores(artifact))
    assert {name: score.metric for name, score in main.items()} == {
        "pairs": "spearman",
        "google": "accuracy",
    }
    google = main["google"]
    assert artifact.manifest.report["summary"]["google"] == {
        "metric": "accuracy",
        "value": google.value,
        "ci_low": google.ci_low,
        "ci_high": google.ci_high,
        "coverage": 1.0,
        "n_items": google.n_items,
        "n_covered": google.n_items,
    }
    assert google.ci_low is not None
    assert google.value is not None
    assert google.ci_high is not None
    assert google.ci_low < google.value < google.ci_high


def test_every_score_can_be_computed_from_the_answers(
    tmp_path: Path, structured: tuple[list[str], NDArray[np.float32]], questions_path: Path
) -> None:
    artifact = run_stage(
        tmp_path, structured, config_of({"pairs": WORDSIM, "google": questions_path})
    )
    answers = read_answers(artifact, ["pairs", "google", "other"])
    assert set(answers) == {"pairs", "google"}
    main = main_scores(read_scores(artifact))
    for name, found in answers.items():
        covered = found.only(found.is_covered)
        assert score(main[name].metric, covered.values, covered.gold) == main[name].value
        assert (len(found), len(covered)) == (main[name].n_items, main[name].n_covered)
        assert found.sha256() == artifact.manifest.report["answers"][name]
    google = answers["google"]
    assert google.units.shape == (len(google), 2)
    assert len(set(google.categories)) == 14
    in_category = np.array(google.categories) == "family"
    family = scores_of(artifact)["google", "family", "accuracy"]
    assert np.nanmean(google.values[in_category]) == pytest.approx(family.value)


def test_health_is_measured_without_a_benchmark(
    tmp_path: Path, trained: tuple[list[str], NDArray[np.float32]]
) -> None:
    artifact = run_stage(tmp_path, trained, config_of({"pairs": WORDSIM}))
    found = {row["measure"]: row for row in artifact.read("health").to_pylist()}
    assert set(found) == {"isotropy", "hubness", "norm_frequency", "zero_vectors"}
    assert 0 < found["isotropy"]["value"] <= 1
    assert found["zero_vectors"]["value"] == 0
    assert found["norm_frequency"]["n_words"] == len(trained[0])
    assert artifact.manifest.report["health"]["hubness"] == found["hubness"]["value"]


def test_coverage_of_the_text_weighs_words_by_their_counts() -> None:
    counts = {
        "sentences": 7,
        "tokens_kept": 90,
        "tokens_dropped_min_count": 6,
        "tokens_dropped_max_vocabulary": 4,
        "tokens_without_context": 50,
    }
    assert text_coverage(counts) == pytest.approx(0.9)
    assert text_coverage({"vocabulary_kept": 5}) is None
    assert text_coverage({"tokens_kept": 5}) is None  # an imported model's counts


def test_a_metric_of_the_config_is_the_main_one(
    tmp_path: Path, trained: tuple[list[str], NDArray[np.float32]]
) -> None:
    benchmark = SimilarityBenchmark(type="similarity", path=str(WORDSIM), metric="pearson")
    config = EvaluationConfig(benchmarks={"pairs": benchmark}, bootstrap_samples=50)
    artifact = run_stage(tmp_path, trained, config)
    assert main_scores(read_scores(artifact))["pairs"].metric == "pearson"


def test_evaluating_twice_gives_the_same_scores(
    tmp_path: Path, trained: tuple[list[str], NDArray[np.float32]]
) -> None:
    config = config_of({"pairs": WORDSIM, "google": QUESTIONS})
    first, second = (
        run_stage(tmp_path / name, trained, config).read("scores").drop_columns("seconds")
        for name in ("first", "second")
    )
    assert first.equals(second)


def test_another_benchmark_changes_no_interval_and_another_seed_does(
    tmp_path: Path, trained: tuple[list[str], NDArray[np.float32]]
) -> None:
    def interval(paths: dict[str, Path], **settings: Any) -> list[float | None]:
        artifact = run_stage(tmp_path, trained, config_of(paths, **settings))
        score = scores_of(artifact)["pairs", "all", "spearman"]
        return [score.value, score.ci_low, score.ci_high]

    alone = interval({"pairs": WORDSIM})
    assert interval({"simlex": SIMLEX, "pairs": WORDSIM}) == alone
    reseeded = interval({"pairs": WORDSIM}, seed=2)
    assert reseeded[0] == alone[0]
    assert reseeded[1:] != alone[1:]


def test_no_score_is_nan(tmp_path: Path, trained: tuple[list[str], NDArray[np.float32]]) -> None:
    config = config_of({"pairs": WORDSIM, "google": QUESTIONS}, max_vocabulary=300)
    table = run_stage(tmp_path, trained, config).read("scores")
    values = itertools.chain.from_iterable(
        table.column(name).to_pylist() for name in ("value", "ci_low", "ci_high")
    )
    assert not any(value is not None and math.isnan(value) for value in values)
    assert table.column("value").null_count > 0


def test_progress_adds_up_to_every_item(
    tmp_path: Path, structured: tuple[list[str], NDArray[np.float32]], questions_path: Path
) -> None:
    class Recorder:
        total: float | None = None
        done = 0.0

        def start(self, label: str, total: float | None, unit: str) -> None:
            self.total = total

        def advance(self, amount: float, note: str = "") -> None:
            self.done += amount

    recorder = Recorder()
    config = config_of({"pairs": WORDSIM, "google": questions_path}, max_vocabulary=700)
    run_stage(tmp_path, structured, config, recorder)
    assert recorder.total == recorder.done == 353 + len(Analogies.read(questions_path))


# -- nothing covered, damaged input ---------------------------------------------------------


def test_benchmark_without_a_covered_item_has_null_scores_and_a_warning(
    tmp_path: Path,
    structured: tuple[list[str], NDArray[np.float32]],
    questions_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("Hund\tKatze\t1\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        artifact = run_stage(
            tmp_path, structured, config_of({"german": path, "google": questions_path})
        )
    found = scores_of(artifact)["german", "all", "spearman"]
    assert (found.value, found.ci_low, found.ci_high, found.n_covered) == (None, None, None, 0)
    assert artifact.manifest.report["summary"]["german"]["value"] is None
    [warning] = artifact.manifest.report["warnings"]
    assert warning.startswith("german: none of its 1 item is covered")
    assert warning in caplog.text


def test_no_benchmark_with_a_covered_item_says_what_to_do(tmp_path: Path) -> None:
    vectors = ["der", "die"], np.eye(2, dtype=np.float32)
    with pytest.raises(BenchmarkError, match=r"none of the 2 words .* pairs, google") as caught:
        run_stage(tmp_path, vectors, config_of({"pairs": WORDSIM, "google": QUESTIONS}))
    assert "missing: love, tiger" in str(caught.value)
    assert "models.test.min_count" in str(caught.value)
    assert Store(tmp_path).versions(schemas.EVALUATION) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    matrix = np.array([[1, 0], [value, 1]], np.float32)
    with pytest.raises(
        TrainingError, match=r"embeddings/.*: the vector of .* is not finite .*learning rate"
    ):
        run_stage(tmp_path, (["love", "sex"], matrix), config_of({"pairs": WORDSIM}))


def test_malformed_benchmark_stops_the_stage(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("love\tsex\t1\nlove sex\n", encoding="utf-8")
    vectors = ["love", "sex"], np.eye(2, dtype=np.float32)
    with pytest.raises(BenchmarkError, match="line 2"):
        run_stage(tmp_path, vectors, config_of({"pairs": path}))


# -- identity -------------------------------------------------------------------------------


def test_identity_hangs_on_content_and_name_of_a_benchmark_but_not_on_its_directory(
    tmp_path: Path,
) -> None:
    def version(name: str, directory: str, content: str, **settings: Any) -> str:
        path = tmp_path / directory / "pairs.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
        config = config_of({name: path}, **settings)
        return evaluation_identity("test", config, tmp_path, "e" * 12).version

    base = version("pairs", "one", "a\tb\t1\n")
    assert version("pairs", "two", "a\tb\t1\n") == base
    others = {
        version("pairs", "one", "a\tb\t2\n"),
        version("mine", "one", "a\tb\t1\n"),
        version("pairs", "one", "a\tb\t1\n", seed=9),
        version("pairs", "one", "a\tb\t1\n", max_vocabulary=9),
        version("pairs", "one", "a\tb\t1\n", case_insensitive=False),
    }
    assert len(others | {base}) == 6


def test_identity_counts_what_shapes_a_score_of_a_benchmark_alone(tmp_path: Path) -> None:
    def version(**more: Any) -> str:
        benchmark = AnalogyBenchmark(type="analogy", path=str(QUESTIONS), **more)
        config = EvaluationConfig(benchmarks={"google": benchmark})
        return evaluation_identity("test", config, tmp_path, "e" * 12).version

    assert version(license="CC BY", reference="Mikolov et al. 2013") == version()
    assert version(method="3cosmul") != version()


def test_identity_names_model_parent_and_files(tmp_path: Path) -> None:
    config = config_of({"pairs": WORDSIM, "google": QUESTIONS})
    identity = evaluation_identity("glove", config, tmp_path, "e" * 12)
    assert (identity.stage, identity.name) == ("evaluation", "glove")
    assert identity.parents == {"embeddings": "e" * 12}
    assert [entry.name for entry in identity.inputs] == [
        "pairs/wordsim353.tsv",
        "google/questions-words.txt",
    ]
    assert str(WORDSIM.parent) not in str(identity.as_json())
    other = evaluation_identity("fasttext", config, tmp_path, "e" * 12)
    assert other.version != identity.version


def test_identity_of_a_missing_file_names_the_benchmark(tmp_path: Path) -> None:
    config = config_of({"pairs": tmp_path / "missing.tsv"})
    with pytest.raises(BenchmarkError, match=r"evaluation\.benchmarks\.pairs: .*missing\.tsv"):
        evaluation_identity("test", config, tmp_path, "e" * 12)
