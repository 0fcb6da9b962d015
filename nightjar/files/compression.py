"""Decompressing ``.gz``, ``.bz2``, ``.xz`` and ``.zst`` in pieces, rejecting damaged data.

The standard library's file objects ignore garbage after a bzip2 stream, and those of the zstandard
package a truncated frame. Here every byte has to belong to a complete stream (a file may have
several); otherwise SourceError says where it went wrong, after the intact data before the damage
was yielded. The content is looked at, too: an archive under another name is no text.
"""

from __future__ import annotations

import bz2
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import zstandard

from nightjar.errors import SourceError
from nightjar.wording import counted

MAX_PIECE_BYTES = 1 << 20
_SLICE_BYTES = 1 << 13
"""Bytes fed at a time: at most this much intact data is lost before the damage."""
_ZSTD_SLICE_BYTES = 1 << 11
_GZIP_WINDOW_BITS = 31
_XZ_MAX_MEMORY = 1 << 28
"""``xz -9`` needs 65 MiB; a dictionary may be 4 GiB."""
_UNSUPPORTED = frozenset(
    (".7z", ".lz4", ".lzma", ".rar", ".tar", ".tbz2", ".tgz", ".txz", ".zip", ".z")
)
_TAR_MAGIC = slice(257, 262)
_HEAD_BYTES = 262
_ARCHIVES = ((b"7z\xbc\xaf\x27\x1c", "a 7z archive"), (b"Rar!\x1a\x07", "a rar archive"))
_ADDED_FOLDER = "__MACOSX"
_ADDED_FILES = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))
_ADDED_PREFIX = "._"
_UNIX = 3
_FREE_BYTES = 100_000_000
"""Up to this expanded size, any ratio is allowed."""


@dataclass(frozen=True)
class ExpansionLimits:
    """How far a compressed file may expand before it counts as a bomb.

    The defaults are those of ``max_expanded_bytes`` and ``max_expansion_ratio``.
    """

    max_bytes: int = 100_000_000_000
    max_ratio: int = 200
    """Bytes per compressed byte, beyond the first 100 MB."""


class Expansion:
    """Counts the decompressed bytes of ``path`` and enforces the limits."""

    def __init__(self, path: Path, limits: ExpansionLimits) -> None:
        self._path = path
        self._limits = limits
        self._n_bytes = 0

    def add(self, n_bytes: int, n_compressed: int) -> None:
        """Count ``n_bytes`` out of the first ``n_compressed``. Raises SourceError at a limit."""
        self._n_bytes += n_bytes
        if self._n_bytes > self._limits.max_bytes:
            raise SourceError(
                f"{self._path}: expands to more than {self._limits.max_bytes:,} bytes; if it may, "
                f"raise max_expanded_bytes"
            )
        if self._n_bytes > max(_FREE_BYTES, self._limits.max_ratio * n_compressed):
            raise SourceError(
                f"{self._path}: {counted(n_compressed, 'compressed byte')} expand to "
                f"{self._n_bytes:,} and more, above {self._limits.max_ratio} times, as a "
                f"decompression bomb does; if you "
                f"trust the file, raise max_expansion_ratio"
            )


class _Member(Protocol):
    """One compressed stream of a file."""

    @property
    def is_whole(self) -> bool:
        """Whether its end was reached."""

    @property
    def rest(self) -> bytes:
        """Input beyond its end."""

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


class _XzMember:
    def __init__(self) -> None:
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MAX_MEMORY)

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
    """A frame. Its output cannot be limited, so it is fed in small slices.

    Four bytes may expand to a block of 128 KiB: a slice expands to at most 64 MiB.
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
    _Codec("xz", ".xz", re.compile(rb"\xfd7zXZ\0"), _XzMember),
    _Codec(
        "Zstandard",
        ".zst",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        _ZstdMember,
    ),
)


def suffix_of(head: bytes) -> str | None:
    """The suffix of the compression whose signature ``head`` starts with."""
    return next((codec.suffix for codec in _CODECS if codec.signature.match(head)), None)


def decompress(
    path: Path,
    chunks: Iterable[bytes],
    limits: ExpansionLimits | None = None,
    suffix: str | None = None,
) -> Iterator[bytes]:
    """The decompressed content of ``path``, whose bytes are ``chunks``.

    A suffix of a compression has to match the content; without one the content decides.

    ``suffix`` replaces that of the name, for a file whose name does not say what it holds.
    Pieces are never empty and at most MAX_PIECE_BYTES (64 MiB for hostile Zstandard). Raises
    SourceError when the data does not match the suffix, is damaged or truncated, uses an
    unsupported compression, expands beyond ``limits``, or is an archive or compressed once more.
    """
    suffix = suffix or path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    if suffix in _UNSUPPORTED or inner == ".tar":
        raise SourceError(
            f"{path}: {suffix if suffix in _UNSUPPORTED else inner} files are not supported; "
            f"name files of their own, plain or compressed as .gz, .bz2, .xz or .zst"
        )
    rest = iter(chunks)
    head = next(rest, b"")
    stored = next((codec for codec in _CODECS if codec.signature.match(head)), None)
    named = next((codec for codec in _CODECS if codec.suffix == suffix), None)
    codec = named or stored
    if codec is None:
        pieces = (piece for piece in chain((head,), rest) if piece)
        return _plain(path, pieces, is_unpacked=False)
    if named is not None and stored is not named:
        held = f"{stored.name} data" if stored else "something else"
        raise SourceError(
            f"{path}: is named {suffix} but holds {held if head else 'nothing'}, not "
            f"{named.name} data; name it after what it holds, or fetch it again"
        )
    stream = _Stream(path, codec, None if limits is None else Expansion(path, limits))
    return _plain(path, stream.pieces(chain((head,), rest)), is_unpacked=True)


def is_content(name: str, info: zipfile.ZipInfo) -> bool:
    """Whether the member ``name`` is no folder, no link, and not added by a Mac or Windows."""
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    *folders, last = name.split("/")
    is_added = _ADDED_FOLDER in folders or last in _ADDED_FILES or last.startswith(_ADDED_PREFIX)
    return not (not last or stat.S_ISLNK(mode) or is_added)


def _plain(path: Path, pieces: Iterator[bytes], *, is_unpacked: bool) -> Iterator[bytes]:
    """``pieces``, once their start shows that nothing is left to unpack; else SourceError."""
    held: list[bytes] = []
    piece = b""
    damage: SourceError | None = None
    try:
        while sum(map(len, held)) < _HEAD_BYTES and (piece := next(pieces, b"")):
            held.append(piece)
    except SourceError as error:
        damage = error
    problem = _packed(b"".join(piece[:_HEAD_BYTES] for piece in held), is_unpacked=is_unpacked)
    if problem:
        raise SourceError(f"{path}: {problem}") from damage
    del piece  # a hostile one may have 64 MiB
    while held:
        yield held.pop(0)
    if damage is not None:
        try:
            raise damage
        finally:
            del damage  # its traceback has this frame: the cycle would keep files open
    yield from pieces


def _packed(head: bytes, *, is_unpacked: bool) -> str:
    """What is left to unpack in the content that starts with ``head``, and what to do; else ""."""
    archive = next((name for magic, name in _ARCHIVES if head.startswith(magic)), "")
    # Its header has zeros before the mark, which no text has.
    if head[_TAR_MAGIC] == b"ustar" and 0 in head[: _TAR_MAGIC.start]:
        archive = "a tar archive"
    if archive:
        return f"is {archive}; unpack it, and name files in it"
    inner = suffix_of(head) if is_unpacked else None
    if inner is not None:
        return f"holds {inner} data within a compressed file; unpack it, and name what is in it"
    return ""


class _Stream:
    """The compressed streams of one file, in order."""

    def __init__(self, path: Path, codec: _Codec, expansion: Expansion | None) -> None:
        self._path = path
        self._codec = codec
        self._expansion = expansion
        self._member: _Member | None = None
        self._n_read = 0

    def pieces(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Decompress to the end of the file, which has to be the end of a stream."""
        for chunk in chunks:
            for start in range(0, len(chunk), _SLICE_BYTES):
                data = chunk[start : start + _SLICE_BYTES]
                self._n_read += len(data)
                for piece in self._feed(data):
                    if self._expansion is not None:
                        self._expansion.add(len(piece), self._n_read)
                    if piece:
                        yield piece
        if self._member is not None:
            raise SourceError(
                f"{self._path}: the {self._codec.name} data ends early, after byte "
                f"{self._n_read}; the file is truncated: restore or fetch it again"
            )

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member is None:
                data = data.lstrip(b"\0")  # padding behind a stream
                if not data:
                    return
                self._member = self._codec.new_member()
            try:
                yield from self._member.feed(data)
            except (OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
                raise SourceError(self._problem(error, self._n_read - len(data))) from error
            data = b""
            if self._member.is_whole:
                data, self._member = self._member.rest, None

    def _problem(self, error: Exception, place: int) -> str:
        if "limit exceeded" in str(error) or "too much memory" in str(error):
            return (
                f"{self._path}: takes too much memory to decompress ({error}); compress it again "
                f"with a dictionary or window of at most 128 MiB, as xz -9 and zstd -19 do"
            )
        return (
            f"{self._path}: the {self._codec.name} data is damaged after byte {place} ({error}); "
            f"restore or fetch the file again"
        )
