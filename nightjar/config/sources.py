"""The sources of a text corpus, and what is not a document."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ByteSize, Field, model_validator

from nightjar.config.cleaning import CleaningConfig
from nightjar.config.sections import (
    MAX_INT32_COUNT,
    CsvMark,
    Delimiter,
    Encoding,
    ExpandedSize,
    Name,
    Patterns,
    Section,
    Selector,
    Text,
)
from nightjar.config.source_sections import StorageConfig, check_variable_name, checked_conditions
from nightjar.files import urls

Conditions = Annotated[dict[str, Any], AfterValidator(checked_conditions)]
EnvironmentName = Annotated[str, AfterValidator(check_variable_name)]
DatabaseUrl = Annotated[Text, AfterValidator(urls.checked_database_url)]
DecodingErrors = Literal["quarantine", "replace"]


def _checked_query(query: str) -> str:
    statement = query.strip().removesuffix(";").rstrip()
    if not re.match(r"(select|with)\b", statement, re.IGNORECASE):
        raise ValueError("is a SELECT (or WITH ... SELECT) statement")
    return statement


Query = Annotated[Text, AfterValidator(_checked_query)]
_ENCODING = "or auto: by a byte order mark, else UTF-8 if valid, else detected"
_TEXT_ERRORS = "for text that is not UTF-8; replace: with U+FFFD"
_ERRORS = "for invalid bytes; replace: with U+FFFD"
_WHERE = "field: value, list of values, or {min, max, regex, not}; other records are skipped"


_TEXTS = "or several, joined"
_JOIN = "put between several texts"
_LANGUAGE = "takes precedence over the source's language"

NOT_SHAPING = frozenset(
    ("path", "storage", "url", "url_env", "query", "watermark_column", "check_deleted")
)
"""Keys that only say where texts are: the texts themselves shape the result."""


class Files(Section):
    """Where the files of a source are."""

    path: Text | Patterns = Field(
        description="path, glob, package:NAME/FILE or URL (docs/sources.md), or a list"
    )
    storage: StorageConfig | None = Field(None, description="how URLs are accessed")

    @property
    def patterns(self) -> list[str]:
        """``path`` as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)

    @property
    def is_remote(self) -> bool:
        """Whether its files are fetched."""
        return any(urls.is_remote(pattern) for pattern in self.patterns)

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        for pattern in self.patterns:
            try:
                urls.check_url(pattern)
            except ValueError as error:
                raise ValueError(f"path: {error}") from error
        families = {
            urls.FAMILIES.get(urls.scheme_of(pattern), "local") for pattern in self.patterns
        }
        if len(families) > 1:
            raise ValueError(
                f"path: holds {' and '.join(sorted(families))} files; make a source of each"
            )
        if self.storage is not None:
            self.storage.check_family(families.pop())
        return self


class _Source(Section):
    language: str | None = Field(None, description="language code stored with each document")
    limit: int | None = Field(None, ge=1, description="keep at most this many documents")


class _FileSource(_Source, Files):
    """So that keys of ``Files`` come first."""


class MediaWikiSource(_FileSource):
    """A MediaWiki XML export (also compressed or in ``.zip``); redirects are skipped."""

    type: Literal["mediawiki"]
    namespaces: list[int] = Field([0], min_length=1, description="0 is the articles")


class _EncodedSource(_FileSource):
    encoding: Encoding = Field("utf-8", description=_ENCODING)
    errors: DecodingErrors = Field("quarantine", description=_ERRORS)


class TextSource(_EncodedSource):
    """Plain text (also compressed or in ``.zip``): a document per line or per file."""

    type: Literal["text"]
    document: Literal["line", "file"] = "line"


class HtmlSource(_EncodedSource):
    """HTML (also compressed or in ``.zip``): a document per file, its title and text."""

    type: Literal["html"]
    selector: Selector | None = Field(
        None, description="only what this CSS selector selects, as in 'article, div.text > p'"
    )
    encoding: Encoding = Field(
        "auto", description="of pages with neither a byte order mark nor a declared charset"
    )


class JsonLinesSource(_EncodedSource):
    """JSON Lines (also compressed or in ``.zip``): one object per line."""

    type: Literal["jsonl"]
    text_field: Text | Patterns = Field(
        "text", description="or several, joined; a.b is field b of the object in a"
    )
    join: str = Field("\n\n", description=_JOIN)
    id_field: Text | None = None
    language_field: Text | None = Field(None, description=_LANGUAGE)
    where: Conditions = Field({}, description=_WHERE)


class _TableSource(_FileSource):
    text_column: Text | Patterns = Field("text", description=_TEXTS)
    join: str = Field("\n\n", description=_JOIN)
    id_column: Text | None = None
    language_column: Text | None = Field(None, description=_LANGUAGE)
    where: Conditions = Field({}, description=_WHERE)


class ParquetSource(_TableSource):
    """Parquet files with a text column."""

    type: Literal["parquet"]
    errors: DecodingErrors = Field("quarantine", description=_TEXT_ERRORS)


class CsvSource(_TableSource):
    """CSV with a header line (also compressed or in ``.zip``)."""

    type: Literal["csv"]
    delimiter: Delimiter = Field(",", description="or auto: found by the header line")
    quote: CsvMark | None = Field('"', description="null: quotes are text")
    escape: CsvMark | None = Field(None, description='makes the next character literal, as in \\"')
    columns: Annotated[list[Text], Field(min_length=1)] | None = Field(
        None, description="names of the columns of files without a header line"
    )
    encoding: Encoding = Field("utf-8", description=_ENCODING)
    errors: DecodingErrors = Field("quarantine", description=_ERRORS)

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        marks = [mark for mark in (self.delimiter, self.quote, self.escape) if mark]
        if len(set(marks)) < len(marks):
            raise ValueError("delimiter, quote and escape are different characters")
        return self


class DatabaseRows(Section):
    """Where rows of a database come from: the connection, the query, and what tells rows apart."""

    type: Literal["sql"]
    url: DatabaseUrl | None = Field(
        None, description="as in postgresql://reader@host/base or sqlite:///file.db; no password"
    )
    url_env: EnvironmentName | None = Field(
        None, description="or the environment variable with the URL, including its password"
    )
    query: Query = Field(description="a SELECT; it is used as a subquery")
    key_column: Text = Field(description="unique key of a row")
    watermark_column: Text | None = Field(
        None, description="increases with each change; a night reads rows from the last value on"
    )
    check_deleted: bool = Field(
        True, description="with a watermark: read all keys, to notice deleted rows"
    )

    @property
    def is_remote(self) -> bool:
        """Always true: its rows are fetched."""
        return True

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("give url or url_env, one of them")
        return self


class SqlSource(DatabaseRows, _Source):
    """Rows of a database query, one document each (docs/sources.md)."""

    key_column: Text = Field(description="unique key of a row; also the document's id")
    text_column: Text | Patterns = Field("text", description=_TEXTS)
    join: str = Field("\n\n", description=_JOIN)
    language_column: Text | None = Field(None, description=_LANGUAGE)
    where: Conditions = Field({}, description=_WHERE)
    errors: DecodingErrors = Field("quarantine", description=_TEXT_ERRORS)

    @property
    def named_columns(self) -> list[tuple[str, str]]:
        """Each key that names a column, and the column."""
        texts = [self.text_column] if isinstance(self.text_column, str) else self.text_column
        named = [
            ("key_column", self.key_column),
            ("watermark_column", self.watermark_column),
            ("language_column", self.language_column),
            *(("text_column", name) for name in texts),
            *(("where", name) for name in self.where),
        ]
        return [(key, name) for key, name in named if name is not None]

    @property
    def columns(self) -> list[str]:
        """The columns to read, without repetition, the key first."""
        texts = [self.text_column] if isinstance(self.text_column, str) else self.text_column
        others = (*texts, self.language_column, *self.where, self.watermark_column)
        return list(dict.fromkeys([self.key_column, *(name for name in others if name)]))


FileSourceConfig = (
    MediaWikiSource | TextSource | HtmlSource | JsonLinesSource | ParquetSource | CsvSource
)
SourceConfig = Annotated[FileSourceConfig | SqlSource, Field(discriminator="type")]


class NearDuplicatesConfig(Section):
    """When two texts count as near duplicates."""

    threshold: float = Field(
        0.8, gt=0, le=1, description="least Jaccard similarity of their shingles (runs of words)"
    )
    shingle: int = Field(5, ge=1, le=100, description="words in a shingle")


class ReadingConfig(Section):
    """How damaged, huge and remote files are treated, whatever is read from them."""

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
    max_expanded_bytes: ExpandedSize = Field(
        ByteSize(100_000_000_000),
        description="a compressed file that expands to more is refused, as in 100GB",
    )
    max_expansion_ratio: int = Field(
        200,
        ge=1,
        description="or, beyond 100 MB, to more than this many times its size",
    )
    max_fetch_bytes: ExpandedSize = Field(
        ByteSize(100_000_000_000), description="a larger file is not fetched from a URL"
    )


class IngestConfig(ReadingConfig):
    """Which text is read, and what is not a document."""

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
        None, ge=1, description="keep only the first documents, up to this number; null: all"
    )

    @model_validator(mode="after")
    def _some_length_is_allowed(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError("min_chars is above max_chars: no document would be left")
        return self
