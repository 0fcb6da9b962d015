"""The stage: choose the words, check that there is something to learn, train."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ByteSize

from nightjar.config.models import MIN_MEMORY, GloVeConfig, TrainedConfig, TrainingConfig
from nightjar.executors import Executor
from nightjar.progress import Progress
from nightjar.store import Artifact, Staging, release_free_memory
from nightjar.training.checkpoints import Checkpoints
from nightjar.training.corpus import Corpus
from nightjar.training.engines import engine_of
from nightjar.training.estimates import check_fits, need, subsampling_warning, workload
from nightjar.training.identity import model_seed
from nightjar.training.resources import Resources
from nightjar.training.starting_point import base_words, check_base
from nightjar.training.trainer import TrainingJob
from nightjar.training.vocabulary import select_vocabulary

logger = logging.getLogger(__name__)


def count(
    model: GloVeConfig,
    training: TrainingConfig,
    tokens: Artifact,
    staging: Staging,
    progress: Progress,
    n_workers: int,
    *,
    name: str = "NAME",
    resources: Resources | None = None,
    cluster: Executor | None = None,
) -> None:
    """Count the co-occurrences that ``model``, called ``name`` in messages, learns from.

    With ``resources``, less than ``training.max_memory`` is taken where there is less, and with a
    ``cluster`` its workers count the parts of the tokens: the counts are the same. See
    :func:`nightjar.training.cooccurrence.count_cooccurrences`, which is imported when counting
    starts: planning needs none of its kernels.
    """
    from nightjar.training.cooccurrence import count_cooccurrences  # noqa: PLC0415

    if resources is not None:
        training = _within(training, resources)
    count_cooccurrences(model, training, tokens, staging, progress, n_workers, name, cluster)


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
    model: TrainedConfig,
    training: TrainingConfig,
    tokens: Artifact,
    staging: Staging,
    progress: Progress,
    n_workers: int,
    checkpoint_path: Path | None = None,
    cooccurrences: Artifact | None = None,
    base: Artifact | None = None,
    *,
    name: str = "NAME",
    resources: Resources | None = None,
) -> None:
    """Train ``model`` on ``tokens`` and write its tables, counts and report into ``staging``.

    With a ``checkpoint_path``, a native trainer saves its state there every
    ``training.checkpoint_minutes`` and goes on from what it finds there.

    A model with ``init_from`` starts from the embeddings ``base``, whose words it gets.

    ``name`` is the model's, for messages. With ``resources``, a model that would need more
    is refused.

    ``n_workers`` threads, one when ``training.deterministic`` is on. In memory: the
    vocabulary, the model's matrices, and one row group of sentences; of ``cooccurrences``,
    which GloVe learns from instead, one row group per thread. Raises VocabularyError before
    training when there is nothing to learn from, ModelTooLarge when it cannot fit,
    TrainingError when the model diverges.
    """
    n_workers = 1 if training.deterministic else n_workers
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
        checkpoints=_checkpoints(training, checkpoint_path),
        cooccurrences=cooccurrences,
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
    engine = engine_of(model).load()
    release_free_memory()
    engine(job)


def _checkpoints(training: TrainingConfig, path: Path | None) -> Checkpoints | None:
    if path is None or training.checkpoint_minutes is None:
        return None
    return Checkpoints(path, 60 * training.checkpoint_minutes)
