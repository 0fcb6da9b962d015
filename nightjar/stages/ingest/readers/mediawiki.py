"""MediaWiki XML exports: the pages of the configured namespaces as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nightjar.config import MediaWikiSource
from nightjar.stages.ingest.input_file import InputFile
from nightjar.stages.ingest.readers.mediawiki_pages import Page, PageStream
from nightjar.stages.ingest.records import Document, Reason, Record, Rejection, Skip, excerpt
from nightjar.stages.ingest.wikitext import WikitextStripper

_REDIRECT = re.compile(r"\s*#redirect\b", re.IGNORECASE)
_MARKUP_PER_CHAR = 4
_MIN_PAGE_CHARS = 1 << 22
"""Well above MediaWiki's own limit of a page, 2 MiB."""


def read_mediawiki(source: MediaWikiSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents with the page id as their id, without markup; redirects are skipped.

    Of a page with its history the last revision counts. Holds one page, of whose markup no
    more than four times ``max_chars`` (at least 4 million characters). Raises SourceError as
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


def _record(page: Page, stripper: WikitextStripper, label: str) -> Record:
    locator = f"{label}: page {excerpt(page.id)} ({excerpt(page.title)})"
    if page.model not in {"", "wikitext"}:
        detail = f"its content model is {page.model}"
        return Rejection(locator, Reason.NOT_WIKITEXT, detail, excerpt(page.text))
    if page.n_chars > len(page.text):
        detail = f"{page.n_chars} characters of markup"
        return Rejection(locator, Reason.TOO_LONG, detail, excerpt(page.text))
    text = stripper.strip(page.text)
    if not text:
        detail = "no text but markup" if page.text.strip() else "the page is empty"
        return Rejection(locator, Reason.EMPTY, detail, excerpt(page.text))
    return Document(locator, page.id, text)
