"""What ``where`` of a source may say: a condition for each field that decides."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_KEYS = ("min", "max", "regex", "not")


def checked_conditions(where: Mapping[str, Any]) -> Mapping[str, Any]:
    """``where`` itself. Raises ValueError naming the field whose condition is none."""
    for field, condition in where.items():
        if not field:
            raise ValueError("the name of a field is empty")
        _check(field, condition)
    return where


def _check(field: str, condition: Any) -> None:
    if isinstance(condition, Mapping):
        _check_mapping(field, condition)
    elif isinstance(condition, list):
        if not condition:
            raise ValueError(f"{field}: the list is empty, so no record would be left")
        for value in condition:
            _check_value(field, value)
    else:
        _check_value(field, condition)


def _check_value(field: str, value: Any) -> None:
    is_value = value is None or isinstance(value, bool | int | float | str)
    if not is_value:
        raise ValueError(
            f"{field}: expected text, a number, true, false, null, a list of them or "
            f"{{{', '.join(_KEYS)}}} (got {value!r}); put dates in quotes"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{field}: {value!r} compares with nothing")


def _check_mapping(field: str, condition: Mapping[Any, Any]) -> None:
    unknown = [str(key) for key in condition if key not in _KEYS]
    if unknown or not condition:
        found = ", ".join(unknown) or "nothing"
        raise ValueError(f"{field}: expected {', '.join(_KEYS)} (got {found})")
    bounds = [condition[key] for key in ("min", "max") if key in condition]
    for bound in bounds:
        _check_value(f"{field}: min and max", bound)
    is_text = {isinstance(bound, str) for bound in bounds}
    is_number = all(isinstance(bound, int | float | str) for bound in bounds)
    if len(is_text) > 1 or not is_number or any(isinstance(bound, bool) for bound in bounds):
        raise ValueError(f"{field}: min and max are two numbers, or two texts such as '2026-01-31'")
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        raise ValueError(f"{field}: min is above max, so no record would be left")
    if "regex" in condition:
        _check_regex(field, condition["regex"])
    if "not" in condition:
        _check(field, condition["not"])


def _check_regex(field: str, pattern: Any) -> None:
    if not isinstance(pattern, str):
        raise ValueError(f"{field}: a regex is text (got {pattern!r})")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{field}: not a regular expression: {error}") from error
