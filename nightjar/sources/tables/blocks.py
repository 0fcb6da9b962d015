"""The bytes of a text in blocks of complete lines, as UTF-8 where that can be had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import SourceError
from nightjar.sources.encodings import EncodedStream, Encoding

BLOCK_BYTES = 16 << 20
_MAX_LINE_BYTES = 8 << 20
"""A longer line, or a file without line feeds, is read line by line, which cuts such lines."""
_STATEFUL = re.compile(r"iso2022|hz|utf-7")
"""Encodings in which a line's meaning depends on the lines before."""
_BLANK_RUN = re.compile(rb"\n\r?\n|\A\r?\n")


@dataclass(frozen=True)
class Block:
    """Complete lines, ending with a line feed except for the last line of the file."""

    data: bytes
    """In the encoding of the stream."""
    first: int
    """Number of the first line."""

    @property
    def n_lines(self) -> int:
        """Number of its lines, if line feeds alone end them."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))

    def text(self, encoding: Encoding, errors: str) -> bytes | None:
        """Its text in UTF-8; None where bytes are invalid, or a carriage return ends a line."""
        if self.data.count(b"\r") != self.data.count(b"\r\n"):
            return None
        if encoding.name == "utf-8" and self.data.isascii():
            return self.data
        try:
            text = self.data.decode(encoding.name, "replace" if errors == "replace" else "strict")
        except UnicodeError:
            return None
        return self.data if encoding.name == "utf-8" and errors != "replace" else text.encode()


@dataclass(frozen=True)
class Remainder:
    """What is to be read line by line, up to the end of the file."""

    stream: EncodedStream
    first: int
    """Number of the first line."""


class Blocks:
    """Blocks of ``stream``; an error of the stream comes after the complete lines before it."""

    def __init__(self, stream: EncodedStream, first: int = 1, head: bytes = b"") -> None:
        self.encoding = stream.encoding
        self._pieces = stream.pieces
        self._held = head
        self._next = first

    def next(self) -> Block | Remainder | None:
        """The next block; the rest of the file if it has no lines of usual length or encoding."""
        if self.encoding.unit != 1 or _STATEFUL.search(self.encoding.name):
            return self.rest(b"", self._next)
        while len(self._held) < BLOCK_BYTES:
            error = None
            parts, n_bytes = [self._held], len(self._held)
            while n_bytes < BLOCK_BYTES:
                try:
                    piece = next(self._pieces, None)
                except SourceError as raised:
                    error = raised
                    break
                if piece is None:
                    break
                parts.append(piece)
                n_bytes += len(piece)
            self._held = b"".join(parts)
            if error is not None:
                return self._before(error)
            if n_bytes < BLOCK_BYTES:
                return self._last()
        end = self._held.rfind(b"\n") + 1
        if len(self._held) - end > _MAX_LINE_BYTES or self._has_long_line(end):
            return self.rest(b"", self._next)
        return self._cut(end)

    def _has_long_line(self, end: int) -> bool:
        """Whether a line of the first ``end`` held bytes is too long."""
        start = 0
        while end - start > _MAX_LINE_BYTES:
            cut = self._held.rfind(b"\n", start, start + _MAX_LINE_BYTES)
            if cut < start:
                return True
            start = cut + 1
        return False

    def _cut(self, end: int) -> Block:
        block = Block(self._held[:end], self._next)
        self._held = self._held[end:]
        self._next += block.n_lines
        return block

    def _last(self) -> Block | Remainder | None:
        if not self._held:
            return None
        if self._has_long_line(len(self._held)) or b"\n" not in self._held:
            return self.rest(b"", self._next)
        return self._cut(len(self._held))

    def _before(self, error: SourceError) -> Block | Remainder:
        """What is complete before the damage; the next call raises its error."""
        end = self._held.rfind(b"\n") + 1
        self._pieces = _failing(error)
        if not end or self._has_long_line(end):
            return self.rest(b"", self._next)
        block = self._cut(end)
        self._held = b""
        return block

    def alone(self, block: Block) -> EncodedStream:
        """One block as a stream."""
        return EncodedStream(self.encoding, iter((block.data,)))

    def rest(self, data: bytes, first: int) -> Remainder:
        """All that was not handed out, after ``data``, which starts with line ``first``."""
        held, self._held = self._held, b""
        pieces = chain((data, held), self._pieces)
        self._pieces = iter(())
        return Remainder(EncodedStream(self.encoding, pieces), first)


def _failing(error: SourceError) -> Iterator[bytes]:
    yield from ()
    raise error


def blank_lines(text: bytes) -> NDArray[np.int64]:
    """Indices of the lines of ``text`` that hold nothing."""
    if not _BLANK_RUN.search(text):
        return np.zeros(0, np.int64)
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    is_blank = (lengths == 0) | ((lengths == 1) & (data[starts] == ord("\r")))
    return np.flatnonzero(is_blank)


def runs(numbers: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First number and length of each run of consecutive ones."""
    if len(numbers):
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
            yield int(run[0]), len(run)
