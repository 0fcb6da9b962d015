"""The tokenizer ``unicode``: words of any script."""

from __future__ import annotations

import re
from functools import cache

from .character_classes import unspaced_characters, word_characters
from .settings import TokenizerSettings
from .text_cutting import Cutter, Token

_SOFT_HYPHEN = "\u00ad"
_APOSTROPHES: dict[str, str | None] = {
    "\u2019": "'",
    "\u02bc": "'",
    "\uff07": "'",
    _SOFT_HYPHEN: None,
}
"""Typographic, modifier-letter and full-width apostrophe."""
_HYPHENS: dict[str, str | None] = {"\u2010": "-", "\u2011": "-", "\uff0d": "-"}
"""Hyphen, non-breaking hyphen and full-width hyphen."""
_INNER = "\u00b7\u05f3\u05f4\u200c\u200d"
"""Middle dot, geresh, gershayim, zero-width non-joiner and joiner."""
DECIMAL = ".,\u066b\u066c"
"""Western and Arabic decimal and thousands separators."""


def inner_characters(settings: TokenizerSettings) -> str:
    """The characters that join two parts of a word."""
    apostrophe = "" if settings.apostrophes == "split" else "'"
    return apostrophe + _INNER + ("-" if settings.hyphens == "keep" else "")


def replaced_characters(settings: TokenizerSettings) -> dict[str, str | None]:
    """Replacements of characters before words are searched; None removes the character."""
    return _APOSTROPHES | _HYPHENS if settings.hyphens == "keep" else _APOSTROPHES


def make_unicode_tokenizer(settings: TokenizerSettings, _definition: str | None = None) -> Cutter:
    """Words of any script: letters, marks and numbers, as Unicode defines them.

    - An apostrophe inside a word belongs to it: ``don't``, ``rock'n'roll``, ``l'homme``;
      with ``apostrophes: split`` it separates. Typographic apostrophes become ``'``; at the
      ends of a word they are quotes.
    - A hyphen separates: ``state``, ``of``, ``the``, ``art``; with ``hyphens: keep`` one
      inside a word belongs to it, and typographic hyphens become ``-``. A slash and an
      underscore always separate.
    - A dot or comma between two digits belongs to the number: ``3.14``, ``1,000``.
    - A power, a fraction and a number in a circle is a token by itself: ``10²`` is 10 and ²,
      ``note¹`` note and ¹. Subscripts belong to a word: ``h₂o``.
    - Each ideograph and each Hiragana character is a token; a run of Katakana or of Hangul
      is one. Thai, Lao, Khmer and Burmese, which write no spaces, are not segmented.
    - The middle dot of Catalan, geresh and gershayim of Hebrew and the zero-width joiners
      belong to a word when inside it; soft hyphens are removed.
    - Punctuation, symbols and emoji are not tokens.
    """
    inner = inner_characters(settings)
    replaced = str.maketrans(replaced_characters(settings))
    basic = _word_pattern(inner, astral=False).findall

    def tokenize(sentence: str) -> list[str]:
        if sentence.isascii():
            return basic(sentence)
        sentence = sentence.translate(replaced)
        # Characters outside the basic plane take two code units: the fastest test for them.
        has_astral = len(sentence.encode("utf-16-le")) != 2 * len(sentence)
        return (
            _word_pattern(inner, astral=True).findall(sentence) if has_astral else basic(sentence)
        )

    def locate(sentence: str) -> list[Token]:
        places = [place for place, sign in enumerate(sentence) if sign != _SOFT_HYPHEN]
        return [
            Token(match.group(), places[match.start()], places[match.end() - 1] + 1)
            for match in _word_pattern(inner, astral=True).finditer(sentence.translate(replaced))
        ]

    return Cutter(tokenize, locate)


@cache
def _word_pattern(inner: str, *, astral: bool) -> re.Pattern[str]:
    first = word_characters("L", "N", astral=astral)
    inside = word_characters("L", "M", "N", astral=astral)
    marks = word_characters("M", astral=astral)
    single = unspaced_characters(astral=astral)
    join = rf"(?:[{inner}]|[{DECIMAL}](?<=\d.)(?=\d))"
    return re.compile(rf"[{first}][{inside}]*(?:{join}[{first}][{inside}]*)*|[{single}][{marks}]*")
