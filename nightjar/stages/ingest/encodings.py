"""Character encodings as readers need them: where a line ends in bytes, and byte order marks."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from nightjar.config.sections import AUTO_ENCODING
from nightjar.stages.ingest.detection import detect_encoding

_BOMS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
_LONGEST_BOM = 4
_DETECTED_BYTES = 1 << 18


@dataclass(frozen=True)
class Encoding:
    """An encoding whose byte order is known."""

    name: str
    unit: int
    """Bytes of a code unit: line ends lie at multiples of it."""
    carriage_return: bytes
    line_end: re.Pattern[bytes]
    """CR LF, CR or LF."""


def known_encoding(name: str, head: bytes) -> Encoding:
    """The encoding ``name``, its byte order taken from the BOM in ``head`` if it has one.

    UTF-16 and UTF-32 without a BOM are little-endian on every machine.
    """
    plain = codecs.lookup(name).name
    if plain == "utf-8-sig":
        plain = "utf-8"
    elif plain in {"utf-16", "utf-32"}:
        is_big = head.startswith(_BOMS[f"{plain}-be"])
        plain = f"{plain}-be" if is_big else f"{plain}-le"
    carriage_return, line_feed = "\r".encode(plain), "\n".encode(plain)
    ends = (carriage_return + line_feed, carriage_return, line_feed)
    return Encoding(
        name=plain,
        unit=len(line_feed),
        carriage_return=carriage_return,
        line_end=re.compile(b"|".join(re.escape(end) for end in ends)),
    )


@dataclass(frozen=True)
class EncodedStream:
    """The bytes of a text without its byte order mark, and their encoding."""

    encoding: Encoding
    pieces: Iterator[bytes]


def decoded(data: bytes, encoding: str, errors: str) -> str:
    """``data`` as text; with ``replace`` what cannot be decoded is U+FFFD, else UnicodeError."""
    return data.decode(encoding, "replace" if errors == "replace" else "strict")


def sniff_bom(head: bytes) -> str | None:
    """The encoding that a byte order mark at the start of ``head`` says."""
    # That of UTF-32-LE starts with that of UTF-16-LE.
    longest_first = sorted(_BOMS, key=lambda name: len(_BOMS[name]), reverse=True)
    return next((name for name in longest_first if head.startswith(_BOMS[name])), None)


def open_encoded(pieces: Iterable[bytes], name: str) -> EncodedStream:
    """Settle the encoding and drop a byte order mark from ``pieces``.

    ``auto`` goes by the byte order mark, else by what :func:`detect_encoding` says of the first
    256 KiB, which are held until then.
    """
    rest = iter(pieces)
    head, is_whole = b"", False
    n_needed = _DETECTED_BYTES if name == AUTO_ENCODING else _LONGEST_BOM
    while len(head) < n_needed and not is_whole:
        piece = next(rest, None)
        is_whole = piece is None
        head += piece or b""
    if name == AUTO_ENCODING:
        name = sniff_bom(head) or detect_encoding(head[:_DETECTED_BYTES], is_whole=is_whole)
    encoding = known_encoding(name, head)
    head = head.removeprefix(_BOMS.get(encoding.name, b""))
    return EncodedStream(encoding, chain((head,), rest))
