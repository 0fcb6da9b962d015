"""Evaluate: from an embeddings artifact and benchmark files to the scores of one model."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import EvaluationConfig, NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.stage import StageContext
from nightjar.errors import BenchmarkError, TrainingError
from nightjar.formats.model_files import (
    array_hashes,
    check_cuts_texts,
    model_code_digest,
    temporary_model_files,
)
from nightjar.model.lookup import QueryError, VectorModel
from nightjar.progress import Progress
from nightjar.stages.evaluate.benchmark_answers import (
    WordTable,
    answer_questions,
    correlate_pairs,
    find_pairs,
    find_questions,
    is_covered,
    text_similarities,
)
from nightjar.stages.evaluate.benchmarks import (
    SEMANTIC,
    SYNTACTIC,
    AnalogySet,
    BenchmarkItems,
    SimilaritySet,
    StsSet,
    benchmark_path,
    read_benchmark,
)
from nightjar.stages.evaluate.bootstrap import (
    Resampling,
    ScoreEstimate,
    estimate_accuracy,
    estimate_correlations,
)
from nightjar.store import Artifact, Identity, Staging, file_identity, library_versions, schemas
from nightjar.store.scores import ACCURACY, ALL, PEARSON, SPEARMAN, Score, main_scores
from nightjar.wording import counted

logger = logging.getLogger(__name__)


REVISION = 2
"""Raise it when the same embeddings and benchmarks give different scores than before."""

_MISSING_EXAMPLES = 10
_SYNTACTIC_CATEGORY = re.compile(r"gram\d")


def evaluation_identity(
    model_name: str, config: EvaluationConfig, base_dir: Path, embeddings_version: str
) -> Identity:
    """The identity of the scores of one model; hashes the benchmark files.

    A benchmark is identified by its name, type and content, not by its path. Raises BenchmarkError
    or SourceError when a file is missing or cannot be read.
    """
    benchmarks = {name: {"type": item.type} for name, item in config.benchmarks.items()}
    inputs = []
    for name, benchmark in config.benchmarks.items():
        entry = file_identity(benchmark_path(name, benchmark, base_dir))
        inputs.append(replace(entry, name=f"{name}/{entry.name}"))
    return Identity(
        stage=schemas.EVALUATION,
        name=model_name,
        config={
            "model": model_name,
            **config.model_dump(mode="json", exclude={"benchmarks"}),
            "benchmarks": benchmarks,
        },
        parents={schemas.EMBEDDINGS: embeddings_version},
        inputs=inputs,
        # The model that is served answers, so the code that travels with it shapes the scores.
        code={
            "revision": REVISION,
            "lookup": model_code_digest(),
            **library_versions("numpy"),
        },
    )


def evaluate(config: EvaluationConfig, embeddings: Artifact, context: StageContext) -> None:
    """Write the table ``scores``: every benchmark and category, with coverage and interval.

    The scores are those of the model that is served: its files are written for the time of the
    evaluation and asked through the code that travels with a registered version.
    ``staging.report["model_files"]`` has the hashes of their arrays, which registration compares
    with what MLflow stored. ``staging.report["summary"]`` has the main score of each benchmark,
    ``missing_words`` what was not covered, ``warnings`` the benchmarks without a covered item.

    On disk: the model's files. In memory: the unit vectors and one block of similarities.

    Raises BenchmarkError when a benchmark file is missing or malformed, or when no benchmark
    has a covered item; TrainingError when the vectors are not finite; EncoderError when a
    benchmark has texts that the model cannot cut into words.
    """
    model_name, staging, progress = context.identity.name, context.staging, context.progress
    logger.info("evaluating %s on %s", embeddings.ref, ", ".join(config.benchmarks))
    items = {
        name: read_benchmark(name, benchmark, context.base_dir)
        for name, benchmark in config.benchmarks.items()
    }
    with _served_model(embeddings, context) as model:
        words = WordTable.of_model(model, config.max_vocabulary, config.case_insensitive)
        resampling = Resampling(config.bootstrap_samples, config.confidence, config.seed)
        scorer = _Scorer(model, words, resampling, progress)
        progress.start(f"evaluate {model_name}", sum(map(len, items.values())), "items")
        scores: list[Score] = []
        missing: dict[str, Any] = {}
        for name, benchmark in items.items():
            started = time.perf_counter()
            result = scorer.score(name, benchmark)
            seconds = time.perf_counter() - started
            scores += [row.as_score(model_name, name, config, seconds) for row in result.rows]
            missing[name] = {
                "n_words": len(result.missing_words),
                "examples": result.missing_words[:_MISSING_EXAMPLES],
            }
    _report(scores, missing, staging)
    if not any(score.n_covered for score in scores):
        raise _nothing_covered(model_name, len(words.unit_matrix), config, missing)
    rows = [asdict(score) for score in scores]
    staging.write("scores", pa.Table.from_pylist(rows, schema=schemas.SCORES_SCHEMA))


@contextmanager
def _served_model(embeddings: Artifact, context: StageContext) -> Iterator[VectorModel]:
    """The model as it will be registered, open for the block."""
    name, staging = context.identity.name, context.staging
    try:
        with temporary_model_files(name, embeddings, staging.directory) as files:
            staging.report["model_files"] = array_hashes(files)
            yield VectorModel.open(files)
    except QueryError as error:
        raise TrainingError(
            f"{embeddings.ref} ({name}): {error}. Train the model anew with a lower learning rate"
        ) from error


@dataclass(frozen=True)
class _Row:
    category: str
    metric: str
    estimate: ScoreEstimate
    n_items: int
    n_covered: int
    n_words: int | None = None
    """Number of words taken into account, if other than ``max_vocabulary``."""

    def as_score(
        self, model: str, benchmark: str, config: EvaluationConfig, seconds: float
    ) -> Score:
        return Score(
            model=model,
            benchmark=benchmark,
            category=self.category,
            metric=self.metric,
            value=self.estimate.value,
            ci_low=self.estimate.ci_low,
            ci_high=self.estimate.ci_high,
            n_items=self.n_items,
            n_covered=self.n_covered,
            max_vocabulary=self.n_words or config.max_vocabulary,
            seconds=seconds,
        )


@dataclass(frozen=True)
class _Result:
    rows: list[_Row]
    missing_words: list[str]


@dataclass(frozen=True)
class _Scorer:
    model: VectorModel
    words: WordTable
    resampling: Resampling
    progress: Progress

    def score(self, name: str, items: BenchmarkItems) -> _Result:
        """All rows of one benchmark, starting with the one over all items."""
        if isinstance(items, StsSet):
            return self._texts(name, items)
        if isinstance(items, SimilaritySet):
            return self._similarity(name, items)
        return self._analogies(name, items)

    def _similarity(self, name: str, items: SimilaritySet) -> _Result:
        pairs = find_pairs(items, self.words)
        found = correlate_pairs(items, pairs, self.words, self.resampling, name)
        n_covered = int(is_covered(pairs).sum())
        self.progress.advance(len(items), name)
        rows = [
            _Row(ALL, SPEARMAN, found.spearman, len(items), n_covered),
            _Row(ALL, PEARSON, found.pearson, len(items), n_covered),
        ]
        words = [*items.left, *items.right]
        return _Result(rows, _missing(words, pairs.T.ravel()))

    def _texts(self, name: str, items: StsSet) -> _Result:
        check_cuts_texts(self.model)
        similarities = text_similarities(items, self._encode)
        covered = ~np.isnan(similarities)
        self.progress.advance(len(items), name)
        rows: list[_Row] = []
        for category, of_category in _categories(items.categories, len(items)):
            chosen = of_category & covered
            found = estimate_correlations(
                similarities[chosen], items.gold[chosen], self.resampling, name, category
            )
            counts = (int(of_category.sum()), int(chosen.sum()), len(self.words.unit_matrix))
            rows.append(_Row(category, SPEARMAN, found.spearman, *counts))
            rows.append(_Row(category, PEARSON, found.pearson, *counts))
        pairs = zip(items.left, items.right, covered.tolist(), strict=True)
        missing = [f"{left} | {right}" for left, right, is_covered in pairs if not is_covered]
        return _Result(rows, missing)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.model.encode(texts, unknown="nan")

    def _analogies(self, name: str, items: AnalogySet) -> _Result:
        questions = find_questions(items, self.words)
        covered = is_covered(questions)
        self.progress.advance(len(items) - int(covered.sum()), name)
        is_right = np.zeros(len(items), np.bool_)
        is_right[covered] = answer_questions(
            questions[covered],
            self.words,
            lambda n_questions: self.progress.advance(n_questions, name),
        )
        rows = [
            self._accuracy(name, category, of_category, covered, is_right)
            for category, of_category in _categories(items.categories, len(items))
        ]
        words = [word for question in items.questions for word in question]
        return _Result(rows, _missing(words, questions.ravel()))

    def _accuracy(
        self,
        name: str,
        category: str,
        of_category: NDArray[np.bool_],
        covered: NDArray[np.bool_],
        is_right: NDArray[np.bool_],
    ) -> _Row:
        n_covered = int((of_category & covered).sum())
        n_right = int((of_category & is_right).sum())
        estimate = estimate_accuracy(n_right, n_covered, self.resampling, name, category)
        return _Row(category, ACCURACY, estimate, int(of_category.sum()), n_covered)


def _categories(categories: Sequence[str], n_items: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """All items; the semantic and the syntactic ones if there are both; then each category.

    Google's set names its syntactic categories gram1-... to gram9-...
    """
    names = np.array(categories)
    yield ALL, np.ones(n_items, np.bool_)
    ordered = list(dict.fromkeys(categories))
    syntactic = [name for name in ordered if _SYNTACTIC_CATEGORY.match(name)]
    if 0 < len(syntactic) < len(ordered):
        is_syntactic = np.isin(names, syntactic)
        yield SEMANTIC, ~is_syntactic
        yield SYNTACTIC, is_syntactic
    for name in ordered:
        yield name, np.equal(names, name)


def _missing(words: Iterable[str], rows: NDArray[np.int64]) -> list[str]:
    """The words without a row, without repetition, in the benchmark's order."""
    return list(
        dict.fromkeys(word for word, row in zip(words, rows.tolist(), strict=True) if row < 0)
    )


def _report(scores: list[Score], missing: dict[str, Any], staging: Staging) -> None:
    main = main_scores(scores)
    staging.report["summary"] = {
        name: {
            "metric": score.metric,
            "value": score.value,
            "ci_low": score.ci_low,
            "ci_high": score.ci_high,
            "coverage": score.coverage,
            "n_items": score.n_items,
            "n_covered": score.n_covered,
        }
        for name, score in main.items()
    }
    staging.report["missing_words"] = missing
    staging.report["warnings"] = [
        f"{name}: none of its {counted(score.n_items, 'item')} is covered, so it has no score"
        for name, score in main.items()
        if score.n_covered == 0
    ]
    for warning in staging.report["warnings"]:
        logger.warning("%s", warning)
    n_items = sum(score.n_items for score in main.values())
    n_covered = sum(score.n_covered for score in main.values())
    staging.counts.update(
        items_read=n_items, items_covered=n_covered, item_not_covered=n_items - n_covered
    )


def _nothing_covered(
    model_name: str, n_words: int, config: EvaluationConfig, missing: dict[str, Any]
) -> BenchmarkError:
    examples = [word for entry in missing.values() for word in entry["examples"]]
    return BenchmarkError(
        f"{model_name}: none of the {counted(n_words, 'word')} that take part covers an item of "
        f"{', '.join(config.benchmarks)} (missing: {', '.join(examples[:5])}); evaluate on a "
        f"benchmark in the language of the corpus, lower models.{model_name}.min_count, raise "
        f"evaluation.max_vocabulary, or check evaluation.case_insensitive"
    )


class Evaluate(Stage):
    """The stage that scores a model's embeddings."""

    name = schemas.EVALUATION
    verb = "evaluate"
    of = Of.MODEL
    keep = Keep.RECORD
    about = "word similarity, analogies and similarity of texts, with coverage and an interval"
    tables = {"scores": schemas.SCORES_SCHEMA}

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every model."""
        return config.models

    def parents(self) -> Iterable[Parent]:
        """The embeddings."""
        return (Parent(schemas.EMBEDDINGS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """The embeddings, and the content of the benchmark files."""
        embeddings = planning.parents[schemas.EMBEDDINGS]
        return evaluation_identity(
            self.subject, self.config.evaluation, self.loaded.base_dir, embeddings
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.evaluate`."""
        evaluate(self.config.evaluation, context.parent(schemas.EMBEDDINGS), context)

    def changed_input(self, planned: Identity) -> str:
        """What changed since the plan (a benchmark file), as text; empty if nothing did."""
        parents = dict(planned.parents)
        now = self.identity(Planning(parents))
        return "" if now.inputs == planned.inputs else f"a benchmark file of {self.label}"
