"""The sections ``registry`` and ``document_vectors``: how models are used."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from nightjar.config.sections import Name, Section, Text
from nightjar.files import urls

_HUB_NAME = re.compile(r"hub:[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


class GateConfig(Section):
    """When a new version may become champion."""

    benchmarks: list[Name] = Field(min_length=1, description="their mean score decides")
    min_coverage: float = Field(0.5, ge=0, le=1, description="of each of them")
    max_drop: float = Field(
        0.05,
        ge=0,
        description="how far the score may be below the champion's, and below the reference's",
    )
    first: Literal["promote", "wait"] = Field(
        "promote",
        description="a model's first champion: by min_coverage alone, or on a person's order",
    )

    @model_validator(mode="after")
    def _each_benchmark_counts_once(self) -> Self:
        twice = sorted({name for name in self.benchmarks if self.benchmarks.count(name) > 1})
        if twice:
            raise ValueError(f"benchmarks names {', '.join(twice)} more than once")
        return self


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
