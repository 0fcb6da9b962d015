"""Evaluate: from an embeddings artifact and benchmark files to the scores of one model."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import BenchmarkConfig, EvaluationConfig, NightjarConfig
from nightjar.config.benchmarks import FileBenchmark
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.stage import StageContext
from nightjar.errors import BenchmarkError, TrainingError
from nightjar.formats.model_files import (
    array_hashes,
    check_cuts_texts,
    model_code_digest,
    temporary_model_files,
)
from nightjar.kernels.code_digest import code_digest
from nightjar.model.lookup import QueryError, VectorModel
from nightjar.scoring.resampling import Resampling
from nightjar.scoring.scores import ALL, Answers, Score, main_scores
from nightjar.stages.evaluate.benchmark_files import SEMANTIC, SYNTACTIC
from nightjar.stages.evaluate.benchmark_items import BenchmarkItems, Examinee
from nightjar.stages.evaluate.health import Measured, measure_health
from nightjar.stages.evaluate.kinds import benchmark_identity, corpus_stages, read_benchmark
from nightjar.stages.evaluate.word_table import WordTable
from nightjar.store import Artifact, Identity, Staging, library_versions, schemas
from nightjar.wording import counted

logger = logging.getLogger(__name__)


REVISION = 5
"""Raise it when the same embeddings and benchmarks give different scores than before."""

_MISSING_EXAMPLES = 10
_SYNTACTIC_CATEGORY = re.compile(r"gram\d")


def evaluation_identity(
    model_name: str,
    config: EvaluationConfig,
    base_dir: Path,
    embeddings_version: str,
    held_out_of: Mapping[str, str] = MappingProxyType({}),
) -> Identity:
    """The identity of the scores of one model; hashes the benchmark files.

    ``held_out_of`` has the versions of the corpus' artifacts that items are held out of, by stage.
    A benchmark is identified by its name, its content and its settings, not by its path. Raises
    BenchmarkError or SourceError when a file is missing, cannot be read or is another one than the
    config says.
    """
    benchmarks = {
        name: item.model_dump(mode="json", exclude=set(item.NOT_SHAPING))
        for name, item in config.benchmarks.items()
    }
    inputs = []
    for name, benchmark in config.benchmarks.items():
        if not isinstance(benchmark, FileBenchmark):
            continue
        entry = benchmark_identity(name, benchmark, base_dir)
        inputs.append(replace(entry, name=f"{name}/{entry.name}"))
    return Identity(
        stage=schemas.EVALUATION,
        name=model_name,
        config={
            "model": model_name,
            **config.model_dump(mode="json", exclude={"benchmarks"}),
            "benchmarks": benchmarks,
        },
        parents={schemas.EMBEDDINGS: embeddings_version, **held_out_of},
        inputs=inputs,
        # The model that is served answers, so the code that travels with it shapes the scores.
        code={
            "revision": REVISION,
            "lookup": model_code_digest(),
            "kernels": code_digest("nightjar.kernels.analogy_answers"),
            **library_versions("numpy", "scikit-learn"),
        },
    )


def evaluate(
    config: EvaluationConfig,
    embeddings: Artifact,
    context: StageContext,
    *,
    may_cover_nothing: bool = False,
) -> None:
    """Write ``scores`` (every benchmark and category), ``answers`` (every item) and ``health``.

    The scores are those of the model that is served: its files are written for the time of the
    evaluation and asked through the code that travels with a registered version.
    ``staging.report["model_files"]`` has the hashes of their arrays, which registration compares
    with what MLflow stored. ``staging.report["summary"]`` has the main score of each benchmark,
    ``answers`` the digest of the answers to it, ``missing_words`` what was not covered,
    ``warnings`` the benchmarks without a covered item, ``beside`` what methods without a model
    reach on a benchmark.

    On disk: the model's files. In memory: the unit vectors and one block of similarities.

    Raises BenchmarkError when a benchmark file is missing or malformed, or, unless
    ``may_cover_nothing``, when no benchmark has a covered item; TrainingError when the vectors are
    not finite; EncoderError when a benchmark has texts that the model cannot cut into words.
    """
    model_name, staging, progress = context.identity.name, context.staging, context.progress
    logger.info("evaluating %s on %s", embeddings.ref, ", ".join(config.benchmarks))
    stages = corpus_stages(config.benchmarks.values())
    corpus = {stage: context.parent(stage) for stage in stages}
    items = {
        name: read_benchmark(name, benchmark, context.base_dir, corpus, config.seed)
        for name, benchmark in config.benchmarks.items()
    }
    resampling = Resampling(config.bootstrap_samples, config.confidence, config.seed)
    scores: list[Score] = []
    answers: dict[str, Answers] = {}
    missing: dict[str, Sequence[str]] = {}
    with _served_model(embeddings, context) as model:
        words = WordTable.of_model(model, config.max_vocabulary, config.case_insensitive)
        progress.start(f"evaluate {model_name}", sum(map(len, items.values())), "items")
        for name, benchmark in items.items():
            started = time.perf_counter()
            if benchmark.has_texts:
                check_cuts_texts(model)
            asked = Examinee(model, words, config.seed, partial(progress.advance, note=name))
            found = benchmark.answer(asked)
            answers[name], missing[name] = found.answers, found.missing
            rows = list(_rows(name, config.benchmarks[name], benchmark, found.answers, resampling))
            seconds = time.perf_counter() - started
            n_words = len(words.unit_matrix) if benchmark.has_texts else config.max_vocabulary
            scores += [
                replace(row, model=model_name, max_vocabulary=n_words, seconds=seconds)
                for row in rows
            ]
        unknown, counts = sorted(words.composed), embeddings.manifest.counts
        health = measure_health(model, config.max_vocabulary, unknown, counts)
    _report(scores, answers, missing, health, staging)
    staging.report["composed_words"] = len(words.composed)
    beside = {name: benchmark.beside() for name, benchmark in items.items()}
    staging.report["beside"] = {name: scores for name, scores in beside.items() if scores}
    if not may_cover_nothing and not any(score.n_covered for score in scores):
        raise _nothing_covered(model_name, len(words.unit_matrix), config, staging.report)
    rows_of = [asdict(score) for score in scores]
    staging.write("scores", pa.Table.from_pylist(rows_of, schema=schemas.SCORES_SCHEMA))
    tables = [found.as_table(name) for name, found in answers.items()]
    staging.write(schemas.ANSWERS, pa.concat_tables(tables))
    measured = [asdict(found) for found in health]
    staging.write("health", pa.Table.from_pylist(measured, schema=schemas.HEALTH_SCHEMA))


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


def _rows(
    name: str,
    config: BenchmarkConfig,
    items: BenchmarkItems,
    answers: Answers,
    resampling: Resampling,
) -> Iterator[Score]:
    """All rows of one benchmark, starting with those over all items; model and time are open."""
    for category, is_of in _categories(items.item_categories, len(items)):
        chosen = answers.only(is_of & answers.is_covered)
        for metric in items.metrics:
            names = (name,) if category == ALL else (name, category)
            found = resampling.estimate(metric, chosen.values, chosen.gold, chosen.units, *names)
            yield Score(
                model="",
                benchmark=name,
                category=category,
                metric=metric,
                value=found.value,
                ci_low=found.ci_low,
                ci_high=found.ci_high,
                n_items=int(is_of.sum()),
                n_covered=len(chosen),
                max_vocabulary=0,
                seconds=0.0,
                is_main=metric == config.metric,
            )


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


def _report(
    scores: list[Score],
    answers: Mapping[str, Answers],
    missing: Mapping[str, Sequence[str]],
    health: Sequence[Measured],
    staging: Staging,
) -> None:
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
    staging.report["answers"] = {name: found.sha256() for name, found in answers.items()}
    staging.report["health"] = {found.measure: found.value for found in health}
    staging.report["missing_words"] = {
        name: {"n_words": len(words), "examples": list(words[:_MISSING_EXAMPLES])}
        for name, words in missing.items()
    }
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
    model_name: str, n_words: int, config: EvaluationConfig, report: Mapping[str, Any]
) -> BenchmarkError:
    missing: Mapping[str, Mapping[str, Any]] = report["missing_words"]
    examples = [word for entry in missing.values() for word in entry["examples"]]
    return BenchmarkError(
        f"{model_name}: none of the {counted(n_words, 'word')} that take part covers an item of "
        f"{', '.join(config.benchmarks)} (missing: {', '.join(examples[:5])}); evaluate on a "
        f"benchmark in the language of the corpus, lower models.{model_name}.min_count, raise "
        f"evaluation.max_vocabulary, or check evaluation.case_insensitive"
    )


@dataclass(frozen=True)
class Evaluate(Stage):
    """The stage that scores a model's embeddings."""

    may_cover_nothing: bool = False
    """For earlier versions, whose words tonight's benchmarks may no longer have: no scores instead
    of an error."""

    name = schemas.EVALUATION
    verb = "evaluate"
    of = Of.MODEL
    keep = Keep.RECORD
    about = "scores of benchmarks with coverage and an interval, every answer, and vectors' health"
    tables = {
        "scores": schemas.SCORES_SCHEMA,
        schemas.ANSWERS: schemas.ANSWERS_SCHEMA,
        "health": schemas.HEALTH_SCHEMA,
    }

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every model."""
        return config.models

    def parents(self) -> Iterable[Parent]:
        """The embeddings, and what items are held out of: the graph, the events."""
        corpus = self.config.corpus_of(self.subject)
        return (
            Parent(schemas.EMBEDDINGS, self.subject),
            *(
                Parent(stage, corpus)
                for stage in corpus_stages(self._evaluation.benchmarks.values())
            ),
        )

    def identity(self, planning: Planning) -> Identity:
        """The embeddings, the content of the benchmark files, and what items are held out of."""
        others = dict(planning.parents)
        embeddings = others.pop(schemas.EMBEDDINGS)
        return evaluation_identity(
            self.subject, self._evaluation, self.loaded.base_dir, embeddings, others
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.evaluate`."""
        embeddings = context.parent(schemas.EMBEDDINGS)
        evaluate(self._evaluation, embeddings, context, may_cover_nothing=self.may_cover_nothing)

    @property
    def _evaluation(self) -> EvaluationConfig:
        """The section ``evaluation`` with the benchmarks of this model."""
        return self.config.evaluation_of(self.subject)

    def changed_input(self, planned: Identity) -> str:
        """What changed since the plan (a benchmark file), as text; empty if nothing did."""
        parents = dict(planned.parents)
        now = self.identity(Planning(parents))
        return "" if now.inputs == planned.inputs else f"a benchmark file of {self.label}"
