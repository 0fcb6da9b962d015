"""Plain text of a page written in MediaWiki markup.

Dropped: comments, templates, tables, references, galleries, formulas and code, files,
categories and links to other languages, tags, addresses. Kept: running text, what links
show, headings and list items, each on its own line.

mwparserfromhell reads the markup that is left (links, addresses, entities) after everything that
nests was taken out in linear time. Given a whole page it needs time quadratic in the marks
that are never closed (measured with 0.7.2: 36 s for 40,000 characters of ``<b a='``) and
overflows the stack on a line of 25,000 ``=a``, so that one spoilt page could stop a night.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import mwparserfromhell

from nightjar.stages.ingest.wikitext_blocks import SEAM, BlockRemover

_DROPPED_TAGS = (
    "ce|chem|categorytree|gallery|graph|hiero|imagemap|includeonly|indicator|inputbox|mapframe|"
    "maplink|math|pre|ref|references|score|script|source|style|syntaxhighlight|templatedata|"
    "templatestyles|timeline"
)
_RAW_OPENING = re.compile(rf"<!--|<(nowiki|{_DROPPED_TAGS})(?:\s[^<>]*|/)?>", re.IGNORECASE)
_LITERAL = str.maketrans({mark: f"&#{ord(mark)};" for mark in "[]{}|<>='"})

_LINE_TAGS = "blockquote|br|center|dd|div|dl|dt|h[1-6]|hr|li|ol|p|poem|section|td|th|tr|ul"
_LINE_TAG = re.compile(rf"</?(?:{_LINE_TAGS})(?:[\s/][^<>]*)?>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][a-z0-9-]*(?:[\s/][^<>]*)?>", re.IGNORECASE)
_HEADING = re.compile(r"^=.*$", re.MULTILINE)
_LIST_MARKS = re.compile(r"^[*#:;\x01]+", re.MULTILINE)
_LEADING_COLON = re.compile(r"\[\[\s*:")
_UNCLOSED_ADDRESS = re.compile(
    r"\[(?=[a-z][a-z0-9+.-]*:|//)(?!(?:[^\[\]\n]++|\[\[[^\[\]\n]*+\]\])*+\])", re.IGNORECASE
)

_APOSTROPHES = re.compile(r"'{2,}")
_SWITCH = re.compile(r"__[A-Z]+__")
_ADDRESS = re.compile(r"\b(?:https?|ftp)://[^\s\[\]<>\"]+", re.IGNORECASE)
_SURROGATES = re.compile(r"[\ud800-\udfff]+")  # an entity can name them
_MARKS = re.compile(r"[\[\]{}]{2,}")
_DEBRIS_LINE = re.compile(r"^(?:[ \t]*(?:(?:\||\{\|).*|!.*(?:!!|\|).*)|[^\w\n]+)$", re.MULTILINE)
_EMPTY_PARENTHESES = re.compile(r"[ \t]*\([\s,;:]*\)")
_HANGING_SEPARATOR = re.compile(r"\((?:[ \t]*[,;:])+[ \t]*")
_SPACES = re.compile(r"[ \t\xa0]+")
_LINE_ENDS = re.compile(r" ?\n ?")
_BLANK_LINES = re.compile(r"\n{3,}")


class WikitextStripper:
    """Turns wikitext into plain text; ``hidden_namespaces`` as for BlockRemover."""

    def __init__(self, hidden_namespaces: Collection[str] = ()) -> None:
        self._blocks = BlockRemover(hidden_namespaces)

    def strip(self, wikitext: str) -> str:
        """Plain text of ``wikitext``; paragraphs, headings and list items are lines."""
        text = self._blocks.remove(_without_raw(wikitext))
        text = _TAG.sub(SEAM, _LINE_TAG.sub("\n", text))
        text = text.replace("<", "&lt;").replace("{", "&#123;")
        text = _LIST_MARKS.sub("", _HEADING.sub(_title, text))
        text = _LEADING_COLON.sub("[[", _UNCLOSED_ADDRESS.sub("&#91;", text))
        code = mwparserfromhell.parse(text, skip_style_tags=True)
        return _tidy(code.strip_code(normalize=True, collapse=False))


def _without_raw(text: str) -> str:
    """``text`` without comments and tags whose content is no text; nowiki made literal.

    A tag that is never closed loses its mark only; a comment then reaches to the end.
    """
    pieces = []
    closings: dict[str, re.Pattern[str] | None] = {}
    position = 0
    while opening := _RAW_OPENING.search(text, position):
        pieces.append(text[position : opening.start()])
        position = opening.end()
        if opening[1] is None:
            end = text.find("-->", position)
            position = len(text) if end < 0 else end + 3
            continue
        name = opening[1].lower()
        closing = closings.setdefault(name, re.compile(rf"</{name}\s*>", re.IGNORECASE))
        if opening[0].endswith("/>") or closing is None:
            continue
        match = closing.search(text, position)
        if match is None:
            closings[name] = None  # nor is there one further on
            continue
        if name == "nowiki":
            pieces.append(text[position : match.start()].translate(_LITERAL))
        position = match.end()
    pieces.append(text[position:])
    return "".join(pieces)


def _title(heading: re.Match[str]) -> str:
    return f"\n{heading[0].strip(' =')}\n"


def _tidy(text: str) -> str:
    """Remove what the stripping left behind: stray marks, empty parentheses, extra space."""
    text = _SURROGATES.sub("", text.replace(SEAM, ""))
    text = _APOSTROPHES.sub(_without_emphasis, text)
    text = _DEBRIS_LINE.sub("", _ADDRESS.sub("", _SWITCH.sub("", text)))
    text = _HANGING_SEPARATOR.sub("(", _EMPTY_PARENTHESES.sub("", text))
    text = _MARKS.sub("", text)
    text = _LINE_ENDS.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


def _without_emphasis(marks: re.Match[str]) -> str:
    """The apostrophes of a run that are text: two, three and five are emphasis."""
    length = len(marks[0])
    if length in {2, 3}:
        return ""
    return "'" if length == 4 else "'" * (length - 5)
