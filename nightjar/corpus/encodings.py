"""Character encodings as readers need them: where a line ends in bytes, and byte order marks."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

_BOMS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
_LONGEST_BOM = 4
_NOT_FOR_FILES = frozenset(
    ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")
)


@dataclass(frozen=True)
class Encoding:
    """An encoding whose byte order is known."""

    name: str
    unit: int
    """Bytes of a code unit: line ends lie at multiples of it."""
    carriage_return: bytes
    line_end: re.Pattern[bytes]
    """CR LF, CR or LF."""


def is_for_files(name: str) -> bool:
    """Whether text files are written in the encoding ``name`` (host names, say, are not)."""
    return codecs.lookup(name).name.replace("_", "-") not in _NOT_FOR_FILES


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


def open_encoded(pieces: Iterable[bytes], name: str) -> EncodedStream:
    """Settle the byte order and drop a byte order mark from ``pieces``."""
    rest = iter(pieces)
    head = b""
    for piece in rest:
        head += piece
        if len(head) >= _LONGEST_BOM:
            break
    encoding = known_encoding(name, head)
    head = head.removeprefix(_BOMS.get(encoding.name, b""))
    return EncodedStream(encoding, chain((head,), rest))
