"""The values of a role: ids are text exactly as written, weights are positive numbers.

Each function takes a :class:`.raw_rows.Column` and converts its distinct values, once each. What
does not fit has a problem with a reason.
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.files.numbers import number_in
from nightjar.sources.conditions import MISSING
from nightjar.sources.rejections import ERRORS, Reason, excerpt
from nightjar.sources.remote.row_parts import TOO_LONG
from nightjar.sources.tables.raw_rows import Column, Problem
from nightjar.wording import counted


class RowReason(StrEnum):
    """Why a row is in quarantine, beyond the reasons that documents have, too."""

    NEGATIVE_WEIGHT = "negative_weight"
    ZERO_WEIGHT = "zero_weight"
    NOT_A_NUMBER = "not_a_number"
    NOT_A_TIME = "not_a_time"
    NO_TIME_ZONE = "no_time_zone"


ROW_ERRORS: frozenset[str] = frozenset((*ERRORS, *RowReason))
"""Reasons that mean an error in the row; all of them but blank lines."""
MAX_ID_CHARS = 1_000
_LINE_ENDS = r"[\x00\n\r\x0b\x0c\x1c-\x1e\x{85}\x{2028}\x{2029}]"
_HALVES = re.compile("[\ud800-\udfff]")
_MAX_EXACT_FLOAT = 2.0**53
_MAX_WEIGHT, _MIN_WEIGHT = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Converted:
    """The distinct values of a column, converted; those with problems hold anything."""

    values: pa.Array
    problems: dict[int, Problem]


def as_ids(column: Column, name: str) -> Converted:
    """Ids as text: integers as their digits, floats that are whole as those, too."""
    problems = dict(column.problems)
    values = column.values
    if isinstance(values, pa.Array) and pa.types.is_integer(values.type):
        texts = values.cast(pa.string())
    elif isinstance(values, pa.Array) and pa.types.is_string(values.type):
        texts = values
    else:
        found = [_id_text(value, name) for value in column.objects()]
        for code, text in enumerate(found):
            if isinstance(text, Problem):
                problems.setdefault(code, text)
        clean = [None if isinstance(text, Problem) else text for text in found]
        texts = pa.array(clean, pa.string())
    _check_texts(texts, name, problems)
    return Converted(pc.fill_null(texts, ""), problems)


def _id_text(value: object, name: str) -> str | Problem:
    if isinstance(value, str):
        halves = _HALVES.search(value) if not value.isascii() else None
        return value if halves is None else _invalid(name, "has half a character")
    if value is MISSING:
        return Problem(Reason.MISSING_FIELD, f"no field {name!r}")
    if value is None:
        return _invalid(name, "is null")
    if isinstance(value, bool):
        return _invalid(name, "is true or false")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | decimal.Decimal):
        return _number_text(value, name)
    if isinstance(value, dict) and TOO_LONG in value:
        return _invalid(name, f"has {counted(value[TOO_LONG], 'byte')}")
    return _invalid(name, f"is a {type(value).__name__}")


def _number_text(value: float | decimal.Decimal, name: str) -> str | Problem:
    if not math.isfinite(value):
        return _invalid(name, f"is {value}")
    if value != int(value):
        return str(value)
    if isinstance(value, float) and abs(value) > _MAX_EXACT_FLOAT:
        return _invalid(name, f"is {value}, a float too large to be exact; store integers or text")
    return str(int(value))


def _invalid(name: str, what: str) -> Problem:
    return Problem(Reason.INVALID_ID, f"{name!r} {what}")


def _check_texts(texts: pa.Array, name: str, problems: dict[int, Problem]) -> None:
    """Find null, blank and endless ids, and those that no line of text can hold."""
    lengths = pc.utf8_length(texts)
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(texts)), 0)
    faults = (
        (pc.is_null(texts), "is null"),
        (pc.equal(lengths, 0), "is empty"),
        (blank, "is white space"),
        (pc.greater(lengths, MAX_ID_CHARS), f"has more than {MAX_ID_CHARS:,} characters"),
        (pc.match_substring_regex(texts, _LINE_ENDS), "has a line break or a NUL character"),
    )
    for mask, what in faults:
        for code in _places(mask):
            problems.setdefault(code, _invalid(name, what))


def _places(mask: pa.Array) -> list[int]:
    found = np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))
    return [int(code) for code in found]


def as_weights(column: Column, name: str) -> Converted:
    """Weights as float64; they are finite, positive, and within what float32 holds."""
    problems = dict(column.problems)
    numbers = _numbers(column)
    is_beyond = np.abs(numbers) > _MAX_WEIGHT
    is_tiny = (np.abs(numbers) < _MIN_WEIGHT) & (numbers != 0)
    faults: tuple[tuple[NDArray[np.bool_], RowReason, str], ...] = (
        (np.isnan(numbers) | is_beyond, RowReason.NOT_A_NUMBER, "is no number of moderate size"),
        (numbers < 0, RowReason.NEGATIVE_WEIGHT, "is negative"),
        ((numbers == 0) | is_tiny, RowReason.ZERO_WEIGHT, "is zero"),
    )
    for mask, reason, what in faults:
        for code in np.flatnonzero(mask).tolist():
            problems.setdefault(code, Problem(reason, f"{name!r} {what}"))
    return Converted(pa.array(numbers, pa.float64()), problems)


def _numbers(column: Column) -> NDArray[np.float64]:
    """Each value as a number; NaN for one that is none."""
    values = column.values
    if isinstance(values, pa.Array):
        kind = values.type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if is_number or pa.types.is_string(kind):
            try:
                cast = pc.cast(values, pa.float64(), safe=not is_number)
            except pa.ArrowInvalid:  # text that is none, or with a plus or spaces
                pass
            else:
                return np.asarray(cast.fill_null(math.nan).to_numpy(zero_copy_only=False))
    return np.array([_number(value) for value in column.objects()], np.float64)


def _number(value: object) -> float:
    if isinstance(value, bool):
        return math.nan
    if isinstance(value, int | float):
        return _as_float(value)
    found = number_in(str(value)) if isinstance(value, str | decimal.Decimal) else None
    return math.nan if found is None else found


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of JSON with 400 digits
        return math.inf


def as_titles(column: Column, name: str) -> Converted:
    """Text to show, stripped; null where there is none."""
    problems = dict(column.problems)
    found: list[str | None] = []
    for code, value in enumerate(column.objects()):
        text = _shown(value)
        if text is None and not (value is None or value is MISSING):
            problems.setdefault(code, Problem(Reason.NOT_TEXT, f"{name!r} is no text"))
        found.append(text or None)
    return Converted(pa.array(found, pa.string()), problems)


def as_attributes(column: Column, name: str) -> Converted:
    """Lists of ``name=value``; text with ``|`` between values has several, and so has a list."""
    problems = dict(column.problems)
    found: list[list[str]] = []
    for code, value in enumerate(column.objects()):
        parts: Sequence[Any] = value if isinstance(value, list) else (value,)
        texts = [_shown(part) for part in parts if not (part is None or part is MISSING)]
        if None in texts:
            problems.setdefault(code, Problem(Reason.NOT_TEXT, f"{name!r} is no text"))
        values = [part.strip() for text in texts if text for part in text.split("|")]
        found.append([f"{name}={value}" for value in dict.fromkeys(values) if value])
    return Converted(pa.array(found, pa.list_(pa.string())), problems)


def _shown(value: object) -> str | None:
    """A value as text to show; None for one that is none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | decimal.Decimal):
        return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
    if isinstance(value, dict | list) or value is None or value is MISSING:
        return None
    text = str(value)
    if not text.isascii() and _HALVES.search(text):
        return None
    return text.replace("\0", "").strip()


def shown_value(value: object) -> str:
    """A value in a quarantine's excerpt."""
    return excerpt("" if value is None or value is MISSING else str(value))
