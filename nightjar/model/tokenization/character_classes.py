r"""Letters, marks and numbers, as character classes for regular expressions.

Python's ``\w`` excludes combining marks, so it splits Hindi or Tamil words at their vowel signs,
and it includes the underscore. The classes here are built from the general categories of
``unicodedata`` instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain

LAST_BASIC = 0xFFFF
"""Last code point of the basic multilingual plane."""

# Planes 4 to 13 are unassigned and 15 and 16 are private; of plane 14 only tags and
# variation selectors exist.
_ASTRAL = (range(LAST_BASIC + 1, 0x40000), range(0xE0000, 0xE1000))
_ASSIGNED = (range(LAST_BASIC + 1), *_ASTRAL)

_UNSPACED = (
    range(0x2E80, 0x2FE0),  # radicals
    range(0x3005, 0x3008, 2),  # iteration mark, ideographic zero
    range(0x3021, 0x302A),  # Hangzhou numerals
    range(0x3038, 0x303C),
    range(0x3041, 0x3097),  # Hiragana
    range(0x309D, 0x30A0),
    range(0x3400, 0x4DC0),  # ideographs, extension A
    range(0x4E00, 0xA000),  # ideographs
    range(0xF900, 0xFB00),  # compatibility ideographs
    range(0x20000, 0x34000),  # ideographs, extensions B and later
)

_LONE_NUMBERS = (
    range(0xB2, 0xB4), range(0xB9, 0xBA), range(0x2070, 0x2071), range(0x2074, 0x207A),  # powers
    range(0xBC, 0xBF), range(0x2150, 0x2160), range(0x2189, 0x218A),  # fractions
    range(0x2460, 0x249C), range(0x24EA, 0x2500), range(0x2776, 0x2794),  # in circles and the like
    range(0x3220, 0x322A), range(0x3248, 0x3250), range(0x3251, 0x3260), range(0x3280, 0x328A),
    range(0x32B1, 0x32C0), range(0x1F100, 0x1F10D),
)  # fmt: skip
"""Numbers that belong to no word, as in UAX #29: ``1½`` is 1 and ½, ``note¹`` note and ¹."""
_SINGLE = (*_UNSPACED, *_LONE_NUMBERS)


@cache
def word_characters(*categories: str, astral: bool) -> str:
    """The inside of a ``[...]`` pattern for all characters whose category starts with one of these.

    Ideographs, Hiragana, powers and fractions are excluded (:func:`unspaced_characters`). Without
    ``astral`` the class ends with the basic multilingual plane: ``re`` looks such a class up in a
    table, but tries every range of a longer one in turn.
    """
    return _class_of(categories, astral, is_unspaced=False)


def unspaced_ranges() -> list[tuple[int, int]]:
    """Ranges (first and last code point) that contain the :func:`unspaced_characters`."""
    return [(min(codes), max(codes)) for codes in _SINGLE if codes.step == 1] + [
        (code, code) for codes in _SINGLE if codes.step > 1 for code in codes
    ]


@cache
def ideographs() -> str:
    """Like :func:`unspaced_characters`, without Hiragana, in all planes."""
    hiragana = (range(0x3041, 0x3097), range(0x309D, 0x30A0))
    blocks = (codes for codes in _UNSPACED if codes not in hiragana)
    letters = (
        code
        for code in chain.from_iterable(blocks)
        if unicodedata.category(chr(code)).startswith(("L", "N"))
    )
    return _class(letters)


@cache
def continuing_characters() -> str:
    """Like :func:`word_characters`, for what normalization may join to the previous character.

    These are combining marks, the second parts of composed characters, vowels and final consonants
    of Hangul, and characters that decompose into something starting with one of these. A text may
    be split before any other character, and its parts normalized separately.
    """
    decomposed = (unicodedata.decomposition(chr(code)).split() for code in _every())
    seconds = {int(parts[1], 16) for parts in decomposed if len(parts) == 2 and parts[0][0] != "<"}
    seconds.update(range(0x1161, 0x1176), range(0x11A8, 0x11C3))

    def continues(code: int) -> bool:
        first = unicodedata.normalize("NFKD", chr(code))[0]
        return unicodedata.combining(first) != 0 or ord(first) in seconds

    return _class(code for code in _every() if continues(code))


@cache
def combining_characters() -> str:
    """Like :func:`word_characters`, for characters that normalization sorts, or turns into such.

    In all planes. They are marks, and the voiced sound marks of half-width Katakana (Lm).
    """
    return _class(
        code
        for codes in (range(LAST_BASIC + 1), *_ASTRAL)
        for code, category in zip(codes, _categories(codes), strict=True)
        if (category[0] == "M" or category == "Lm") and _is_sorted(chr(code))
    )


def _is_sorted(character: str) -> bool:
    if unicodedata.combining(character):
        return True
    if not unicodedata.decomposition(character):
        return False
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) != 0


def _every() -> Iterator[int]:
    return (code for code in chain.from_iterable(_ASSIGNED) if not 0xD800 <= code < 0xE000)


@cache
def unspaced_characters(*, astral: bool) -> str:
    """Like :func:`word_characters`, for characters that are words by themselves.

    They are ideographs, Hiragana, and numbers such as powers and fractions.
    """
    return _class_of(("L", "N"), astral, is_unspaced=True)


def _class_of(categories: tuple[str, ...], astral: bool, *, is_unspaced: bool) -> str:
    """The class of these categories, limited to unspaced characters or to the others."""
    planes = (range(LAST_BASIC + 1), *(_ASTRAL if astral else ()))
    return "".join(_runs(codes, categories, is_unspaced) for codes in planes)


def _runs(codes: range, categories: tuple[str, ...], is_unspaced: bool) -> str:
    found = _categories(codes)
    is_wanted = {category: category.startswith(categories) for category in set(found)}
    flags = bytearray(map(is_wanted.__getitem__, found))
    keep = bytearray(len(codes)) if is_unspaced else flags
    for unspaced in _SINGLE:
        if unspaced.start in codes:
            places = slice(unspaced.start - codes.start, unspaced.stop - codes.start, unspaced.step)
            keep[places] = flags[places] if is_unspaced else bytes(len(unspaced))
    return "".join(
        _range(codes.start + run.start(), codes.start + run.end() - 1)
        for run in re.finditer(rb"\x01+", keep)
    )


@cache
def _categories(codes: range) -> tuple[str, ...]:
    """The general category of each character."""
    return tuple(map(unicodedata.category, map(chr, codes)))


def _class(codes: Iterable[int]) -> str:
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(_range(first, last) for first, last in ranges)


def _range(first: int, last: int) -> str:
    return f"{re.escape(chr(first))}-{re.escape(chr(last))}"
