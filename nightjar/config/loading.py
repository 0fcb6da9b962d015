"""Reading ``pipeline_config.yaml``: overrides, validation, and errors that name the key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nightjar.config.models import NightjarConfig
from nightjar.errors import ConfigError


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration and where its relative paths start.

    ``config`` holds every value with defaults filled in; ``base_dir`` is the absolute
    directory of the file; ``artifacts_dir`` is absolute.
    """

    config: NightjarConfig
    path: Path
    base_dir: Path
    overrides: tuple[str, ...]

    @property
    def artifacts_dir(self) -> Path:
        """Absolute directory of the artifact store."""
        return (self.base_dir / Path(self.config.pipeline.artifacts_dir).expanduser()).resolve()


def load_config(path: Path, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Read and validate ``path``, with ``overrides`` of the form ``a.b=value`` applied.

    A value is read as YAML, so ``training.seed=3`` is a number and ``models.glove=null``
    removes that model. Raises ConfigError naming the file and each wrong key.
    """
    path = path.expanduser().absolute()
    document = _read_yaml(path)
    for override in overrides:
        _apply_override(document, override)
    try:
        config = NightjarConfig.model_validate(document)
    except ValidationError as error:
        lines = [f"{path.name}: {message}" for message in _messages(error, document)]
        raise ConfigError("\n".join(lines)) from error
    return LoadedConfig(config, path, path.parent, tuple(overrides))


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key written twice instead of keeping the last."""


def _construct_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, str | int | float | bool | None):
            continue
        if key in seen:
            raise yaml.MarkedYAMLError(
                problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such config file; name one with --config"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the config file cannot be read: {error}") from error
    try:
        # _UniqueKeyLoader is a SafeLoader: no tag can construct an arbitrary object.
        document = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: this is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected sections like 'ingest:' at the top level")
    return document


def _apply_override(document: dict[str, Any], override: str) -> None:
    key, separator, raw_value = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"override {override!r}: write it as section.key=value")
    try:
        value = yaml.safe_load(raw_value)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: the value is not valid YAML") from error
    target = document
    for part in parts[:-1]:
        child = target.setdefault(part, {})
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {part!r} is a value, not a section")
        target = child
    if value is None and parts[-1] in target and isinstance(target[parts[-1]], dict):
        del target[parts[-1]]
    else:
        target[parts[-1]] = value


def _messages(error: ValidationError, document: Mapping[str, Any]) -> Iterator[str]:
    for detail in error.errors():
        location = _without_union_tags(detail, document)
        key = ".".join(str(part) for part in location)
        if detail["type"] == "extra_forbidden":
            yield f"unknown key {key!r}{_suggestion(location, detail)}"
        elif detail["type"] == "missing":
            yield f"the key {key!r} is missing"
        else:
            message = detail["msg"].removeprefix("Value error, ")
            yield f"{key}: {message}" if key else message


def _without_union_tags(detail: ErrorDetails, document: Mapping[str, Any]) -> list[int | str]:
    """Where the error is, in the user's keys: pydantic adds the tag of a chosen union member."""
    location: list[int | str] = []
    node: Any = document
    for step in detail["loc"]:
        is_mapping = isinstance(node, Mapping)
        if is_mapping and step in (node.get("type"), node.get("trainer")):
            continue
        location.append(step)
        node = node.get(step) if is_mapping else None
    return location


def _suggestion(location: Sequence[int | str], detail: ErrorDetails) -> str:
    fields = sorted(_fields_at(NightjarConfig, list(detail["loc"][:-1])))
    close = difflib.get_close_matches(str(location[-1]), fields, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; valid here: {', '.join(fields)}" if fields else ""


def _fields_at(annotation: Any, steps: list[int | str]) -> set[str]:
    """Names of the fields that the model at ``steps`` (pydantic's location) declares."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not steps:
            return set(annotation.model_fields)
        field = annotation.model_fields.get(str(steps[0]))
        return _fields_at(field.annotation, steps[1:]) if field else set()
    arguments = get_args(annotation)
    if not arguments or not steps:
        return set()
    if getattr(annotation, "__origin__", None) is dict:
        return _fields_at(arguments[1], steps[1:])
    if hasattr(annotation, "__metadata__"):
        return _fields_at(arguments[0], steps)
    for member in arguments:  # a discriminated union: the step is the tag
        if isinstance(member, type) and issubclass(member, BaseModel):
            tag = member.model_fields.get("type") or member.model_fields.get("trainer")
            if tag is not None and steps[0] in get_args(tag.annotation):
                return _fields_at(member, steps[1:])
    return set()
