"""Tags and text of a page, and the stack of open elements.

Tags and text are separated as by the tokenizer of the HTML standard. The lists of elements that
break lines are also used for texts with some HTML in them.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nightjar.files.html.selectors import Selector

_MARK = re.compile(
    r"<(?:(?P<comment>!--)|(?P<bogus>[!?]|/(?![a-zA-Z]))"
    r"|(?P<end>/)?(?P<name>[a-zA-Z][^\s/>]*+)(?P<closed>>)?)"
)
_TAG_END = re.compile(r"""(?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])[^\s>]*+))*+>""")
_COMMENT_END = re.compile(r"--!?>")
_ATTRIBUTE = re.compile(
    r"""([^\s/>=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|(?!["'])[^\s>]*+))?""",
)
_LONG_REFERENCE = re.compile(r"&#(?:[0-9]{9,}|[xX][0-9a-fA-F]{9,});?")
_XML = re.compile(r"\ufeff?\s*+<\?xml\s")
_XHTML = "http://www.w3.org/1999/xhtml"
_FOREIGN = frozenset(("svg", "math"))
_RAW = ("script", "style", "xmp", "iframe", "noembed", "noframes")
_RAW_WITH_ENTITIES = ("title", "textarea")
_RAW_END = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW + _RAW_WITH_ENTITIES
}


class Text(NamedTuple):
    """Running text with resolved entities."""

    data: str


class RawText(NamedTuple):
    """The content of an element that cannot contain tags, such as ``<script>``."""

    name: str
    data: str


class Tag(NamedTuple):
    """A tag; ``attributes`` are as written."""

    name: str
    is_end: bool
    is_empty: bool
    """Whether the tag ends its own element: in XHTML any may, in HTML pictures and formulas."""
    attributes: str


Token = Text | RawText | Tag


def scan(page: str) -> Iterator[Token]:
    """The tokens of ``page``. An unclosed tag or comment reaches to the end.

    A page is XHTML if it starts with ``<?xml`` or its element ``html`` says so.
    """
    is_xhtml = _XML.match(page) is not None
    position = 0
    while mark := _MARK.search(page, position):
        if mark.start() > position:
            yield Text(unescaped(page[position : mark.start()]))
        if mark["name"] is None:
            position = _after_comment(page, mark)
            continue
        found = _tag(page, mark, is_xhtml)
        if found is None:
            return
        tag, position = found
        is_xhtml = is_xhtml or _is_xhtml(tag)
        yield tag
        if not (tag.is_end or tag.is_empty) and tag.name in _RAW_END:
            raw, position = _raw_text(page, tag.name, position)
            yield raw
    if position < len(page):
        yield Text(unescaped(page[position:]))


def _tag(page: str, mark: re.Match[str], is_xhtml: bool) -> tuple[Tag, int] | None:
    """The tag that begins with ``mark``, and its end; None if it is never closed."""
    written, end = "", mark.end()
    if mark["closed"] is None:
        tag_end = _TAG_END.match(page, end)
        if tag_end is None:
            return None
        written, end = page[end : tag_end.end() - 1], tag_end.end()
    name = mark["name"].lower()
    is_empty = written.endswith("/") and (is_xhtml or name in _FOREIGN)
    return Tag(name, mark["end"] is not None, is_empty, written), end


def _is_xhtml(tag: Tag) -> bool:
    return tag.name == "html" and attributes(tag.attributes).get("xmlns", "").strip() == _XHTML


def _raw_text(page: str, name: str, start: int) -> tuple[RawText, int]:
    """What is in an element without tags whose content begins at ``start``, and its end."""
    closing = _RAW_END[name].search(page, start)
    end = len(page) if closing is None else closing.start()
    data = page[start:end]
    return RawText(name, unescaped(data) if name in _RAW_WITH_ENTITIES else data), end


def _after_comment(page: str, mark: re.Match[str]) -> int:
    if mark["comment"]:
        if page.startswith((">", "->"), mark.end()):
            return page.index(">", mark.end()) + 1
        closing = _COMMENT_END.search(page, mark.end())
        return len(page) if closing is None else closing.end()
    end = page.find(">", mark.end())
    return len(page) if end < 0 else end + 1


def attributes(written: str) -> dict[str, str]:
    """Attributes by lower-case name; the first of a name counts."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(written):
        value = match[2] or ""
        if value[:1] in {'"', "'"}:
            value = value[1:-1]
        found.setdefault(match[1].lower(), unescaped(value))
    return found


def unescaped(text: str) -> str:
    """``text`` with resolved entities; numbers without a character become U+FFFD."""
    if "&" not in text:
        return text
    # The library fails on numbers of more than 4,300 digits.
    return html.unescape(_LONG_REFERENCE.sub("\ufffd", text))


_MAX_DEPTH = 512
"""As in browsers: deeper elements are treated as if they were at this depth."""
TEXT_BLOCKS = frozenset((
    "blockquote", "center", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "section", "tr", "ul",
))  # fmt: skip
"""Elements that start and end lines and that people write into running text."""
BLOCKS = TEXT_BLOCKS | frozenset((
    "address", "article", "aside", "body", "caption", "details", "dialog", "dir", "fieldset",
    "figcaption", "figure", "footer", "form", "frameset", "head", "header", "hgroup", "html",
    "legend", "listing", "main", "menu", "nav", "optgroup", "option", "plaintext", "pre", "search",
    "summary", "table", "tbody", "tfoot", "thead", "title", "xmp",
))  # fmt: skip
"""Elements that start and end lines."""
CELLS = frozenset(("td", "th"))
LINE_BREAK = "br"
RAISED_NUMBER = re.compile(r"\s*[-+\u2212\u2013]?[.,]?\d")
"""A power, or the number of a note: behind a number it would become part of it."""
SKIPPED = frozenset((
    "applet", "audio", "button", "canvas", "datalist", "iframe", "map", "math", "nav", "noembed",
    "noframes", "noscript", "object", "script", "select", "style", "svg", "template", "textarea",
    "video",
))  # fmt: skip
"""Elements whose text is not part of the page's text."""
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
"""The open elements that a start tag closes, and the elements that limit this."""


class Element(NamedTuple):
    """An open element."""

    name: str
    is_skipped: bool
    """Whether it, or an ancestor, has no text of the page."""
    is_chosen: bool
    """Whether it, or an ancestor, was selected."""
    bits: int
    around_bits: int


class OpenElements:
    """A stack of elements; handles end tags that the page leaves out.

    At most 512 elements; each tag takes amortized constant time.
    """

    def __init__(self, selector: Selector | None) -> None:
        self._selector = selector
        self._stack: list[Element] = []
        self._places: dict[str, list[int]] = defaultdict(list)

    @property
    def is_shown(self) -> bool:
        """Whether text at this position is wanted."""
        if not self._stack:
            return self._selector is None
        return self._stack[-1].is_chosen and not self._stack[-1].is_skipped

    @property
    def is_preformatted(self) -> bool:
        """Whether white space at this position is significant."""
        return bool(self._places["pre"])

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Open an element."""
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
        """Close an element, if it is open, and everything that is open inside it."""
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
