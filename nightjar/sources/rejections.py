"""The records that a reader yields: documents, rejections and skips."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

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
class Rejection:
    """A record that is not a document."""

    locator: str
    reason: StrEnum
    detail: str
    excerpt: str = ""
    n_records: int = 1
    """More than 1 if it stands for as many alike, such as blank lines in a row."""


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


def source_key(name: str) -> str:
    """What the source ``name`` is called in messages: ``sources.NAME``, as in the config.

    Facts about items are sources called ``items.NAME``.
    """
    return name if "." in name else f"sources.{name}"


DIGEST_BYTES = 16


def digest_of(text: str) -> bytes:
    """The digest of an id or a text: the first bytes of its sha256."""
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]
