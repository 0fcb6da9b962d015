"""From a document's text to its sentences, normalised."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from .characters import word_characters
from .settings import TokenizerSettings

SentenceSplitter = Callable[[str], list[str]]
"""Takes a document's text, returns its sentences, normalised, in order."""

TERMINATORS = ".!?\u2026\u061f\u06d4\u0964\u0965"
"""Western stops and the ellipsis, Arabic question mark, Urdu full stop, danda."""
WIDE_TERMINATORS = "\u3002\uff61\uff01\uff1f"
"""Ideographic full stop (also half-width), full-width ! and ?."""
CLOSERS = "\"'\u201d\u2019\u00bb)\\]\u300d\u300f\uff09\uff3d"
OPENERS = "\"'\u201c\u2018\u201e\u00ab(\\[\u00bf\u00a1\u300c\u300e\uff08\uff3b"
"""Quotes and brackets, typographic and full-width ones, too."""


def make_sentence_splitter(config: TokenizerSettings) -> SentenceSplitter:
    """The sentence splitter that ``config`` describes.

    A line break (whatever ``str.splitlines`` takes for one) always ends a sentence. With
    ``split_sentences``, so does ``. ! ? …`` (or its Arabic or Devanagari counterpart) with
    any closing quotes and brackets, when white space follows and then anything but a
    lower-case letter; a full stop after a single capital letter (J. Smith) does not. The
    wide CJK stops end a sentence whatever follows. There is no list of abbreviations: "Mr.
    Smith" is cut, "e.g. this" is not.

    Then the text is normalised (NFC or NFKC) and lower-cased by ``str.lower``. Sentences
    may be empty.
    """
    form = config.normalization
    lowercase = config.lowercase
    boundary = _boundary() if config.split_sentences else None

    def split(text: str) -> list[str]:
        if boundary is not None:
            text = boundary.sub("\\1\n", text)
        if form is not None:
            text = unicodedata.normalize(form, text)
        return (text.lower() if lowercase else text).splitlines()

    return split


@cache
def _boundary() -> re.Pattern[str]:
    lower = word_characters("Ll", astral=True)
    upper = word_characters("Lu", astral=True)
    stops = TERMINATORS + WIDE_TERMINATORS
    # It starts with a single set because re can then skip to the next stop quickly. The
    # quantifiers are possessive: giving back one of two spaces would hide the lower-case
    # letter behind them.
    return re.compile(
        rf"([{stops}][{stops}]*+"
        rf"(?:(?<=[{WIDE_TERMINATORS}])"
        rf"|(?<!\b[{upper}]\.)(?=[{CLOSERS}]*+\s++(?![{OPENERS}]*[{lower}])))"
        rf"[{CLOSERS}]*+)\s*+"
    )
