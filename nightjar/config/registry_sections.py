"""The sections ``registry`` and ``document_vectors``: how models are used."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from nightjar.config.sections import Name, Section, Text
from nightjar.files import urls

HealthMeasure = Literal[
    "isotropy", "hubness", "norm_frequency", "zero_vectors", "known_ngrams", "text_coverage"
]
"""What nightjar.stages.evaluate.health measures."""

_HUB_NAME = re.compile(r"hub:[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


Weight = Annotated[float, Field(ge=1e-6, le=1e6)]
GateBenchmarks = (
    Annotated[list[Name], Field(min_length=1)] | Annotated[dict[Name, Weight], Field(min_length=1)]
)
"""Names, all of the same weight, or names with their weights."""


def weights_of(benchmarks: GateBenchmarks) -> dict[str, float]:
    """The weight of each benchmark of a gate."""
    if isinstance(benchmarks, dict):
        return dict(benchmarks)
    return dict.fromkeys(benchmarks, 1.0)


class Bounds(Section):
    """The least and the most that a measure may be."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is larger than max {self.max}")
        return self


class GateConfig(Section):
    """When a new version may become champion: every rule must hold (docs/gate.md)."""

    mode: Literal["enforce", "warn", "approve"] = Field(
        "enforce",
        description="warn: promote all the same and raise an alarm; approve: a person promotes",
    )
    benchmarks: GateBenchmarks = Field(
        description="a list, or weights by name: their weighted mean score decides"
    )
    margin: float = Field(
        0.08,
        ge=0,
        le=2,
        description="the drop that must not pass, below the champion and below the reference",
    )
    min_coverage: float = Field(0.5, ge=0, le=1, description="of each of the benchmarks")
    max_coverage_lost: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of the items that the champion or the reference covers, of each of the "
        "benchmarks, that may no longer be covered",
    )
    max_vocabulary_lost: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of the words of the champion or the reference, weighted by their "
        "counts, that may be lost",
    )
    min_scores: dict[Name, float] = Field(
        {},
        description="the least score on a benchmark. Where its items come out of tonight's data, "
        "spoilt data lower the champion's score, too, and no comparison shows it",
    )
    max_fall: float | None = Field(
        0.33,
        gt=0,
        le=1,
        description="of benchmarks whose items come out of tonight's data: share of the score that "
        "champion or reference had on record, above chance, that may be lost; null: any",
    )
    health: dict[HealthMeasure, Bounds] = Field(
        default_factory=dict, description="bounds of measures of docs/evaluation.md"
    )
    loss_must_fall: bool = Field(
        True, description="the mean loss of the last epoch is below that of the first"
    )
    max_age_days: float | None = Field(
        None, gt=0, description="vectors that were trained longer ago are not promoted"
    )
    noise_prior: float = Field(
        0.01,
        ge=0,
        description="standard deviation of the mean score between trainings with other seeds, "
        "until 'nightjar noise' has measured it",
    )
    max_growth: float = Field(
        0.25, ge=0, description="measured noise holds while the corpus changes by less than this"
    )
    first: Literal["promote", "wait"] = Field(
        "promote",
        description="a model's first champion: by the other rules alone, or on a person's order",
    )

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each benchmark."""
        return weights_of(self.benchmarks)

    @field_validator("benchmarks")
    @classmethod
    def _each_benchmark_counts_once(cls, benchmarks: GateBenchmarks) -> GateBenchmarks:
        if isinstance(benchmarks, list):
            twice = sorted({name for name in benchmarks if benchmarks.count(name) > 1})
            if twice:
                raise ValueError(f"names {', '.join(twice)} more than once")
        return benchmarks


class DriftConfig(Section):
    """How far a model may move from its champion before an alarm is raised (docs/drift.md)."""

    tolerance: float = Field(
        0.15,
        ge=0,
        le=1,
        description="share of the neighbours that another seed would have kept: an alarm when more "
        "than this is lost for sure",
    )


class RegistryConfig(Section):
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
        if uri is not None and uri.startswith("sqlite:") and "%" in uri.partition("?")[0]:
            raise ValueError("MLflow cannot use a SQLite file with '%' in its path; rename it")
        return uri

    @field_validator("tracking_uri")
    @classmethod
    def _is_an_address(cls, uri: str | None) -> str | None:
        """Of a web server; databases have rules of their own. The message has no password."""
        if uri is None or urls.scheme_of(uri) not in urls.HTTP_SCHEMES:
            return uri
        path = uri.partition("://")[2].partition("/")[2]
        if not urls.has_place(uri) or "@" in path:
            raise ValueError(
                "this is no address of a web server: it is like http://HOST:5000, and in a "
                "password '/', '?', '#' and '@' are written as %2F, %3F, %23 and %40"
            )
        return uri


class ConsumerConfig(Section):
    """Who uses models, to be told what happens to them."""

    uses: list[Name] = Field(min_length=1, description="models")
    contact: Text = Field(description="an address, a channel, a person")
    what: Text | None = Field(None, description="what for")


class DocumentVectorsConfig(Section):
    """A vector for every document, by one of our models or a pre-trained encoder."""

    model: Name | None = Field(
        None, description="one of models: its champion's vectors; or encoder, not both"
    )
    corpus: Name | None = Field(
        None,
        description="the corpus to embed; default: the model's, or the only one",
    )
    encoder: Literal["sentence-transformers", "model2vec"] | None = Field(
        None, description="the library that loads a pre-trained encoder: the extra encoders"
    )
    path: Text | None = Field(
        None, description="the encoder: a folder, package:NAME/FOLDER or hub:OWNER/NAME"
    )
    revision: Text | None = Field(
        None, description="of hub:OWNER/NAME; a commit needs no lookup; default: main"
    )
    max_length: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="in tokens; longer texts are cut; default: the encoder's own, model2vec 512",
    )
    prompt: str | None = Field(
        None, description="put before every document; default: the encoder's own, if it has one"
    )
    query_prompt: str | None = Field(
        None, description="put before every query; default: the encoder's own"
    )
    normalize: bool = Field(False, description="scale every vector to length 1")
    batch_size: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="texts encoded at once; default: 8, or 64 on a GPU and for model2vec",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="for sentence-transformers; auto: a GPU if there is one"
    )

    @model_validator(mode="after")
    def _is_of_a_model_or_an_encoder(self) -> Self:
        if (self.model is None) == (self.encoder is None):
            raise ValueError("give model (one of models) or encoder with its path, one of them")
        if self.encoder is not None and self.path is None:
            raise ValueError("encoder needs path: a folder, package:NAME/FOLDER or hub:OWNER/NAME")
        useless = (
            sorted(self.model_fields_set - {"model", "corpus", "encoder", "normalize"})
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
