"""Tokenizers: from a normalised sentence to its tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Protocol

from .characters import unspaced_characters, word_characters
from .settings import TokenizerSettings

_SOFT_HYPHEN = "\u00ad"
REPLACED = str.maketrans({"\u2019": "'", "\u02bc": "'", "\uff07": "'", _SOFT_HYPHEN: None})
"""Typographic, modifier-letter and full-width apostrophe."""
INNER = "'\u00b7\u05f3\u05f4\u200c\u200d"
"""Apostrophe, middle dot, geresh, gershayim, zero-width non-joiner and joiner."""
DECIMAL = ".,\u066b\u066c"
"""Western and Arabic decimal and thousands separators."""
_PROBES = ("", " ", "a", "a b", "a, b.")


class PatternError(ValueError):
    """A pattern matches the empty string."""


class Tokenizer(Protocol):
    """Cuts one sentence into tokens.

    The sentence is normalised already and holds no line break. The result depends on the
    sentence alone. Empty tokens may be returned: they are dropped as too short.
    """

    def __call__(self, sentence: str, /) -> list[str]:
        """The tokens of ``sentence``, in order."""


def make_tokenizer(config: TokenizerSettings) -> Tokenizer:
    """The tokenizer that ``config`` names.

    Raises PatternError for a pattern that matches the empty string.
    """
    return TOKENIZERS[config.tokenizer](config)


def _make_unicode_tokenizer(_config: TokenizerSettings) -> Tokenizer:
    """Words of any script: letters, marks and numbers, as Unicode defines them.

    - An apostrophe inside a word belongs to it: ``don't``, ``rock'n'roll``, ``l'homme``.
      Typographic apostrophes become ``'``; at the ends of a word they are quotes.
    - A hyphen, a slash and an underscore separate: ``state``, ``of``, ``the``, ``art``.
    - A point or comma between two digits belongs to the number: ``3.14``, ``1,000``.
    - Each ideograph and each Hiragana character is a token; a run of Katakana or of Hangul
      is one. Thai, Lao, Khmer and Burmese, which write no spaces, are not segmented: give
      them segmented, with the tokenizer ``whitespace``.
    - The middle dot of Catalan, geresh and gershayim of Hebrew and the zero-width joiners
      belong to a word when inside it; soft hyphens are removed.
    - Punctuation, symbols and emoji are no tokens.
    """
    basic = _word_pattern(astral=False).findall

    def tokenize(sentence: str) -> list[str]:
        if sentence.isascii():
            return basic(sentence)
        sentence = sentence.translate(REPLACED)
        # Two code units for a character outside the basic plane: the fastest way to see one.
        has_astral = len(sentence.encode("utf-16-le")) != 2 * len(sentence)
        return _word_pattern(astral=True).findall(sentence) if has_astral else basic(sentence)

    return tokenize


@cache
def _word_pattern(*, astral: bool) -> re.Pattern[str]:
    first = word_characters("L", "N", astral=astral)
    inside = word_characters("L", "M", "N", astral=astral)
    marks = word_characters("M", astral=astral)
    single = unspaced_characters(astral=astral)
    join = rf"(?:[{INNER}]|[{DECIMAL}](?<=\d.)(?=\d))"
    return re.compile(rf"[{first}][{inside}]*(?:{join}[{first}][{inside}]*)*|[{single}][{marks}]*")


def _make_whitespace_tokenizer(_config: TokenizerSettings) -> Tokenizer:
    """Whatever stands between white space: for text that is tokenized already."""
    return str.split


def _make_regex_tokenizer(config: TokenizerSettings) -> Tokenizer:
    """The matches of ``tokenize.pattern`` (Python's ``re``), left to right.

    A token is the whole match; groups only group. The pattern sees the sentence after
    normalisation and lower-casing. A pattern that backtracks without end (nested
    quantifiers such as ``(a+)+b``) is not detected and hangs the stage. Raises PatternError
    for one that matches the empty string.
    """
    pattern = config.pattern or ""
    compiled = re.compile(pattern)
    if any(not match.group() for probe in _PROBES for match in compiled.finditer(probe)):
        raise PatternError(
            f"tokenize.pattern: {pattern!r} matches the empty string; make it match at least "
            f"one character, such as [a-z]+ and not [a-z]*"
        )
    if compiled.groups == 0:
        return compiled.findall

    def tokenize(sentence: str) -> list[str]:
        return [match.group() for match in compiled.finditer(sentence)]

    return tokenize


TOKENIZERS: Mapping[str, Callable[[TokenizerSettings], Tokenizer]] = MappingProxyType(
    {
        "unicode": _make_unicode_tokenizer,
        "whitespace": _make_whitespace_tokenizer,
        "regex": _make_regex_tokenizer,
    }
)
"""Makers of tokenizers by the name that ``tokenize.tokenizer`` gives them."""
