"""MediaWiki XML exports as a stream: pages of the configured namespaces as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from nightjar.config import MediaWikiSource
from nightjar.errors import SourceError
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import Reason, Rejection, Skip, excerpt
from nightjar.stages.ingest.records import Document, Record
from nightjar.stages.ingest.wikitext import WikitextStripper
from nightjar.wording import counted

_FEED_BYTES = 1 << 16
_MAX_DEPTH = 32
_MAX_MARK_BYTES = 1 << 22
"""Longest tag or comment: the parser holds it and rescans it with every feed."""
_NAMESPACE = "siteinfo/namespaces/namespace"
_KEPT = frozenset(
    (_NAMESPACE, "page/title", "page/ns", "page/id", "page/revision/text", "page/revision/model")
)
_FILE_NAMESPACES = (-2, 6, 14)
"""Media, File and Category: links to them show no text."""


@dataclass(frozen=True)
class WikiPage:
    """A page; with a history, its last revision."""

    id: str
    title: str
    namespace: int
    is_redirect: bool
    model: str
    text: str
    n_chars: int
    """Length of the markup; more than ``len(text)`` if the page was cut."""


@dataclass
class Site:
    """What the export says about the wiki, before the first page."""

    namespaces: dict[int, str] = field(default_factory=dict)
    """Names by number, in the wiki's language."""

    @property
    def hidden_namespaces(self) -> list[str]:
        """Names of the namespaces whose links show no text: files and categories."""
        return [self.namespaces[key] for key in _FILE_NAMESPACES if self.namespaces.get(key)]

    def namespace(self, number: str, title: str) -> int:
        """The number of a page's namespace; exports before 2009 have it only in the title."""
        if number.removeprefix("-").isdecimal():
            return int(number)
        name, colon, _ = title.partition(":")
        return next((key for key, value in self.namespaces.items() if colon and value == name), 0)


class PageStream:
    """The pages of ``file`` in order, and their ``site``.

    Memory: the pages in 64 KiB of XML, with at most ``max_chars`` of markup each. Iterating raises
    SourceError when the XML is hostile, not well-formed, truncated, or not a MediaWiki export,
    after yielding the intact pages before that.
    """

    def __init__(self, file: InputFile, max_chars: int) -> None:
        self._file = file
        self._target = _Target(max_chars)

    @property
    def site(self) -> Site:
        """Known once the first page was read."""
        return self._target.site

    def __iter__(self) -> Iterator[WikiPage]:
        parser = DefusedXMLParser(target=self._target, forbid_dtd=True)
        n_silent = 0
        for data in _stretches(self._file.content()):
            try:
                self._feed(parser, data)
            except SourceError:
                yield from self._target.take_pages()  # the intact pages before
                raise
            yield from self._target.take_pages()
            n_silent = 0 if self._target.take_news() else n_silent + len(data)
            if n_silent > _MAX_MARK_BYTES:
                raise SourceError(
                    f"{self._file.path}: refused: the XML has a tag or comment of more than "
                    f"{_MAX_MARK_BYTES >> 20} MiB, which a MediaWiki export never has"
                )
        self._feed(parser, None)

    def _feed(self, parser: DefusedXMLParser, data: bytes | None) -> None:
        """Parse ``data``; None means the end of the file."""
        path = self._file.path
        try:
            if data is None:
                parser.close()
            else:
                parser.feed(data)
        except DefusedXmlException as error:
            raise SourceError(
                f"{path}: refused: the XML has a DTD, entities or external references, which a "
                f"MediaWiki export never has and which can attack a reader ({error})"
            ) from error
        except _NotAnExport as error:
            raise SourceError(f"{path}: is no MediaWiki export: {error}") from error
        except (ParseError, LookupError, ValueError) as error:
            raise SourceError(
                f"{path}: the XML is not well-formed or is cut off ({error}); restore or fetch "
                f"the file again"
            ) from error


def _stretches(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _FEED_BYTES):
            yield piece[start : start + _FEED_BYTES]


class _NotAnExport(Exception):
    pass


class _Target:
    """Receives the parser's events; keeps the fields of the current page and builds no tree."""

    def __init__(self, max_chars: int) -> None:
        self.site = Site()
        self._max_chars = max_chars
        self._path: list[str] = []
        self._pages: list[WikiPage] = []
        self._fields: dict[str, str] = {}
        self._is_redirect = False
        self._n_text_chars = 0
        self._namespace_key = ""
        self._kept: list[str] | None = None
        self._n_kept = 0
        self._has_news = False

    def take_news(self) -> bool:
        """Whether anything was received since the last call."""
        has_news, self._has_news = self._has_news, False
        return has_news

    def take_pages(self) -> list[WikiPage]:
        """The pages that ended since the last call."""
        pages, self._pages = self._pages, []
        return pages

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Start an element."""
        self._has_news = True
        name = tag.rpartition("}")[2]
        if not self._path and name != "mediawiki":
            raise _NotAnExport(f"its root element is <{name}>, not <mediawiki>")
        if len(self._path) == _MAX_DEPTH:
            raise _NotAnExport(f"its elements are nested {_MAX_DEPTH} deep")
        self._path.append(name)
        where = self._where()
        if where in _KEPT:
            self._kept, self._n_kept = [], 0
        if where == "page":
            self._fields, self._is_redirect, self._n_text_chars = {}, False, 0
        elif where == "page/revision":
            self._fields.pop("page/revision/text", None)
            self._fields.pop("page/revision/model", None)
        elif where == "page/redirect":
            self._is_redirect = True
        elif where == _NAMESPACE:
            self._namespace_key = attributes.get("key", "")

    def data(self, text: str) -> None:
        """Text within the current element."""
        self._has_news = True
        if self._kept is not None:
            if self._n_kept < self._max_chars:
                self._kept.append(text)
            self._n_kept += len(text)

    def end(self, _tag: str) -> None:
        """End the current element."""
        self._has_news = True
        where = self._where()
        if self._kept is not None and where in _KEPT:
            content = "".join(self._kept)[: self._max_chars]
            self._kept = None
            if where == _NAMESPACE:
                self._add_namespace(content)
            else:
                self._fields[where] = content
            if where == "page/revision/text":
                self._n_text_chars = self._n_kept
        elif where == "page":
            self._pages.append(self._page())
        self._path.pop()

    def _where(self) -> str:
        return "/".join(self._path[1:])

    def _add_namespace(self, name: str) -> None:
        if self._namespace_key.removeprefix("-").isdecimal():
            self.site.namespaces[int(self._namespace_key)] = name

    def _page(self) -> WikiPage:
        title = self._fields.get("page/title", "")
        return WikiPage(
            id=self._fields.get("page/id", ""),
            title=title,
            namespace=self.site.namespace(self._fields.get("page/ns", ""), title),
            is_redirect=self._is_redirect,
            model=self._fields.get("page/revision/model", ""),
            text=self._fields.get("page/revision/text", ""),
            n_chars=self._n_text_chars,
        )


_REDIRECT = re.compile(r"\s*#redirect\b", re.IGNORECASE)
_MARKUP_PER_CHAR = 4
_MIN_PAGE_CHARS = 1 << 22
"""Well above MediaWiki's own limit for a page, 2 MiB."""


def read_mediawiki(source: MediaWikiSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents without markup, with the page id as id; redirects are skipped.

    A page with history yields its last revision. Memory: one page, with at most four times
    ``max_chars`` of markup (at least 4 million characters). Raises SourceError as
    :class:`PageStream` does.
    """
    pages = PageStream(file, max(_MARKUP_PER_CHAR * max_chars, _MIN_PAGE_CHARS))
    namespaces = frozenset(source.namespaces)
    stripper: WikitextStripper | None = None
    for page in pages:
        stripper = stripper or WikitextStripper(pages.site.hidden_namespaces)
        if page.namespace not in namespaces:
            yield Skip.OTHER_NAMESPACE
        elif page.is_redirect or _REDIRECT.match(page.text):
            yield Skip.REDIRECT
        else:
            yield _record(page, stripper, file.label)


def _record(page: WikiPage, stripper: WikitextStripper, label: str) -> Record:
    locator = f"{label}: page {excerpt(page.id)} ({excerpt(page.title)})"
    if page.model not in {"", "wikitext"}:
        detail = f"its content model is {page.model}"
        return Rejection(locator, Reason.NOT_WIKITEXT, detail, excerpt(page.text))
    if page.n_chars > len(page.text):
        detail = f"{counted(page.n_chars, 'character')} of markup"
        return Rejection(locator, Reason.TOO_LONG, detail, excerpt(page.text))
    found = stripper.stripped(page.text, page.title)
    text = found.text
    if not text:
        detail = "no text but markup" if page.text.strip() else "the page is empty"
        return Rejection(locator, Reason.EMPTY, detail, excerpt(page.text))
    return Document(locator, page.id, text, n_gaps=found.n_gaps)
