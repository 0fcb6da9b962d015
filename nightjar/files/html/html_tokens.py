"""Tags, text and raw text of a page, after the tokenizer of the HTML standard."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

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
_RAW = ("script", "style", "xmp", "iframe", "noembed", "noframes")
_RAW_WITH_ENTITIES = ("title", "textarea")
_RAW_END = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW + _RAW_WITH_ENTITIES
}


class Text(NamedTuple):
    """Running text, its entities resolved."""

    data: str


class RawText(NamedTuple):
    """What an element holds in which there are no tags, such as ``<script>``."""

    name: str
    data: str


class Tag(NamedTuple):
    """A tag; ``attributes`` are as written."""

    name: str
    is_end: bool
    is_self_closing: bool
    attributes: str


Token = Text | RawText | Tag


def scan(page: str) -> Iterator[Token]:
    """The tokens of ``page``. A tag or a comment that is never closed reaches to the end."""
    position = 0
    while mark := _MARK.search(page, position):
        if mark.start() > position:
            yield Text(unescaped(page[position : mark.start()]))
        if mark["name"] is None:
            position = _after_comment(page, mark)
            continue
        is_end = mark["end"] is not None
        position = mark.end()
        written = ""
        if mark["closed"] is None:
            tag_end = _TAG_END.match(page, position)
            if tag_end is None:
                return
            written = page[position : tag_end.end() - 1]
            position = tag_end.end()
        tag = Tag(mark["name"].lower(), is_end, written.endswith("/"), written)
        yield tag
        if not is_end and tag.name in _RAW_END:
            closing = _RAW_END[tag.name].search(page, position)
            end = len(page) if closing is None else closing.start()
            data = page[position:end]
            yield RawText(tag.name, unescaped(data) if tag.name in _RAW_WITH_ENTITIES else data)
            position = end
    if position < len(page):
        yield Text(unescaped(page[position:]))


def _after_comment(page: str, mark: re.Match[str]) -> int:
    if mark["comment"]:
        if page.startswith((">", "->"), mark.end()):
            return page.index(">", mark.end()) + 1
        closing = _COMMENT_END.search(page, mark.end())
        return len(page) if closing is None else closing.end()
    end = page.find(">", mark.end())
    return len(page) if end < 0 else end + 1


def attributes(written: str) -> dict[str, str]:
    """Attributes by lower-case name; of several of a name the first counts."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(written):
        value = match[2] or ""
        if value[:1] in {'"', "'"}:
            value = value[1:-1]
        found.setdefault(match[1].lower(), unescaped(value))
    return found


def unescaped(text: str) -> str:
    """``text`` with its entities resolved; numbers that no character has are U+FFFD."""
    if "&" not in text:
        return text
    # The library refuses numbers of more than 4,300 digits.
    return html.unescape(_LONG_REFERENCE.sub("\ufffd", text))
