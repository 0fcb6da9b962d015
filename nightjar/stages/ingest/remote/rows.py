"""A row of a database as one line of JSON, the same whichever night it was read."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from nightjar.errors import SourceError

Key = int | str
"""What tells rows apart, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is to be stored."""

    key: Key
    line: bytes
    """JSON with its columns in order, and a line end."""
    digest: int
    """64 bits of BLAKE2b of the key."""


def make_row(names: Sequence[str], values: Sequence[Any], key: Any, place: str) -> Row:
    """The row with columns ``names``, of which ``key`` tells it apart.

    Times are written as ISO 8601 has them, decimal numbers as numbers, whole where they are,
    what is not finite as null. ``place``: names the row for people. Raises SourceError for a
    value that is no text, number, time, truth value, list or object, and for a key that is
    neither text nor a whole number.
    """
    fields = {
        name: _json_value(value, name, place) for name, value in zip(names, values, strict=True)
    }
    found = as_key(key, place)
    return Row(found, _line(fields), key_digest(found))


def as_key(value: Any, place: str) -> Key:
    """The key as it is stored. Raises SourceError as :func:`make_row` does."""
    found = _json_value(value, "key_column", place)
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise SourceError(f"{place}: its key is {_shown(value)}; a key is text or a whole number")
    return found


def key_digest(key: Key) -> int:
    """64 bits that tell keys apart; an int and the same digits as text differ."""
    mark = b"i" if isinstance(key, int) else b"s"
    data = mark + str(key).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _line(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # half a character, which ingest will report
        return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _json_value(value: Any, name: str, place: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return [_json_value(item, name, place) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _json_value(item, name, place) for key, item in value.items()}
    raise SourceError(
        f"{place}: column {name!r} holds {_shown(value)}; cast it to text in the query"
    )


def _shown(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
