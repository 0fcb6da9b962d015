"""The text that a page shows."""

from __future__ import annotations

import re

from nightjar.files.html.html_elements import (
    BLOCKS,
    CELLS,
    LINE_BREAK,
    RAISED_NUMBER,
    OpenElements,
    RawText,
    Tag,
    Text,
    attributes,
    scan,
)
from nightjar.files.html.selectors import Selector, parse_selector

_VOID = frozenset((
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input",
    "keygen", "link", "meta", "param", "source", "track", "wbr",
))  # fmt: skip
_SPACES = re.compile(r"[ \t\n\r\f]+")
_HIDDEN = re.compile(r"\bhidden\b", re.IGNORECASE)


def html_to_text(page: str, selector: str | None = None) -> str:
    """The text of a page or an HTML fragment, without tags, with resolved entities.

    The title comes first, and each block (paragraph, heading, list item, row) is a line. Scripts,
    styles, navigation, templates, form controls, images and formulas (``SKIPPED``) are left out,
    and so is everything ``hidden``. With ``selector`` the result is only the selected elements,
    without the title. Raises ValueError for a selector with unsupported syntax.
    """
    return _Page(parse_selector(selector) if selector else None).read(page)


class _Page:
    """Collects lines from the tokens of a page."""

    def __init__(self, selector: Selector | None) -> None:
        self._elements = OpenElements(selector)
        self._needs_attributes = selector is not None
        self._has_title = False
        self._lines: list[str] = []
        self._line: list[str] = []
        self._is_raised = False

    def read(self, page: str) -> str:
        for token in scan(page):
            if isinstance(token, Text):
                self._add(token.data)
            elif isinstance(token, RawText):
                self._add_raw(token)
            elif token.is_end:
                self._end(token.name)
            else:
                self._start(token)
        self._end_line()
        return "\n".join(self._lines)

    def _add(self, text: str) -> None:
        if not self._elements.is_shown:
            return
        if self._is_raised and RAISED_NUMBER.match(text):
            self._line.append("^")  # 10<sup>6</sup> is not 106
        self._is_raised = False
        if not self._elements.is_preformatted:
            self._line.append(text)
            return
        first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._line.append(first)
        for line in others:
            self._end_line()
            self._line.append(line)

    def _add_raw(self, token: RawText) -> None:
        if token.name == "xmp":
            self._add(token.data)
        elif token.name == "title" and self._elements.is_shown and not self._has_title:
            self._has_title = True
            self._add(token.data)
            self._end_line()

    def _start(self, tag: Tag) -> None:
        name = tag.name
        was_shown = self._elements.is_shown
        if was_shown and (name in BLOCKS or name == LINE_BREAK):
            self._end_line()
        elif was_shown and name in CELLS:
            self._line.append(" ")
        if name in _VOID or tag.is_empty:
            return
        if name == "sup" and self._line:
            self._is_raised = self._line[-1][-1:].isdecimal()
        is_looked_at = self._needs_attributes or _HIDDEN.search(tag.attributes)
        self._elements.start(name, attributes(tag.attributes) if is_looked_at else {})
        if self._elements.is_shown != was_shown and self._needs_attributes:
            self._end_line()

    def _end(self, name: str) -> None:
        was_shown = self._elements.is_shown
        self._is_raised = False
        self._elements.end(name)
        is_shown = self._elements.is_shown
        has_left = self._needs_attributes and is_shown != was_shown
        if has_left or ((is_shown or was_shown) and name in BLOCKS):
            self._end_line()

    def _end_line(self) -> None:
        line = _SPACES.sub(" ", "".join(self._line)).strip(" ")
        self._line.clear()
        if line:
            self._lines.append(line)
