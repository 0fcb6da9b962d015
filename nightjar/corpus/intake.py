"""Which documents are kept: cleaned, of a fitting length, each text and each id once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from nightjar.config import IngestConfig
from nightjar.corpus.records import Document, Reason, Rejection, excerpt

_DIGEST_BYTES = 16
_ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class KeptDocument:
    """A row of the table ``documents``."""

    doc_id: str
    text: str
    content_sha256: str


class Intake:
    """Decides document by document; remembers the texts and ids it has seen.

    In memory: a digest and an id of every kept document, about 300 bytes each.
    """

    def __init__(self, config: IngestConfig) -> None:
        self._config = config
        self._first_with_text: dict[bytes, str] = {}
        self._ids: set[str] = set()
        self._n_same_id: dict[str, int] = {}

    def take(self, source: str, document: Document) -> KeptDocument | Rejection:
        """The row of ``document``, or why it is not kept.

        NUL characters, which Parquet readers stumble over, become spaces; space around the
        text goes. Nothing else of a text is changed.
        """
        text = document.text.replace("\0", " ").strip()
        rejection = self._unfit(document.locator, text)
        if rejection is not None:
            return rejection
        try:
            digest = hashlib.sha256(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            detail = f"half a surrogate pair at character {error.start}"
            return Rejection(document.locator, Reason.UNDECODABLE, detail, excerpt(text))
        content_sha256 = digest.hexdigest()
        key = digest.digest()[:_DIGEST_BYTES]
        if self._config.deduplicate and key in self._first_with_text:
            first = f"same text as {self._first_with_text[key]}"
            return Rejection(document.locator, Reason.DUPLICATE, first, excerpt(text))
        if document.native_id is None:
            doc_id = self._unused(f"{source}:{content_sha256[:_ID_DIGITS]}")
        else:
            doc_id = f"{source}:{document.native_id}"
            if doc_id in self._ids:
                detail = f"another document has the id {doc_id}"
                return Rejection(document.locator, Reason.DUPLICATE_ID, detail, excerpt(text))
        self._ids.add(doc_id)
        if self._config.deduplicate:
            self._first_with_text[key] = doc_id
        return KeptDocument(doc_id, text, content_sha256)

    def _unfit(self, locator: str, text: str) -> Rejection | None:
        if not text:
            return Rejection(locator, Reason.EMPTY, "no text")
        if len(text) < self._config.min_chars:
            detail = f"{len(text)} characters, at least {self._config.min_chars} wanted"
            return Rejection(locator, Reason.TOO_SHORT, detail, excerpt(text))
        if len(text) > self._config.max_chars:
            detail = f"{len(text)} characters, at most {self._config.max_chars} taken"
            return Rejection(locator, Reason.TOO_LONG, detail, excerpt(text))
        return None

    def _unused(self, doc_id: str) -> str:
        """``doc_id``, numbered from 2 when equal texts are kept (deduplicate: false)."""
        if doc_id not in self._ids:
            return doc_id
        number = self._n_same_id.get(doc_id, 1) + 1
        self._n_same_id[doc_id] = number
        return f"{doc_id}-{number}"
