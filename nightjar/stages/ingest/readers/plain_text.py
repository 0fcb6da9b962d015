"""Plain text: a document per line or per file."""

from __future__ import annotations

from collections.abc import Iterator

from nightjar.config import TextSource
from nightjar.sources.encodings import decoded, open_encoded
from nightjar.sources.input_file import InputFile
from nightjar.sources.rejections import MAX_BYTES_PER_CHAR, Reason, Rejection, excerpt
from nightjar.sources.text_lines import read_whole, split_lines
from nightjar.stages.ingest.records import Document, Record
from nightjar.wording import counted


def read_text(source: TextSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """Documents without ids (lines), or one document with the file's label as id.

    Memory: one document, limited to the bytes of ``max_chars`` characters.
    """
    if source.document == "file":
        return iter((_whole_file(source, file, max_chars),))
    return _lines(source, file, max_chars)


def _lines(source: TextSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    stream = open_encoded(file.content(), source.encoding)
    for line in split_lines(stream, max_chars * MAX_BYTES_PER_CHAR):
        if line.n_lines > 1:
            yield line.blank(file.label)
            continue
        locator = line.locator(file.label)
        yield _decoded(source, line.data, line.n_bytes, stream.encoding.name, locator, None)


def _whole_file(source: TextSource, file: InputFile, max_chars: int) -> Record:
    stream = open_encoded(file.content(), source.encoding)
    whole = read_whole(stream.pieces, max_chars * MAX_BYTES_PER_CHAR)
    encoding = stream.encoding.name
    return _decoded(source, whole.data, whole.n_bytes, encoding, file.label, file.label)


def _decoded(
    source: TextSource,
    data: bytes,
    n_bytes: int,
    encoding: str,
    locator: str,
    native_id: str | None,
) -> Record:
    if n_bytes > len(data):
        detail = f"{counted(n_bytes, 'byte')}, more than max_chars characters can be"
        return Rejection(locator, Reason.TOO_LONG, detail, excerpt(data, encoding))
    try:
        return Document(locator, native_id, decoded(data, encoding, source.errors))
    except UnicodeError as error:
        return Rejection(locator, Reason.UNDECODABLE, str(error), excerpt(data, encoding))
