"""Overrides: ``a.b=c`` on the command line in place of a value in the file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from nightjar.config import layout
from nightjar.config.yaml_text import parse, problem_of
from nightjar.errors import ConfigError
from nightjar.files import urls


@dataclass(frozen=True)
class Override:
    """One override: as written, the keys it leads to and the value it gives."""

    text: str
    keys: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return f"override {urls.redacted(self.text)!r}"


def parse_override(text: str) -> Override:
    """Read ``section.key=value``; the value is YAML. Raises ConfigError."""
    path, separator, raw_value = text.partition("=")
    keys = tuple(part.strip() for part in path.split("."))
    if not separator or not all(keys):
        raise ConfigError(f"override {text!r}: write it as section.key=value")
    try:
        value = parse(raw_value)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"override {text!r}: the value is not valid YAML ({problem_of(error)[1]}); "
            f"text with such characters goes in quotes: --set \"{path}='{raw_value}'\""
        ) from error
    if value is None and raw_value.strip().lower() not in ("null", "~"):
        raise ConfigError(f"override {text!r}: there is no value; write null to have none")
    return Override(text, keys, value)


def apply_overrides(document: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """A copy of ``document`` with each override applied in turn.

    Null removes a section and otherwise is a value. Raises ConfigError when a key leads
    through a value, or null is to remove a named section that is not there.
    """
    for override in overrides:
        document = _applied(document, override)
    return document


def _applied(document: dict[str, Any], override: Override) -> dict[str, Any]:
    # Only what lies on the way is copied: YAML aliases share sections that must not change.
    result = dict(document)
    target = result
    for depth, key in enumerate(override.keys[:-1], start=1):
        section = target.get(key)
        if section is not None and not isinstance(section, dict):
            name = ".".join(override.keys[:depth])
            kind = "a list" if isinstance(section, list) else "a value"
            raise ConfigError(f"{override}: {name!r} is {kind}, not a section; set all of it")
        target[key] = target = dict(section or {})
    key = override.keys[-1]
    if override.value is not None or not layout.is_section(layout.at(override.keys, result)):
        target[key] = override.value
        return result
    if key not in target and layout.is_map(layout.at(override.keys[:-1], result)):
        close = difflib.get_close_matches(key, list(map(str, target)), n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{override}: there is no {'.'.join(override.keys)!r} to remove{hint}")
    target.pop(key, None)
    return result
