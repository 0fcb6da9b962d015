"""JSON Lines: the object on a line, its fields, and files that are JSON but no lines."""

from __future__ import annotations

import json
import re
from typing import Any

from nightjar.errors import SourceError
from nightjar.sources.conditions import MISSING
from nightjar.sources.encodings import decoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import Reason, Rejection, excerpt
from nightjar.sources.text_lines import Line
from nightjar.wording import counted

OTHER_FIELDS_BYTES = 1 << 20
"""Room on a line for fields that are not read."""
_EXTRA = re.compile(r"Extra data: line 1 column (\d+)")


def has_field(path: str, value: dict[str, Any]) -> bool:
    """Whether the object has the field ``path``."""
    return field_at(value, path) is not MISSING


_HALVES = re.compile("[\ud800-\udfff]")


def text_or_value(value: dict[str, Any], errors: str, path: str) -> object:
    """The field ``path``; JSON can name half a character, as bytes can be none."""
    found = field_at(value, path)
    if errors == "replace" and isinstance(found, str) and not found.isascii():
        return _HALVES.sub("\ufffd", found)
    return found


def field_at(value: dict[str, Any], path: str) -> object:
    """The field ``path``, or MISSING; without a field a.b, ``a.b`` is field b of object a."""
    if path in value:
        return value[path]
    found: object = value
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return MISSING
        found = found[name]
    return found


def parsed_object(
    line: Line, locator: str, encoding: str, errors: str
) -> dict[str, Any] | Rejection:
    """The object on a line, or why there is none."""

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
        return rejection(Reason.NOT_AN_OBJECT, f"a JSON {json_type(value)}, not an object")
    return value


def check_is_lines(
    file: InputFile, line: Line, value: dict[str, Any] | Rejection, encoding: str
) -> None:
    """Reject a file whose first line shows that it is JSON, but not JSON Lines."""
    if not isinstance(value, Rejection):
        return
    start = line.data[:OTHER_FIELDS_BYTES].decode(encoding, "replace").strip()
    is_array = start == "[" or (start.startswith("[") and start[1:].lstrip().startswith("{"))
    extra = _EXTRA.match(value.detail)
    is_joined = extra is not None and start[int(extra[1]) - 1 :].startswith("{")
    if is_array or is_joined or start == "{":
        held = "one JSON array" if is_array else "JSON objects not on a line each"
        raise SourceError(
            f"{file.path}: holds {held}; JSON Lines is one object on each line, as "
            f"jq -c {'.[]' if is_array else '.'} FILE writes it"
        )


def json_type(value: object) -> str:
    """The JSON type of ``value``."""
    names = {bool: "boolean", dict: "object", list: "array", str: "string"}
    return "null" if value is None else names.get(type(value), "number")
