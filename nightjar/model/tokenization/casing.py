"""Lower-casing, by the rules of a language where they differ from the others'.

The rules are those of Unicode's SpecialCasing.txt. Greek needs none: ``str.lower`` writes a
sigma at the end of a word as such.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from .settings import TokenizerSettings

_ABOVE = 230
"""Canonical combining class of what stands above a letter."""
_DOT_ABOVE = "\u0307"
_LITHUANIAN = {"\u00cc": "i\u0307\u0300", "\u00cd": "i\u0307\u0301", "\u0128": "i\u0307\u0303"}


def make_case_folding(settings: TokenizerSettings) -> Callable[[str], str]:
    """What ``lowercase``, ``casefold`` and ``locale`` make of a text.

    ``tr`` and ``az``: I becomes a dotless i, dotted I an i. ``lt``: an i or j with an accent keeps
    its dot. With ``casefold`` the rest is Unicode's full case folding, which also writes ß
    as ss and a final sigma as others.
    """
    if not settings.lowercase:
        return lambda text: text
    fold = str.casefold if settings.casefold else str.lower
    if settings.locale is None:
        return fold
    special = _dotless if settings.locale in ("tr", "az") else _dotted
    return lambda text: fold(special(text))


def _dotless(text: str) -> str:
    """Turkish and Azerbaijani: the dot is a letter's own."""
    if "I" not in text and "\u0130" not in text:
        return text
    # Marks that stand elsewhere may come between the letter and its dot.
    text = re.sub(f"I([{_between()}]*+){_DOT_ABOVE}", r"i\1", text)
    return text.replace("\u0130", "i").replace("I", "\u0131")


def _dotted(text: str) -> str:
    """Lithuanian: below an accent the dot is written."""
    for letter, written in _LITHUANIAN.items():
        text = text.replace(letter, written)
    return _accented().sub(lambda match: match.group().lower() + _DOT_ABOVE, text)


@cache
def _accented() -> re.Pattern[str]:
    above = "".join(re.escape(mark) for mark in _marks() if unicodedata.combining(mark) == _ABOVE)
    return re.compile(f"[IJ\u012e](?=[{_between()}]*+[{above}])")


@cache
def _between() -> str:
    return "".join(
        re.escape(mark) for mark in _marks() if unicodedata.combining(mark) not in (0, _ABOVE)
    )


@cache
def _marks() -> list[str]:
    """The combining marks of the basic plane."""
    return [sign for sign in map(chr, range(0x300, 0x10000)) if unicodedata.combining(sign)]
