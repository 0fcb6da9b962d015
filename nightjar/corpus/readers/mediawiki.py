"""MediaWiki XML exports (https://www.mediawiki.org/wiki/Help:Export), streamed.

The XML parser pushes into a target that holds one page, so memory does not grow with the dump.
Document types and entity declarations, which a MediaWiki never writes, are refused: they
are how XML is made to expand without end or to read other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from nightjar.config import MediaWikiSource
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.records import Document, Reason, Record, Rejection, Skip, excerpt
from nightjar.corpus.wikitext import WikitextStripper
from nightjar.errors import SourceError

_HIDDEN_NAMESPACES = frozenset(("-2", "6", "14"))
"""Keys of media, files and categories: links to them show nothing in running text."""
_MARKUP_SHARE = 4
"""Wikitext may be so many times as long as the plain text that is left of it."""


def read_mediawiki(config: MediaWikiSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """The articles of a dump as plain text, with the page's id.

    Raises SourceError when the XML is damaged, truncated, hostile or not of a MediaWiki.
    """
    export = _Export(max_chars * _MARKUP_SHARE)
    try:
        parser = DefusedXMLParser(target=export, forbid_dtd=True)
        for piece in file.content():
            parser.feed(piece)
            yield from _records(config, file, export)
        parser.close()
        yield from _records(config, file, export)
    except ParseError as error:
        raise SourceError(
            f"{file.path}: the XML is damaged or ends early ({error}); fetch the dump again"
        ) from error
    except DefusedXmlException as error:
        raise SourceError(
            f"{file.path}: refused: the XML declares a document type or entities, which no "
            f"MediaWiki export does ({type(error).__name__})"
        ) from error


@dataclass
class _PageElements:
    """What is known of the page being read."""

    values: dict[str, list[str]] = field(default_factory=dict)
    is_redirect: bool = False
    n_chars: int = 0

    def text_of(self, name: str) -> str:
        return "".join(self.values.get(name, ()))


_WANTED = {
    ("page", "title"): "title",
    ("page", "ns"): "ns",
    ("page", "id"): "id",
    ("page", "revision", "model"): "model",
    ("page", "revision", "text"): "text",
}
"""What is read of a page, by its path below the root."""


class _Export:
    """Target of the parser: collects the elements of one page, hands out finished pages."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._path: list[str] = []
        self._page = _PageElements()
        self._collecting: list[str] | None = None
        self._namespace_key = ""
        self.hidden_namespaces: list[str] = []
        self.finished: list[_PageElements] = []
        self.n_pages = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2]
        if not self._path and name != "mediawiki":
            raise SourceError(f"the XML is no MediaWiki export: its root is <{name}>")
        self._path.append(name)
        if name == "page" and len(self._path) == 2:
            self._page = _PageElements()
        elif name == "redirect" and self._path[1:2] == ["page"]:
            self._page.is_redirect = True
        elif name == "namespace":
            self._namespace_key = attributes.get("key", "")
            self._collecting = []
        wanted = _WANTED.get(tuple(self._path[1:]))
        if wanted is not None:
            # Of several revisions the last one, the newest, stays.
            self._page.values[wanted] = self._collecting = []
            if wanted == "text":
                self._page.n_chars = 0

    def data(self, text: str) -> None:
        if self._collecting is None:
            return
        if self._path[-1] == "text":
            self._page.n_chars += len(text)
            if self._page.n_chars > self._max_chars:
                return
        self._collecting.append(text)

    def end(self, tag: str) -> None:
        name = tag.rpartition("}")[2]
        if name == "namespace" and self._namespace_key in _HIDDEN_NAMESPACES:
            self.hidden_namespaces.append("".join(self._collecting or ()))
        self._collecting = None
        self._path.pop()
        if name == "page" and len(self._path) == 1:
            self.n_pages += 1
            self.finished.append(self._page)

    def close(self) -> None:
        """Nothing is left to do: finished pages were handed out."""

    def is_too_long(self, page: _PageElements) -> bool:
        return page.n_chars > self._max_chars


def _records(config: MediaWikiSource, file: InputFile, export: _Export) -> Iterator[Record]:
    pages, export.finished = export.finished, []
    if not pages:
        return
    stripper = WikitextStripper(export.hidden_namespaces)
    for page in pages:
        yield _record(config, file, export, page, stripper)


def _record(
    config: MediaWikiSource,
    file: InputFile,
    export: _Export,
    page: _PageElements,
    stripper: WikitextStripper,
) -> Record:
    title, page_id = page.text_of("title"), page.text_of("id").strip()
    locator = f"{file.label}: page {page_id or '?'} ({excerpt(title)})"
    # Exports before version 0.6 have no ns element; articles are what they were made of.
    namespace = page.text_of("ns").strip() or "0"
    if namespace not in {str(wanted) for wanted in config.namespaces}:
        return Skip.OTHER_NAMESPACE
    if page.is_redirect:
        return Skip.REDIRECT
    wikitext = page.text_of("text")
    model = page.text_of("model").strip() or "wikitext"
    if model != "wikitext":
        return Rejection(locator, Reason.NOT_WIKITEXT, f"content model {model}", excerpt(wikitext))
    if export.is_too_long(page):
        detail = f"{page.n_chars} characters of wikitext"
        return Rejection(locator, Reason.TOO_LONG, detail, excerpt(wikitext))
    return Document(locator, page_id or None, stripper.strip(wikitext))
