"""Every key of ``pipeline_config.yaml``: type, bounds, default and meaning.

Unknown keys are refused, and so is a value of another type: ``"5"`` and ``true`` are not
numbers, ``5.0`` is not a whole one; a whole number is a number. Defaults are those of the
papers and of the reference implementations; the shipped YAML states each value again so
that a reader sees it.
"""

from __future__ import annotations

import difflib
import io
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Lower-case letters, digits and dashes: valid as a file, Prefect and MLflow name."""

Text = Annotated[str, Field(min_length=1)]
Patterns = Annotated[list[Text], Field(min_length=1)]

MAX_INT32_COUNT = 2_000_000_000
"""Ceiling of what is counted in an int32 column."""
MAX_SEED = 4_000_000_000
"""A ceiling that every library takes (numpy's legacy generator ends at 2**32 - 1)."""
MAX_EPOCHS = 1_000_000
_HUB_NAME = re.compile(r"hub:[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
MIN_MEMORY = 64_000_000
"""Bytes: less makes the runs on disk tiny."""


def _known_encoding(name: str) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=name).close()
    except (LookupError, ValueError) as error:
        raise ValueError(f"{name!r} is not a text encoding; utf-8 is the usual one") from error
    return name


def _usable_delimiter(delimiter: str) -> str:
    if delimiter in '"\r\n':
        raise ValueError(f"{delimiter!r} cannot separate columns; use ',', ';' or '\\t'")
    return delimiter


def _compiling_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


def _enough_memory(size: ByteSize) -> ByteSize:
    if size < MIN_MEMORY:
        raise ValueError(f"{size} bytes are too few to count in; 64MB is the least")
    return size


Encoding = Annotated[str, AfterValidator(_known_encoding)]
Delimiter = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_usable_delimiter)]
Regex = Annotated[str, AfterValidator(_compiling_pattern)]
MemorySize = Annotated[ByteSize, AfterValidator(_enough_memory)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class _Section(BaseModel):
    """A section of the file: immutable, unknown keys refused, no silent type changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PipelineConfig(_Section):
    """Which pipeline this is and where it keeps its artifacts."""

    name: Name = Field("nightjar", description="prefix of the registered model names")
    artifacts_dir: Text = Field("artifacts", description="relative to the config file")
    max_late_minutes: int = Field(
        720, ge=1, description="a scheduled run that starts later than this is skipped"
    )


# -- ingest ------------------------------------------------------------------------------


class _Source(_Section):
    path: Text | Patterns = Field(description="path, glob or package:NAME/FILE, or a list")
    language: str | None = Field(None, description="language code stored with each document")

    @property
    def patterns(self) -> list[str]:
        """``path`` as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)


class MediaWikiSource(_Source):
    """A MediaWiki XML export (``.xml``, ``.bz2``, ``.gz``); redirects are skipped."""

    type: Literal["mediawiki"]
    namespaces: list[int] = Field([0], min_length=1, description="0 is the articles")


class TextSource(_Source):
    """Plain text (also ``.gz``, ``.bz2``, ``.zst``): a document a line, or a file."""

    type: Literal["text"]
    document: Literal["line", "file"] = "line"
    encoding: Encoding = "utf-8"


class JsonLinesSource(_Source):
    """JSON Lines (also ``.gz``, ``.bz2``, ``.zst``): one object a line."""

    type: Literal["jsonl"]
    text_field: str = "text"
    id_field: str | None = None


class ParquetSource(_Source):
    """Parquet files with a text column."""

    type: Literal["parquet"]
    text_column: str = "text"
    id_column: str | None = None


class CsvSource(_Source):
    """CSV with a header line (also ``.gz``, ``.bz2``, ``.zst``)."""

    type: Literal["csv"]
    text_column: str = "text"
    id_column: str | None = None
    delimiter: Delimiter = ","
    encoding: Encoding = "utf-8"


SourceConfig = Annotated[
    MediaWikiSource | TextSource | JsonLinesSource | ParquetSource | CsvSource,
    Field(discriminator="type"),
]


class IngestConfig(_Section):
    """Which text comes in, and what is not a document."""

    sources: dict[Name, SourceConfig] = Field(min_length=1)
    deduplicate: bool = Field(True, description="drop documents with the same text")
    min_chars: int = Field(1, ge=1, description="shorter documents are quarantined")
    max_chars: int = Field(
        10_000_000,
        ge=1,
        le=MAX_INT32_COUNT,
        description="longer documents are quarantined, never cut",
    )

    @model_validator(mode="after")
    def _some_length_is_allowed(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError("min_chars is above max_chars: no document would be left")
        return self


# -- tokenize ----------------------------------------------------------------------------


class TokenizeConfig(_Section):
    """How a document becomes sentences of tokens."""

    tokenizer: Literal["unicode", "whitespace", "regex"] = "unicode"
    pattern: Regex | None = Field(None, description="of the regex tokenizer: what is a token")
    normalization: Literal["NFC", "NFKC"] | None = "NFKC"
    lowercase: bool = True
    split_sentences: bool = Field(True, description="else a line is a sentence")
    min_token_chars: int = Field(1, ge=1)
    max_token_chars: int = Field(40, ge=1)

    @model_validator(mode="after")
    def _pattern_belongs_to_regex(self) -> Self:
        if (self.tokenizer == "regex") != (self.pattern is not None):
            raise ValueError("pattern is for tokenizer: regex, and only for it")
        return self

    @model_validator(mode="after")
    def _some_length_is_allowed(self) -> Self:
        if self.min_token_chars > self.max_token_chars:
            raise ValueError("min_token_chars is above max_token_chars: no token would be left")
        return self


# -- train -------------------------------------------------------------------------------


class _AnyModel(_Section):
    gate_benchmarks: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="what decides about this model; default: registry.gate.benchmarks"
    )


class _Model(_AnyModel):
    vector_size: int = Field(100, ge=1, le=10_000, description="dimensions of a vector")
    window: int = Field(5, ge=1, le=1_000, description="context words on each side")
    min_count: int = Field(5, ge=1, description="rarer words have no vector")
    max_vocabulary: int | None = Field(
        None, ge=2, description="keep at most so many of the most frequent words"
    )
    epochs: int = Field(5, ge=1, le=MAX_EPOCHS, description="passes over the corpus")
    seed: Seed | None = Field(None, description="default: training.seed")
    init_from: Name | None = Field(
        None, description="fine-tune: start from the vectors of this configured model"
    )


class _WindowModel(_Model):
    """What Word2Vec and FastText have in common: prediction within a sliding window."""

    engine: str
    architecture: Literal["skipgram", "cbow"] = "skipgram"
    negative: int = Field(5, ge=0, le=1_000, description="negative samples; 0: none")
    hs: bool = Field(False, description="hierarchical softmax")
    ns_exponent: float = Field(0.75, ge=-2, le=2, description="of the noise distribution")
    sample: float = Field(1e-3, ge=0, le=1, description="subsampling threshold; 0: off")
    alpha: float = Field(0.05, gt=0, le=10, description="initial learning rate")
    min_alpha: float = Field(1e-4, gt=0, le=10, description="final learning rate")
    cbow_mean: bool = Field(True, description="CBOW: mean of the context, else its sum")
    shrink_windows: bool = Field(True, description="draw the window size from 1..window")

    @model_validator(mode="after")
    def _has_an_objective(self) -> Self:
        if self.negative == 0 and not self.hs:
            raise ValueError("negative is 0 and hs is off: nothing to learn; turn one on")
        if self.min_alpha > self.alpha:
            raise ValueError("min_alpha is above alpha: the learning rate decays, lower it")
        return self


class Word2VecConfig(_WindowModel):
    """Word2Vec (Mikolov et al. 2013, arXiv:1301.3781 and arXiv:1310.4546)."""

    trainer: Literal["word2vec"]
    engine: Literal["native", "gensim"] = "native"
    alpha: float = Field(
        0.05,
        gt=0,
        le=10,
        description="initial learning rate; default for skip-gram and the sum of CBOW: 0.025",
    )

    @model_validator(mode="before")
    @classmethod
    def _learning_rate_of_the_authors(cls, data: Any) -> Any:
        """Defaults as in word2vec.c: 0.05 for CBOW (with the mean), else 0.025."""
        if not isinstance(data, dict) or "alpha" in data:
            return data
        is_mean = data.get("architecture") == "cbow" and data.get("cbow_mean", True) is not False
        return data if is_mean else {**data, "alpha": 0.025}


class FastTextConfig(_WindowModel):
    """FastText (Bojanowski et al. 2017, arXiv:1607.04606): Word2Vec with n-grams."""

    trainer: Literal["fasttext"]
    engine: Literal["native", "gensim"] = "native"
    min_n: int = Field(3, ge=1, le=100, description="shortest character n-gram")
    max_n: int = Field(6, ge=0, le=100, description="longest; below min_n: no n-grams")
    bucket: int = Field(
        2_000_000, ge=0, le=MAX_INT32_COUNT, description="rows of the n-gram hash table"
    )

    @model_validator(mode="after")
    def _ngrams_have_rows(self) -> Self:
        if self.max_n >= self.min_n and self.bucket == 0:
            raise ValueError("bucket is 0 but n-grams are on; set bucket, or max_n: 0")
        return self


class GloVeConfig(_Model):
    """GloVe (Pennington et al. 2014, doi:10.3115/v1/D14-1162)."""

    trainer: Literal["glove"]
    engine: Literal["native"] = "native"
    window: int = Field(15, ge=1, le=1_000, description="context words on each side")
    epochs: int = Field(25, ge=1, le=MAX_EPOCHS, description="passes over the non-zero counts")
    x_max: float = Field(100.0, gt=0, description="counts above weigh 1")
    alpha: float = Field(0.75, ge=0, le=10, description="exponent of the weighting")
    eta: float = Field(0.05, gt=0, le=10, description="initial learning rate of AdaGrad")
    symmetric: bool = Field(True, description="count left and right context, else left")
    distance_weighting: bool = Field(True, description="a pair d words apart counts 1/d")
    combine: Literal["sum", "word"] = Field(
        "sum", description="published vector: word + context, or word alone"
    )


VectorFormat = Literal[
    "auto",
    "word2vec",
    "word2vec-binary",
    "glove",
    "fasttext",
    "gensim",
    "safetensors",
    "numpy",
    "parquet",
    "projector",
    "spacy",
    "sentence-transformers",
    "model2vec",
    "sqlite",
]


class ImportConfig(_AnyModel):
    """Pre-trained vectors from a file; also what other models may be fine-tuned from."""

    trainer: Literal["import"]
    path: Text = Field(description="file or folder, relative to the config file")
    format: VectorFormat = Field("auto", description="auto: by the content")
    max_vocabulary: int | None = Field(None, ge=2, description="read the first so many words")


class _SentenceEncoder(_AnyModel):
    model: Name = Field(description="the configured model whose vectors are weighted")


class SifConfig(_SentenceEncoder):
    """SIF (Arora et al. 2017, openreview.net/forum?id=SyK00v5xx): a text is a weighted mean."""

    trainer: Literal["sif"]
    a: float = Field(1e-3, gt=0, le=1, description="a word of probability p weighs a / (a + p)")
    components: int = Field(1, ge=0, le=100, description="common components to remove")


class UsifConfig(_SentenceEncoder):
    """uSIF (Ethayarajh 2018, doi:10.18653/v1/W18-3012): SIF without a free parameter."""

    trainer: Literal["usif"]
    components: int = Field(5, ge=0, le=100, description="common components to remove, weighted")


TrainedConfig = Word2VecConfig | FastTextConfig | GloVeConfig
"""A model that learns from the tokens, epoch by epoch."""

ModelConfig = Annotated[
    TrainedConfig | ImportConfig | SifConfig | UsifConfig, Field(discriminator="trainer")
]


def base_of(model: ModelConfig) -> str | None:
    """The configured model that ``model`` is made from, None if from none."""
    if isinstance(model, SifConfig | UsifConfig):
        return model.model
    return None if isinstance(model, ImportConfig) else model.init_from


class TrainingConfig(_Section):
    """How all models are trained."""

    seed: Seed = 1
    workers: int | None = Field(None, ge=1, le=1024, description="default: every core")
    deterministic: bool = Field(
        False, description="one worker and byte-identical vectors run after run"
    )
    checkpoint_minutes: float | None = Field(
        10.0,
        gt=0,
        description="a native trainer saves its state so often, to go on after a kill; null: never",
    )
    max_memory: MemorySize = Field(
        ByteSize(1_000_000_000),
        description="of counting co-occurrences, as in 512MB or 2GiB; beyond, disk is used",
    )


# -- evaluation ----------------------------------------------------------------------------


class SimilarityBenchmark(_Section):
    """Word pairs with human scores, tab-separated; ``#`` starts a comment."""

    type: Literal["similarity"]
    path: Text


class AnalogyBenchmark(_Section):
    """Google's format: ``: category`` lines and four words a line."""

    type: Literal["analogy"]
    path: Text


class StsBenchmark(_Section):
    """Pairs of texts with human scores: tab-separated, a header names the columns.

    ``score``, ``sentence1``, ``sentence2``, and ``genre`` or ``category`` if there are several.
    """

    type: Literal["sts"]
    path: Text


BenchmarkConfig = Annotated[
    SimilarityBenchmark | AnalogyBenchmark | StsBenchmark, Field(discriminator="type")
]


class EvaluationConfig(_Section):
    """What each model is scored on."""

    benchmarks: dict[Name, BenchmarkConfig] = Field(min_length=1)
    max_vocabulary: int = Field(300_000, ge=1, description="only the most frequent words take part")
    case_insensitive: bool = True
    bootstrap_samples: int = Field(1_000, ge=1, le=1_000_000)
    confidence: float = Field(0.95, gt=0, lt=1)
    seed: Seed = 1


# -- registry ----------------------------------------------------------------------------


class GateConfig(_Section):
    """When a new version may become the champion."""

    benchmarks: list[Name] = Field(min_length=1, description="their mean score decides")
    min_coverage: float = Field(0.5, ge=0, le=1, description="of each of them")
    max_drop: float = Field(
        0.05, ge=0, description="how far the score may lie below the champion's"
    )

    @model_validator(mode="after")
    def _each_benchmark_counts_once(self) -> Self:
        twice = sorted({name for name in self.benchmarks if self.benchmarks.count(name) > 1})
        if twice:
            raise ValueError(f"benchmarks names {', '.join(twice)} more than once")
        return self


class RegistryConfig(_Section):
    """Where models are registered, and the gate."""

    tracking_uri: Text | None = Field(
        None, description="MLflow; default: SQLite in artifacts_dir/mlflow"
    )
    experiment: Text | None = Field(None, description="default: the pipeline's name")
    gate: GateConfig

    @field_validator("tracking_uri")
    @classmethod
    def _hangs_on_no_working_directory(cls, uri: str | None) -> str | None:
        if uri is not None and uri.startswith("sqlite:") and not uri.startswith("sqlite:////"):
            raise ValueError(
                "a relative SQLite address would depend on the working directory; write "
                "sqlite:////absolute/path/mlflow.db"
            )
        return uri


# -- document vectors ----------------------------------------------------------------------


class DocumentVectorsConfig(_Section):
    """A vector for every document, by a model of ours or by a pre-trained encoder."""

    model: Name | None = Field(
        None, description="one of models: tonight's vectors; or encoder, not both"
    )
    encoder: Literal["sentence-transformers", "model2vec"] | None = Field(
        None, description="the library that loads a pre-trained encoder: the extra encoders"
    )
    path: Text | None = Field(
        None, description="of the encoder: a folder, package:NAME/FOLDER or hub:OWNER/NAME"
    )
    revision: Text | None = Field(
        None, description="of hub:OWNER/NAME; a commit is looked up nowhere; default: main"
    )
    max_length: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="of the encoder, in tokens: the rest of a text is cut, and counted; "
        "default: the encoder's own, of model2vec 512",
    )
    prompt: str | None = Field(
        None, description="put before every document; default: the encoder's own, if it has one"
    )
    query_prompt: str | None = Field(
        None, description="put before what is searched for; default: the encoder's own"
    )
    normalize: bool = Field(False, description="scale every vector to length 1")
    batch_size: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="texts the encoder takes at once; default: 8, on a GPU and of model2vec 64",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="of sentence-transformers; auto: a GPU when there is one"
    )

    @model_validator(mode="after")
    def _is_of_a_model_or_an_encoder(self) -> Self:
        if (self.model is None) == (self.encoder is None):
            raise ValueError("give model (one of models) or encoder with its path, one of them")
        if self.encoder is not None and self.path is None:
            raise ValueError("encoder needs path: a folder, package:NAME/FOLDER or hub:OWNER/NAME")
        useless = (
            sorted(self.model_fields_set - {"model", "encoder", "normalize"})
            if self.model is not None
            else []
        )
        if useless:
            raise ValueError(f"{', '.join(useless)}: only for encoder, not for model")
        return self

    @model_validator(mode="after")
    def _revision_is_of_the_hub(self) -> Self:
        is_hub = self.path is not None and self.path.startswith("hub:")
        if is_hub and not _HUB_NAME.fullmatch(str(self.path)):
            raise ValueError(f"path: {self.path!r} is no name on the hub; write hub:OWNER/NAME")
        if self.revision is not None and not is_hub:
            raise ValueError("revision is only for a path that starts with hub:")
        return self


class NightjarConfig(_Section):
    """The whole file."""

    pipeline: PipelineConfig = PipelineConfig()
    ingest: IngestConfig
    tokenize: TokenizeConfig = TokenizeConfig()
    training: TrainingConfig = TrainingConfig()
    models: dict[Name, ModelConfig] = Field(min_length=1)
    evaluation: EvaluationConfig
    registry: RegistryConfig
    document_vectors: dict[Name, DocumentVectorsConfig] = Field(
        {}, description="documents as vectors; default: none"
    )

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

    def registry_of(self, name: str) -> RegistryConfig:
        """The section ``registry`` with the gate as it is for that model."""
        benchmarks = self.models[name].gate_benchmarks
        if benchmarks is None:
            return self.registry
        gate = self.registry.gate.model_copy(update={"benchmarks": benchmarks})
        return self.registry.model_copy(update={"gate": gate})

    @model_validator(mode="after")
    def _gate_names_benchmarks(self) -> Self:
        named = {"registry.gate.benchmarks": self.registry.gate.benchmarks} | {
            f"models.{name}.gate_benchmarks": model.gate_benchmarks or []
            for name, model in self.models.items()
        }
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

    def _check_ends(self, name: str) -> None:
        """Refuse a model that is made from itself by way of others."""
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
