"""The dictionary-based tokenizers ``chinese``, ``japanese`` and ``thai``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from .character_classes import ideographs
from .settings import TokenizerSettings, import_library
from .text_cutting import Cutter, Token, by_script
from .unicode_words import make_unicode_tokenizer


def make_chinese_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Cut runs of ideographs with rjieba, and other text with the tokenizer ``unicode``.

    jieba takes the most probable path through its dictionary, and a hidden Markov model for unknown
    words. Words that mix scripts (卡拉OK) are cut where the script changes. Raises LibraryMissing.
    """
    # Our own instance: other code in the process may have added words to the module's.
    cut = import_library("rjieba", "chinese").Jieba().cut
    return by_script(_ideographs(), cut, make_unicode_tokenizer(settings))


@cache
def _ideographs() -> re.Pattern[str]:
    return re.compile(f"[{ideographs()}]+")


_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_BETWEEN = r"\s!-/:-@\[-`{-~\u2010-\u2027\u3000-\u3004\u3008-\u301f\u30fb\uff01-\uff0f\uff5f-\uff65"
"""Spaces and punctuation, which tell Sudachi where clauses end."""

MAX_CHARS = 2_000
"""Sudachi accepts 49,149 bytes at a time, also counted after its own normalization, which may turn
one character into 18 bytes."""
_OVERLAP = 100
"""Morphemes that end this close to the end of a window are cut again in the next one."""


def make_japanese_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Cut runs of kana and ideographs with Sudachi, and other text with the tokenizer ``unicode``.

    ``japanese_mode`` is Sudachi's: A cuts into the shortest units, C keeps compounds and names
    together. Tokens are surface forms, not dictionary forms. Raises LibraryMissing.
    """
    sudachi = import_library("sudachipy", "japanese")
    import_library("sudachidict_core", "japanese")
    dictionary = sudachi.Dictionary(dict="core")
    make = getattr(dictionary, "tokenizer", None) or dictionary.create  # before Sudachi 0.7
    analyser = make(mode=getattr(sudachi.SplitMode, settings.japanese_mode or "C"))

    def segment(run: str) -> Iterator[str]:
        return _pieces(analyser, run)

    return by_script(_kana_and_ideographs(), segment, make_unicode_tokenizer(settings))


def _pieces(analyser: Any, run: str) -> Iterator[str]:
    """The morphemes of a run of any length, window by window."""
    first = 0
    while first < len(run):
        window = run[first : first + MAX_CHARS]
        is_last = first + len(window) == len(run)
        done = 0
        for morpheme in analyser.tokenize(window):
            if not is_last and done and morpheme.end() > MAX_CHARS - _OVERLAP:
                break
            if morpheme.end() > done:
                yield window[done : morpheme.end()]
                done = morpheme.end()
        first += done or len(window)


@cache
def _kana_and_ideographs() -> re.Pattern[str]:
    written = f"{_KANA}{ideographs()}"
    return re.compile(f"[{written}](?:[{written}]++|[{_BETWEEN}]++(?=[{written}]))*+")


_RUN = re.compile("[\u0e01-\u0e3a\u0e40-\u0e4e]+")
"""Thai letters, vowels, tone marks and signs; Thai digits are numbers as others are."""
_SARA_AM, _SARA_AM_APART = "\u0e33", "\u0e4d\u0e32"
_READ_ONLY, _READ_ONLY_BEFORE = "PYTHAINLP_READ_ONLY", "PYTHAINLP_READ_MODE"


def make_thai_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Cut runs of Thai with newmm, and other text with the tokenizer ``unicode``.

    newmm takes the fewest words of the packaged dictionary that respect clusters of Thai
    characters. The vowel sara am, which NFKC decomposes, is composed again, because dictionaries,
    keyboards and so queries have it composed. Nothing is downloaded or written. Raises
    LibraryMissing.
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
    # Once per process: the dictionary of 62,000 words takes a third of a second.
    with _read_only():
        newmm = import_library("pythainlp.tokenize.newmm", "thai")
        words = import_library("pythainlp.corpus.common", "thai").thai_words()
        trie = import_library("pythainlp.util", "thai").Trie(words)
    return partial(newmm.segment, custom_dict=trie, safe_mode=True)


@contextmanager
def _read_only() -> Iterator[None]:
    """Keep PyThaiNLP from creating a directory in the user's home when it is imported."""
    if _READ_ONLY in os.environ or _READ_ONLY_BEFORE in os.environ:
        yield  # the user has set it
        return
    os.environ[_READ_ONLY] = "1"
    try:
        yield
    finally:
        del os.environ[_READ_ONLY]
