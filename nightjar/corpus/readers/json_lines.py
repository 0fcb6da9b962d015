"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nightjar.config import JsonLinesSource
from nightjar.corpus.encodings import open_encoded
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.lines import split_lines
from nightjar.corpus.readers.fields import missing_field, native_id
from nightjar.corpus.readers.plain_text import decoded
from nightjar.corpus.records import Document, Reason, Record, Rejection, excerpt

_MAX_ESCAPED_BYTES = 12
"""A character beyond the basic plane may be written as two escapes of six bytes."""
_OTHER_FIELDS_BYTES = 1 << 20
_MAX_FIELDS_SHOWN = 1_000


def read_json_lines(config: JsonLinesSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """The text field of each object. Raises SourceError when no object has the field."""
    stream = open_encoded(file.content(), "utf-8")
    max_bytes = max_chars * _MAX_ESCAPED_BYTES + _OTHER_FIELDS_BYTES
    fields: set[str] = set()
    has_field = False
    for line in split_lines(stream, max_bytes):
        raw = decoded(f"{file.label}:{line.number}", line.data, line.n_bytes, "utf-8")
        if isinstance(raw, Document) and raw.text.strip():
            parsed = _parse(raw)
            if isinstance(parsed, dict):
                has_field = has_field or config.text_field in parsed
                if len(fields) < _MAX_FIELDS_SHOWN:
                    fields.update(parsed)
                yield _document(config, raw, parsed)
            else:
                yield parsed
        elif isinstance(raw, Document):
            yield Rejection(raw.locator, Reason.EMPTY, "a blank line")
        else:
            yield raw
    if fields and not has_field:
        raise missing_field(file.path, "field", config.text_field, fields)


def _parse(raw: Document) -> dict[str, Any] | Rejection:
    try:
        value = json.loads(raw.text)
    except (ValueError, RecursionError) as error:
        return Rejection(raw.locator, Reason.INVALID_JSON, str(error), excerpt(raw.text))
    if not isinstance(value, dict):
        kind = type(value).__name__
        return Rejection(raw.locator, Reason.NOT_AN_OBJECT, f"is a {kind}", excerpt(raw.text))
    return value


def _document(
    config: JsonLinesSource, raw: Document, fields: dict[str, Any]
) -> Document | Rejection:
    if config.text_field not in fields:
        detail = f"no field {config.text_field!r}"
        return Rejection(raw.locator, Reason.MISSING_FIELD, detail, excerpt(raw.text))
    text = fields[config.text_field]
    if not isinstance(text, str):
        detail = f"{config.text_field!r} is a {type(text).__name__}"
        return Rejection(raw.locator, Reason.NOT_TEXT, detail, excerpt(raw.text))
    if config.id_field is None:
        return Document(raw.locator, None, text)
    found = native_id(fields.get(config.id_field))
    if found is None:
        detail = f"{config.id_field!r} is {fields.get(config.id_field)!r:.50}"
        return Rejection(raw.locator, Reason.INVALID_ID, detail, excerpt(raw.text))
    return Document(raw.locator, found, text)
