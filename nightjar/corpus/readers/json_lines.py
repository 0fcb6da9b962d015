"""JSON Lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nightjar.config import JsonLinesSource
from nightjar.corpus.encodings import open_encoded
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.lines import Line, split_lines
from nightjar.corpus.readers.fields import FieldCheck
from nightjar.corpus.records import Document, Reason, Record, Rejection, excerpt

_MAX_BYTES_PER_CHAR = 12
r"""``\ud83d\ude00`` is one character."""
_OTHER_FIELDS_BYTES = 1 << 20


def read_json_lines(source: JsonLinesSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents from ``text_field``, with their id from ``id_field`` where there is one.

    Holds one line. Raises SourceError when no object of the file has the field.
    """
    checks = [FieldCheck(file.path, "text_field", source.text_field)]
    if source.id_field is not None:
        checks.append(FieldCheck(file.path, "id_field", source.id_field))
    stream = open_encoded(file.content(), "utf-8")
    for line in split_lines(stream, max_chars * _MAX_BYTES_PER_CHAR + _OTHER_FIELDS_BYTES):
        locator = f"{file.label}:{line.number}"
        value = _parsed(line, locator)
        if isinstance(value, Rejection):
            yield value
            continue
        for check in checks:
            check.see(value)
        yield _document(source, value, locator, line)
    for check in checks:
        check.finish()


def _parsed(line: Line, locator: str) -> dict[str, Any] | Rejection:
    def rejection(reason: Reason, detail: str) -> Rejection:
        return Rejection(locator, reason, detail, excerpt(line.data))

    if line.is_cut:
        detail = f"{line.n_bytes} bytes, more than a text of ingest.max_chars can take"
        return rejection(Reason.TOO_LONG, detail)
    if not line.data.strip():
        return rejection(Reason.EMPTY, "the line is blank")
    try:
        value = json.loads(line.data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return rejection(Reason.UNDECODABLE, str(error))
    except (ValueError, RecursionError) as error:
        return rejection(Reason.INVALID_JSON, str(error))
    if not isinstance(value, dict):
        return rejection(Reason.NOT_AN_OBJECT, f"a JSON {_kind(value)}, not an object")
    return value


def _document(source: JsonLinesSource, value: dict[str, Any], locator: str, line: Line) -> Record:
    def rejection(reason: Reason, detail: str) -> Rejection:
        return Rejection(locator, reason, detail, excerpt(line.data))

    if source.text_field not in value:
        return rejection(Reason.MISSING_FIELD, f"no field {source.text_field!r}")
    text = value[source.text_field]
    if not isinstance(text, str):
        return rejection(Reason.NOT_TEXT, f"{source.text_field!r} is a JSON {_kind(text)}")
    native_id = None if source.id_field is None else value.get(source.id_field)
    if native_id is not None and (
        isinstance(native_id, bool) or not isinstance(native_id, int | str)
    ):
        kind = _kind(native_id)
        return rejection(Reason.INVALID_ID, f"{source.id_field!r} is a JSON {kind}")
    return Document(locator, None if native_id is None else str(native_id), text)


def _kind(value: object) -> str:
    """What JSON calls the type of ``value``."""
    names = {bool: "boolean", dict: "object", list: "array", str: "string"}
    return "null" if value is None else names.get(type(value), "number")
