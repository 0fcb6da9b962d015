"""From the fields of a record to a document: text, id, language, and filter conditions."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nightjar.config import CsvSource, JsonLinesSource, ParquetSource, SqlSource
from nightjar.sources.conditions import MISSING, FieldUse, Test, compiled
from nightjar.sources.rejections import Reason, Rejection, Skip, excerpt
from nightjar.stages.ingest.records import Document, Record
from nightjar.wording import counted

Get = Callable[[str], object]
"""Returns the value of a field, or MISSING. Bytes that are not UTF-8 raise UnicodeDecodeError, and
more of them than ``max_chars`` characters can be raise TooLongValue."""


class TooLongValue(Exception):
    """A value that is too long for any document, and was not read for that reason."""

    def __init__(self, field: str, n_bytes: int) -> None:
        super().__init__(
            f"{field!r} has {counted(n_bytes, 'byte')}, more than max_chars characters can be"
        )


_MAX_EXACT_FLOAT = 2.0**53
_MAX_LANGUAGE_CHARS = 35
"""Longest BCP 47 tag, by its section 4.4.1."""


@dataclass(frozen=True)
class FieldMapping:
    """The fields that make up a document."""

    text: tuple[str, ...]
    join: str
    id: str | None
    language: str | None
    where: tuple[tuple[str, Test], ...]
    suffix: str
    """How the configuration's keys end: ``field`` or ``column``."""

    @classmethod
    def of(cls, source: JsonLinesSource | ParquetSource | CsvSource | SqlSource) -> FieldMapping:
        """The mapping in ``source``."""
        if isinstance(source, JsonLinesSource):
            text, id_name, language = source.text_field, source.id_field, source.language_field
            suffix = "field"
        else:
            text, language, suffix = source.text_column, source.language_column, "column"
            id_name = source.key_column if isinstance(source, SqlSource) else source.id_column
        texts = (text,) if isinstance(text, str) else tuple(text)
        tests = tuple((name, compiled(condition)) for name, condition in source.where.items())
        return cls(texts, source.join, id_name, language, tests, suffix)

    def uses(self) -> Iterator[FieldUse]:
        """Every field that is named, texts first; possibly with repetitions."""
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
        """The document from the fields, a Skip when it is not wanted, or its Rejection.

        ``get`` gives the fields, ``kind_of`` names a value's type in messages, and ``shown`` has
        the bytes (and their encoding) that a rejection quotes.
        """
        try:
            if self.where and not self._is_wanted(get):
                return Skip.FILTERED
            text = self._text(get, kind_of)
            language = None if self.language is None else _language(get(self.language))
        except UnicodeDecodeError as error:
            return Rejection(locator, Reason.UNDECODABLE, str(error), excerpt(error.object))
        except TooLongValue as error:
            return Rejection(locator, Reason.TOO_LONG, str(error), excerpt(*shown))
        if isinstance(text, _Problem):
            return Rejection(locator, text.reason, text.detail, excerpt(*shown))
        if self.id is None:
            return Document(locator, None, text, language)
        try:
            native_id = _whole(get(self.id))
        except UnicodeDecodeError as error:
            return Rejection(locator, Reason.INVALID_ID, str(error), excerpt(error.object))
        except TooLongValue as error:
            return Rejection(locator, Reason.INVALID_ID, str(error), excerpt(*shown))
        if native_id is None or native_id is MISSING:
            return Document(locator, None, text, language)
        if isinstance(native_id, bool) or not isinstance(native_id, (int, str)):
            detail = f"{self.id!r} is {kind_of(native_id)}"
            return Rejection(locator, Reason.INVALID_ID, detail, excerpt(*shown))
        return Document(locator, str(native_id).strip() or None, text, language)

    def _is_wanted(self, get: Get) -> bool:
        for name, test in self.where:
            value = get(name)
            if not test(None if value is MISSING else value):
                return False
        return True

    def _text(self, get: Get, kind_of: Callable[[object], str]) -> str | _Problem:
        """The texts that are present and not blank, joined."""
        if len(self.text) == 1:
            value = get(self.text[0])
            return value if isinstance(value, str) else _problem(self.text[0], value, kind_of)
        values = {name: get(name) for name in self.text}
        there = {
            name: value for name, value in values.items() if not (value is None or value is MISSING)
        }
        texts = []
        for name, value in there.items():
            if not isinstance(value, str):
                return _problem(name, value, kind_of)
            texts.append(value)
        if texts:
            return self.join.join(text for text in texts if text.strip())
        names = ", ".join(repr(name) for name in self.text)
        if all(value is MISSING for value in values.values()):
            return _Problem(Reason.MISSING_FIELD, f"none of the fields {names}")
        return _Problem(Reason.NOT_TEXT, f"none of {names} is text")


@dataclass(frozen=True, slots=True)
class _Problem:
    reason: Reason
    detail: str


def _problem(name: str, value: object, kind_of: Callable[[object], str]) -> _Problem:
    if value is MISSING:
        return _Problem(Reason.MISSING_FIELD, f"no field {name!r}")
    return _Problem(Reason.NOT_TEXT, f"{name!r} is {kind_of(value)}")


def _language(value: object) -> str | None:
    """The record's own language; None if it has none."""
    if not isinstance(value, str):
        return None
    value = value.strip()
    # Half a character is not printable, and no table could store it.
    return value if 0 < len(value) <= _MAX_LANGUAGE_CHARS and value.isprintable() else None


def _whole(value: object) -> object:
    """An id that is a number: 12.0 is 12, and NaN is none.

    Tables turn the ids of a column with gaps into such numbers.
    """
    if isinstance(value, float):
        if math.isnan(value):
            return None
        is_whole = value.is_integer() and abs(value) <= _MAX_EXACT_FLOAT
        return int(value) if is_whole else value
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else value
    return value
