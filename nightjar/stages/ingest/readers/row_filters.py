"""The conditions of ``where``, as tests of a value."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[object], bool]


def compiled(condition: Any) -> Test:
    """The test that ``condition`` (as :mod:`nightjar.config.conditions` takes it) asks for.

    A number also equals text that reads as that number, true and false the words, as tables
    without types need it. Text compares with text character by character, dates as in
    2026-01-31. A list fulfils a condition when one of its values does. What is missing is null.
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
    search = re.compile(pattern).search

    def test(value: object) -> bool:
        text = _as_text(value)
        return text is not None and search(text) is not None

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
    if isinstance(value, str | decimal.Decimal):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
        return None
    return str(value)
