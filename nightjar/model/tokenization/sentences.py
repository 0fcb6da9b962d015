"""From a document's text to its sentences: normalized, and lower-cased by a language's rules.

The rules are those of Unicode's SpecialCasing.txt. Greek needs none: ``str.lower`` handles a final
sigma.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from .character_classes import combining_characters, word_characters
from .letter_forms import invisible_characters, letter_forms, make_replacing
from .settings import NormalForm, TokenizerSettings

_ABOVE = 230
"""Canonical combining class of marks above a letter."""
_DOT_ABOVE = "\u0307"
_LITHUANIAN = {"\u00cc": "i\u0307\u0300", "\u00cd": "i\u0307\u0301", "\u0128": "i\u0307\u0303"}


def make_case_folding(settings: TokenizerSettings) -> Callable[[str], str]:
    """The function for ``lowercase``, ``casefold`` and ``locale``.

    ``tr`` and ``az``: I becomes a dotless i, dotted I an i. ``lt``: an i or j with an accent keeps
    its dot. With ``casefold`` the rest is Unicode's full case folding, which also writes ß as ss
    and a final sigma as an ordinary one.
    """
    if not settings.lowercase:
        return lambda text: text
    fold = str.casefold if settings.casefold else str.lower
    if settings.locale is None:
        return fold
    special = _dotless if settings.locale in ("tr", "az") else _dotted
    return lambda text: fold(special(text))


def _dotless(text: str) -> str:
    """Turkish and Azerbaijani: dotted and dotless i are different letters."""
    if "I" not in text and "\u0130" not in text:
        return text
    # Marks in other positions may come between the letter and its dot.
    text = re.sub(f"I([{_between()}]*+){_DOT_ABOVE}", r"i\1", text)
    return text.replace("\u0130", "i").replace("I", "\u0131")


def _dotted(text: str) -> str:
    """Lithuanian: the dot is kept below an accent."""
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


SentenceSplitter = Callable[[str], list[str]]
"""Takes a document's text, returns its normalized sentences in order."""

TERMINATORS = ".!?\u2026\u061f\u06d4\u203c\u2047\u2048\u2049\u0589"
"""Western stops, the ellipsis and doubled marks, Arabic ?, Urdu and Armenian full stop."""
WIDE_TERMINATORS = "\u3002\uff61\uff01\uff1f\u0964\u0965\u104b\u1362\u1367\u1368\u17d4\u17d5"
"""Ideographic full stop (also half-width), full-width ! and ?, danda, and the full stops of
Burmese, Ethiopic (with ? and paragraph mark) and Khmer."""
MAX_MARKS = 30
"""As in Unicode's Stream-Safe Text Format (UAX #15, section 13)."""
CLOSERS = "\"'\u201d\u2019\u00bb)\\]\u300d\u300f\uff09\uff3d"
OPENERS = "\"'\u201c\u2018\u201e\u00ab(\\[\u00bf\u00a1\u300c\u300e\uff08\uff3b"
"""Quotes and brackets, including typographic and full-width ones."""


def make_sentence_splitter(config: TokenizerSettings) -> SentenceSplitter:
    """The sentence splitter for ``config``.

    A line break (as defined by ``str.splitlines``) always ends a sentence. With
    ``split_sentences``, so does ``. ! ? …`` (or its Arabic or Armenian counterpart) with any
    closing quotes and brackets, when followed by white space and then anything but a lower-case
    letter; a full stop after a single capital letter (J. Smith) does not. The wide CJK stops, the
    danda and the stops of Burmese, Khmer and Ethiopic end a sentence whatever follows. There is no
    list of abbreviations: "Mr. Smith" is split, "e.g. this" is not. Thai has no mark at the end of
    a sentence, so each line is one.

    Sentences are normalized and lower-cased, and may be empty.
    """
    normalise = make_normaliser(config)
    boundary = _boundary() if config.split_sentences else None

    def split(text: str) -> list[str]:
        if boundary is not None:
            text = boundary.sub("\\1\n", text)
        return normalise(text).splitlines()

    return split


def make_sentence_finder(config: TokenizerSettings) -> Callable[[str], list[tuple[int, int]]]:
    """A function that finds the sentences of :func:`make_sentence_splitter` in the raw text.

    It returns a pair (start, end) of character positions for each sentence; ``end`` is exclusive.
    """
    boundary = _boundary() if config.split_sentences else None

    def find(text: str) -> list[tuple[int, int]]:
        spans, done = [], 0
        for match in boundary.finditer(text) if boundary is not None else ():
            spans += _lines(text, done, match.end(1))
            done = match.end()
        return spans + _lines(text, done, len(text))

    return find


def _lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    spans = []
    for line in text[start:end].splitlines(keepends=True):
        spans.append((start, start + len(line.splitlines()[0])))
        start += len(line)
    return spans


def make_normaliser(config: TokenizerSettings) -> Callable[[str], str]:
    """The function applied to a text before it is split: normalization, then lower-casing.

    With a normal form, characters that show nothing are removed: variation selectors, the mark that
    makes a keycap of a digit, marks of direction. Combining marks beyond :data:`MAX_MARKS` in a row
    are dropped, because Python sorts them in quadratic time.
    """
    form = config.normalization
    fold = make_case_folding(config)
    normal = make_normal_form(form)

    def normalise(text: str) -> str:
        if form is not None and len(text) > MAX_MARKS and not text.isascii():
            text = _many_marks().sub(_first_marks, text)
        text = fold(normal(text))
        # Folding decomposes some characters (U+0390).
        return normal(text) if is_full else text

    is_full = config.lowercase and config.casefold
    return normalise


@cache
def make_normal_form(form: NormalForm | None) -> Callable[[str], str]:
    """The function that brings a text into ``form``, without characters that show nothing."""
    if form is None:
        return lambda text: text
    without_invisible = make_replacing(invisible_characters())
    if form != "forms":
        return lambda text: unicodedata.normalize(form, without_invisible(text))
    plain = make_replacing({**letter_forms(), **invisible_characters()})
    return lambda text: unicodedata.normalize("NFC", plain(text))


def _first_marks(match: re.Match[str]) -> str:
    return match.group()[:MAX_MARKS]


@cache
def _many_marks() -> re.Pattern[str]:
    marks = combining_characters()
    return re.compile(f"[{marks}]{{{MAX_MARKS + 1}}}[{marks}]*+")


@cache
def _boundary() -> re.Pattern[str]:
    lower = word_characters("Ll", astral=True)
    upper = word_characters("Lu", astral=True)
    stops = TERMINATORS + WIDE_TERMINATORS
    # It starts with a single set so that re can quickly skip to the next stop. The quantifiers are
    # possessive: giving back one of two spaces would hide the lower-case letter behind them.
    return re.compile(
        rf"([{stops}][{stops}]*+"
        rf"(?:(?<=[{WIDE_TERMINATORS}])"
        rf"|(?<!\b[{upper}]\.)(?=[{CLOSERS}]*+\s++(?![{OPENERS}]*[{lower}])))"
        rf"[{CLOSERS}]*+)\s*+"
    )
