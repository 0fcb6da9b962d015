"""CSS selectors: types, classes, ids and attributes, descendants and children, alternatives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PART = re.compile(
    r"""
    (?P<any>\*)
    | (?P<type>[a-zA-Z][\w-]*)
    | \.(?P<class>[\w-]+)
    | \#(?P<id>[\w-]+)
    | \[\s*(?P<attribute>[a-zA-Z_][\w:-]*)\s*
      (?: = \s* (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[\w-]+) ) \s* )? \]
    """,
    re.VERBOSE,
)
_COMBINATOR = re.compile(r"\s*(?P<child>>)\s*|\s+")
_COMMA = re.compile(r"\s*,\s*")


@dataclass(frozen=True, slots=True)
class Compound:
    """The conditions on one element: ``div.text[lang=en]``."""

    type: str | None
    conditions: tuple[tuple[str, str | None], ...]
    """Attribute and value; for ``class`` one of its words; None for any value."""
    is_child: bool
    """Whether the previous compound must be the parent, rather than any ancestor."""
    is_first: bool
    is_last: bool

    def matches(self, name: str, attributes: Mapping[str, str]) -> bool:
        """Whether an element matches, whatever its ancestors."""
        if self.type not in {None, name}:
            return False
        for attribute, value in self.conditions:
            found = attributes.get(attribute)
            if found is None:
                return False
            if value is not None and value not in (
                found.split() if attribute == "class" else (found,)
            ):
                return False
        return True


@dataclass(frozen=True)
class Selector:
    """Alternatives, one after the other."""

    compounds: tuple[Compound, ...]

    def match(
        self, name: str, attributes: Mapping[str, str], parent_bits: int, around_bits: int
    ) -> int:
        """A bit for each compound that the element matches, including everything before it.

        ``parent_bits`` are those of its parent, ``around_bits`` those of all ancestors.
        """
        bits = 0
        for number, compound in enumerate(self.compounds):
            before = parent_bits if compound.is_child else around_bits
            if (compound.is_first or before >> (number - 1) & 1) and compound.matches(
                name, attributes
            ):
                bits |= 1 << number
        return bits

    def is_chosen(self, bits: int) -> bool:
        """Whether the selector selects an element with these bits."""
        return any(
            compound.is_last and bits >> number & 1
            for number, compound in enumerate(self.compounds)
        )


def parse_selector(text: str) -> Selector:
    """Parse ``text``. Raises ValueError for unsupported syntax."""
    compounds: list[Compound] = []
    position, is_first, is_child = 0, True, False
    text = text.strip()
    while True:
        type_name, conditions, end = _compound(text, position)
        comma = _COMMA.match(text, end)
        is_last = comma is not None or end == len(text)
        compounds.append(Compound(type_name, conditions, is_child, is_first, is_last))
        if end == len(text):
            return Selector(tuple(compounds))
        combinator = comma or _COMBINATOR.match(text, end)
        if combinator is None:
            raise _not_understood(text, end)
        position, is_first = combinator.end(), comma is not None
        is_child = comma is None and combinator["child"] is not None


def _compound(text: str, start: int) -> tuple[str | None, tuple[tuple[str, str | None], ...], int]:
    type_name: str | None = None
    conditions: list[tuple[str, str | None]] = []
    position = start
    while part := _PART.match(text, position):
        if part["type"] or part["any"]:
            if position > start:
                break
            type_name = part["type"].lower() if part["type"] else None
        elif part["attribute"]:
            values = (part["double"], part["single"], part["bare"])
            value = next((value for value in values if value is not None), None)
            conditions.append((part["attribute"].lower(), value))
        else:
            is_class = part["class"] is not None
            conditions.append(("class" if is_class else "id", part["class"] or part["id"]))
        position = part.end()
    if position == start:
        raise _not_understood(text, start)
    return type_name, tuple(conditions), position


def _not_understood(text: str, position: int) -> ValueError:
    return ValueError(
        f"the selector is not understood at {text[position:][:20]!r}: it may hold types, .class, "
        f"#id, [attribute] and [attribute=value], joined by spaces, '>' and ','"
    )
