"""Characters that differ from others in form alone, and characters without any form.

Unicode's NFKC also expands what has a meaning of its own: ``10²`` becomes 102, ``1½`` 11 and 2, and
``Xbox™`` XboxTM. The normal form ``forms`` is NFC and, of NFKC, only full and half width,
ligatures, presentation forms of Arabic, styled letters of mathematics and variants of letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import chain
from types import MappingProxyType

_PLANES = (range(0xA0, 0xD800), range(0xE000, 0x10000), range(0x1D400, 0x1D800))
_MORE_PLANES = (range(0x1EE00, 0x1EF00), range(0x1FBF0, 0x1FBFA))
_OF_WIDTH = ("<wide>", "<narrow>", "<small>", "<vertical>", "<noBreak>")
_OF_STYLE = ("<font>", "<initial>", "<medial>", "<final>", "<isolated>")
_VARIANTS = (
    range(0x00B5, 0x00B6),  # micro sign
    range(0x0132, 0x0134),  # ligature ij
    range(0x013F, 0x0141),  # l with middle dot
    range(0x0149, 0x014A),  # n after an apostrophe
    range(0x017F, 0x0180),  # long s
    range(0x01C4, 0x01CD),  # digraphs of Croatian
    range(0x01F1, 0x01F4),
    range(0x03D0, 0x03D7),  # Greek symbols
    range(0x03F0, 0x03FA),
    range(0x0EDC, 0x0EDE),  # ligatures of Lao
    range(0x2002, 0x200B),  # spaces
    range(0x2E9F, 0x2EF4),  # radicals of ideographs
    range(0x2F00, 0x2FD6),
    range(0xFB00, 0xFB50),  # ligatures of Latin, Armenian and Hebrew
)
_FILLERS = "\u3164\uffa0"
"""Letters of Hangul that show as a space."""
_INVISIBLE = (
    range(0x034F, 0x0350),  # grapheme joiner
    range(0x0488, 0x048A),  # enclosing marks, as that of keycaps: 20E3
    range(0x061C, 0x061D),  # marks of direction
    range(0x115F, 0x1161),  # fillers of Hangul
    range(0x17B4, 0x17B6),  # vowels of Khmer that are not written
    range(0x180B, 0x1810),  # selectors of Mongolian
    range(0x1ABE, 0x1ABF),
    range(0x200E, 0x2010),
    range(0x202A, 0x202F),
    range(0x2060, 0x2061),  # word joiner
    range(0x2066, 0x2070),
    range(0x20DD, 0x20E1),
    range(0x20E2, 0x20E5),
    range(0xA670, 0xA673),
    range(0xFE00, 0xFE10),  # variation selectors
    range(0xFEFF, 0xFF00),
    range(0xE0100, 0xE01F0),
)


@cache
def invisible_characters() -> Mapping[str, str]:
    """What shows nothing, or only how the character before it is drawn, and what stands for it."""
    removed = dict.fromkeys(map(chr, chain.from_iterable(_INVISIBLE)), "")
    return MappingProxyType({**removed, **dict.fromkeys(_FILLERS, " ")})


@cache
def letter_forms() -> Mapping[str, str]:
    """What stands for each character that differs from it in form alone, in NFC."""
    found: dict[str, str] = {}
    for code in chain.from_iterable((*_PLANES, *_MORE_PLANES)):
        tag, _, parts = unicodedata.decomposition(chr(code)).partition(" ")
        if chr(code) not in _FILLERS and _is_form(code, tag, parts):
            found[chr(code)] = "".join(chr(int(part, 16)) for part in parts.split())
    whole = {sign: "".join(found.get(part, part) for part in text) for sign, text in found.items()}
    return MappingProxyType(
        {sign: unicodedata.normalize("NFC", text) for sign, text in whole.items()}
    )


def _is_form(code: int, tag: str, parts: str) -> bool:
    if tag in _OF_WIDTH:
        return True
    if tag in _OF_STYLE:  # a ligature with a space stands for a sentence
        is_letter = unicodedata.category(chr(code))[0] == "L" or chr(code).isdecimal()
        return is_letter and "0020" not in parts.split()
    return tag == "<compat>" and any(code in variants for variants in _VARIANTS)


def make_replacing(table: Mapping[str, str]) -> Callable[[str], str]:
    """The function that replaces the characters of ``table``, fast where there are none."""
    basic = _class_of(sign for sign in table if ord(sign) < 0x10000)
    every = _class_of(table)

    def replaced(text: str) -> str:
        if text.isascii():
            return text
        # Characters outside the basic plane take two code units: the fastest test for them.
        has_astral = len(text.encode("utf-16-le", "surrogatepass")) != 2 * len(text)
        pattern = every if has_astral else basic
        return pattern.sub(lambda match: table[match[0]], text)

    return replaced


def _class_of(signs: Iterator[str] | Mapping[str, str]) -> re.Pattern[str]:
    return re.compile("[" + "".join(map(re.escape, sorted(signs))) + "]")
