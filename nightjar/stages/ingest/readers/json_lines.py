"""JSON Lines, one object per line; and rows of a database, from the files fetched from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from nightjar.config import JsonLinesSource, SqlSource
from nightjar.sources.conditions import MISSING, FieldCheck
from nightjar.sources.encodings import decoded, open_encoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.json_objects import (
    OTHER_FIELDS_BYTES,
    check_is_lines,
    has_field,
    json_type,
    parsed_object,
    text_or_value,
)
from nightjar.sources.rejections import Reason, Rejection
from nightjar.sources.remote.row_parts import TOO_LONG
from nightjar.sources.text_lines import split_lines
from nightjar.stages.ingest.readers.field_mapping import FieldMapping, TooLongValue
from nightjar.stages.ingest.records import Record

_MAX_BYTES_PER_CHAR = 12
r"""``\ud83d\ude00`` is one character."""


def read_json_lines(source: JsonLinesSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_field``, with the id from ``id_field`` if there is one.

    Memory: one line. Raises SourceError when the file is one JSON array or printed over several
    lines, or when no object has a configured field.
    """
    mapping = FieldMapping.of(source)
    checks = [
        FieldCheck(file.path, use.key, use.field, partial(has_field, use.field))
        for use in mapping.uses()
        if not use.is_optional
    ]
    stream = open_encoded(file.content(), source.encoding)
    is_first = True
    for line in split_lines(stream, max_chars * _MAX_BYTES_PER_CHAR + OTHER_FIELDS_BYTES):
        if line.n_lines > 1:
            yield line.blank(file.label)
            continue
        locator = line.locator(file.label)
        value = parsed_object(line, locator, stream.encoding.name, source.errors)
        if is_first and not (isinstance(value, Rejection) and value.reason is Reason.EMPTY):
            is_first = False
            check_is_lines(file, line, value, stream.encoding.name)
        if isinstance(value, Rejection):
            yield value
            continue
        for check in checks:
            check.see(value)
        yield mapping.record(
            locator,
            partial(text_or_value, value, source.errors),
            _kind,
            (line.data, stream.encoding.name),
        )
    for check in checks:
        check.finish()


def _kind(value: object) -> str:
    return f"a JSON {json_type(value)}"


_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_MAX_BYTES = 1 << 31
"""Largest row; databases allow no more."""


def read_rows(source: SqlSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """One document per row, with its key as id. Memory: one row."""
    del max_chars  # longer values were cut when they were fetched
    mapping = FieldMapping.of(source)
    for line in split_lines(open_encoded(file.content(), "utf-8"), _MAX_BYTES):
        row: dict[str, Any] = json.loads(line.data)
        locator = f"{source.key_column} {row[source.key_column]}"
        get = partial(_value, row, source.errors)
        yield mapping.record(locator, get, _kind_in_database, (line.data, "utf-8"))


def _value(row: Mapping[str, Any], errors: str, name: str) -> object:
    value = row.get(name, MISSING)
    if isinstance(value, str) and not value.isascii() and _ESCAPED_BYTE.search(value):
        with suppress(UnicodeEncodeError):  # halves of characters in a column of JSON
            data = value.encode("utf-8", "surrogateescape")
            return decoded(data, "utf-8", errors)
    if isinstance(value, dict) and TOO_LONG in value:
        raise TooLongValue(name, value[TOO_LONG])
    return value


def _kind_in_database(value: object) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
