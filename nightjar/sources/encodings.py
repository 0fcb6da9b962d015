"""Character encodings: detection, byte order marks, and line ends in bytes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from nightjar.config.sections import AUTO_ENCODING
from nightjar.errors import NightjarError

_SAMPLE_BYTES = 1 << 16
_CANDIDATES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8", "koi8_r", "koi8_u", "cp866",
    "cp874", "cp932", "euc_jp", "gb18030", "big5", "cp949",
)  # fmt: skip
"""Encodings that text files use. Those of old Macs and of DOS are mistaken for Windows' own."""
_WIDE = (("utf-32-le", 4, 0), ("utf-32-be", 4, 3), ("utf-16-le", 2, 0), ("utf-16-be", 2, 1))
"""Encoding, bytes per code unit, and the byte that is not zero in Latin text."""
_WIDE_MARKS = ("\u3000", "\u3001", "\u3002")
"""Space, comma and full stop of Chinese and Japanese, which rarely use others."""
_CONTROLS = bytes(byte for byte in range(1, 32) if byte not in b"\t\n\r\f")
_USUAL = "cp1252"
_DOUBT = 0.02
_THRESHOLDS = (0.2, 0.5)
"""charset-normalizer's limits on "mess" (noise), tried in order. With the lower one it also skips
encodings related to one that fails."""
_ESCAPED_JAPANESE = b"\x1b$B"


def detect_encoding(head: bytes, *, is_whole: bool = False) -> str:
    """The encoding of a text without a byte order mark that starts with ``head`` (or is ``head``).

    UTF-16 and UTF-32 are recognized by their zero bytes, which no other encoding has. It is UTF-8
    if most lines beyond ASCII are valid UTF-8: a few others are damaged lines then. Otherwise it is
    what charset-normalizer finds most plausible in the first 64 KiB, or Windows-1252. The same
    bytes give the same answer; one or two lines are too little to distinguish related encodings.
    """
    if 0 in head and not _has_stray_zeros(head, is_whole):
        wide = _wide_encoding(head)
        if wide is not None:
            return wide
    if _ESCAPED_JAPANESE in head:
        return "iso2022_jp"
    return "utf-8" if _is_mostly_utf_8(head, is_whole) else _most_plausible(head)


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 if the spaces and line ends of one of them are found, else None."""
    best, most = None, 0
    for name, unit, place in _WIDE:
        whole = head[: len(head) - len(head) % unit]
        text = whole.decode(name, "replace")
        if "\ufffd" in text[:-1] or "\0" in text:
            continue
        low_bytes = whole[place::unit]
        n_low = low_bytes.count(b" ") + low_bytes.count(b"\n")
        n_spaces = text.count(" ") + text.count("\n")
        if 2 * n_spaces < n_low:
            continue  # one-byte letters and a stray zero byte
        found = n_spaces + sum(map(text.count, _WIDE_MARKS))
        if found > most:
            best, most = name, found
    return best


def _has_stray_zeros(head: bytes, is_whole: bool) -> bool:
    """Whether it is UTF-8 text with a few zero bytes; other encodings have more controls."""
    n_controls = len(head) - len(head.translate(None, _CONTROLS))
    is_text = 5 * head.count(0) < len(head) and 50 * n_controls < len(head)
    return is_text and _is_mostly_utf_8(head, is_whole)


def _is_mostly_utf_8(head: bytes, is_whole: bool) -> bool:
    lines = head.split(b"\n")
    n_valid = n_invalid = 0
    for number, line in enumerate(lines, 1):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            is_cut = not is_whole and number == len(lines) and len(line) - error.start < 4
            n_valid, n_invalid = n_valid + is_cut, n_invalid + (not is_cut)
        else:
            n_valid += 1
    return n_valid >= n_invalid


def _most_plausible(head: bytes) -> str:
    from charset_normalizer import from_bytes  # noqa: PLC0415  # few sources need it

    for threshold in _THRESHOLDS:
        matches = from_bytes(
            head[:_SAMPLE_BYTES],
            cp_isolation=list(_CANDIDATES),
            threshold=threshold,
            preemptive_behaviour=False,
        )
        best = matches.best()
        if best is not None:
            break
    else:
        return "utf-8"
    for match in matches:
        is_as_good = match.chaos <= best.chaos and match.coherence >= best.coherence - _DOUBT
        if is_as_good and _USUAL in match.could_be_from_charset:
            return _USUAL
    return best.encoding


_BOMS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
_MARKED_BYTES = 64
"""Some programs write the byte order mark before one that is there already."""
_DETECTED_BYTES = 1 << 18


@dataclass(frozen=True)
class Encoding:
    """An encoding with a known byte order."""

    name: str
    unit: int
    """Bytes of a code unit; line ends start at multiples of it."""
    carriage_return: bytes
    line_end: re.Pattern[bytes]
    """CR LF, CR or LF."""


def known_encoding(name: str, head: bytes) -> Encoding:
    """The encoding ``name``, with the byte order from the BOM in ``head`` if there is one.

    Without a BOM, UTF-16 and UTF-32 are little-endian on every machine.
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
    """Decode ``data``. Undecodable bytes become U+FFFD with ``replace``, else UnicodeError."""
    return data.decode(encoding, "replace" if errors == "replace" else "strict")


def sniff_bom(head: bytes) -> str | None:
    """The encoding of the byte order mark at the start of ``head``, if there is one."""
    # The BOM of UTF-32-LE starts with that of UTF-16-LE.
    longest_first = sorted(_BOMS, key=lambda name: len(_BOMS[name]), reverse=True)
    return next((name for name in longest_first if head.startswith(_BOMS[name])), None)


def _head(pieces: Iterable[bytes], n_bytes: int) -> tuple[bytes, Iterator[bytes], bool]:
    """The start of ``pieces``, the rest, and whether that is known to be empty.

    An error comes with the rest: the intact text before it is to be read.
    """
    rest = iter(pieces)
    head = b""
    while len(head) < n_bytes:
        try:
            piece = next(rest, None)
        except NightjarError as error:
            return head, _failing(error), False
        if piece is None:
            return head, rest, True
        head += piece
    return head, rest, False


def _failing(error: NightjarError) -> Iterator[bytes]:
    yield from ()
    try:
        raise error
    finally:
        del error  # its traceback has this frame: the cycle would keep files open


def open_encoded(pieces: Iterable[bytes], name: str) -> EncodedStream:
    """Determine the encoding and strip the byte order mark, or several, from ``pieces``.

    ``auto`` means: by the byte order mark, else as :func:`detect_encoding` finds in the first 256
    KiB, which are held in memory until then.
    """
    n_needed = _DETECTED_BYTES if name == AUTO_ENCODING else _MARKED_BYTES
    head, rest, is_whole = _head(pieces, n_needed)
    if name == AUTO_ENCODING:
        name = sniff_bom(head) or detect_encoding(head[:_DETECTED_BYTES], is_whole=is_whole)
    encoding = known_encoding(name, head)
    mark = _BOMS.get(encoding.name)
    while mark is not None and head.startswith(mark):
        head = head.removeprefix(mark)
    return EncodedStream(encoding, chain((head,), rest))
