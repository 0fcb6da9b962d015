"""Bytes cut into lines in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nightjar.sources.encodings import EncodedStream
from nightjar.sources.rejections import Reason, Rejection
from nightjar.wording import counted


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end."""

    number: int
    """From 1."""
    data: bytes
    n_bytes: int
    """Length in the file; more than ``len(data)`` if the line was cut."""
    n_lines: int = 1
    """More than 1 for blank lines in a row."""

    @property
    def is_cut(self) -> bool:
        """Whether the line is longer than the limit."""
        return self.n_bytes > len(self.data)

    def locator(self, label: str) -> str:
        """Where it is in the file ``label``."""
        last = self.number + self.n_lines - 1
        return f"{label}:{self.number}" if last == self.number else f"{label}:{self.number}-{last}"

    def blank(self, label: str) -> Rejection:
        """The rejection of blank lines in a row."""
        detail = f"{counted(self.n_lines, 'blank line')}"
        return Rejection(self.locator(label), Reason.EMPTY, detail, "", self.n_lines)


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


BLANK_LINES = re.compile(rb"(?:[ \t]*+(?:\r\n|\r|\n)){100,}+")
EMPTY_LINES = re.compile(rb"(?:\r\n|\r|\n){100,}+")


def split_lines(
    stream: EncodedStream, max_bytes: int, blank: re.Pattern[bytes] = BLANK_LINES, first: int = 1
) -> Iterator[Line]:
    r"""The lines of ``stream``, ending with ``\n``, ``\r\n`` or ``\r``.

    A longer line is cut to ``max_bytes`` and the rest skipped. A hundred blank lines in a row and
    more, as ``blank`` says, come as one: millions would take longer than the text. Lines are
    counted from ``first``. Memory: at most ``max_bytes`` and one piece.
    """
    encoding = stream.encoding
    line = _Growing(max_bytes - max_bytes % encoding.unit)
    merges = encoding.unit == 1 and encoding.carriage_return == b"\r"
    number = first
    held = b""
    for piece in stream.pieces:
        data = held + piece
        usable = len(data) - len(data) % encoding.unit
        if data.endswith(encoding.carriage_return, 0, usable):
            usable -= encoding.unit  # a line feed may follow in the next piece
        start = 0
        position = 0
        while match := encoding.line_end.search(data, position, usable):
            end, position = match.span()
            if end % encoding.unit:
                position = end + 1  # a match across two neighbouring characters
                continue
            is_blank = merges and data[start] in b" \t\r\n" and not line.n_bytes
            run = blank.match(data, start, usable) if is_blank else None
            if run is not None:
                position = run.end()
                n_lines = _n_lines(run[0])
                yield Line(number, b"", 0, n_lines)
                number += n_lines
            else:
                yield line.finish(number, data[start:end])
                number += 1
            start = position
        line.add(data[start:usable])
        held = data[usable:]
    if held == encoding.carriage_return:
        yield line.finish(number, b"")
    elif held or line.n_bytes:
        yield line.finish(number, held)


def _n_lines(ends: bytes) -> int:
    return ends.count(b"\n") + ends.count(b"\r") - ends.count(b"\r\n")


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
