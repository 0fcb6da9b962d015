"""The section ``ingest``: which text comes in, and what is not a document."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nightjar.config.cleaning import CleaningConfig
from nightjar.config.sections import (
    MAX_INT32_COUNT,
    Delimiter,
    Encoding,
    Name,
    Patterns,
    Section,
    Text,
)


class _Source(Section):
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


class NearDuplicatesConfig(Section):
    """When two texts are nearly the same."""

    threshold: float = Field(
        0.8, gt=0, le=1, description="least share of runs of words that both have (Jaccard)"
    )
    shingle: int = Field(5, ge=1, le=100, description="words of such a run")


class IngestConfig(Section):
    """Which text comes in, and what is not a document."""

    sources: dict[Name, SourceConfig] = Field(min_length=1)
    deduplicate: bool = Field(True, description="drop documents with the same text")
    cleaning: CleaningConfig = CleaningConfig()
    near_duplicates: NearDuplicatesConfig | None = Field(
        None, description="drop documents that are nearly the same as an earlier one"
    )
    min_chars: int = Field(1, ge=1, description="shorter documents are quarantined")
    max_chars: int = Field(
        10_000_000,
        ge=1,
        le=MAX_INT32_COUNT,
        description="longer documents are quarantined, never cut",
    )

    limit: int | None = Field(
        None, ge=1, description="at most so many documents, the first ones; null: all"
    )
    on_error: Literal["fail", "quarantine"] = Field(
        "fail",
        description="a damaged file: stop the night, or keep what was read of it",
    )
    max_lost: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a night that loses more than this share of its records to errors stops",
    )

    @model_validator(mode="after")
    def _some_length_is_allowed(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError("min_chars is above max_chars: no document would be left")
        return self
