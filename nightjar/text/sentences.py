"""From a document's text to its sentences, normalised."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from nightjar.config import TokenizeConfig
from nightjar.text.characters import word_characters

SentenceSplitter = Callable[[str], list[str]]
"""Takes a document's text, returns its sentences, normalised, in order."""

_TERMINATORS = ".!?…؟۔।॥"
_WIDE_TERMINATORS = "。｡！？"
_CLOSERS = "\"'”’»)\\]」』）］"
_OPENERS = "\"'“‘„«(\\[¿¡「『（［"


def make_sentence_splitter(config: TokenizeConfig) -> SentenceSplitter:
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
            text = boundary.sub("\\1\\2\n", text)
        if form is not None:
            text = unicodedata.normalize(form, text)
        return (text.lower() if lowercase else text).splitlines()

    return split


@cache
def _boundary() -> re.Pattern[str]:
    # Possessive quantifiers: giving back one of two spaces would hide the lower-case letter.
    lower = word_characters("Ll", astral=True)
    upper = word_characters("Lu", astral=True)
    return re.compile(
        rf"([{_TERMINATORS}]++(?<!\b[{upper}]\.)[{_CLOSERS}]*+)\s++(?![{_OPENERS}]*[{lower}])"
        rf"|([{_WIDE_TERMINATORS}]++[{_CLOSERS}]*+)"
    )
