"""Plain text: a document a line, or a file."""

from __future__ import annotations

from collections.abc import Iterator

from nightjar.config import TextSource
from nightjar.corpus.encodings import EncodedStream, open_encoded
from nightjar.corpus.input_file import InputFile
from nightjar.corpus.lines import split_lines
from nightjar.corpus.records import Document, Reason, Record, Rejection, excerpt

MAX_CHARACTER_BYTES = 4
"""No character takes more bytes in any encoding of Unicode."""


def read_text(config: TextSource, file: InputFile, max_chars: int) -> Iterator[Record]:
    """The lines of a file, or the file, as documents."""
    stream = open_encoded(file.content(), config.encoding)
    max_bytes = max_chars * MAX_CHARACTER_BYTES
    if config.document == "file":
        yield _whole_file(file, stream, max_bytes)
        return
    for line in split_lines(stream, max_bytes):
        locator = f"{file.label}:{line.number}"
        yield decoded(locator, line.data, line.n_bytes, stream.encoding.name)


def decoded(locator: str, data: bytes, n_bytes: int, encoding: str) -> Document | Rejection:
    """The document that ``data`` encodes; ``n_bytes`` is its length before it was cut."""
    if n_bytes > len(data):
        return Rejection(locator, Reason.TOO_LONG, f"{n_bytes} bytes", excerpt(data, encoding))
    try:
        return Document(locator, None, data.decode(encoding))
    except UnicodeDecodeError as error:
        detail = f"not {encoding} at byte {error.start}: {error.reason}"
        start = max(0, error.start - 40)
        return Rejection(locator, Reason.UNDECODABLE, detail, excerpt(data[start:], encoding))


def _whole_file(file: InputFile, stream: EncodedStream, max_bytes: int) -> Document | Rejection:
    data = bytearray()
    n_bytes = 0
    for piece in stream.pieces:
        n_bytes += len(piece)
        data += piece[: max(0, max_bytes - len(data))]
    return decoded(file.label, bytes(data), n_bytes, stream.encoding.name)
