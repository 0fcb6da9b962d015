"""YAML text to plain values, with errors that name the line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nightjar.errors import ConfigError


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


def parse(text: str) -> Any:
    """The value of a YAML text. Raises yaml.YAMLError, also for values that cannot be built."""
    try:
        # _Loader is a SafeLoader: no tag can construct an arbitrary object.
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except ValueError as error:  # a date like 2024-99-99, a number of 5,000 digits
        raise yaml.YAMLError(str(error)) from error


def parse_document(text: str, path: Path) -> dict[str, Any]:
    """The sections of a config file. Raises ConfigError with the line."""
    try:
        document = parse(text)
    except yaml.YAMLError as error:
        line, problem = problem_of(error)
        where = f"{path}:{line}" if line else str(path)
        raise ConfigError(f"{where}: this is not valid YAML: {problem}") from error
    if document is None:
        raise ConfigError(f"{path}: the config file is empty; pipeline_config.yaml is an example")
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected sections like 'corpora:' at the top level")
    return document


def line_of(text: str, keys: Sequence[str | int]) -> int | None:
    """The line, from 1, of the key at ``keys``, or of its last existing parent."""
    node = yaml.compose(text, Loader=_Loader)
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
