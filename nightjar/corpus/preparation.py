"""One document by itself: cleaned, measured, and given an id and digests of text and id."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from nightjar.config import IngestConfig
from nightjar.corpus.records import Document, Reason, Rejection, excerpt

DIGEST_BYTES = 16
_ID_HEX_DIGITS = 16
_MAX_ID_CHARS = 1_000
_SHORT = 100


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document as it is stored, if no other one speaks against it."""

    doc_id: str
    has_native_id: bool
    """Whether the source gave the id; else it follows from the text."""
    text: str
    content_sha256: str
    n_bytes: int
    """Of the text in UTF-8."""
    text_digest: bytes
    id_digest: bytes


class Preparation:
    """Prepares the documents of one source; the result depends on the document alone."""

    def __init__(self, config: IngestConfig, source: str) -> None:
        self._config = config
        self._source = source
        self.changes: Counter[str] = Counter()
        """What was changed in texts, by kind."""

    def prepare(self, document: Document) -> Prepared | Rejection:
        """The document as it would be stored, or why it is none."""
        text = self._clean(document)
        if isinstance(text, Rejection):
            return text
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            return rejection(document, Reason.UNDECODABLE, f"half a character: {error}")
        if problem := _id_problem(document.native_id):
            return rejection(document, Reason.INVALID_ID, problem)
        sha256 = hashlib.sha256(data)
        hex_digest = sha256.hexdigest()
        local_id = document.native_id or hex_digest[:_ID_HEX_DIGITS]
        doc_id = f"{self._source}:{local_id}"
        return Prepared(
            doc_id,
            bool(document.native_id),
            text,
            hex_digest,
            len(data),
            sha256.digest()[:DIGEST_BYTES],
            hashlib.sha256(doc_id.encode("utf-8")).digest()[:DIGEST_BYTES],
        )

    def _clean(self, document: Document) -> str | Rejection:
        """Strip white space, unify line ends, remove NUL; nothing else is changed."""
        text = document.text
        if "\0" in text:
            self.changes["nul_characters_removed"] += text.count("\0")
            text = text.replace("\0", "")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = text.strip()
        if not text:
            return rejection(document, Reason.EMPTY, "nothing but white space")
        if len(text) < self._config.min_chars:
            detail = f"{len(text)} characters, ingest.min_chars is {self._config.min_chars}"
            return rejection(document, Reason.TOO_SHORT, detail)
        if len(text) > self._config.max_chars:
            detail = f"{len(text)} characters, ingest.max_chars is {self._config.max_chars}"
            return rejection(document, Reason.TOO_LONG, detail)
        return text


def _id_problem(native_id: str | None) -> str:
    """Why ``native_id`` cannot be part of a doc_id; empty when it can."""
    if native_id is None or (len(native_id) < _SHORT and native_id.isalnum()):
        return ""
    if len(native_id) > _MAX_ID_CHARS:
        return f"the id has {len(native_id)} characters, more than {_MAX_ID_CHARS}"
    if "\0" in native_id or any("\ud800" <= character <= "\udfff" for character in native_id):
        return f"the id {native_id!r} holds what cannot be stored"
    return ""


def rejection(document: Document, reason: Reason, detail: str) -> Rejection:
    """That ``document`` is not kept."""
    return Rejection(document.locator, reason, detail, excerpt(document.text))
