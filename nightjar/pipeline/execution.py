"""Doing one due step: the stage's function, published under the step's version."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nightjar import schemas
from nightjar.config import LoadedConfig
from nightjar.config.models import (
    GloVeConfig,
    ImportConfig,
    SifConfig,
    TrainedConfig,
    UsifConfig,
)
from nightjar.corpus import ingest
from nightjar.corpus_report import report_corpus
from nightjar.encoders import (
    embed_documents,
    find_earlier,
    open_encoder,
    parts_directory,
)
from nightjar.errors import SourceChanged
from nightjar.evaluation import Encoder, evaluate, evaluation_identity
from nightjar.executors import STAGE_MODULES, Executor, ProcessExecutor
from nightjar.model_files import open_text_model
from nightjar.pipeline.planning import Plan, Step
from nightjar.progress import Progress
from nightjar.registry import CorpusRun, log_corpus
from nightjar.search import index_documents
from nightjar.store import Artifact, ArtifactRef, Staging, Store, publish
from nightjar.text import tokenize
from nightjar.training import (
    Parents,
    checkpoint_path,
    count,
    embeddings_identity,
    fit_encoder,
    import_vectors,
    train,
)
from nightjar.training.resources import read_resources


@dataclass(frozen=True)
class Provenance:
    """Who runs a night and from which code; ``n_workers`` is the number of threads."""

    git_commit: str | None
    actor: str
    n_workers: int


def lease_path(loaded: LoadedConfig) -> Path:
    """The lease that one run of this pipeline holds at a time."""
    return loaded.artifacts_dir / f"{loaded.config.pipeline.name}.lease.json"


def run_step(
    loaded: LoadedConfig,
    plan: Plan,
    step: Step,
    progress: Progress,
    provenance: Provenance,
    executor: Executor | None = None,
) -> ArtifactRef:
    """Do what ``step`` is about and publish it; its parents must be published.

    A version that is published already (by another run, meanwhile) is returned as it is.
    ``executor`` is where shards are worked on; None: processes of this machine, for this step.
    """
    store = Store(loaded.artifacts_dir)
    if store.is_published(step.stage, step.ref.version):
        return store.open(step.ref).ref
    stage_run = _StageRun(loaded, plan, step, store, progress, provenance, executor)
    ref = publish(loaded.artifacts_dir, step.identity, stage_run.write, provenance.git_commit)
    stage_run.checkpoint_path.unlink(missing_ok=True)
    shutil.rmtree(stage_run.parts_dir, ignore_errors=True)
    return ref


_OF_SHARDS = (schemas.DOCUMENTS, schemas.TOKENS, schemas.CORPUS_REPORT, schemas.COOCCURRENCES)


@dataclass(frozen=True)
class _StageRun:
    """One step's call into its stage."""

    loaded: LoadedConfig
    plan: Plan
    step: Step
    store: Store
    progress: Progress
    provenance: Provenance
    executor: Executor | None
    """Where shards are worked on; None: processes of this machine, for this step."""

    @contextmanager
    def _executor(self) -> Iterator[Executor]:
        """Where the shards of the stage are worked on."""
        if self.executor is not None:
            yield self.executor
        else:
            with ProcessExecutor(self.provenance.n_workers, STAGE_MODULES) as processes:
                yield processes

    @property
    def checkpoint_path(self) -> Path:
        """Where the training of this version saves its state."""
        return checkpoint_path(Path(self.step.ref.path).parent, self.step.ref.version)

    @property
    def parts_dir(self) -> Path:
        """Where the encoding of this version keeps what it has finished."""
        return parts_directory(Path(self.step.ref.path).parent, self.step.ref.version)

    def write(self, staging: Staging) -> None:
        if self.executor is not None and self.step.stage not in _OF_SHARDS:
            self.executor.release()  # training takes the memory and the cores
        {
            schemas.DOCUMENTS: self._ingest,
            schemas.TOKENS: self._tokenize,
            schemas.CORPUS_REPORT: self._report,
            schemas.COOCCURRENCES: self._count,
            schemas.EMBEDDINGS: self._embed,
            schemas.EVALUATION: self._evaluate,
            schemas.DOCUMENT_VECTORS: self._embed_documents,
            schemas.SEARCH_INDEX: self._index,
        }[self.step.stage](staging)

    def _parent(self, stage: str) -> Artifact:
        model = self.step.model if stage in (schemas.EMBEDDINGS, schemas.EVALUATION) else ""
        return self.store.open(self.plan.step(stage, model).ref)

    def _ingest(self, staging: Staging) -> None:
        with self._executor() as executor:
            ingest(
                self.loaded.config.ingest,
                self.loaded.base_dir,
                self.step.identity,
                staging,
                self.progress,
                executor,
                self.provenance.git_commit,
            )

    def _tokenize(self, staging: Staging) -> None:
        documents = self._parent(schemas.DOCUMENTS)
        with self._executor() as executor:
            tokenize(
                self.loaded.config.tokenize,
                documents,
                staging,
                self.progress,
                executor,
                self.provenance.git_commit,
                self.loaded.base_dir,
            )

    def _report(self, staging: Staging) -> None:
        config, step = self.loaded.config, self.step
        documents, tokens = self._parent(schemas.DOCUMENTS), self._parent(schemas.TOKENS)
        against = step.identity.config["against"]
        before = None
        if against is not None:
            before = self.store.open(self.store.ref(schemas.TOKENS, against))
        report_corpus(config.pipeline.name, documents, tokens, before, staging, self.progress)
        logged = log_corpus(
            CorpusRun(
                config.pipeline,
                config.registry,
                self.loaded.artifacts_dir,
                step.ref.version,
                {
                    f"nightjar.{art.ref.stage}_version": art.ref.version
                    for art in (documents, tokens)
                },
                staging.counts,
                tuple(sorted(path for path in staging.directory.iterdir() if path.is_file())),
                self.provenance.actor,
            )
        )
        staging.report.update(experiment_id=logged.experiment_id, run_id=logged.run_id)

    def _count(self, staging: Staging) -> None:
        config = self.loaded.config
        model = config.models[self.step.first_model]
        if not isinstance(model, GloVeConfig):
            raise TypeError(f"{self.step.first_model} learns from no co-occurrences")
        tokens = self._parent(schemas.TOKENS)
        count(
            model,
            config.training,
            tokens,
            staging,
            self.progress,
            self.provenance.n_workers,
            name=self.step.first_model,
            resources=read_resources(self.loaded.artifacts_dir),
            cluster=self.executor,
        )

    def _cooccurrences(self) -> Artifact | None:
        """What the step's model learns from besides the tokens; None if from nothing."""
        version = self.step.identity.parents.get(schemas.COOCCURRENCES)
        if version is None:
            return None
        return self.store.open(self.store.ref(schemas.COOCCURRENCES, version))

    def _base(self) -> Artifact | None:
        """The embeddings that the step's model is made from; None if from none."""
        version = self.step.identity.parents.get(schemas.EMBEDDINGS)
        if version is None:
            return None
        return self.store.open(self.store.ref(schemas.EMBEDDINGS, version))

    def _embed(self, staging: Staging) -> None:
        name = self.step.model
        model = self.loaded.config.models[name]
        if isinstance(model, ImportConfig):
            import_vectors(name, model, self.loaded.base_dir, staging, self.progress)
            self._check_files_unchanged(name)
        elif isinstance(model, SifConfig | UsifConfig):
            base = self._base()
            if base is None:
                raise TypeError(f"{name} is made from no model")
            tokens = self._parent(schemas.TOKENS)
            fit_encoder(name, model, base, tokens, staging, self.progress)
        else:
            self._train(model, staging)

    def _check_files_unchanged(self, name: str) -> None:
        """Refuse vectors from a file that was edited between planning and reading."""
        config, planned = self.loaded.config, self.step.identity
        tokens = self.plan.step(schemas.TOKENS).ref.version
        now = embeddings_identity(name, config, self.loaded.base_dir, Parents(tokens))
        if now.inputs != planned.inputs:
            raise SourceChanged(f"models.{name}.path changed since the run was planned; run again")

    def _train(self, model: TrainedConfig, staging: Staging) -> None:
        config = self.loaded.config
        train(
            model,
            config.training,
            self._parent(schemas.TOKENS),
            staging,
            self.progress,
            self.provenance.n_workers,
            self.checkpoint_path,
            self._cooccurrences(),
            self._base(),
            name=self.step.model,
            resources=read_resources(self.loaded.artifacts_dir),
        )

    def _evaluate(self, staging: Staging) -> None:
        embeddings = self._parent(schemas.EMBEDDINGS)

        def open_encoder() -> Encoder:
            model = open_text_model(self.store, self.step.model, embeddings)
            return partial(model.encode, unknown="nan")

        evaluate(
            self.step.model,
            self.loaded.config.evaluation,
            self.loaded.base_dir,
            embeddings,
            staging,
            self.progress,
            open_encoder,
        )
        self._check_benchmarks_unchanged()

    def _check_benchmarks_unchanged(self) -> None:
        """Refuse scores from a file that was edited between planning and reading."""
        planned = self.step.identity
        version = self.plan.step(schemas.EMBEDDINGS, self.step.model).ref.version
        config = self.loaded.config.evaluation
        now = evaluation_identity(self.step.model, config, self.loaded.base_dir, version)
        if now.inputs != planned.inputs:
            raise SourceChanged(
                f"a benchmark file of {self.step.label} changed since the run was planned; "
                f"run again"
            )

    def _embed_documents(self, staging: Staging) -> None:
        identity = self.step.identity
        embed_documents(
            open_encoder(
                self.loaded.config.document_vectors[self.step.model],
                self.loaded.base_dir,
                self.store,
                identity,
            ),
            self._parent(schemas.DOCUMENTS),
            staging,
            self.progress,
            self.parts_dir,
            find_earlier(self.store, identity),
        )

    def _index(self, staging: Staging) -> None:
        index_documents(
            self.store.open(self.plan.step(schemas.DOCUMENT_VECTORS, self.step.model).ref),
            self.store,
            staging,
            self.progress,
            self.provenance.n_workers,
        )
