"""YAML text to plain values, with errors that name the line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from nightjar.errors import ConfigError
from nightjar.wording import counted

_MAX_CHARS = 500_000
"""PyYAML reads some 150,000 characters a second."""
_MAX_VALUES = 100_000
_CONDITIONS = "where"
_SURE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|true|false", re.IGNORECASE)
_INT_TAG = "tag:yaml.org,2002:int"
_UNSURE_TAGS = ("tag:yaml.org,2002:bool", _INT_TAG)
_FLOAT_TAG = "tag:yaml.org,2002:float"
_GUESSED = re.compile(r"[-+]?0[0-9_]+|.*:.*")
"""Octal numbers and those of base 60, which nobody means by ``0100`` and ``1:30``."""
_MAX_WHOLE = 1 << 53


class UnclearValue(yaml.MarkedYAMLError):
    """Valid YAML that probably says something else than it was meant to."""


class _Loader(yaml.SafeLoader):
    """A safe loader that rejects repeated keys, and reads ``1e-3`` as a number."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                key = (key_node.tag, key_node.value)
                if key in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key_node.value!r} stands twice",
                        problem_mark=key_node.start_mark,
                    )
                seen.add(key)
        return node


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float | int:
    """A float, or a whole number if it is written as ``1e9``: no key of counts takes a float."""
    value = loader.construct_yaml_float(node)
    is_whole = "e" in node.value.lower() and value.is_integer() and abs(value) <= _MAX_WHOLE
    return int(value) if is_whole else value


_Loader.add_constructor("tag:yaml.org,2002:float", _number)
# PyYAML follows YAML 1.1, which requires a point and a signed exponent: 1.0e-3.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_text(path: Path) -> str:
    """The file's text. Raises ConfigError when it does not exist, or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such config file; name one with --config, or start a project "
            f"with 'nightjar init DIR'"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: the config file is not UTF-8 (byte {error.start}: "
            f"{error.object[error.start]:#04x}); save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: the config file cannot be read: {reason}") from error


def parse(text: str, keys: Sequence[str] = ()) -> Any:
    """The value of a YAML text, which stands at ``keys`` of the config.

    Raises yaml.YAMLError, also for values that cannot be built, and for more of them than a config
    can have: a few aliases of aliases can stand for billions. Raises UnclearValue for a number such
    as ``0100``, and for a value of a condition that YAML reads as something else than text, such as
    ``no``.
    """
    if len(text) > _MAX_CHARS:
        raise yaml.YAMLError(
            f"it has {counted(len(text), 'character')}, more than the {_MAX_CHARS:,} of any "
            f"config; is it the right file?"
        )
    try:
        node = _composed(text)
        if node is None:
            return None
        if _n_values(node, {}) > _MAX_VALUES:
            raise yaml.YAMLError(
                f"its aliases (*name) stand for more than {_MAX_VALUES:,} values; write out what "
                f"is meant"
            )
        _check_clearness(node, is_condition=_CONDITIONS in keys, seen=set())
        return _constructed(node)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except ValueError as error:  # a date like 2024-99-99, a number of 5,000 digits
        raise yaml.YAMLError(str(error)) from error


def _constructed(node: yaml.Node) -> Any:
    """The value of ``node``, new at each call."""
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _n_values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values ``node`` stands for, once each alias is written out."""
    if id(node) not in known:
        known[id(node)] = 0  # an alias within what it names adds nothing
        known[id(node)] = 1 + sum(_n_values(child, known) for child in _children(node))
    return known[id(node)]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_clearness(node: yaml.Node, *, is_condition: bool, seen: set[tuple[int, bool]]) -> None:
    """Raise UnclearValue for ``0123`` or ``12:30``, and in ``where`` for one such as ``no``.

    Elsewhere a key's type settles what ``no`` means. The values of a condition may have any.
    """
    if (id(node), is_condition) in seen:
        return
    seen.add((id(node), is_condition))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            is_where = is_condition or key.value == _CONDITIONS
            _check_clearness(value, is_condition=is_where, seen=seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_clearness(value, is_condition=is_condition, seen=seen)
    elif isinstance(node, yaml.ScalarNode) and (_is_unclear if is_condition else _is_guessed)(node):
        place = "where: " if is_condition else ""
        raise UnclearValue(
            problem=f"{place}without quotes YAML reads {node.value} as {_read_as(node)}; write "
            f"'{node.value}' in quotes if it is text, else {_read_as(node)}",
            problem_mark=node.start_mark,
        )


def _is_unclear(node: yaml.ScalarNode) -> bool:
    if node.tag == _FLOAT_TAG:
        return bool({":", "_"} & set(node.value))
    return node.tag in _UNSURE_TAGS and not _SURE.fullmatch(node.value)


def _is_guessed(node: yaml.ScalarNode) -> bool:
    return node.tag in (_INT_TAG, _FLOAT_TAG) and _GUESSED.fullmatch(node.value) is not None


def _read_as(node: yaml.ScalarNode) -> str:
    value = yaml.constructor.SafeConstructor().construct_document(node)
    return str(value).lower()


def parse_document(text: str, path: Path) -> dict[str, Any]:
    """The sections of a config file. Raises ConfigError with the line."""
    try:
        document = parse(text)
    except yaml.YAMLError as error:
        line, problem = problem_of(error)
        where = f"{path}:{line}" if line else str(path)
        kind = "" if isinstance(error, UnclearValue) else "this is not valid YAML: "
        raise ConfigError(f"{where}: {kind}{problem}") from error
    if document is None:
        raise ConfigError(f"{path}: the config file is empty; pipeline_config.yaml is an example")
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected sections like 'corpora:' at the top level")
    return document


def line_of(text: str, keys: Sequence[str | int]) -> int | None:
    """The line, from 1, of the key at ``keys``, or of its last existing parent."""
    node = _composed(text)
    line = None
    for key in keys:
        children: list[tuple[yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            children = [pair for pair in node.value if pair[0].value == str(key)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            children = [(item, item) for item in node.value[key : key + 1]]
        if not children:
            break
        line = children[0][0].start_mark.line + 1
        node = children[0][1]
    return line


@lru_cache(maxsize=4)
def _composed(text: str) -> yaml.Node | None:
    """Composing takes nearly all the time, and one process reads a file many times."""
    return yaml.compose(text, Loader=_Loader)


def problem_of(error: yaml.YAMLError) -> tuple[int | None, str]:
    """The line of an error, from 1, if known, and what is wrong."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        parts = [part for part in (error.context, error.problem) if part]
        return error.problem_mark.line + 1, ": ".join(parts)
    if isinstance(error, yaml.reader.ReaderError):
        character = error.character
        code = ord(character) if isinstance(character, str) else character
        return None, f"the character U+{code:04X} at position {error.position} is not allowed"
    return None, " ".join(str(error).split())
