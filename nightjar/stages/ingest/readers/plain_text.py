"""Plain text: bytes cut into lines in bounded memory; a document per line or per file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nightjar.config import TextSource
from nightjar.stages.ingest.encodings import EncodedStream, Encoding, decoded, open_encoded
from nightjar.stages.ingest.input_file import InputFile
from nightjar.stages.ingest.records import (
    MAX_BYTES_PER_CHAR,
    Document,
    Reason,
    Record,
    Rejection,
    excerpt,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end."""

    number: int
    """From 1."""
    data: bytes
    n_bytes: int
    """Length in the file; more than ``len(data)`` if the line was cut."""

    @property
    def is_cut(self) -> bool:
        """Whether the line is longer than the limit."""
        return self.n_bytes > len(self.data)


@dataclass(frozen=True, slots=True)
class Whole:
    """The content of a file, up to a limit."""

    data: bytes
    n_bytes: int
    """Length of the content; more than ``len(data)`` if it was cut."""


def read_whole(pieces: Iterable[bytes], max_bytes: int) -> Whole:
    """Read all ``pieces``, keeping at most ``max_bytes``."""
    kept, n_bytes = [], 0
    for piece in pieces:
        if n_bytes < max_bytes:
            kept.append(piece[: max_bytes - n_bytes])
        n_bytes += len(piece)
    return Whole(b"".join(kept), n_bytes)


def split_lines(stream: EncodedStream, max_bytes: int) -> Iterator[Line]:
    r"""The lines of ``stream``, ending with ``\n``, ``\r\n`` or ``\r``.

    A longer line is cut to ``max_bytes`` and the rest skipped. Memory: at most that and one piece.
    """
    encoding = stream.encoding
    line = _Growing(max_bytes - max_bytes % encoding.unit)
    number = 1
    held = b""
    for piece in stream.pieces:
        data = held + piece
        usable = len(data) - len(data) % encoding.unit
        if data.endswith(encoding.carriage_return, 0, usable):
            usable -= encoding.unit  # a line feed may follow in the next piece
        start = 0
        for end, next_start in _line_ends(encoding, data, usable):
            yield line.finish(number, data[start:end])
            number += 1
            start = next_start
        line.add(data[start:usable])
        held = data[usable:]
    if held == encoding.carriage_return:
        yield line.finish(number, b"")
    elif held or line.n_bytes:
        yield line.finish(number, held)


def _line_ends(encoding: Encoding, data: bytes, usable: int) -> Iterator[tuple[int, int]]:
    """Start and end of each line end in ``data[:usable]``."""
    position = 0
    while match := encoding.line_end.search(data, position, usable):
        if match.start() % encoding.unit:
            position = match.start() + 1  # a match across two neighbouring characters
        else:
            position = match.end()
            yield match.span()


class _Growing:
    """A line in progress, cut at ``max_bytes``."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self.n_bytes = 0

    def add(self, part: bytes) -> None:
        room = self._max_bytes - self.n_bytes
        if part and room > 0:
            self._parts.append(part[:room])
        self.n_bytes += len(part)

    def finish(self, number: int, part: bytes) -> Line:
        self.add(part)
        line = Line(number, b"".join(self._parts), self.n_bytes)
        self._parts.clear()
        self.n_bytes = 0
        return line


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
        locator = f"{file.label}:{line.number}"
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
        detail = f"{n_bytes} bytes, more than max_chars characters can be"
        return Rejection(locator, Reason.TOO_LONG, detail, excerpt(data, encoding))
    try:
        return Document(locator, native_id, decoded(data, encoding, source.errors))
    except UnicodeError as error:
        return Rejection(locator, Reason.UNDECODABLE, str(error), excerpt(data, encoding))
