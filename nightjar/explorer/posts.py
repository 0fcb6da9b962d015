"""The shape of what the page's script posts; another one is refused before Dash reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

PATH = "/_dash-update-component"
_PARTS = ("inputs", "state")
_TEXTS = ("pathname", "search")


def misshapen(callbacks: Mapping[str, Any], body: Any) -> str | None:
    """Why ``body`` asks none of ``callbacks`` (Dash's ``callback_map``); None when it asks one."""
    if not isinstance(body, dict):
        return "the request is no JSON object"
    output = body.get("output")
    callback = callbacks.get(output) if isinstance(output, str) else None
    if callback is None or "callback" not in callback:
        return "'output' names nothing that is computed here"
    changed = body.get("changedPropIds", [])
    if not isinstance(changed, list) or not all(isinstance(name, str) for name in changed):
        return "'changedPropIds' is no list of names"
    if _name_of(body.get("outputs")) != output:
        return "'outputs' is not what 'output' says"
    for part in _PARTS:
        if not _fits(callback[part], body.get(part, [])):
            return f"{part!r} has another shape than 'output' needs"
    if not _agree(callback, body):
        return "the fields of 'inputs' and 'state' are not the same ones"
    return None


def _name_of(outputs: Any) -> str | None:
    """Dash's name for one output, or for several; None for what is neither."""
    given = outputs if isinstance(outputs, list) else [outputs]
    if not all(isinstance(entry, dict) for entry in given):
        return None
    names = [f"{entry.get('id')}.{entry.get('property')}" for entry in given]
    return f"..{'...'.join(names)}.." if isinstance(outputs, list) else names[0]


def _fits(expected: Sequence[Mapping[str, str]], given: Any) -> bool:
    return (
        isinstance(given, list)
        and len(given) == len(expected)
        and all(_is_entry(*pair) for pair in zip(expected, given, strict=True))
    )


def _is_entry(expected: Mapping[str, str], given: Any) -> bool:
    """Whether a field, or a list of fields where Dash knows them by a pattern, is given."""
    if _is_pattern(expected["id"]):
        return isinstance(given, list) and all(
            _is_field(expected["property"], entry) and _is_key(entry["id"]) for entry in given
        )
    identity = expected["id"]
    own = json.loads(identity) if identity.startswith("{") else identity
    return _is_field(expected["property"], given) and given["id"] == own


def _is_field(name: str, entry: Any) -> bool:
    if not isinstance(entry, dict) or "id" not in entry or entry.get("property") != name:
        return False
    value = entry.get("value")
    if name in _TEXTS:
        return isinstance(value, str | None)
    if name == "value":
        return isinstance(value, str | int | float | None)
    return name != "id" or value == entry["id"]


def _is_pattern(identity: str) -> bool:
    """Whether it stands for every field of a kind, as in ``{"text":["ALL"]}``."""
    return identity.startswith("{") and '["ALL"]' in identity


def _is_key(identity: Any) -> bool:
    """Whether it is the key of a field, such as ``{"text": "word"}``."""
    return (
        isinstance(identity, dict)
        and len(identity) == 1
        and all(isinstance(value, str) for value in identity.values())
    )


def _agree(callback: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether each pattern stands for the same fields wherever it occurs."""
    found: dict[str, list[Any]] = {}
    for part in _PARTS:
        for expected, given in zip(callback[part], body.get(part, []), strict=True):
            if not _is_pattern(expected["id"]):
                continue
            keys = [entry["id"] for entry in given]
            if not all(f'"{name}"' in expected["id"] for key in keys for name in key):
                return False
            if found.setdefault(expected["id"], keys) != keys:
                return False
    return True
