"""Plain text of a page written in MediaWiki markup.

Dropped: comments, templates, tables, references, galleries, formulas and code, files, categories,
interlanguage links, tags, addresses. Kept: running text, link texts, headings and list items, each
on its own line.

Nested markup (templates, tables, hidden links) is removed first, in one pass over the marks with a
stack, so time is linear whatever the page contains. That pass also finds marks without a
counterpart. :mod:`.wikitext_inline` reads the rest: links, addresses, emphasis, variants of a
language, entities.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from nightjar.files.html.html_elements import CELLS, LINE_BREAK, TEXT_BLOCKS
from nightjar.stages.ingest.wikitext_inline import (
    LOWERED,
    RAISED,
    SIGNS,
    decoded_entities,
    in_one_variant,
    without_emphasis,
    without_links,
    without_signs,
)
from nightjar.stages.ingest.wikitext_languages import WIKI_LANGUAGES
from nightjar.stages.ingest.wikitext_templates import shown_by

_TOKEN = re.compile(
    r"""
    (?P<open_template> \{\{+ )
    | (?P<close_template> \}\}+ )
    | (?P<open_link> \[\[ )
    | (?P<close_link> \]\]+ )
    | (?P<open_table> ^[\ \t:*\#;]*\{\| | <table\b[^<>]*> )
    # "|}}" ends a template, "|}" and "|}}}" end a table
    | (?P<close_table> ^[\ \t]*\|\}(?!\}(?!\})) | </table\s*> )
    | (?P<pipe> \| )
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
_MAX_OPENED = 16
"""Limit of templates opened at one place; more braces are noise."""

SEAM = "\x01"
"""Replaces what was cut, so that its neighbours do not form a mark. XML cannot contain it."""
_GAP = "\x02"
"""Replaces a template that shows nothing, until the gaps are counted."""

_HIDDEN_NAMES = frozenset(("category", "file", "image", "media"))
_PREFIX = re.compile(r"\s*([^\[\]{}|:\n]{1,60}):")
_MEDIA_NAME = re.compile(
    r"[^\[\]{}|\n]{1,300}\."
    r"(?:avif|djvu|flac|gif|jpe?g|midi?|mp[34]|og[agv]|opus|pdf|png|stl|svg|tiff?|wav|web[mp]|xcf)"
    r"\s*(?:\||\]\])",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Frame:
    """An opening mark without its end so far."""

    kind: str
    start: int
    end: int
    is_hidden: bool = False
    has_inner_link: bool = False
    pipes: list[int] = field(default_factory=list)
    """For a template: where its arguments begin."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What is left of a page."""

    text: str
    n_gaps: int
    """Templates within sentences that show nothing, since what they show is unknown."""


class BlockRemover:
    """Removes templates, tables and hidden links, given a wiki's namespace names.

    ``hidden_namespaces`` are those of files and categories in the wiki's language; the English ones
    are always known.
    """

    def __init__(self, hidden_namespaces: Collection[str] = ()) -> None:
        self._hidden = _HIDDEN_NAMES | {_normalized(name) for name in hidden_namespaces}

    def remove(self, text: str, title: str = "") -> Removed:
        """``text`` of the page ``title`` without them, with a SEAM in place of each.

        The text shown by templates in :mod:`.wikitext_templates` is kept.

        Marks without a counterpart are removed, but not the text they mark. Of nested links the
        inner ones are kept as links, so that no kept link contains another.
        """
        page = _Page(text, title)
        for token in _TOKEN.finditer(text):
            kind = token.lastgroup
            if kind == "open_template":
                page.open_templates(token)
            elif kind == "pipe":
                page.separate(token.start())
            elif kind == "open_table":
                page.push(_Frame("table", token.start(), token.end()))
            elif kind == "open_link":
                hidden = self._is_hidden(text, token.end())
                page.push(_Frame("link", token.start(), token.end(), is_hidden=hidden))
            elif kind == "close_link":
                page.close_links(token)
            else:
                is_table = kind == "close_table"
                page.close("table" if is_table else "template", token)
        left = page.finish()
        return Removed(left.replace(_GAP, SEAM), _n_gaps(left))

    def _is_hidden(self, text: str, start: int) -> bool:
        """Whether the link at ``start`` is to a file, a category or another language."""
        prefix = _PREFIX.match(text, start)
        if prefix is None:
            return False
        name = _normalized(prefix[1])
        is_hidden = name in self._hidden or name in WIKI_LANGUAGES
        return is_hidden or _MEDIA_NAME.match(text, start) is not None


def _normalized(namespace: str) -> str:
    return namespace.replace("_", " ").strip().casefold()


_CUT = rf"[{SEAM}{_GAP}{SIGNS}]++"
_CUTS = re.compile(rf"{_CUT}(?:[ \xa0]{_CUT})*+")
_BLANK = re.compile(r"[ \xa0]")
_GAP_BEFORE = re.compile(r"[^\W_][ \xa0]|[,;:)%][ \xa0]|.['\u2019(\u00ab\u201c\u201e]", re.DOTALL)
_GAP_AFTER = re.compile(r"[,.;:)%?!\u00bb\u201d]|[ \xa0][^\W_]|[ \xa0][(\[']")


def _n_gaps(text: str) -> int:
    """How many cuts of templates in ``text`` a space sets off from a sentence that goes on.

    Cuts side by side are one. Rows of tables that are never closed are no sentences.
    """
    if _GAP not in text:
        return 0
    text = _DEBRIS_LINE.sub("", text)
    return sum(
        _n_gaps_between(
            text[max(0, cuts.start() - 2) : cuts.start()],
            _BLANK.split(cuts[0]),
            text[cuts.end() : cuts.end() + 2],
        )
        for cuts in _CUTS.finditer(text)
    )


def _n_gaps_between(before: str, cuts: Sequence[str], after: str) -> int:
    """How many of ``cuts``, with a blank between, are gaps between two characters and two.

    A cut beside a word without a blank is a note or a mark: its neighbour stands beside the word.
    """
    is_set_off = []
    for _ in cuts:
        is_set_off.append(_GAP_BEFORE.fullmatch(before) is not None)
        before = before if is_set_off[-1] else f"{before[-1:]} "
    n_gaps = 0
    for cut, is_behind in zip(reversed(cuts), reversed(is_set_off), strict=True):
        is_before = _GAP_AFTER.match(after) is not None
        after = after if is_before else f" {after[:1]}"
        n_gaps += _GAP in cut and is_behind and is_before
    return n_gaps


class _Page:
    """The open marks at a position of a page, and the cuts to make."""

    def __init__(self, text: str, title: str) -> None:
        self._text = text
        self._title = title
        self._open: list[_Frame] = []
        self._n_open: Counter[str] = Counter()
        self._cuts: list[tuple[int, int, str]] = []

    def push(self, frame: _Frame) -> None:
        self._open.append(frame)
        self._n_open[frame.kind] += 1

    def open_templates(self, token: re.Match[str]) -> None:
        """Each pair of braces opens a template or a parameter; an odd one belongs to the last."""
        start = token.start()
        n_pairs = min((token.end() - start) // 2, _MAX_OPENED)
        for pair in range(n_pairs):
            is_last = pair == n_pairs - 1
            end = token.end() if is_last else start + 2
            self.push(_Frame("template", start, end))
            start = end

    def separate(self, place: int) -> None:
        """Start an argument, if the innermost open mark is a template."""
        if self._open and self._open[-1].kind == "template":
            self._open[-1].pipes.append(place)

    def close(self, kind: str, token: re.Match[str]) -> None:
        """End the innermost template or table, and whatever is still open inside it."""
        n_marks = (token.end() - token.start()) // 2 if kind == "template" else 1
        place = token.start()
        for mark in range(min(n_marks, self._n_open[kind])):
            is_whole = self._open[-1].kind == kind
            while (frame := self._pop()).kind != kind:
                pass
            end = token.end() if mark == n_marks - 1 else place + 2
            if not (kind == "template" and is_whole and self._show(frame, place, end)):
                is_parameter = self._text.startswith("{{{", frame.start)
                is_gap = kind == "template" and not is_parameter
                self._cut(frame.start, end, _GAP if is_gap else SEAM)
            place = end
        if place < token.end():
            self._cut(place, token.end())

    def _show(self, frame: _Frame, place: int, end: int) -> bool:
        """Cut all but the text that the ending template shows; False if it shows none."""
        is_parameter = frame.end - frame.start > 2
        shown = (
            None
            if is_parameter
            else shown_by(self._text, frame.end, place, frame.pipes, self._title)
        )
        if shown is None:
            return False
        done, instead = frame.start, SEAM
        for item in shown:
            if isinstance(item, str):
                instead += item
                continue
            self._cut(done, item.start, instead)
            done, instead = item.end, SEAM
        self._cut(done, end, instead)
        return True

    def _cut(self, start: int, end: int, instead: str = SEAM) -> None:
        self._cuts.append((start, end, instead))

    def close_links(self, token: re.Match[str]) -> None:
        """Each pair of brackets ends a link if one is open; an odd one ends something earlier."""
        length = token.end() - token.start()
        for start in range(token.start() + length % 2, token.end(), 2):
            if not self._open or self._open[-1].kind != "link":
                self._cut(start, token.end())
                return
            self._close_link(start, start + 2)

    def _close_link(self, start: int, end: int) -> None:
        frame = self._pop()
        if frame.is_hidden:
            self._cut(frame.start, end)
            return
        if frame.has_inner_link:
            self._cut(frame.start, frame.end)
            self._cut(start, end)
        if self._open and self._open[-1].kind == "link":
            self._open[-1].has_inner_link = True

    def finish(self) -> str:
        """The text with a SEAM or _GAP for what was closed, and a SEAM for unclosed marks.

        Of an unclosed table the attributes go, too.
        """
        done = 0
        for frame in self._open:
            if frame.start < done:
                continue
            done = frame.end
            if frame.is_hidden or self._text.startswith("{|", frame.end - 2):
                line_end = self._text.find("\n", frame.end)
                done = len(self._text) if line_end < 0 else line_end
            self._cut(frame.start, done)
        pieces = []
        position = 0
        # Of cuts that start together the longest counts, since it contains the others.
        for start, end, instead in sorted(self._cuts, key=lambda cut: (cut[0], -cut[1])):
            if start >= position:
                pieces += [self._text[position:start], instead]
            position = max(position, end)
        pieces.append(self._text[position:])
        return "".join(pieces)

    def _pop(self) -> _Frame:
        frame = self._open.pop()
        self._n_open[frame.kind] -= 1
        return frame


_DROPPED_TAGS = (
    "ce|chem|categorytree|gallery|graph|hiero|imagemap|includeonly|indicator|inputbox|mapframe|"
    "maplink|math|pre|ref|references|score|script|source|style|syntaxhighlight|templatedata|"
    "templatestyles|timeline"
)
_RAW_OPENING = re.compile(rf"<!--|<(nowiki|{_DROPPED_TAGS})(?:\s[^<>]*|/)?>", re.IGNORECASE)
_LITERAL = str.maketrans({mark: f"&#{ord(mark)};" for mark in "[]{}|<>='"})

_LINE_TAGS = "|".join(sorted((*TEXT_BLOCKS, *CELLS, LINE_BREAK, "poem")))
_SUP = re.compile(r"<(/)?sup(?:\s[^<>]*)?(?<!/)>", re.IGNORECASE)
_LINE_TAG = re.compile(rf"</?(?:{_LINE_TAGS})(?:[\s/][^<>]*)?>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][a-z0-9-]*(?:[\s/][^<>]*)?>", re.IGNORECASE)
_HEADING = re.compile(r"^=.*$", re.MULTILINE)
_LIST_MARKS = re.compile(rf"^[*#:;{SEAM}{SIGNS}]+", re.MULTILINE)
_SWITCH = re.compile(r"__[^\W\da-z_]+(?:_[^\W\da-z_]+)*+__")
_ADDRESS = re.compile(r"\b(?:https?|ftp)://[^\s\[\]<>\"]+", re.IGNORECASE)
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
        return self.stripped(wikitext).text

    def stripped(self, wikitext: str, title: str = "") -> Removed:
        """Plain text of the page ``title``, and the number of its gaps."""
        removed = self._blocks.remove(_without_raw(wikitext), title)
        text = _LINE_TAG.sub("\n", _SUP.sub(_sign, removed.text))
        text = _TAG.sub(SEAM, text)
        text = _LIST_MARKS.sub("", _HEADING.sub(_title, text))
        text = in_one_variant(without_links(in_one_variant(text)))
        return Removed(_tidy(without_emphasis(text)), removed.n_gaps)


def _without_raw(text: str) -> str:
    """``text`` without comments and non-text tags; nowiki is made literal.

    Of an unclosed tag only the mark is removed; an unclosed comment reaches to the end.
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
            closings[name] = None  # nor is there a later one
            continue
        if name == "nowiki":
            pieces.append(text[position : match.start()].translate(_LITERAL))
        position = match.end()
    pieces.append(text[position:])
    return "".join(pieces)


def _sign(tag: re.Match[str]) -> str:
    return SEAM + (RAISED if tag[1] is None else LOWERED)


def _title(heading: re.Match[str]) -> str:
    return f"\n{heading[0].strip(' =')}\n"


def _tidy(text: str) -> str:
    """Remove leftovers of the stripping: stray marks, empty parentheses, extra space."""
    text = _ADDRESS.sub("", _SWITCH.sub("", text.replace(SEAM, "")))
    # Only now it shows whether ten to the sixth would be 106.
    text = without_signs(decoded_entities(_DEBRIS_LINE.sub("", text)))
    text = _HANGING_SEPARATOR.sub("(", _EMPTY_PARENTHESES.sub("", text))
    text = _MARKS.sub("", text)
    text = _LINE_ENDS.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()
