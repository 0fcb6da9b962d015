"""The declarations at a place of the config: sections, maps of named sections, unions.

A place is a path of the user's keys: ``models``, ``glove``, ``window``.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from nightjar.config.models import NightjarConfig

Keys = tuple[str | int, ...]
_NOTHING = object()


def plain(annotation: Any) -> Any:
    """``annotation`` without constraints and without "or null"."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not NoneType]
        if len(members) == 1:
            return plain(members[0])
    return annotation


def is_union(annotation: Any) -> bool:
    """Whether a value there has one of several types."""
    return get_origin(plain(annotation)) in (Union, UnionType)


def is_map(annotation: Any) -> bool:
    """Whether the user chooses the keys there, as in ``sources``, ``models``, ``benchmarks``."""
    return get_origin(plain(annotation)) is dict


def is_section(annotation: Any) -> bool:
    """Whether there are keys there rather than a value."""
    annotation = plain(annotation)
    return _is_model(annotation) or is_map(annotation) or bool(members(annotation))


def members(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a union chooses from by its tag; empty for anything else."""
    options = get_args(plain(annotation)) if is_union(annotation) else ()
    return [option for option in options if _is_model(option)]


def tag_field(annotation: Any) -> str:
    """The key that selects among :func:`members`: "type" or "trainer"."""
    return next(
        name
        for name, field in members(annotation)[0].model_fields.items()
        if field.is_required() and get_origin(field.annotation) is Literal
    )


def member(annotation: Any, tag: Any) -> Any:
    """The member of a union that ``tag`` selects, or None."""
    for option in members(annotation):
        field = option.model_fields[tag_field(annotation)]
        if tag in get_args(field.annotation):
            return option
    return None


def tags(annotation: Any) -> list[str]:
    """The values that :func:`tag_field` may have."""
    name = tag_field(annotation)
    return [
        str(tag)
        for option in members(annotation)
        for tag in get_args(option.model_fields[name].annotation)
    ]


def field_names(annotation: Any) -> list[str]:
    """The keys that a section may have, sorted; for a union, those of all members."""
    annotation = plain(annotation)
    sections = [annotation] if _is_model(annotation) else members(annotation)
    return sorted({name for section in sections for name in section.model_fields})


def child(annotation: Any, key: str | int) -> Any:
    """The declaration of ``key``, or None."""
    annotation = plain(annotation)
    if _is_model(annotation):
        field = annotation.model_fields.get(str(key))
        return field.annotation if field else None
    if is_map(annotation):
        return get_args(annotation)[1]
    if get_origin(annotation) is list:
        return get_args(annotation)[0]
    return None


def at(keys: Sequence[str | int], document: Any) -> Any:
    """The declaration at ``keys``; tags are taken from ``document``."""
    annotation: Any = NightjarConfig
    for key in keys:
        if members(annotation):
            tag = document.get(tag_field(annotation)) if isinstance(document, dict) else None
            annotation = member(annotation, tag)
        annotation = child(annotation, key)
        document = value_at((key,), document)
    return annotation


def value_at(keys: Sequence[str | int], document: Any, default: Any = None) -> Any:
    """The value at ``keys``, or ``default`` if there is none."""
    for key in keys:
        is_key = isinstance(document, dict) and key in document
        is_index = isinstance(document, list) and isinstance(key, int) and key < len(document)
        if not is_key and not is_index:
            return default
        document = document[key]
    return document


def has(keys: Sequence[str | int], document: Any) -> bool:
    """Whether ``document`` has a value (possibly null) at ``keys``."""
    return value_at(keys, document, default=_NOTHING) is not _NOTHING


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
