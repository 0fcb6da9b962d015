"""The tokenizer ``thai``: words by dictionary, newmm of PyThaiNLP."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

from .libraries import import_library
from .settings import TokenizerSettings
from .text_cutting import Cutter, Token, by_script
from .unicode_words import make_unicode_tokenizer

_RUN = re.compile("[\u0e01-\u0e3a\u0e40-\u0e4e]+")
"""Thai letters, vowels, tone marks and signs; Thai digits are numbers as others are."""
_SARA_AM, _SARA_AM_APART = "\u0e33", "\u0e4d\u0e32"
_READ_ONLY, _READ_ONLY_BEFORE = "PYTHAINLP_READ_ONLY", "PYTHAINLP_READ_MODE"


def make_thai_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Runs of Thai are cut by newmm; all else by the tokenizer ``unicode``.

    newmm takes the fewest words of the dictionary in the package that respect clusters of
    Thai characters. The vowel sara am, which NFKC takes apart, is put together again: so
    dictionaries, keyboards and therefore questions to a model have it. Nothing is downloaded
    or written. Raises LibraryMissing.
    """
    cutter = by_script(_RUN, _segmenter(), make_unicode_tokenizer(settings))

    def tokenize(sentence: str) -> list[str]:
        return cutter.tokenize(sentence.replace(_SARA_AM_APART, _SARA_AM))

    def locate(sentence: str) -> list[Token]:
        second_halves = {match.end() - 1 for match in re.finditer(_SARA_AM_APART, sentence)}
        places = [place for place in range(len(sentence) + 1) if place not in second_halves]
        return [
            Token(text, places[start], places[end])
            for text, start, end in cutter.locate(sentence.replace(_SARA_AM_APART, _SARA_AM))
        ]

    return Cutter(tokenize, locate)


@cache
def _segmenter() -> Callable[[str], list[str]]:
    # Once a process: the dictionary of 62,000 words takes a third of a second.
    with _read_only():
        newmm = import_library("pythainlp.tokenize.newmm", "thai")
        words = import_library("pythainlp.corpus.common", "thai").thai_words()
        trie = import_library("pythainlp.util", "thai").Trie(words)
    return partial(newmm.segment, custom_dict=trie, safe_mode=True)


@contextmanager
def _read_only() -> Iterator[None]:
    """Keep PyThaiNLP from making a directory in the user's home when it is imported."""
    if _READ_ONLY in os.environ or _READ_ONLY_BEFORE in os.environ:
        yield  # the user has decided
        return
    os.environ[_READ_ONLY] = "1"
    try:
        yield
    finally:
        del os.environ[_READ_ONLY]
