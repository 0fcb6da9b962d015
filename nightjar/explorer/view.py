"""The state of a page, read from its address and written to links."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from nightjar.wording import plural_of

Box = tuple[float, float, float, float]
"""x0, x1, y0, y1 of a window of the map."""

PAGES = {
    "/": "Overview",
    "/words": "{Units}",
    "/analogies": "Analogies",
    "/map": "Map",
    "/moved": "Moved {units}",
    "/documents": "Documents",
    "/scores": "Scores",
    "/cards": "Model cards",
}
"""Titles by path; ``page_title`` says what the models have vectors of."""
SORTS = ("beyond", "distance", "overlap", "word", "left", "right")
METHODS = ("pca", "neighbours")
MAX_TOPN = 100
_MAX_LINK = 4_000
_MAX_FIELDS = 64


@dataclass(frozen=True)
class View:
    """What a page shows; ``problems`` lists the parts of the address that were not understood."""

    path: str = "/"
    left: str = ""
    right: str = ""
    word: str = ""
    positive: str = ""
    negative: str = ""
    topn: int = 15
    least: int = 20
    """Least number of occurrences, in both versions, of words that are compared."""
    sort: str = "beyond"
    query: str = ""
    """What the documents are searched for."""
    contains: str = ""
    """A word or regular expression that they must have."""
    source: str = ""
    entry: str = ""
    """The entry of ``document_vectors`` that is searched."""
    side: str = "right"
    method: str = "pca"
    box: Box | None = None
    problems: tuple[str, ...] = field(default=(), compare=False)

    @property
    def search(self) -> str:
        """The query string of this state, without default values."""
        given = {
            entry.name: _text(getattr(self, entry.name))
            for entry in fields(self)
            if entry.name in _READERS and getattr(self, entry.name) != entry.default
        }
        return f"?{urlencode(given, errors='surrogatepass')}" if given else ""

    def link(self, **changes: Any) -> str | None:
        """The address of the state with ``changes``; None if it is too long for a browser."""
        view = replace(self, **changes)
        address = f"{view.path}{view.search}"
        return address if len(address) <= _MAX_LINK else None


def page_title(path: str, unit: str) -> str:
    """The title of a page, for models of ``unit`` (singular)."""
    units = plural_of(unit)
    return PAGES[path].format(units=units, Units=units.capitalize())


def read_view(path: str | None, search: str | None) -> View:
    """Read the state from an address; invalid parts are skipped and reported."""
    path = path or "/"
    values: dict[str, Any] = {}
    problems: list[str] = []
    try:
        pairs = parse_qsl(
            (search or "").removeprefix("?"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        pairs, problems = [], [f"the address is not understood ({error})"]
    for name, text in pairs:
        reader = _READERS.get(name)
        if reader is None:
            problems.append(f"the address has an unknown parameter {name[:40]!r}")
            continue
        try:
            values[name] = reader(text)
        except ValueError as error:
            problems.append(f"{name}={text[:40]!r} in the address: {error}")
    return View(path=path, **values, problems=tuple(problems))


def _text(value: Any) -> str:
    return ",".join(f"{part:.6g}" for part in value) if isinstance(value, tuple) else str(value)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise ValueError("expected a whole number")
        number = int(text)
        if not least <= number <= most:
            raise ValueError(f"expected {least} to {most}")
        return number

    return read


def _choice(choices: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected {', '.join(choices)}")
        return text

    return read


def _box(text: str) -> Box:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise ValueError("expected four numbers: x0,x1,y0,y1")
    x0, x1, y0, y1 = numbers
    if x0 >= x1 or y0 >= y1:
        raise ValueError("expected x0 < x1 and y0 < y1")
    return x0, x1, y0, y1


_READERS: Mapping[str, Callable[[str], Any]] = {
    "left": str,
    "right": str,
    "word": str,
    "positive": str,
    "negative": str,
    "topn": _whole(1, MAX_TOPN),
    "least": _whole(1, 10**12),
    "sort": _choice(SORTS),
    "query": str,
    "contains": str,
    "source": str,
    "entry": str,
    "side": _choice(("left", "right")),
    "method": _choice(METHODS),
    "box": _box,
}
