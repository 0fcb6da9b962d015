"""Which documents are kept: cleaning, length, duplicates, ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from nightjar.config import IngestConfig
from nightjar.corpus.records import Document, Reason, Rejection, excerpt

_DIGEST_BYTES = 16
_ID_HEX_DIGITS = 16
_MAX_ID_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Admitted:
    """A document as it is stored."""

    doc_id: str
    text: str
    content_sha256: str
    n_bytes: int
    """Of the text in UTF-8."""


@dataclass(frozen=True, slots=True)
class _Cleaned:
    text: str
    data: bytes
    """The text in UTF-8."""


class Admission:
    """Decides, document by document, what is kept.

    Held in memory for every document that is kept: two digests of 16 bytes and, if the
    source gives it an id, that id; with the tables of Python's dict and set about 250 bytes,
    350 with an id. The texts are not held.
    """

    def __init__(self, config: IngestConfig) -> None:
        self._config = config
        self._first_by_text: dict[bytes, str] = {}
        """Who has a text: the doc_id, or the source alone if the id follows from the text."""
        self._ids: set[bytes] = set()
        self._n_repeated: Counter[str] = Counter()
        self.n_nul_removed = 0

    def admit(self, source: str, document: Document) -> Admitted | Rejection:
        """The document as it is stored, or why it is not."""
        cleaned = self._clean(document)
        if isinstance(cleaned, Rejection):
            return cleaned
        sha256 = hashlib.sha256(cleaned.data)
        text_digest, hex_digest = sha256.digest()[:_DIGEST_BYTES], sha256.hexdigest()
        derived_id = f"{source}:{hex_digest[:_ID_HEX_DIGITS]}"
        if self._config.deduplicate and (first := self._first_by_text.get(text_digest)):
            # Source names hold no colon, doc_ids do.
            detail = first if ":" in first else f"{first}:{hex_digest[:_ID_HEX_DIGITS]}"
            return _rejection(document, Reason.DUPLICATE, detail)
        if problem := _id_problem(document.native_id):
            return _rejection(document, Reason.INVALID_ID, problem)
        if document.native_id:
            doc_id = f"{source}:{document.native_id}"
        else:
            doc_id = self._unused(derived_id)
        id_digest = _digest(doc_id)
        if id_digest in self._ids:
            detail = f"{doc_id} is an earlier document with {self._other()} text"
            return _rejection(document, Reason.DUPLICATE_ID, detail)
        self._ids.add(id_digest)
        if self._config.deduplicate:
            self._first_by_text[text_digest] = source if doc_id == derived_id else doc_id
        return Admitted(doc_id, cleaned.text, hex_digest, len(cleaned.data))

    def _clean(self, document: Document) -> _Cleaned | Rejection:
        """Strip white space, unify line ends, remove NUL; nothing else is changed."""
        text = document.text
        if "\0" in text:
            self.n_nul_removed += text.count("\0")
            text = text.replace("\0", "")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = text.strip()
        if not text:
            return _rejection(document, Reason.EMPTY, "nothing but white space")
        if len(text) < self._config.min_chars:
            detail = f"{len(text)} characters, ingest.min_chars is {self._config.min_chars}"
            return _rejection(document, Reason.TOO_SHORT, detail)
        if len(text) > self._config.max_chars:
            detail = f"{len(text)} characters, ingest.max_chars is {self._config.max_chars}"
            return _rejection(document, Reason.TOO_LONG, detail)
        try:
            return _Cleaned(text, text.encode("utf-8"))
        except UnicodeEncodeError as error:
            return _rejection(document, Reason.UNDECODABLE, f"half a character: {error}")

    def _unused(self, derived_id: str) -> str:
        """``derived_id``, numbered from -2 on when equal texts are kept."""
        if self._config.deduplicate or _digest(derived_id) not in self._ids:
            return derived_id
        self._n_repeated[derived_id] += 1
        return f"{derived_id}-{self._n_repeated[derived_id] + 1}"

    def _other(self) -> str:
        return "another" if self._config.deduplicate else "this or another"


def _digest(doc_id: str) -> bytes:
    return hashlib.sha256(doc_id.encode("utf-8")).digest()[:_DIGEST_BYTES]


def _id_problem(native_id: str | None) -> str:
    """Why ``native_id`` cannot be part of a doc_id; empty when it can."""
    if native_id is None:
        return ""
    if len(native_id) > _MAX_ID_CHARS:
        return f"the id has {len(native_id)} characters, more than {_MAX_ID_CHARS}"
    if "\0" in native_id or any("\ud800" <= character <= "\udfff" for character in native_id):
        return f"the id {native_id!r} holds what cannot be stored"
    return ""


def _rejection(document: Document, reason: Reason, detail: str) -> Rejection:
    return Rejection(document.locator, reason, detail, excerpt(document.text))
