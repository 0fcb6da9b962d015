"""The sources of corpora that are tables: edges of a graph, events of users, facts about items.

A format (``csv``, ``parquet``, ``jsonl``, ``sql``, for edges ``text``) says how files are read,
roles say which columns hold what. Values of ids are text: numbers are written as in the file.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nightjar.config.sections import CsvMark, Delimiter, Encoding, Section, Text
from nightjar.config.sources import (
    Conditions,
    DatabaseRows,
    DecodingErrors,
    Files,
)

_ENCODING = "or auto: by a byte order mark, else UTF-8 if valid, else detected"
_ERRORS = "for rows with invalid bytes; replace: with U+FFFD"
_WHERE = "column: value, list of values, or {min, max, regex, not}; other rows are skipped"


class _Rows(Section):
    ROLES: ClassVar[tuple[str, ...]] = ()
    """The keys that name a column each, in the order of the published table."""

    where: Conditions = Field({}, description=_WHERE)
    limit: int | None = Field(None, ge=1, description="read at most this many rows")

    @property
    def role_columns(self) -> dict[str, str]:
        """The column of each role that is named: ``{"source": "from", "target": "to"}``."""
        named = {role: getattr(self, f"{role}_column") for role in self.ROLES}
        return {role: column for role, column in named.items() if column is not None}

    @property
    def uses(self) -> list[tuple[str, str]]:
        """Each key that names a column, and the column: roles, then conditions."""
        roles = [(f"{role}_column", column) for role, column in self.role_columns.items()]
        return [*roles, *(("where", column) for column in self.where)]

    @model_validator(mode="after")
    def _roles_have_columns_of_their_own(self) -> Self:
        named = self.role_columns
        for role, column in named.items():
            others = [other for other in named if other != role and named[other] == column]
            if others:
                raise ValueError(
                    f"{role}_column and {others[0]}_column are both {column!r}; name a column each"
                )
        return self


class _CsvRows(Files):
    type: Literal["csv"]
    delimiter: Delimiter = Field("auto", description="or auto: found by the header line")
    quote: CsvMark | None = Field('"', description="null: quotes are text")
    escape: CsvMark | None = Field(None, description='makes the next character literal, as in \\"')
    columns: Annotated[list[Text], Field(min_length=1)] | None = Field(
        None, description="names of the columns of files without a header line"
    )
    encoding: Encoding = Field("utf-8", description=_ENCODING)
    errors: DecodingErrors = Field("quarantine", description=_ERRORS)


class _ParquetRows(Files):
    type: Literal["parquet"]


class _JsonRows(Files):
    type: Literal["jsonl"]
    encoding: Encoding = Field("utf-8", description=_ENCODING)
    errors: DecodingErrors = Field("quarantine", description=_ERRORS)


class _SqlRows(DatabaseRows, _Rows):
    @property
    def named_columns(self) -> list[tuple[str, str]]:
        """Each key that names a column, and the column."""
        named = [("key_column", self.key_column)]
        if self.watermark_column is not None:
            named.append(("watermark_column", self.watermark_column))
        return [*named, *self.uses]

    @property
    def columns(self) -> list[str]:
        """The columns to read, without repetition, the key first."""
        return list(dict.fromkeys(name for _, name in self.named_columns))


class _Edges(_Rows):
    ROLES: ClassVar = ("source", "target", "weight")

    source_column: Text = Field("source", description="the node where an edge starts")
    target_column: Text = Field("target", description="the node where it ends")
    weight_column: Text | None = Field(None, description="positive number; null: every edge is 1")


class EdgeListSource(Files, _Rows):
    """Text with an edge a line: two nodes and perhaps a weight, separated by white space.

    ``#`` and ``%`` at the start of a line make it a comment.
    """

    ROLES: ClassVar = ("source", "target", "weight")

    type: Literal["text"]
    weighted: bool = Field(False, description="the third field is the weight; otherwise ignored")
    encoding: Encoding = Field("utf-8", description=_ENCODING)
    errors: DecodingErrors = Field("quarantine", description=_ERRORS)

    @property
    def role_columns(self) -> dict[str, str]:
        """The fields of a line, named like their roles."""
        roles = self.ROLES if self.weighted else self.ROLES[:2]
        return {role: role for role in roles}


class CsvEdges(_CsvRows, _Edges):
    """CSV with an edge a row."""


class ParquetEdges(_ParquetRows, _Edges):
    """Parquet with an edge a row."""


class JsonLinesEdges(_JsonRows, _Edges):
    """JSON Lines with an edge a line."""


class SqlEdges(_SqlRows, _Edges):
    """A database query with an edge a row."""


EdgeSource = Annotated[
    EdgeListSource | CsvEdges | ParquetEdges | JsonLinesEdges | SqlEdges,
    Field(discriminator="type"),
]


class _Events(_Rows):
    ROLES: ClassVar = ("user", "item", "time", "session")

    user_column: Text = Field("user", description="who")
    item_column: Text = Field("item", description="what")
    time_column: Text = Field(
        "time", description="when: a timestamp, seconds since 1970, or ISO 8601"
    )
    session_column: Text | None = Field(None, description="with sessions: {by: column}")


class CsvEvents(_CsvRows, _Events):
    """CSV with an event a row."""


class ParquetEvents(_ParquetRows, _Events):
    """Parquet with an event a row."""


class JsonLinesEvents(_JsonRows, _Events):
    """JSON Lines with an event a line."""


class SqlEvents(_SqlRows, _Events):
    """A database query with an event a row."""


EventSource = Annotated[
    CsvEvents | ParquetEvents | JsonLinesEvents | SqlEvents, Field(discriminator="type")
]


class _Items(_Rows):
    ROLES: ClassVar = ("item", "title")

    item_column: Text = Field("item", description="the id, as in the events")
    title_column: Text | None = Field(None, description="shown to people beside the id")
    attribute_columns: list[Text] = Field(
        [],
        description="what makes items alike (category, brand, genres separated by |): new items "
        "get the mean vector of the three known items most like them",
    )

    @property
    def uses(self) -> list[tuple[str, str]]:
        """Also the attributes."""
        attributes = [("attribute_columns", column) for column in self.attribute_columns]
        return [*super().uses, *attributes]


class CsvItems(_CsvRows, _Items):
    """CSV with an item a row."""


class ParquetItems(_ParquetRows, _Items):
    """Parquet with an item a row."""


class JsonLinesItems(_JsonRows, _Items):
    """JSON Lines with an item a line."""


class SqlItems(_SqlRows, _Items):
    """A database query with an item a row."""


ItemSource = Annotated[
    CsvItems | ParquetItems | JsonLinesItems | SqlItems, Field(discriminator="type")
]

TableSource = EdgeSource | EventSource | ItemSource


def is_sql(source: Any) -> bool:
    """Whether the rows of ``source`` are fetched from a database."""
    return isinstance(source, _SqlRows)
