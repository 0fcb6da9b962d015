"""HTML: one page per file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from nightjar.config import HtmlSource
from nightjar.config.sections import is_for_files
from nightjar.files.html import html_to_text
from nightjar.files.html.html_elements import Tag, attributes, scan
from nightjar.sources.encodings import decoded, open_encoded, sniff_bom
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import MAX_BYTES_PER_CHAR, Reason, Rejection, excerpt
from nightjar.sources.text_lines import read_whole
from nightjar.stages.ingest.records import Document, Record
from nightjar.wording import counted

_MARKUP_PER_CHAR = 4
_MIN_PAGE_BYTES = 1 << 24
_HEAD_BYTES = 1 << 12
"""Where a page declares its encoding; the standard says 1,024 bytes, pages use more."""
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([\w:.-]+)""", re.ASCII | re.IGNORECASE)
_XML = re.compile(r"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']\s*([\w:.-]+)""", re.ASCII)
_LABELS = {
    # What browsers use for these names (the Encoding standard), in Python's names.
    "ascii": "cp1252", "us-ascii": "cp1252", "latin1": "cp1252", "latin-1": "cp1252",
    "iso-8859-1": "cp1252", "iso8859-1": "cp1252", "l1": "cp1252",
    "iso-8859-9": "cp1254", "latin5": "cp1254", "iso-8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030",
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932",
    "windows-31j": "cp932", "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "korean": "cp949",
    "x-mac-cyrillic": "mac_cyrillic", "x-cp1250": "cp1250", "x-cp1251": "cp1251",
    "x-cp1252": "cp1252", "x-euc-jp": "euc_jp", "unicode-1-1-utf-8": "utf-8",
    "big5": "big5hkscs", "big5-hkscs": "big5hkscs",
    # A page whose declaration could be read as ASCII cannot be in these.
    "utf-16": "utf-8", "utf-16le": "utf-8", "utf-16be": "utf-8", "utf-32": "utf-8",
    "utf-7": "utf-8",
}  # fmt: skip


def read_html(source: HtmlSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """One document, whose id is the file's label: the page's title and text.

    Memory: the page, limited to 16 bytes for each of ``max_chars`` (at least 16 MiB).
    """
    limit = max(_MARKUP_PER_CHAR * MAX_BYTES_PER_CHAR * max_chars, _MIN_PAGE_BYTES)
    page = read_whole(file.content(), limit)
    if page.n_bytes > len(page.data):
        detail = f"{counted(page.n_bytes, 'byte')} of markup"
        yield Rejection(file.label, Reason.TOO_LONG, detail, excerpt(page.data))
        return
    # Detection comes last, if the encoding is auto.
    encoding = sniff_bom(page.data) or _declared(page.data) or source.encoding
    stream = open_encoded((page.data,), encoding)
    data = b"".join(stream.pieces)
    try:
        markup = decoded(data, stream.encoding.name, source.errors)
    except UnicodeError as error:
        shown = excerpt(data, stream.encoding.name)
        yield Rejection(file.label, Reason.UNDECODABLE, str(error), shown)
        return
    text = html_to_text(markup, source.selector)
    if text:
        yield Document(file.label, file.label, text)
    elif source.selector is not None and html_to_text(markup):
        detail = f"the selector {source.selector!r} chooses no text of the page"
        yield Rejection(file.label, Reason.EMPTY, detail, excerpt(markup))
    else:
        detail = "no text but markup" if markup.strip() else "the file is empty"
        yield Rejection(file.label, Reason.EMPTY, detail, excerpt(markup))


def _declared(data: bytes) -> str | None:
    """The encoding that a page declares, if Python knows it and it can be true."""
    head = data[:_HEAD_BYTES].decode("latin-1")
    for label in _labels(head):
        name = _LABELS.get(label.strip().lower(), label.strip().lower())
        if _is_readable(name):
            return name
    return None


def _labels(head: str) -> Iterator[str]:
    """The encodings that a page's elements ``meta`` name, and then its XML declaration.

    Tags in attributes, comments and scripts are none.
    """
    for token in scan(head):
        if not isinstance(token, Tag) or token.is_end or token.name != "meta":
            continue
        found = attributes(token.attributes)
        if "charset" in found:
            yield found["charset"]
        elif "http-equiv" in found and (match := _CHARSET.search(found.get("content", ""))):
            yield match[1]
    if match := _XML.match(head):
        yield match[1]


def _is_readable(name: str) -> bool:
    """Whether it is an encoding in which a declaration could have been read as ASCII."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    # Base64 and rot13 are codecs, but not text encodings.
    if not getattr(codec, "_is_text_encoding", True) or not is_for_files(name):
        return False
    try:
        return b"<meta".decode(name) == "<meta"
    except UnicodeError:
        return False
