"""Every key of ``pipeline_config.yaml``: type, bounds, default and meaning.

Unknown keys are rejected, and so are values of another type: ``"5"`` and ``true`` are not numbers,
``5.0`` is not an integer; an integer is also a number. Defaults are those of the papers and
reference implementations; the shipped YAML repeats each value for the reader.

Larger sections have their own modules (:mod:`.corpora`, :mod:`.sources`, :mod:`.table_sources`,
:mod:`.cleaning`, :mod:`.tokenize`, :mod:`.trainers`, :mod:`.benchmarks`,
:mod:`.registry_sections`, :mod:`.alert_sections`); this one has the complete file, and the rules
between sections.
"""

from __future__ import annotations

import difflib
from collections.abc import Container
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from nightjar.config.alert_sections import AlertsConfig, WebhookConfig
from nightjar.config.benchmarks import (
    AnalogyBenchmark,
    BenchmarkConfig,
    CategorizationBenchmark,
    ClassificationBenchmark,
    EvaluationConfig,
    LinkPredictionBenchmark,
    NeighborsBenchmark,
    NextItemBenchmark,
    NodeClassificationBenchmark,
    OutlierBenchmark,
    SimilarityBenchmark,
    StsBenchmark,
)
from nightjar.config.corpora import (
    AcceptConfig,
    CorpusConfig,
    EventsCorpusConfig,
    GraphCorpusConfig,
    TextCorpusConfig,
)
from nightjar.config.kind_defaults import with_defaults
from nightjar.config.kind_rules import (
    check_benchmarks,
    check_documents,
    check_gates,
    check_recommending,
    check_trainers,
)
from nightjar.config.registry_sections import (
    Bounds,
    ConsumerConfig,
    DocumentVectorsConfig,
    DriftConfig,
    GateBenchmarks,
    GateConfig,
    RegistryConfig,
)
from nightjar.config.sections import (
    MAX_EPOCHS,
    MAX_INT32_COUNT,
    MAX_SEED,
    MIN_MEMORY,
    Delimiter,
    Encoding,
    MemorySize,
    Name,
    Patterns,
    Regex,
    Section,
    Seed,
    Text,
)
from nightjar.config.source_sections import StorageConfig
from nightjar.config.sources import (
    CsvSource,
    HtmlSource,
    IngestConfig,
    JsonLinesSource,
    MediaWikiSource,
    NearDuplicatesConfig,
    ParquetSource,
    SourceConfig,
    SqlSource,
    TextSource,
)
from nightjar.config.tokenize import PhrasesConfig, TokenizeConfig
from nightjar.config.trainers import (
    FastTextConfig,
    GloVeConfig,
    ImportConfig,
    ModelConfig,
    ProneConfig,
    SifConfig,
    TrainedConfig,
    TrainingConfig,
    UsifConfig,
    VectorFormat,
    Word2VecConfig,
    base_of,
    space_of_model,
)


class ExecutionConfig(Section):
    """Where shards are read, tokenized and counted; ``execution: dask`` is short for the engine."""

    engine: Literal["local", "dask"] = Field(
        "local", description="processes of this machine, or a Dask cluster (the extra dask)"
    )
    address: Text | None = Field(
        None, description="of the cluster's scheduler, tcp://HOST:8786; null: a local cluster"
    )
    n_workers: int | None = Field(
        None, ge=1, description="of a local cluster, in processes; null: training.workers"
    )

    @model_validator(mode="before")
    @classmethod
    def _engine_alone(cls, value: Any) -> Any:
        return {"engine": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _cluster_settings_are_for_dask(self) -> Self:
        if self.engine == "local" and (self.address is not None or self.n_workers is not None):
            raise ValueError("address and n_workers are for engine: dask")
        if self.address is not None and self.n_workers is not None:
            raise ValueError("n_workers is for a local cluster, address for one that is there")
        return self


class KeepConfig(Section):
    """What is kept besides champions; ``nightjar collect`` deletes the rest (docs/nights.md)."""

    accepted_nights: int = Field(
        2,
        ge=1,
        le=10_000,
        description="number of accepted nights whose documents, tokens and counts are kept",
    )
    rollback_versions: int = Field(
        2, ge=0, le=10_000, description="former champions of a model that can be brought back"
    )
    trials: int = Field(
        1, ge=0, le=10_000, description="number of runs with overrides whose artifacts are kept"
    )
    records_days: int | None = Field(
        None, ge=1, description="days to keep nights and scores; null: forever"
    )


_Kind = TypeVar("_Kind", TextCorpusConfig, GraphCorpusConfig, EventsCorpusConfig)

__all__ = [
    "MAX_EPOCHS",
    "MAX_INT32_COUNT",
    "MAX_SEED",
    "MIN_MEMORY",
    "AcceptConfig",
    "AlertsConfig",
    "AnalogyBenchmark",
    "BenchmarkConfig",
    "Bounds",
    "CategorizationBenchmark",
    "ClassificationBenchmark",
    "ConsumerConfig",
    "CorpusConfig",
    "CsvSource",
    "Delimiter",
    "DocumentVectorsConfig",
    "DriftConfig",
    "Encoding",
    "EvaluationConfig",
    "EventsCorpusConfig",
    "FastTextConfig",
    "GateConfig",
    "GloVeConfig",
    "GraphCorpusConfig",
    "HtmlSource",
    "ImportConfig",
    "IngestConfig",
    "JsonLinesSource",
    "KeepConfig",
    "LinkPredictionBenchmark",
    "MediaWikiSource",
    "MemorySize",
    "ModelConfig",
    "Name",
    "NearDuplicatesConfig",
    "NeighborsBenchmark",
    "NextItemBenchmark",
    "NightjarConfig",
    "NodeClassificationBenchmark",
    "OutlierBenchmark",
    "ParquetSource",
    "Patterns",
    "PhrasesConfig",
    "PipelineConfig",
    "ProneConfig",
    "Regex",
    "RegistryConfig",
    "Section",
    "Seed",
    "SifConfig",
    "SimilarityBenchmark",
    "SourceConfig",
    "SqlSource",
    "StorageConfig",
    "StsBenchmark",
    "Text",
    "TextCorpusConfig",
    "TextSource",
    "TokenizeConfig",
    "TrainedConfig",
    "TrainingConfig",
    "UsifConfig",
    "VectorFormat",
    "WebhookConfig",
    "Word2VecConfig",
    "base_of",
    "space_of_model",
]


def _of_kind(kind: type[_Kind], name: str, corpus: CorpusConfig) -> _Kind:
    if not isinstance(corpus, kind):
        raise TypeError(f"the corpus {name} is of kind {corpus.kind}")
    return corpus


def _only(benchmarks: GateBenchmarks, scored: Container[str]) -> GateBenchmarks:
    if isinstance(benchmarks, dict):
        return {name: weight for name, weight in benchmarks.items() if name in scored}
    return [name for name in benchmarks if name in scored]


class PipelineConfig(Section):
    """The pipeline's name, and where it keeps its artifacts."""

    name: Name = Field("nightjar", description="prefix of the registered model names")
    artifacts_dir: Text = Field("artifacts", description="relative to the config file")
    max_late_minutes: int = Field(
        720, ge=1, description="a scheduled run that starts later than this is skipped"
    )


class NightjarConfig(Section):
    """The complete file."""

    pipeline: PipelineConfig = PipelineConfig()
    corpora: dict[Name, CorpusConfig] = Field(min_length=1)
    training: TrainingConfig = TrainingConfig()
    execution: ExecutionConfig = ExecutionConfig()
    models: dict[Name, ModelConfig] = Field(min_length=1)
    evaluation: EvaluationConfig
    registry: RegistryConfig
    drift: DriftConfig = DriftConfig()
    document_vectors: dict[Name, DocumentVectorsConfig] = Field(
        {}, description="documents as vectors; default: none"
    )
    keep: KeepConfig = KeepConfig()
    consumers: dict[Name, ConsumerConfig] = Field(
        {}, description="who uses the models; listed when one is blocked"
    )
    alerts: AlertsConfig = AlertsConfig()

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_kind(cls, document: Any) -> Any:
        return with_defaults(document)

    def seeded_model(self, model: str) -> str | None:
        """The model whose seed shapes ``model``: itself, or what a sentence encoder is made from.

        None when no seed does: imported vectors, and encoders made from them.
        """
        config = self.models[model]
        if isinstance(config, SifConfig | UsifConfig):
            return self.seeded_model(config.model)
        return None if isinstance(config, ImportConfig) else model

    def consumers_of(self, model: str) -> tuple[str, ...]:
        """Who uses a model: name, contact, and what for."""
        return tuple(
            f"{name} ({entry.contact}{f': {entry.what}' if entry.what else ''})"
            for name, entry in self.consumers.items()
            if model in entry.uses
        )

    @model_validator(mode="after")
    def _consumers_use_models(self) -> Self:
        for name, entry in self.consumers.items():
            unknown = sorted(set(entry.uses) - set(self.models))
            if unknown:
                raise ValueError(
                    f"consumers.{name}.uses names {', '.join(unknown)}, models has "
                    f"{', '.join(self.models)}"
                )
        return self

    @property
    def text_corpora(self) -> tuple[str, ...]:
        """The corpora of kind ``text``."""
        return self.corpora_of(TextCorpusConfig)

    def corpora_of(self, kind: type[Section]) -> tuple[str, ...]:
        """The corpora of a kind, by its section."""
        return tuple(name for name, corpus in self.corpora.items() if isinstance(corpus, kind))

    def corpus_of(self, model: str) -> str:
        """The corpus that ``model`` learns from: its own, its base's, or the only one."""
        config = self.models[model]
        if config.corpus is not None:
            return config.corpus
        base = base_of(config)
        return next(iter(self.corpora)) if base is None else self.corpus_of(base)

    def corpus_of_vectors(self, entry: str) -> str:
        """The corpus whose documents the entry of ``document_vectors`` embeds."""
        config = self.document_vectors[entry]
        if config.corpus is not None:
            return config.corpus
        return next(iter(self.corpora)) if config.model is None else self.corpus_of(config.model)

    @model_validator(mode="after")
    def _document_vectors_name_models(self) -> Self:
        for name, entry in self.document_vectors.items():
            if entry.model is not None and entry.model not in self.models:
                close = difflib.get_close_matches(entry.model, self.models, n=1, cutoff=0.5)
                hint = f"did you mean {close[0]!r}?" if close else f"have {', '.join(self.models)}"
                raise ValueError(
                    f"document_vectors.{name}.model: there is no model {entry.model!r}; {hint}"
                )
        return self

    @model_validator(mode="after")
    def _models_name_their_corpora(self) -> Self:
        named = {f"models.{name}": model.corpus for name, model in self.models.items()} | {
            f"document_vectors.{name}": entry.corpus
            for name, entry in self.document_vectors.items()
        }
        known = ", ".join(self.corpora)
        for key, corpus in named.items():
            if corpus is not None and corpus not in self.corpora:
                close = difflib.get_close_matches(corpus, self.corpora, n=1, cutoff=0.5)
                hint = f"did you mean {close[0]!r}?" if close else f"corpora has {known}"
                raise ValueError(f"{key}.corpus: there is no corpus {corpus!r}; {hint}")
        if len(self.corpora) > 1:
            inherits = {
                f"models.{name}" for name, model in self.models.items() if base_of(model)
            } | {f"document_vectors.{name}" for name, e in self.document_vectors.items() if e.model}
            lost = [key for key, corpus in named.items() if corpus is None and key not in inherits]
            if lost:
                raise ValueError(
                    f"{lost[0]}.corpus is missing: with several corpora a model says which it "
                    f"learns from; corpora has {known}"
                )
        return self

    def text_corpus(self, name: str) -> TextCorpusConfig:
        """The section of a corpus of kind ``text``. Raises TypeError for another."""
        return _of_kind(TextCorpusConfig, name, self.corpora[name])

    def graph_corpus(self, name: str) -> GraphCorpusConfig:
        """The section of a corpus of kind ``graph``. Raises TypeError for another."""
        return _of_kind(GraphCorpusConfig, name, self.corpora[name])

    def events_corpus(self, name: str) -> EventsCorpusConfig:
        """The section of a corpus of kind ``events``. Raises TypeError for another."""
        return _of_kind(EventsCorpusConfig, name, self.corpora[name])

    def benchmarks_of(self, model: str) -> dict[str, BenchmarkConfig]:
        """The benchmarks that score ``model``: those of its corpus, or of all of its kind."""
        corpus = self.corpus_of(model)
        kind = self.corpora[corpus].kind
        return {
            name: benchmark
            for name, benchmark in self.evaluation.benchmarks.items()
            if kind == benchmark.CORPUS_KIND
            and getattr(benchmark, "corpus", None) in (None, corpus)
        }

    def evaluation_of(self, model: str) -> EvaluationConfig:
        """The section ``evaluation`` with the benchmarks that score ``model``."""
        return self.evaluation.model_copy(update={"benchmarks": self.benchmarks_of(model)})

    def registry_of(self, name: str) -> RegistryConfig:
        """The section ``registry`` with the gate of ``name``: of the benchmarks that score it."""
        benchmarks = self.models[name].gate_benchmarks
        if benchmarks is None:
            scored = self.benchmarks_of(name)
            named = self.registry.gate.benchmarks
            if all(benchmark in scored for benchmark in named):
                return self.registry
            benchmarks = _only(named, scored)
        gate = self.registry.gate.model_copy(update={"benchmarks": benchmarks})
        return self.registry.model_copy(update={"gate": gate})

    @model_validator(mode="after")
    def _gate_names_benchmarks(self) -> Self:
        named = {"registry.gate.benchmarks": self.registry.gate.benchmarks} | {
            f"models.{name}.gate_benchmarks": model.gate_benchmarks or []
            for name, model in self.models.items()
        }
        named["registry.gate.min_scores"] = list(self.registry.gate.min_scores)
        for key, benchmarks in named.items():
            unknown = sorted(set(benchmarks) - set(self.evaluation.benchmarks))
            if unknown:
                raise ValueError(
                    f"{key} names {', '.join(unknown)}, "
                    f"evaluation.benchmarks has {', '.join(sorted(self.evaluation.benchmarks))}"
                )
        return self

    @model_validator(mode="after")
    def _models_are_made_from_others(self) -> Self:
        for name, model in self.models.items():
            base = base_of(model)
            if base is None:
                continue
            key = "init_from" if hasattr(model, "init_from") else "model"
            if base not in self.models:
                raise ValueError(
                    f"models.{name}.{key} names {base}, models has {', '.join(self.models)}"
                )
            self._check_ends(name)
            if key == "init_from":
                self._check_sizes(name, base)
        return self

    @model_validator(mode="after")
    def _models_fit_their_corpora(self) -> Self:
        check_trainers(self.models, self.corpora, self.corpus_of)
        check_benchmarks(self.evaluation.benchmarks, self.corpora)
        own = {
            name: found for name, model in self.models.items() if (found := model.gate_benchmarks)
        }
        scored = {name: self.benchmarks_of(name) for name in self.models}
        check_gates(own, self.registry.gate.benchmarks, scored)
        check_recommending(self.models, scored)
        entries = {name: self.corpus_of_vectors(name) for name in self.document_vectors}
        check_documents(entries, self.corpora)
        return self

    @model_validator(mode="after")
    def _imported_vectors_are_not_turned(self) -> Self:
        for name, model in self.models.items():
            if space_of_model(model) == "aligned" and self.seeded_model(name) is None:
                raise ValueError(
                    f"models.{name}.space: the vectors of {base_of(model)} are imported, so their "
                    f"coordinates are those of their file: leave space: own"
                )
        return self

    def _check_ends(self, name: str) -> None:
        """Reject a model that is derived from itself through other models."""
        chain = [name]
        while (base := base_of(self.models[chain[-1]])) is not None and base in self.models:
            if base in chain:
                raise ValueError(
                    f"models.{name} would be made from itself: {' from '.join([*chain, base])}"
                )
            chain.append(base)

    def _check_sizes(self, name: str, base: str) -> None:
        model, start = self.models[name], self.models[base]
        size, base_size = getattr(model, "vector_size", None), getattr(start, "vector_size", None)
        if base_size is not None and size != base_size:
            raise ValueError(
                f"models.{name}.vector_size is {size}, that of {base}, which it starts from, "
                f"{base_size}: give both the same"
            )
        if isinstance(model, FastTextConfig) and isinstance(start, FastTextConfig):
            ours, theirs = ((entry.min_n, entry.max_n, entry.bucket) for entry in (model, start))
            if ours != theirs:
                raise ValueError(
                    f"models.{name} has min_n, max_n, bucket {ours}, {base}, which it starts "
                    f"from, {theirs}: give both the same, n-grams are numbered by them"
                )
        if getattr(model, "engine", "native") != "native":
            raise ValueError(f"models.{name}.init_from needs engine: native")
