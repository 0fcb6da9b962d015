"""The step ``html``: removes tags, comments and scripts, and decodes entities.

For texts with some HTML, such as reviews; use the source type html for complete pages. Text that
looks like a tag but names no HTML element stays: ``<3``, ``a < b``, ``<joe@x.org>``.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from html.entities import html5

from nightjar.files.html.html_elements import BLOCKS, CELLS, LINE_BREAK, RAISED_NUMBER
from nightjar.stages.ingest.cleaning.results import Changes, CleaningChange

_INLINE = (
    "a abbr acronym b basefont bdi bdo big blink cite code data del dfn em font i ins kbd label "
    "mark meter nobr output progress q rp rt rtc ruby s samp slot small spacer span strike strong "
    "sub sup time tt u var wbr"
)
_REPLACED = "audio button canvas embed iframe img input math object picture select svg video"
_HEAD_AND_PARTS = (
    "applet area base col colgroup datalist frame link map marquee menuitem meta noframes noscript "
    "param script source style template textarea track"
)
_INSTEAD = {
    **dict.fromkeys(_INLINE.split(), ""),
    **dict.fromkeys(_REPLACED.split(), " "),
    **dict.fromkeys((*BLOCKS, *CELLS, LINE_BREAK, *_HEAD_AND_PARTS.split()), "\n"),
}
"""Replacements of tags: nothing within a word, a blank between words, a newline between lines."""
_PREFIXES = frozenset({"fb", "m", "o", "st1", "svg", "v", "w"})
"""Namespaces of elements such as ``<o:p>``, which office programs write."""

_LINE_BREAK = re.compile(r"<[bB][rR]\s*+/?>")
# Every attempt starts at a "<" followed by a letter, / ! or ?, and none reads beyond the next "<",
# so the text is read once. A quote that is never closed is an ordinary character.
_TAG = re.compile(
    r"</?([a-zA-Z][a-zA-Z0-9:]*+)"
    r"(?:[\s/](?:[^<>\"']++"
    r"|\"(?:[^\"<]++|<(?![a-zA-Z/!?]))*+\""
    r"|'(?:[^'<]++|<(?![a-zA-Z/!?]))*+'"
    r"|[\"'])*+)?+>"
    r"|<(?:!(?i:doctype)|\?(?i:xml|php))\b[^<>]*+>"
    r"|<!\[[a-zA-Z][^<>\]]*+\]>"
)
_SECTION = re.compile(r"<(?:!--|(script|style)(?=[\s/>])[^<>]*+>)", re.IGNORECASE)
_END = {
    "script": re.compile(r"</script\s*+>", re.IGNORECASE),
    "style": re.compile(r"</style\s*+>", re.IGNORECASE),
    "": re.compile("-->"),
}
_ENTITY = re.compile(
    r"&(?:#(?:[0-9]{1,10}|[xX][0-9a-fA-F]{1,8});?"
    r"|[A-Za-z][A-Za-z0-9]{1,31};"
    r"|(?:amp|lt|gt|quot|nbsp)(?![A-Za-z0-9=;]))"
)


def remove_html(text: str, changes: Changes) -> str:
    """``text`` without tags, comments and scripts, with entities decoded once.

    Block elements become a newline, images and the like a blank, others nothing. The content of
    ``script`` and ``style`` is removed too, unless the element is never closed. ``&lt;b&gt;``
    becomes ``<b>``, because it stood for these characters. An entity needs its semicolon, except
    numbers and ``amp lt gt quot nbsp``, so that ``?a=1&copy=2`` stays.
    """
    parts = _without_tags(_without_sections(text, changes), changes) if "<" in text else [text]
    if "&" in text:
        parts[::2] = [_decoded(part, changes) for part in parts[::2]]
    return _joined(parts)


def _without_sections(text: str, changes: Changes) -> str:
    """``text`` without comments, and without closed scripts and styles."""
    match = _SECTION.search(text)
    if match is None:
        return text
    kept: list[str] = []
    unclosed: set[str] = set()
    position = 0
    while match is not None:
        kind = (match.group(1) or "").lower()
        # "<!-->" is a complete comment.
        start = match.end() if kind else match.start() + 2
        end = None if kind in unclosed else _END[kind].search(text, start)
        if end is None:
            unclosed.add(kind)  # no later one is closed either, so they are not searched
            match = _SECTION.search(text, match.end())
            continue
        kept += (text[position : match.start()], "\n" if kind else "")
        position = end.end()
        changes.add(CleaningChange.HTML_SECTIONS, 1)
        match = _SECTION.search(text, position)
    return "".join([*kept, text[position:]])


def _without_tags(text: str, changes: Changes) -> list[str]:
    """``text`` without tags, in parts: between them lie the tags of ``<sup>``."""
    text, n_breaks = _LINE_BREAK.subn("\n", text)
    changes.add(CleaningChange.HTML_TAGS, n_breaks)
    parts: list[str] = []
    kept: list[str] = []
    position = n_removed = 0
    for tag in _TAG.finditer(text):
        instead = _instead_of(tag[1])
        if instead is None:
            continue
        kept += (text[position : tag.start()], instead)
        position = tag.end()
        n_removed += 1
        if tag[1] is not None and tag[1].lower() == "sup":
            parts += ("".join(kept), tag[0])
            kept.clear()
    changes.add(CleaningChange.HTML_TAGS, n_removed)
    return [*parts, "".join([*kept, text[position:]])]


def _joined(parts: list[str]) -> str:
    """The text of ``parts``; a number that ``<sup>`` raises does not join one in front."""
    pieces = [parts[0]]
    before = parts[0][-1:]
    for tag, text in zip(parts[1::2], parts[2::2], strict=True):
        is_raised = not tag.startswith("</") and not tag.endswith("/>") and before.isdecimal()
        if is_raised and RAISED_NUMBER.match(text):
            pieces.append("^")
        pieces.append(text)
        before = text[-1:] or before
    return "".join(pieces)


def _instead_of(name: str | None) -> str | None:
    """The replacement of a tag with that name (None for a declaration); None if it is not a tag."""
    if name is None:
        return ""
    name = name.lower()
    if name in _INSTEAD:
        return _INSTEAD[name]
    prefix, colon, local = name.partition(":")
    return "" if colon and local and prefix in _PREFIXES else None


def _decoded(text: str, changes: Changes) -> str:
    n_decoded = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal n_decoded
        entity = match.group()
        character = _character(entity)
        n_decoded += character is not None
        return entity if character is None else character

    text = _ENTITY.sub(replace, text)
    changes.add(CleaningChange.HTML_ENTITIES, n_decoded)
    return text


@lru_cache(maxsize=4096)
def _character(entity: str) -> str | None:
    """The character that an entity names; None when HTML has no such entity."""
    name = entity.removesuffix(";") + ";"
    return html.unescape(name) if entity[1] == "#" else html5.get(name[1:])
