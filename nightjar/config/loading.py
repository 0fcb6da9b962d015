"""Reading ``pipeline_config.yaml``: the file, the overrides, and errors in them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nightjar.config import layout
from nightjar.config.layout import Keys
from nightjar.config.models import NightjarConfig
from nightjar.config.yaml_text import (
    UnclearValue,
    line_of,
    parse,
    parse_document,
    problem_of,
    read_text,
)
from nightjar.errors import ConfigError
from nightjar.files import urls
from nightjar.wording import counted

_LOGIN = re.compile(r"://.*@")


@dataclass(frozen=True)
class Override:
    """One override: as written, its keys and its value."""

    text: str
    keys: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        text = self.text
        if self.keys[-1] == "tracking_uri":  # its password may have any signs, as in u:1/x@host
            text = _LOGIN.sub("://", text)
        return f"override {urls.redacted(text)!r}"


def parse_override(text: str) -> Override:
    """Read ``section.key=value``; the value is YAML. Raises ConfigError."""
    path, separator, raw_value = text.partition("=")
    keys = tuple(part.strip() for part in path.split("."))
    if not separator or not all(keys):
        raise ConfigError(f"override {urls.redacted(text)!r}: write it as section.key=value")
    try:
        value = parse(raw_value, keys)
    except UnclearValue as error:
        raise ConfigError(f"override {urls.redacted(text)!r}: {problem_of(error)[1]}") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"override {urls.redacted(text)!r}: the value is not valid YAML "
            f"({problem_of(error)[1]}); text with such characters goes in quotes: "
            f"--set \"{path}='{urls.redacted(raw_value)}'\""
        ) from error
    if value is None and raw_value.strip().lower() not in ("null", "~"):
        raise ConfigError(
            f"override {urls.redacted(text)!r}: there is no value; write null to have none"
        )
    return Override(text, keys, value)


def apply_overrides(document: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """A copy of ``document`` with each override applied in turn.

    Null removes a section; otherwise it is a value. Raises ConfigError when a key leads through a
    value, or a named section to remove does not exist.
    """
    for override in overrides:
        document = _applied(document, override)
    return document


def _applied(document: dict[str, Any], override: Override) -> dict[str, Any]:
    # Only sections along the path are copied: others may be shared by YAML aliases.
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


_KEY_ITSELF = "[key]"
_MAX_SHOWN_CHARS = 60
_MAX_PROBLEMS = 20
_NAMES = "names are lower-case letters, digits and dashes, at most 63"

_SIZE = "a whole number of bytes, or a number with a unit as in 512MB or 2GiB"

_EXPECTED: Mapping[str, str] = {
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "string_type": "should be text",
    "list_type": "should be a list",
    "dict_type": "should be a section with keys",
    "model_type": "should be a section with keys",
    "model_attributes_type": "should be a section with keys",
    "string_pattern_mismatch": f"is not a valid name: {_NAMES}",
    "string_unicode": "has a character that is no Unicode character",
    "too_short": "should have at least {min_length} entry",
    "string_too_short": "should not be empty",
    "string_too_long": "should be one character",
    "greater_than_equal": "should be at least {ge}",
    "greater_than": "should be above {gt}",
    "less_than_equal": "should be at most {le}",
    "less_than": "should be below {lt}",
    "literal_error": "should be {expected}",
    "byte_size": f"should be {_SIZE}",
    "byte_size_unit": f"should be {_SIZE}",
}


@dataclass(frozen=True)
class ConfigText:
    """The origin of a configuration: the file, and the overrides.

    ``original`` is the content of the file, ``document`` the same with ``overrides`` applied.
    """

    name: str
    text: str
    original: Mapping[str, Any]
    document: Mapping[str, Any]
    overrides: Sequence[Override]


def problems(error: ValidationError, source: ConfigText) -> list[str]:
    """A line for each error: its place, the expected value, the actual one.

    Of many errors the first are described and the others counted.
    """
    lines: list[str] = []
    n_more = 0
    for detail in error.errors(include_url=False):
        keys = _user_keys(detail["loc"], source.document)
        if keys is None:
            continue
        if len(lines) < _MAX_PROBLEMS:
            lines.append(_line(detail, keys, source))
        else:
            n_more += 1
    if n_more:
        lines.append(
            f"{source.name}: and {counted(n_more, 'more error')} like these; mend these first"
        )
    return lines


def _user_keys(location: tuple[int | str, ...], document: Mapping[str, Any]) -> Keys | None:
    """The place of an error, without the names that pydantic gives to members of a union.

    None for an error in a member that the value was not meant to be: text or a list.
    """
    annotation: Any = NightjarConfig
    keys: list[int | str] = []
    for step in location:
        if step == _KEY_ITSELF:
            return (*keys, _KEY_ITSELF)
        if layout.members(annotation):
            annotation = layout.member(annotation, step)
        elif layout.is_union(annotation):
            is_list = isinstance(layout.value_at(keys, document), list)
            if is_list != str(step).startswith("list"):
                return None
            annotation = list[str] if is_list else str
        else:
            keys.append(step)
            annotation = layout.child(annotation, step)
    return tuple(keys)


def _line(detail: ErrorDetails, keys: Keys, source: ConfigText) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"{_where(keys, source)}: {_unknown_key(keys, source)}"
    if kind == "missing":
        return f"{_where(keys, source)}: the key {_dotted(keys)!r} is missing"
    if kind == "union_tag_not_found":
        return _tag_missing(keys, source)
    if kind == "union_tag_invalid":
        return _tag_invalid(keys, source)
    if kind == "invalid_key" or keys[-1:] == (_KEY_ITSELF,):
        keys = keys if kind == "invalid_key" else keys[:-1]
        is_text = isinstance(keys[-1], str)
        reason = _NAMES if is_text else "a key is text, put it in quotes"
        return f"{_where(keys, source)}: {_dotted(keys)!r} is not a valid name: {reason}"
    if kind == "value_error":
        message = detail["msg"].removeprefix("Value error, ")
        prefix = f"{_dotted(keys)}: " if keys else ""
        return f"{_where(keys, source)}: {prefix}{message}{_overrides_below(keys, source)}"
    value = layout.value_at(keys, source.document)
    return f"{_where(keys, source)}: {_dotted(keys)}: {_expected(detail, value)}"


def _expected(detail: ErrorDetails, value: Any) -> str:
    template = _EXPECTED.get(detail["type"])
    if template is None:
        _, found, rest = detail["msg"].partition(" should ")
        message = f"should {rest}" if found else detail["msg"]
    else:
        message = template.format(**detail.get("ctx", {}))
    hint = ""
    if detail["type"] == "string_type" and value is not None and not _has_parts(value):
        hint = "; put it in quotes"
    return f"{message} (got {_shown(value)}{hint})"


def _unknown_key(keys: Keys, source: ConfigText) -> str:
    is_section = isinstance(layout.value_at(keys, source.document), Mapping)
    known = layout.field_names(_chosen(keys[:-1], source))
    message = f"unknown {'section' if is_section else 'key'} {_dotted(keys)!r}"
    return message + (_did_you_mean(keys[-1], known) or f"; valid here: {', '.join(known)}")


def _chosen(keys: Keys, source: ConfigText) -> Any:
    """The section at ``keys``; for a union, the member that its tag selects."""
    annotation = layout.at(keys, source.document)
    if not layout.members(annotation):
        return annotation
    tag = layout.value_at((*keys, layout.tag_field(annotation)), source.document)
    return layout.member(annotation, tag)


def _tag_missing(keys: Keys, source: ConfigText) -> str:
    where = _where(keys, source)
    annotation = layout.at(keys, source.document)
    missing = f"the key {_dotted((*keys, layout.tag_field(annotation)))!r} is missing"
    tags = f"it is one of {', '.join(layout.tags(annotation))}"
    siblings = layout.value_at(keys[:-1], source.original)
    if not layout.has(keys, source.original) and isinstance(siblings, Mapping):
        # An override created this section: either a new one without its tag, or a misspelt name.
        hint = _did_you_mean(keys[-1], list(map(str, siblings)))
        return f"{where}: there is no {_dotted(keys)!r}{hint or f'; to add it: {missing}, {tags}'}"
    return f"{where}: {missing}; {tags}"


def _tag_invalid(keys: Keys, source: ConfigText) -> str:
    annotation = layout.at(keys, source.document)
    keys = (*keys, layout.tag_field(annotation))
    tags = layout.tags(annotation)
    tag = layout.value_at(keys, source.document)
    hint = _did_you_mean(str(tag), tags)
    message = f"should be one of {', '.join(tags)} (got {_shown(tag)}){hint}"
    return f"{_where(keys, source)}: {_dotted(keys)}: {message}"


def _did_you_mean(word: str | int, known: Sequence[str]) -> str:
    if len(str(word)) > _MAX_SHOWN_CHARS:
        return ""
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _where(keys: Keys, source: ConfigText) -> str:
    """The override that gave the value at ``keys``, or the file and line."""
    is_in_file = layout.has(keys, source.original)
    for override in reversed(source.overrides):
        gave_it = keys[: len(override.keys)] == override.keys
        made_it = not is_in_file and override.keys[: len(keys)] == keys
        if gave_it or made_it:
            return str(override)
    line = line_of(source.text, keys)
    return f"{source.name}:{line}" if line else source.name


def _overrides_below(keys: Keys, source: ConfigText) -> str:
    """The overrides that may break a rule about an entire section."""
    below = [
        str(override)
        for override in source.overrides
        if override.keys[: len(keys)] == keys and len(override.keys) > len(keys)
    ]
    return f" (with {', '.join(below)})" if below else ""


def _dotted(keys: Keys) -> str:
    return ".".join(
        key if len(key) <= _MAX_SHOWN_CHARS else f"{key[:_MAX_SHOWN_CHARS]}..."
        for key in map(str, keys)
    )


def _has_parts(value: Any) -> bool:
    return isinstance(value, Mapping | list | str)


def _shown(value: Any) -> str:
    """A value as short YAML."""
    if isinstance(value, Mapping | list):
        return "a section" if isinstance(value, Mapping) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, date):
        return f"the date {value.isoformat()}"
    text = urls.redacted(repr(value))
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}..."


_MISREAD = "%?"
"""What addresses of databases give a meaning of its own, so MLflow or Prefect would use another
directory."""


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration, and the directory that relative paths start from.

    ``config`` holds every value with defaults filled in; ``base_dir`` is the absolute directory of
    the file; ``artifacts_dir`` is absolute.
    """

    config: NightjarConfig
    path: Path
    base_dir: Path
    overrides: tuple[str, ...]

    @property
    def artifacts_dir(self) -> Path:
        """Absolute directory of the artifact store. Raises ConfigError if none is configured."""
        artifacts_dir = self.config.pipeline.artifacts_dir
        try:
            found = (self.base_dir / Path(artifacts_dir).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"{self.path.name}: pipeline.artifacts_dir: "
                f"{artifacts_dir!r} leads nowhere: {error}"
            ) from error
        for character in _MISREAD:
            if character in str(found):
                raise ConfigError(
                    f"{self.path.name}: pipeline.artifacts_dir: {found} has {character!r} in its "
                    f"name, which the addresses of MLflow's and Prefect's databases cannot hold; "
                    f"rename the folder, or put the artifacts elsewhere"
                )
        return found

    @property
    def pipeline_dir(self) -> Path:
        """Absolute directory of the pipeline's nights, ledger and lease."""
        return self.artifacts_dir / "pipelines" / self.config.pipeline.name


def load_config(path: Path, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Read and validate ``path``, with ``overrides`` of the form ``a.b=value`` applied.

    A value is read as YAML, so ``training.seed=3`` is a number and ``models.glove=null`` removes
    that model. Raises ConfigError with each wrong key, its value, and the line of the file or the
    override that set it.
    """
    try:
        path = path.expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"{path}: there is no such home directory") from error
    text = read_text(path)
    original = parse_document(text, path)
    parsed = [parse_override(override) for override in overrides]
    document = apply_overrides(original, parsed)
    try:
        config = NightjarConfig.model_validate(document)
    except ValidationError as error:
        source = ConfigText(path.name, text, original, document, parsed)
        raise ConfigError("\n".join(problems(error, source))) from error
    loaded = LoadedConfig(config, path, path.parent, tuple(overrides))
    loaded.artifacts_dir  # noqa: B018 (a directory that leads nowhere is found now)
    return loaded


def check_may_be_recorded(overrides: Sequence[str]) -> None:
    """Raise ConfigError for an override with a password: Prefect records a run's in clear."""
    for text in overrides:
        if urls.has_secret(text):
            raise ConfigError(
                f"override {urls.redacted(text)!r}: Prefect would keep its password in clear; set "
                f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (PGPASSWORD for "
                f"PostgreSQL) where the run works, or put the address into the config file"
            )
