"""Decompressing ``.gz``, ``.bz2`` and ``.zst`` piece by piece, refusing what is damaged.

The standard library's file objects pass over garbage after a bzip2 stream, and those of the
zstandard package over a frame that ends early. Here every byte has to belong to a whole
stream (a file may hold several), or SourceError says where it went wrong.
"""

from __future__ import annotations

import bz2
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import zstandard

from nightjar.errors import SourceError

MAX_PIECE_BYTES = 1 << 20
_ZSTD_SLICE_BYTES = 1 << 11
_GZIP_WINDOW_BITS = 31
_UNSUPPORTED = frozenset((".7z", ".lz4", ".lzma", ".rar", ".tar", ".tgz", ".xz", ".zip"))


class _Member(Protocol):
    """One compressed stream of a file."""

    @property
    def is_whole(self) -> bool:
        """Whether its end was seen."""

    @property
    def rest(self) -> bytes:
        """What was fed beyond its end."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress more of it."""


class _GzipMember:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW_BITS)

    @property
    def is_whole(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        return self._stream.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._stream.decompress(data, MAX_PIECE_BYTES)
            yield piece
            data = self._stream.unconsumed_tail
            # A full piece may leave output behind although all input is consumed.
            if self._stream.eof or not (data or len(piece) == MAX_PIECE_BYTES):
                return


class _Bzip2Member:
    def __init__(self) -> None:
        self._stream = bz2.BZ2Decompressor()

    @property
    def is_whole(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        return self._stream.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._stream.decompress(data, MAX_PIECE_BYTES)
        while not (self._stream.eof or self._stream.needs_input):
            yield self._stream.decompress(b"", MAX_PIECE_BYTES)


class _ZstdMember:
    """A frame. Its output cannot be limited, so it is fed little at a time.

    Four bytes may stand for a block of 128 KiB: a slice expands to 64 MiB at the very most.
    """

    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor().decompressobj()
        self._rest = b""

    @property
    def is_whole(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        return self._rest

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE_BYTES):
            end = start + _ZSTD_SLICE_BYTES
            yield self._stream.decompress(data[start:end])
            if self._stream.eof:
                self._rest = self._stream.unused_data + data[end:]
                return


@dataclass(frozen=True)
class _Codec:
    name: str
    suffix: str
    signature: re.Pattern[bytes]
    new_member: Callable[[], _Member]


_CODECS = (
    _Codec("gzip", ".gz", re.compile(rb"\x1f\x8b\x08"), _GzipMember),
    _Codec("bzip2", ".bz2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), _Bzip2Member),
    _Codec(
        "Zstandard",
        ".zst",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        _ZstdMember,
    ),
)


def decompress(path: Path, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of ``path``, whose bytes are ``chunks``, by its suffix.

    Pieces are never empty and at most MAX_PIECE_BYTES (64 MiB of hostile Zstandard). Raises
    SourceError when the data is not what the suffix says, is damaged, ends early, or is
    compressed in a way that is not supported.
    """
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    if suffix in _UNSUPPORTED or inner == ".tar":
        raise SourceError(
            f"{path}: {suffix if suffix in _UNSUPPORTED else inner} files are not supported; "
            f"name files of their own, plain or compressed as .gz, .bz2 or .zst"
        )
    rest = iter(chunks)
    head = next(rest, b"")
    stored = next((codec for codec in _CODECS if codec.signature.match(head)), None)
    named = next((codec for codec in _CODECS if codec.suffix == suffix), None)
    if named is None and stored is not None:
        raise SourceError(
            f"{path}: holds {stored.name} data, which its name does not say; "
            f"rename it to {path.name}{stored.suffix}"
        )
    if named is not None and stored is not named:
        held = f"{stored.name} data" if stored else "something else"
        raise SourceError(
            f"{path}: is named {suffix} but holds {held if head else 'nothing'}, not "
            f"{named.name} data; name it after what it holds, or fetch it again"
        )
    pieces = _plain(head, rest) if named is None else _members(path, named, head, rest)
    return (piece for piece in pieces if piece)


def _plain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _members(path: Path, codec: _Codec, head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress one stream after the other until the file ends at the end of one."""
    member: _Member | None = None
    n_before, chunk = 0, head
    while chunk:
        data = chunk
        while data:
            if member is None:
                data = data.lstrip(b"\0")  # padding behind a stream
                if not data:
                    break
                member = codec.new_member()
            try:
                yield from member.feed(data)
            except (OSError, zlib.error, zstandard.ZstdError) as error:
                place = n_before + len(chunk) - len(data)
                raise SourceError(
                    f"{path}: the {codec.name} data is damaged after byte {place} ({error}); "
                    f"restore or fetch the file again"
                ) from error
            data = b""
            if member.is_whole:
                data, member = member.rest, None
        n_before += len(chunk)
        chunk = next(rest, b"")
    if member is not None:
        raise SourceError(
            f"{path}: the {codec.name} data ends early, after byte {n_before}; the file is "
            f"truncated: restore or fetch it again"
        )
