"""The stage: choose the words, check that there is something to learn, train."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pydantic import ByteSize

from nightjar.config.models import MIN_MEMORY, GloVeConfig, TrainedConfig, TrainingConfig
from nightjar.core.stage import StageContext
from nightjar.formats.model_files import write_words
from nightjar.stages.train.checkpoints import Checkpoints, checkpoint_path
from nightjar.stages.train.engines import engine_of
from nightjar.stages.train.estimates import check_fits, need, subsampling_warning, workload
from nightjar.stages.train.id_stream import Corpus
from nightjar.stages.train.resources import Resources
from nightjar.stages.train.starting_point import base_words, check_base
from nightjar.stages.train.trainer import TrainingJob
from nightjar.stages.train.training_identity import model_seed
from nightjar.stages.train.vocabulary import select_vocabulary
from nightjar.store import Artifact, release_free_memory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lessons:
    """What a model learns from."""

    tokens: Artifact
    cooccurrences: Artifact | None = None
    """What GloVe learns from."""
    base: Artifact | None = None
    """The embeddings that a model with ``init_from`` starts from."""


def count(
    name: str,
    model: GloVeConfig,
    training: TrainingConfig,
    tokens: Artifact,
    context: StageContext,
    resources: Resources | None = None,
) -> None:
    """Count the co-occurrences that ``model``, called ``name`` in messages, learns from.

    With ``resources``, less than ``training.max_memory`` is taken where there is less. On a
    cluster its workers count the parts of the tokens: the counts are the same. See
    :func:`.cooccurrence.count_cooccurrences`, which is imported when counting
    starts: planning needs none of its kernels.
    """
    from nightjar.stages.train.cooccurrence import count_cooccurrences  # noqa: PLC0415

    if resources is not None:
        training = _within(training, resources)
    count_cooccurrences(
        model,
        training,
        tokens,
        context.staging,
        context.progress,
        context.n_workers,
        name,
        context.executor if context.executor.is_cluster else None,
    )


def _within(training: TrainingConfig, resources: Resources) -> TrainingConfig:
    """``training`` with a ``max_memory`` of at most half of what there is."""
    most = max(MIN_MEMORY, resources.memory_available // 2)
    if training.max_memory <= most:
        return training
    logger.warning(
        "counting takes %d MB instead of training.max_memory, half of what %s has left; the "
        "rest goes through the disk",
        most // 1_000_000,
        resources.memory_limit,
    )
    return training.model_copy(update={"max_memory": ByteSize(most)})


def train(
    name: str,
    model: TrainedConfig,
    training: TrainingConfig,
    lessons: Lessons,
    context: StageContext,
    resources: Resources | None = None,
) -> None:
    """Train ``model``, called ``name``, and write its tables, counts and report.

    A native trainer saves its state every ``training.checkpoint_minutes`` beside the artifacts
    of its stage, and goes on from what it finds there.

    A model with ``init_from`` starts from the embeddings ``lessons.base``, whose words it
    gets. With ``resources``, a model that would need more is refused.

    ``context.n_workers`` threads, one when ``training.deterministic`` is on. In memory: the
    vocabulary, the model's matrices, and one row group of sentences; of the co-occurrences,
    which GloVe learns from instead, one row group per thread. Raises VocabularyError before
    training when there is nothing to learn from, ModelTooLarge when it cannot fit,
    TrainingError when the model diverges.
    """
    tokens, base, staging, progress = (
        *(lessons.tokens, lessons.base),
        *(context.staging, context.progress),
    )
    n_workers = 1 if training.deterministic else context.n_workers
    vocabulary = select_vocabulary(tokens, model, name)
    if base is not None:
        check_base(name, model, base)
        vocabulary = vocabulary.extended(base_words(base))
        staging.counts["vocabulary_from_base"] = vocabulary.n_from_base
    n_sentences = tokens.rows("sentences")
    work = workload(model, vocabulary.words, vocabulary.counts, n_sentences)
    if resources is not None:
        check_fits(name, model, work, n_workers, resources)
    corpus = Corpus(tokens, vocabulary)
    size = corpus.measure(progress, name)
    staging.counts.update(vocabulary.dropped)
    staging.counts.update(
        vocabulary_kept=vocabulary.n_learned,
        tokens_kept=size.n_tokens_kept,
        tokens_without_context=size.n_tokens_kept - size.n_tokens_with_context,
        sentences=size.n_sentences,
        sentences_without_context=size.n_sentences - size.n_sentences_with_context,
    )
    job = TrainingJob(
        model=model,
        seed=model_seed(model, training),
        n_workers=n_workers,
        corpus=corpus,
        size=size,
        staging=staging,
        progress=progress,
        checkpoints=_checkpoints(training, context),
        cooccurrences=lessons.cooccurrences,
        base=base,
    )
    if warning := subsampling_warning(name, model, work):
        logger.warning("%s", warning)
        staging.report["warning"] = warning
    staging.report.update(
        estimated_memory_bytes=need(model, work, n_workers).memory_bytes,
        trainer=model.trainer,
        engine=model.engine,
        seed=job.seed,
        n_workers=job.n_workers,
        dropped={
            "min_count": f"words that occur fewer than {model.min_count} times",
            "max_vocabulary": "words beyond the most frequent max_vocabulary",
            "without_context": "sentences (and their tokens) left with fewer than two words",
        },
    )
    logger.info(
        "training %s by %s: %d words, %d tokens, %d workers",
        model.trainer,
        model.engine,
        len(vocabulary),
        size.n_tokens_with_context,
        job.n_workers,
    )
    write_words(tokens, staging)
    engine = engine_of(model).load()
    release_free_memory()
    engine(job)


def _checkpoints(training: TrainingConfig, context: StageContext) -> Checkpoints | None:
    if training.checkpoint_minutes is None:
        return None
    identity = context.identity
    path = checkpoint_path(context.store.root / identity.stage, identity.version)
    return Checkpoints(path, 60 * training.checkpoint_minutes, context.staging.directory)
