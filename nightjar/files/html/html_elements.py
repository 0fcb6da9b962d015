"""The elements that are open at a place of a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from nightjar.files.html.selectors import Selector

_MAX_DEPTH = 512
"""As in browsers: what is nested deeper is read as if it were at this depth."""
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details",
    "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form",
    "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup", "hr", "html",
    "legend", "li", "listing", "main", "menu", "nav", "ol", "optgroup", "option", "p", "plaintext",
    "pre", "search", "section", "summary", "table", "tbody", "tfoot", "thead", "title", "tr", "ul",
    "xmp",
))  # fmt: skip
"""Elements that begin and end lines."""
SKIPPED = frozenset((
    "applet", "audio", "button", "canvas", "datalist", "iframe", "map", "math", "nav", "noembed",
    "noframes", "noscript", "object", "script", "select", "style", "svg", "template", "textarea",
    "video",
))  # fmt: skip
"""Elements whose text is no text of the page."""
_ONCE = frozenset(("html", "head", "body"))
_ENDED_BY: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "li": (("li",), ("ul", "ol", "menu", "dir")),
    "dt": (("dt", "dd"), ("dl",)),
    "dd": (("dt", "dd"), ("dl",)),
    "td": (("td", "th"), ("tr", "table")),
    "th": (("td", "th"), ("tr", "table")),
    "tr": (("tr",), ("table",)),
    "tbody": (("thead", "tbody", "tfoot"), ("table",)),
    "tfoot": (("thead", "tbody", "tfoot"), ("table",)),
    "option": (("option",), ("select", "datalist")),
    "body": (("head",), ()),
}
"""Which open elements a start tag ends, and within which ones that holds."""


class Element(NamedTuple):
    """An open element."""

    name: str
    is_skipped: bool
    """It or one around it holds no text of the page."""
    is_chosen: bool
    """It or one around it is what was selected."""
    bits: int
    around_bits: int


class OpenElements:
    """A stack of elements; end tags that the page leaves out are understood.

    Holds at most 512 elements; each tag takes constant time over the page as a whole.
    """

    def __init__(self, selector: Selector | None) -> None:
        self._selector = selector
        self._stack: list[Element] = []
        self._places: dict[str, list[int]] = defaultdict(list)

    @property
    def is_shown(self) -> bool:
        """Whether text here is wanted."""
        if not self._stack:
            return self._selector is None
        return self._stack[-1].is_chosen and not self._stack[-1].is_skipped

    @property
    def is_preformatted(self) -> bool:
        """Whether white space here is text."""
        return bool(self._places["pre"])

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if name in _ONCE and self._places[name]:
            return
        if name in BLOCKS:
            self._cut_back(self._last("p"))
        if name in _ENDED_BY:
            ended, within = _ENDED_BY[name]
            place = max(self._last(other) for other in ended)
            if place > max((self._last(other) for other in within), default=-1):
                self._cut_back(place)
        if len(self._stack) < _MAX_DEPTH:
            self._push(name, attributes)

    def _push(self, name: str, attributes: Mapping[str, str]) -> None:
        parent = self._stack[-1] if self._stack else None
        is_skipped = name in SKIPPED or "hidden" in attributes
        is_chosen, bits, around = self._selector is None, 0, 0
        if parent is not None:
            is_skipped = is_skipped or parent.is_skipped
            around = parent.bits | parent.around_bits
        if self._selector is not None:
            parent_bits = parent.bits if parent is not None else 0
            bits = self._selector.match(name, attributes, parent_bits, around)
            is_chosen = self._selector.is_chosen(bits) or (parent is not None and parent.is_chosen)
        self._places[name].append(len(self._stack))
        self._stack.append(Element(name, is_skipped, is_chosen, bits, around))

    def end(self, name: str) -> None:
        """An element ends, if it is open, and with it all that is open inside."""
        place = self._last(name)
        if name in {"html", "body"} or (name != "table" and place < self._last("table")):
            return
        self._cut_back(place)

    def _last(self, name: str) -> int:
        places = self._places.get(name)
        return places[-1] if places else -1

    def _cut_back(self, place: int) -> None:
        while 0 <= place < len(self._stack):
            self._places[self._stack.pop().name].pop()
