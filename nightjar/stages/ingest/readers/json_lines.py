"""JSON Lines, one object per line; and rows of a database, from the files fetched from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from nightjar.config import JsonLinesSource, SqlSource
from nightjar.errors import SourceError
from nightjar.stages.ingest.encodings import decoded, open_encoded
from nightjar.stages.ingest.input_file import InputFile
from nightjar.stages.ingest.readers.field_mapping import (
    MISSING,
    FieldCheck,
    FieldMapping,
    TooLongValue,
)
from nightjar.stages.ingest.readers.plain_text import Line, split_lines
from nightjar.stages.ingest.records import Reason, Record, Rejection, excerpt
from nightjar.stages.ingest.remote.row_parts import TOO_LONG
from nightjar.wording import counted

_MAX_BYTES_PER_CHAR = 12
r"""``\ud83d\ude00`` is one character."""
_OTHER_FIELDS_BYTES = 1 << 20
_EXTRA = re.compile(r"Extra data: line 1 column (\d+)")


def read_json_lines(source: JsonLinesSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_field``, with the id from ``id_field`` if there is one.

    Memory: one line. Raises SourceError when the file is one JSON array or printed over several
    lines, or when no object has a configured field.
    """
    mapping = FieldMapping.of(source)
    checks = [
        FieldCheck(file.path, use.key, use.field, partial(_has, use.field))
        for use in mapping.uses()
        if not use.is_optional
    ]
    stream = open_encoded(file.content(), source.encoding)
    is_first = True
    for line in split_lines(stream, max_chars * _MAX_BYTES_PER_CHAR + _OTHER_FIELDS_BYTES):
        if line.n_lines > 1:
            yield line.blank(file.label)
            continue
        locator = line.locator(file.label)
        value = _parsed(line, locator, stream.encoding.name, source.errors)
        if is_first and not (isinstance(value, Rejection) and value.reason is Reason.EMPTY):
            is_first = False
            _check_is_lines(file, line, value, stream.encoding.name)
        if isinstance(value, Rejection):
            yield value
            continue
        for check in checks:
            check.see(value)
        yield mapping.record(
            locator,
            partial(_text_or_value, value, source.errors),
            _kind,
            (line.data, stream.encoding.name),
        )
    for check in checks:
        check.finish()


def _has(path: str, value: dict[str, Any]) -> bool:
    return _field(value, path) is not MISSING


_HALVES = re.compile("[\ud800-\udfff]")


def _text_or_value(value: dict[str, Any], errors: str, path: str) -> object:
    """The field ``path``; JSON can name half a character, as bytes can be none."""
    found = _field(value, path)
    if errors == "replace" and isinstance(found, str) and not found.isascii():
        return _HALVES.sub("\ufffd", found)
    return found


def _field(value: dict[str, Any], path: str) -> object:
    """The field ``path``, or MISSING; without a field a.b, ``a.b`` is field b of object a."""
    if path in value:
        return value[path]
    found: object = value
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return MISSING
        found = found[name]
    return found


def _parsed(line: Line, locator: str, encoding: str, errors: str) -> dict[str, Any] | Rejection:
    def rejection(reason: Reason, detail: str) -> Rejection:
        return Rejection(locator, reason, detail, excerpt(line.data, encoding))

    if line.is_cut:
        detail = f"{counted(line.n_bytes, 'byte')}, more than a text of max_chars can take"
        return rejection(Reason.TOO_LONG, detail)
    try:
        text = decoded(line.data, encoding, errors)
    except UnicodeError as error:
        return rejection(Reason.UNDECODABLE, str(error))
    if not text.strip():
        return rejection(Reason.EMPTY, "the line is blank")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return rejection(Reason.INVALID_JSON, str(error))
    if not isinstance(value, dict):
        return rejection(Reason.NOT_AN_OBJECT, f"a JSON {_type(value)}, not an object")
    return value


def _check_is_lines(
    file: InputFile, line: Line, value: dict[str, Any] | Rejection, encoding: str
) -> None:
    """Reject a file whose first line shows that it is JSON, but not JSON Lines."""
    if not isinstance(value, Rejection):
        return
    start = line.data[:_OTHER_FIELDS_BYTES].decode(encoding, "replace").strip()
    is_array = start == "[" or (start.startswith("[") and start[1:].lstrip().startswith("{"))
    extra = _EXTRA.match(value.detail)
    is_joined = extra is not None and start[int(extra[1]) - 1 :].startswith("{")
    if is_array or is_joined or start == "{":
        held = "one JSON array" if is_array else "JSON objects not on a line each"
        raise SourceError(
            f"{file.path}: holds {held}; JSON Lines is one object on each line, as "
            f"jq -c {'.[]' if is_array else '.'} FILE writes it"
        )


def _kind(value: object) -> str:
    return f"a JSON {_type(value)}"


def _type(value: object) -> str:
    """The JSON type of ``value``."""
    names = {bool: "boolean", dict: "object", list: "array", str: "string"}
    return "null" if value is None else names.get(type(value), "number")


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
