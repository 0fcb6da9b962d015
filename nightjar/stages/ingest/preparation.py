"""One document by itself: cleaned, measured, with an id and digests of text and id."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

from nightjar.config import IngestConfig
from nightjar.sources.purge_list import NOTHING, Purged
from nightjar.sources.rejections import (
    DIGEST_BYTES,
    EXCERPT_CHARS,
    Reason,
    Rejection,
    digest_of,
    excerpt,
)
from nightjar.stages.ingest.cleaning import Cleaned, Dropped, DropReason, make_cleaner
from nightjar.stages.ingest.cleaning.personal import MAX_CHARS
from nightjar.stages.ingest.records import Document
from nightjar.wording import counted

_ID_HEX_DIGITS = 16
_MAX_ID_CHARS = 1_000
_SHORT = 100


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document as it would be stored, unless another document rules it out."""

    doc_id: str
    has_native_id: bool
    """Whether the source gave the id; otherwise it is derived from the text."""
    text: str
    language: str | None
    content_sha256: str
    n_bytes: int
    """Size of the text in UTF-8."""
    text_digest: bytes
    id_digest: bytes
    raw_digest: bytes
    """Digest of the text as the source has it."""


class Preparation:
    """Prepares the documents of one source; the result depends on the document alone."""

    def __init__(self, config: IngestConfig, source: str, purged: Purged = NOTHING) -> None:
        self._purged = purged
        self._config = config
        self._source = source
        self._language = config.sources[source].language
        self._cleaner = make_cleaner(config.cleaning)
        self._is_masked = "personal_data" in config.cleaning.steps
        self.changes: Counter[str] = Counter()
        """Number of changes in texts, by kind."""

    def prepare(self, document: Document) -> Prepared | Rejection:
        """The document as it would be stored, or the reason to reject it."""
        if self._purged and self._is_purged(document):
            return Rejection(document.locator, Reason.PURGED, "")
        cleaned = self._clean(document)
        if isinstance(cleaned, Rejection):
            return cleaned
        text = cleaned.text
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            detail = (
                f"half a character: {error}; with errors: replace or the cleaning step repair it "
                f"becomes U+FFFD"
            )
            return self._rejection(document, Reason.UNDECODABLE, detail, text)
        if problem := _id_problem(document.native_id):
            return self._rejection(document, Reason.INVALID_ID, problem, text)
        sha256 = hashlib.sha256(data)
        hex_digest = sha256.hexdigest()
        local_id = document.native_id or hex_digest[:_ID_HEX_DIGITS]
        doc_id = f"{self._source}:{local_id}"
        text_digest, id_digest = sha256.digest()[:DIGEST_BYTES], digest_of(doc_id)
        if text_digest in self._purged.texts or id_digest in self._purged.ids:
            return Rejection(document.locator, Reason.PURGED, "")
        return Prepared(
            doc_id,
            bool(document.native_id),
            text,
            cleaned.language or document.language or self._language,
            hex_digest,
            len(data),
            text_digest,
            id_digest,
            text_digest if text == document.text else digest_of(document.text),
        )

    def _is_purged(self, document: Document) -> bool:
        """Whether the document was purged, by its id or its text."""
        if document.native_id and digest_of(f"{self._source}:{document.native_id}") in (
            self._purged.ids
        ):
            return True
        return digest_of(document.text) in self._purged.texts

    def _clean(self, document: Document) -> Cleaned | Rejection:
        """Unify line ends, remove NUL, apply ``cleaning``, strip white space."""
        text = document.text
        if document.n_gaps:
            self.changes["template_gaps"] += document.n_gaps
        if "\0" in text:
            self.changes["nul_characters_removed"] += text.count("\0")
            text = text.replace("\0", "")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        cleaned = self._cleaner.clean(text, document.language or self._language)
        if cleaned.changes:
            self.changes.update({str(change): n for change, n in cleaned.changes.items()})
        if isinstance(cleaned, Dropped):
            return self._rejection(document, cleaned.reason, cleaned.detail, cleaned.text)
        text = cleaned.text.strip()
        if not text:
            detail = "nothing but white space"
            if document.text.strip():
                detail += " once it is cleaned"
            return self._rejection(document, Reason.EMPTY, detail, text)
        if len(text) < self._config.min_chars:
            detail = f"{counted(len(text), 'character')}, min_chars is {self._config.min_chars}"
            return self._rejection(document, Reason.TOO_SHORT, detail, text)
        if len(text) > self._config.max_chars:
            detail = f"{counted(len(text), 'character')}, max_chars is {self._config.max_chars}"
            return self._rejection(document, Reason.TOO_LONG, detail, text)
        return Cleaned(text, cleaned.changes, cleaned.language)

    def _rejection(
        self, document: Document, reason: Reason | DropReason, detail: str, text: str
    ) -> Rejection:
        """The rejection of ``document``, whose cleaned text is ``text``."""
        return Rejection(document.locator, reason, detail, excerpt(text))

    def redacted(self, rejection: Rejection) -> Rejection:
        """A reader's rejection without any value that cleaning would have masked."""
        quoted = rejection.excerpt
        if not self._is_masked or not quoted:
            return rejection
        masked = self._cleaner.redact(quoted)
        if len(quoted) >= EXCERPT_CHARS:
            masked = masked[:-MAX_CHARS]  # the start of a value may not be recognizable
        return replace(rejection, excerpt=masked)


def _id_problem(native_id: str | None) -> str:
    """Why ``native_id`` cannot be part of a doc_id; empty if it can."""
    if native_id is None or (len(native_id) < _SHORT and native_id.isprintable()):
        return ""  # surrogates and NUL are not printable
    if len(native_id) > _MAX_ID_CHARS:
        return f"the id has {counted(len(native_id), 'character')}, more than {_MAX_ID_CHARS}"
    if "\0" in native_id or any("\ud800" <= character <= "\udfff" for character in native_id):
        return f"the id {native_id!r} holds what cannot be stored"
    return ""
