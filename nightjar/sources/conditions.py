"""Conditions of the key ``where``, and the error for a field that a file does not have."""

from __future__ import annotations

import datetime as dt
import decimal
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nightjar.config.linear_regex import make_search
from nightjar.errors import SourceError
from nightjar.files.numbers import number_in
from nightjar.sources.rejections import excerpt

_MAX_SHOWN = 30


@dataclass(frozen=True)
class FieldUse:
    """A field named in the configuration, and the key that names it."""

    key: str
    field: str
    is_optional: bool = False
    """Whether a file may lack the field."""


class FieldCheck:
    """Notices a field that no object of a file has: then the config is wrong, not the data."""

    def __init__(self, path: Path, key: str, field: str, is_in: Callable[[Any], bool]) -> None:
        self._path = path
        self._key = key
        self._field = field
        self._is_in = is_in
        self._is_found = False
        self._seen: dict[str, None] = {}

    def see(self, value: Mapping[str, Any]) -> None:
        """Look at one object."""
        if self._is_found or self._is_in(value):
            self._is_found = True
        elif len(self._seen) < _MAX_SHOWN:
            self._seen.update(dict.fromkeys(value))

    def see_all(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Look at objects until one has the field."""
        for value in values:
            if self._is_found:
                return
            self.see(value)

    def finish(self) -> None:
        """Raise SourceError when there were objects, but none with the field."""
        if not self._is_found and self._seen:
            raise missing_field(self._path, self._key, self._field, self._seen)


def missing_field(path: Path, key: str, field: str, available: Iterable[str]) -> SourceError:
    """The error for a configured ``field`` that a file does not have."""
    names = [excerpt(name) for name in available]
    shown = ", ".join(names[:_MAX_SHOWN]) + (", ..." if len(names) > _MAX_SHOWN else "")
    same = [name for name in names if name.strip().casefold() == field.casefold()]
    close = same or difflib.get_close_matches(field, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return SourceError(f"{path}: there is no {key} {field!r}; it has {shown or 'none'}{hint}")


Test = Callable[[object], bool]


def compiled(condition: Any) -> Test:
    """The test for ``condition``, which is as in :mod:`nightjar.config.source_sections`.

    A number also equals text that reads as that number, and true and false the words, because CSV
    has no types. Text is compared character by character, dates as 2026-01-31. A list meets a
    condition when one of its values does. A missing field is null.
    """
    if isinstance(condition, Mapping):
        tests = [_KEYS[key](wanted) for key, wanted in condition.items()]
        return lambda value: all(test(value) for test in tests)
    if isinstance(condition, list):
        options = [compiled(option) for option in condition]
        return lambda value: any(option(value) for option in options)
    return _of_any_element(_equality(condition))


def _equality(wanted: str | float | bool | None) -> Test:
    if wanted is None:
        return lambda value: value is None
    if isinstance(wanted, bool):
        return lambda value: _as_bool(value) is wanted
    if isinstance(wanted, str):
        return lambda value: _as_text(value) == wanted
    return lambda value: _as_number(value) == wanted


def _minimum(bound: str | float) -> Test:
    return _comparison(bound, lambda value, bound: bool(value >= bound))


def _maximum(bound: str | float) -> Test:
    return _comparison(bound, lambda value, bound: bool(value <= bound))


def _comparison(bound: str | float, holds: Callable[[Any, Any], bool]) -> Test:
    convert = _as_text if isinstance(bound, str) else _as_number

    def test(value: object) -> bool:
        converted = convert(value)
        return converted is not None and holds(converted, bound)

    return _of_any_element(test)


def _regex(pattern: str) -> Test:
    is_found = make_search(pattern)

    def test(value: object) -> bool:
        text = _as_text(value)
        return text is not None and is_found(text)

    return _of_any_element(test)


def _negation(condition: Any) -> Test:
    test = compiled(condition)
    return lambda value: not test(value)


_KEYS: Mapping[str, Callable[[Any], Test]] = {
    "min": _minimum,
    "max": _maximum,
    "regex": _regex,
    "not": _negation,
}


def _of_any_element(test: Test) -> Test:
    return lambda value: (
        any(test(element) for element in value) if isinstance(value, list) else test(value)
    )


def _as_bool(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _as_number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    return number_in(str(value)) if isinstance(value, str | decimal.Decimal) else None


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
        return None
    return str(value)


class _Missing:
    """The type of MISSING, for a field that a record does not have."""


MISSING: Final = _Missing()
