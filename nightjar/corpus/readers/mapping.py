"""From the fields of a record to a document: text, id, language, and whether it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from nightjar.config import CsvSource, JsonLinesSource, ParquetSource
from nightjar.corpus.readers.filters import Test, compiled
from nightjar.corpus.records import Document, Reason, Record, Rejection, Skip, excerpt


class _Missing:
    """The type of MISSING, for a field that a record does not have."""


MISSING: Final = _Missing()
Get = Callable[[str], object]
"""The value of a field, or MISSING. Bytes that are not UTF-8 raise UnicodeDecodeError."""
_MAX_LANGUAGE_CHARS = 35
"""Of a BCP 47 tag, by its section 4.4.1."""


@dataclass(frozen=True)
class FieldUse:
    """A field that the configuration names, and by which key."""

    key: str
    field: str
    is_optional: bool = False
    """Whether a file may lack it."""


@dataclass(frozen=True)
class FieldMapping:
    """Which fields make a document."""

    text: tuple[str, ...]
    join: str
    id: str | None
    language: str | None
    where: tuple[tuple[str, Test], ...]
    suffix: str
    """Of the keys in the configuration: ``field`` or ``column``."""

    @classmethod
    def of(cls, source: JsonLinesSource | ParquetSource | CsvSource) -> FieldMapping:
        """The mapping that ``source`` configures."""
        if isinstance(source, JsonLinesSource):
            text, id_name, language = source.text_field, source.id_field, source.language_field
            suffix = "field"
        else:
            text, id_name, language = source.text_column, source.id_column, source.language_column
            suffix = "column"
        texts = (text,) if isinstance(text, str) else tuple(text)
        tests = tuple((name, compiled(condition)) for name, condition in source.where.items())
        return cls(texts, source.join, id_name, language, tests, suffix)

    def uses(self) -> Iterator[FieldUse]:
        """Every field that is named, texts first; one may come twice."""
        for name in self.text:
            yield FieldUse(f"text_{self.suffix}", name)
        if self.id is not None:
            yield FieldUse(f"id_{self.suffix}", self.id)
        if self.language is not None:
            yield FieldUse(f"language_{self.suffix}", self.language)
        for name, test in self.where:
            yield FieldUse("where", name, is_optional=test(None))

    def record(
        self,
        locator: str,
        get: Get,
        kind_of: Callable[[object], str],
        shown: tuple[bytes, str] = (b"", "utf-8"),
    ) -> Record:
        """The document whose fields ``get`` gives, a Skip when it is not wanted, or why not.

        ``kind_of`` names a value's type for people, ``shown`` what a rejection
        shows an excerpt of, and its encoding.
        """
        try:
            if not all(test(_null(get(name))) for name, test in self.where):
                return Skip.FILTERED
            text = self._text(get, kind_of)
            language = self._language(get)
        except UnicodeDecodeError as error:
            return Rejection(locator, Reason.UNDECODABLE, str(error), excerpt(error.object))
        if isinstance(text, _Problem):
            return Rejection(locator, text.reason, text.detail, excerpt(*shown))
        try:
            native_id = MISSING if self.id is None else get(self.id)
        except UnicodeDecodeError as error:
            return Rejection(locator, Reason.INVALID_ID, str(error), excerpt(error.object))
        if isinstance(native_id, bool) or not isinstance(native_id, int | str | None | _Missing):
            detail = f"{self.id!r} is {kind_of(native_id)}"
            return Rejection(locator, Reason.INVALID_ID, detail, excerpt(*shown))
        has_id = isinstance(native_id, int | str)
        return Document(locator, str(native_id).strip() or None if has_id else None, text, language)

    def _text(self, get: Get, kind_of: Callable[[object], str]) -> str | _Problem:
        """Of several texts those that are there, and not blank."""
        values = [get(name) for name in self.text]
        for name, value in zip(self.text, values, strict=True):
            is_absent = value is None or value is MISSING
            if not (isinstance(value, str) or (is_absent and len(values) > 1)):
                if value is MISSING:
                    return _Problem(Reason.MISSING_FIELD, f"no field {name!r}")
                return _Problem(Reason.NOT_TEXT, f"{name!r} is {kind_of(value)}")
        texts = [value for value in values if isinstance(value, str)]
        if not texts:
            is_missing = all(value is MISSING for value in values)
            names = ", ".join(repr(name) for name in self.text)
            if is_missing:
                return _Problem(Reason.MISSING_FIELD, f"none of the fields {names}")
            return _Problem(Reason.NOT_TEXT, f"none of {names} is text")
        if len(values) == 1:
            return texts[0]
        return self.join.join(text for text in texts if text.strip())

    def _language(self, get: Get) -> str | None:
        """The record's own language; None when it does not say one."""
        value = None if self.language is None else get(self.language)
        if not isinstance(value, str):
            return None
        value = value.strip()
        return value if 0 < len(value) <= _MAX_LANGUAGE_CHARS else None


@dataclass(frozen=True, slots=True)
class _Problem:
    reason: Reason
    detail: str


def _null(value: object) -> object:
    return None if value is MISSING else value
