"""The records that a reader yields: documents, rejections and skips."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nightjar.stages.ingest.cleaning import DropReason

EXCERPT_CHARS = 200
MAX_BYTES_PER_CHAR = 4
"""Largest in any of the usual encodings."""


class Reason(StrEnum):
    """Why a record is in quarantine; docs/artifacts.md explains each."""

    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    UNDECODABLE = "undecodable"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    DUPLICATE_ID = "duplicate_id"
    PURGED = "purged"
    INVALID_ID = "invalid_id"
    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    NOT_TEXT = "not_text"
    MALFORMED_ROW = "malformed_row"
    NOT_WIKITEXT = "not_wikitext"
    DAMAGED_FILE = "damaged_file"


ERRORS = frozenset(
    (
        *(Reason.UNDECODABLE, Reason.INVALID_ID, Reason.INVALID_JSON, Reason.NOT_AN_OBJECT),
        *(Reason.MISSING_FIELD, Reason.NOT_TEXT, Reason.MALFORMED_ROW, Reason.DAMAGED_FILE),
    )
)
"""Reasons that mean an error in the record; the others are choices of the configuration."""


class Skip(StrEnum):
    """Records that the configuration does not ask for; counted, not quarantined."""

    REDIRECT = "redirects_skipped"
    OTHER_NAMESPACE = "other_namespaces_skipped"
    FILTERED = "filtered_skipped"


@dataclass(frozen=True, slots=True)
class Document:
    """A text as the source has it, before cleaning."""

    locator: str
    """Where it is, for messages: ``file:line`` or ``file: page 12``."""
    native_id: str | None
    """Its id in the source; None if it has none."""
    text: str
    language: str | None = None
    """The language that the record declares; None if it does not."""
    n_gaps: int = 0
    """Places in its sentences where a template was that shows nothing."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that is not a document."""

    locator: str
    reason: Reason | DropReason
    detail: str
    excerpt: str = ""
    n_records: int = 1
    """More than 1 if it stands for as many alike, such as blank lines in a row."""


Record = Document | Rejection | Skip


def excerpt(content: str | bytes, encoding: str = "utf-8") -> str:
    """The first characters of ``content``, with unprintable ones backslash-escaped."""
    if isinstance(content, bytes):
        content = content[: MAX_BYTES_PER_CHAR * EXCERPT_CHARS].decode(encoding, "backslashreplace")
    return storable(content[:EXCERPT_CHARS])


def storable(text: str) -> str:
    """``text`` with NUL and lone surrogates backslash-escaped, so that Parquet can store it."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
