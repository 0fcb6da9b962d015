"""Train and count: from tokens to a model's embeddings, and to the co-occurrences for GloVe."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ByteSize

from nightjar.config import (
    ImportConfig,
    NightjarConfig,
    ProneConfig,
    SifConfig,
    UsifConfig,
    base_of,
    space_of_model,
)
from nightjar.config.models import MIN_MEMORY, GloVeConfig, TrainedConfig, TrainingConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, Wanted
from nightjar.core.resources import Resources, read_resources
from nightjar.core.stage import StageContext
from nightjar.formats.model_files import write_words
from nightjar.formats.spaces import SPACE, kept_space
from nightjar.stages.train.aligning import ROTATION, open_anchor, write_aligned
from nightjar.stages.train.checkpoints import Checkpoints, checkpoint_path, unwanted_checkpoints
from nightjar.stages.train.engines import engine_of
from nightjar.stages.train.estimates import check_fits, need, subsampling_warning, workload
from nightjar.stages.train.imports import import_vectors
from nightjar.stages.train.model_corpus import ModelCorpus, Vocabulary, select_vocabulary
from nightjar.stages.train.prone_estimates import check_prone_fits
from nightjar.stages.train.sif import fit_encoder
from nightjar.stages.train.starting_point import base_words, check_base
from nightjar.stages.train.trainer import TrainingJob
from nightjar.stages.train.training_identity import (
    Parents,
    anchor_of,
    cooccurrences_identity,
    embeddings_identity,
    learns_items,
    model_seed,
    raw_identity,
)
from nightjar.store import (
    Artifact,
    ArtifactRef,
    Identity,
    Staging,
    names,
    release_free_memory,
    schemas,
)
from nightjar.wording import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lessons:
    """The artifacts that a model learns from."""

    tokens: Artifact
    cooccurrences: Artifact | None = None
    """For GloVe."""
    base: Artifact | None = None
    """The base embeddings of a model with ``init_from``."""
    anchor: Artifact | None = None
    """The embeddings whose coordinates a model with ``space: warm`` or ``compass`` keeps to."""


def count(
    name: str,
    model: GloVeConfig,
    training: TrainingConfig,
    tokens: Artifact,
    context: StageContext,
    resources: Resources | None = None,
) -> None:
    """Count the co-occurrences for ``model``, which is called ``name`` in messages.

    ``resources`` may lower ``training.max_memory`` to what is available. On a cluster the workers
    count the parts of the tokens, with the same result. See
    :func:`.cooccurrence.count_cooccurrences`, which is only imported here: planning needs none of
    its kernels.
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
    """``training`` with a ``max_memory`` of at most half of what is available."""
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

    A native trainer saves its state every ``training.checkpoint_minutes`` beside the artifacts of
    its stage, and resumes from what it finds there.

    A model with ``init_from`` starts from the embeddings ``lessons.base`` and includes their words;
    with ``space: warm`` it starts from ``lessons.anchor`` with the words of the tokens alone, with
    ``compass`` it keeps that one's output rows.
    With ``resources``, a model that needs more is rejected.

    ``context.n_workers`` threads, one when ``training.deterministic`` is on. Memory: the
    vocabulary, the model's matrices, and one row group of sentences; for GloVe, one row group of
    co-occurrences per thread instead. Raises VocabularyError before training when there is nothing
    to learn from, ModelTooLarge when it cannot fit, TrainingError when the model diverges.
    """
    tokens, staging = lessons.tokens, context.staging
    vocabulary = _words_to_learn(name, model, lessons, staging)
    work = workload(model, vocabulary.words, vocabulary.counts, tokens.rows("sentences"))
    n_workers = 1 if training.deterministic else context.n_workers
    if resources is not None:
        check_fits(name, model, work, n_workers, resources)
    corpus = ModelCorpus(tokens, vocabulary)
    job = TrainingJob(
        model=model,
        seed=model_seed(model, training),
        n_workers=n_workers,
        corpus=corpus,
        size=corpus.measure(context.progress, name),
        staging=staging,
        progress=context.progress,
        checkpoints=_checkpoints(training, context),
        cooccurrences=lessons.cooccurrences,
        base=lessons.anchor if model.space == "warm" else lessons.base,
        compass=lessons.anchor if model.space == "compass" else None,
    )
    _report(job)
    if lessons.anchor is not None:
        staging.report[SPACE] = kept_space(model.space, lessons.anchor)
    staging.report["estimated_memory_bytes"] = need(model, work, n_workers).memory_bytes
    if warning := subsampling_warning(name, model, work):
        logger.warning("%s", warning)
        staging.report["warning"] = warning
    write_words(tokens, staging)
    engine = engine_of(model).load()
    release_free_memory()
    engine(job)


def _words_to_learn(
    name: str, model: TrainedConfig, lessons: Lessons, staging: Staging
) -> Vocabulary:
    vocabulary = select_vocabulary(lessons.tokens, model, name)
    if lessons.base is not None:
        check_base(name, model, lessons.base)
        vocabulary = vocabulary.extended(base_words(lessons.base))
        staging.counts["vocabulary_from_base"] = vocabulary.n_from_base
    return vocabulary


def _report(job: TrainingJob[Any]) -> None:
    """Write the inputs and the engine to counts, report and log."""
    model, size, vocabulary = job.model, job.size, job.corpus.vocabulary
    job.staging.counts.update(vocabulary.dropped)
    job.staging.counts.update(
        vocabulary_kept=vocabulary.n_learned,
        tokens_kept=size.n_tokens_kept,
        tokens_without_context=size.n_tokens_kept - size.n_tokens_with_context,
        sentences=size.n_sentences,
        sentences_without_context=size.n_sentences - size.n_sentences_with_context,
    )
    job.staging.report.update(
        trainer=model.trainer,
        engine=model.engine,
        seed=job.seed,
        n_workers=job.n_workers,
        dropped={
            "min_count": f"words that occur fewer than {counted(model.min_count, 'time')}",
            "max_vocabulary": "words beyond the most frequent max_vocabulary",
            "without_context": "sentences (and their tokens) left with fewer than two words",
        },
    )
    logger.info(
        "training %s by %s: %s, %s, %s",
        model.trainer,
        model.engine,
        counted(len(vocabulary), "word"),
        counted(size.n_tokens_with_context, "token"),
        counted(job.n_workers, "worker"),
    )


def _checkpoints(training: TrainingConfig, context: StageContext) -> Checkpoints | None:
    if training.checkpoint_minutes is None:
        return None
    identity = context.identity
    path = checkpoint_path(context.store.root / identity.stage, identity.version)
    return Checkpoints(path, 60 * training.checkpoint_minutes, context.staging.directory)


class Count(Stage):
    """The stage that counts co-occurrences; models with the same counts share them."""

    name = schemas.COOCCURRENCES
    verb = "count"
    of = Of.MODEL
    keep = Keep.CORPUS
    about = "for GloVe: which words occur near each other, once for all models that count alike"
    tables = {"cooccurrences": schemas.COOCCURRENCES_SCHEMA}
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every GloVe model."""
        return [name for name, model in config.models.items() if isinstance(model, GloVeConfig)]

    def parents(self) -> Iterable[Parent]:
        """The tokens of the model's corpus."""
        return (Parent(schemas.TOKENS, self.config.corpus_of(self.subject)),)

    def identity(self, planning: Planning) -> Identity:
        """Only the settings that shape the counts."""
        identity = cooccurrences_identity(
            self._model, planning.parents[schemas.TOKENS], self.config.corpus_of(self.subject)
        )
        if identity is None:
            raise TypeError(f"{self.subject} learns from no co-occurrences")
        return identity

    def write(self, context: StageContext) -> None:
        """See :func:`.count`."""
        tokens = context.parent(schemas.TOKENS)
        resources = read_resources(self.loaded.artifacts_dir)
        count(self.subject, self._model, self.config.training, tokens, context, resources)

    @property
    def _model(self) -> GloVeConfig:
        return cast("GloVeConfig", self.config.models[self.subject])


_VERBS = {"import": "import", "sif": "weigh", "usif": "weigh", "prone": "factorize"}
"""Verbs for the trainers that do not train."""


class Train(Stage):
    """The stage that makes the embeddings of a model.

    Those of an ``aligned`` model are learned by :class:`TrainRaw`, and turned here.
    """

    name = schemas.EMBEDDINGS
    verb = "train"
    of = Of.MODEL
    keep = Keep.MODEL
    about = "one model: Word2Vec, FastText, GloVe, ProNE; pre-trained vectors; a sentence encoder"
    tables = {
        "vectors": schemas.vectors_schema,
        "output_vectors": schemas.output_vectors_schema,
        "ngrams": schemas.ngrams_schema,
        "word_rows": schemas.input_vectors_schema,
        "parameters": schemas.glove_parameters_schema,
        "components": schemas.components_schema,
        "losses": schemas.LOSSES_SCHEMA,
        ROTATION: schemas.rotation_schema,
        schemas.NEAR_ITEMS: schemas.NEAR_ITEMS_SCHEMA,
        schemas.DESCRIBED_ITEMS: schemas.DESCRIBED_ITEMS_SCHEMA,
    }
    files = (schemas.WORDS_FILE, schemas.TOKENIZER_FILE)

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every model."""
        return config.models

    @property
    def subject_verb(self) -> str:
        """Train, import, weigh or align."""
        if self._aligns:
            return "align"
        return _VERBS.get(self.config.models[self.subject].trainer, Train.verb)

    def parents(self) -> Iterable[Parent]:
        """The tokens; events, graph or co-occurrences; a base; what is turned."""
        model = self.config.models[self.subject]
        if isinstance(model, ImportConfig):
            return
        if self._aligns:
            yield Parent(schemas.RAW_EMBEDDINGS, self.subject)
        corpus = self.config.corpus_of(self.subject)
        yield Parent(schemas.TOKENS, corpus)
        if learns_items(self.subject, self.config):
            yield Parent(schemas.EVENTS, corpus)
        if isinstance(model, GloVeConfig):
            yield Parent(schemas.COOCCURRENCES, self.subject)
        if isinstance(model, ProneConfig):
            yield Parent(schemas.GRAPH, self.config.corpus_of(self.subject))
        base = base_of(model)
        if base is not None:
            yield Parent(schemas.EMBEDDINGS, base)

    def identity(self, planning: Planning) -> Identity:
        """The model, its parents, the code of its trainer, and the anchor of its space."""
        parents = _parents(planning)
        place = self.loaded.base_dir
        return embeddings_identity(self.subject, self.config, place, parents, planning.anchors)

    def write(self, context: StageContext) -> None:
        """See :func:`.train` and what other trainers have in its place (:mod:`.prone`, say)."""
        named = anchor_of(context.identity)
        anchor = None if named is None else open_anchor(context.store, self.subject, named)
        if self._aligns:
            raw = context.parent(schemas.RAW_EMBEDDINGS)
            write_aligned(self.subject, raw, anchor, context.staging, context.progress)
            return
        self._learn(context, anchor)

    def _learn(self, context: StageContext, anchor: Artifact | None) -> None:
        model = self.config.models[self.subject]
        if isinstance(model, ImportConfig):
            import_vectors(self.subject, model, context.base_dir, context.staging, context.progress)
            return
        tokens = context.parent(schemas.TOKENS)
        base = context.find_parent(schemas.EMBEDDINGS) if anchor is None else None
        if isinstance(model, SifConfig | UsifConfig):
            if base is None:
                raise TypeError(f"{self.subject} is made from no model")
            fit_encoder(self.subject, model, base, tokens, context.staging, context.progress)
            return
        if isinstance(model, ProneConfig):
            self._factorize(model, tokens, context)
            return
        lessons = Lessons(tokens, context.find_parent(schemas.COOCCURRENCES), base, anchor)
        resources = read_resources(self.loaded.artifacts_dir)
        train(self.subject, model, self.config.training, lessons, context, resources)
        events = context.find_parent(schemas.EVENTS)
        if events is not None:
            from nightjar.stages.train.recommender_fitting import fit_recommender  # noqa: PLC0415

            fit_recommender(self.subject, events, context.staging, context.progress)

    def _factorize(self, model: ProneConfig, tokens: Artifact, context: StageContext) -> None:
        from nightjar.stages.train.prone import NodeArtifacts, factorize  # noqa: PLC0415  # kernels

        seed = model_seed(model, self.config.training)
        found = NodeArtifacts(context.parent(schemas.GRAPH), tokens)
        resources = read_resources(self.loaded.artifacts_dir)
        n_nodes = tokens.rows("vocabulary")
        check_prone_fits(self.subject, model, found.graph, n_nodes, resources)
        write_words(tokens, context.staging)
        release_free_memory()
        factorize(self.subject, model.model_copy(update={"seed": seed}), found, context)

    def changed_input(self, planned: Identity) -> str:
        """What changed since the plan (files of an imported model), as text; empty if nothing."""
        if not isinstance(self.config.models[self.subject], ImportConfig):
            return ""
        now = embeddings_identity(self.subject, self.config, self.loaded.base_dir, Parents(""))
        return "" if now.inputs == planned.inputs else f"models.{self.subject}.path"

    def finish(self, ref: ArtifactRef) -> None:
        """Delete the checkpoint."""
        stage_dir = self.loaded.artifacts_dir / self.name
        checkpoint_path(stage_dir, ref.version).unlink(missing_ok=True)

    @property
    def _aligns(self) -> bool:
        return space_of_model(self.config.models[self.subject]) == "aligned"

    @classmethod
    def surplus(cls, root: Path, wanted: Wanted) -> Iterable[Path]:
        """Checkpoints that no night goes on with, and data derived from deleted vectors."""
        yield from unwanted_checkpoints(root / cls.name, wanted.unfinished)
        for name in names(root / schemas.DERIVED_DIR):
            if name.partition("-")[0] not in wanted.kept:
                yield root / schemas.DERIVED_DIR / name


class TrainRaw(Train):
    """The stage that learns what an ``aligned`` model turns: it knows no anchor."""

    name = schemas.RAW_EMBEDDINGS
    verb = "train raw"
    keep = Keep.SOURCE
    about = "models with `space: aligned`: what is learned, in coordinates of its own"
    tables = {table: schema for table, schema in Train.tables.items() if table != ROTATION}

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every aligned model."""
        return [name for name, model in config.models.items() if space_of_model(model) == "aligned"]

    def identity(self, planning: Planning) -> Identity:
        """The model, its parents and the code of its trainer."""
        place = self.loaded.base_dir
        return raw_identity(self.subject, self.config, place, _parents(planning))

    @classmethod
    def surplus(cls, root: Path, wanted: Wanted) -> Iterable[Path]:
        """Checkpoints that no night goes on with."""
        return unwanted_checkpoints(root / cls.name, wanted.unfinished)

    @property
    def _aligns(self) -> bool:
        return False


def _parents(planning: Planning) -> Parents:
    found = planning.parents
    return Parents(
        found.get(schemas.TOKENS, ""),
        found.get(schemas.EMBEDDINGS),
        found.get(schemas.COOCCURRENCES),
        found.get(schemas.EVENTS),
        found.get(schemas.GRAPH),
    )
