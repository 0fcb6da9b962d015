"""The tokenizers ``whitespace`` and ``regex``, for which the user says what a token is."""

from __future__ import annotations

import re

from .settings import TokenizerSettings
from .text_cutting import Cutter, Token
from .tokenization_errors import PatternError

_PROBES = ("", " ", "a", "a b", "a, b.")


def make_whitespace_tokenizer(_settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Whatever stands between white space: for text that is tokenized already."""

    def locate(sentence: str) -> list[Token]:
        tokens, done = [], 0
        for text in sentence.split():
            start = sentence.index(text, done)
            done = start + len(text)
            tokens.append(Token(text, start, done))
        return tokens

    return Cutter(str.split, locate)


def make_regex_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """The matches of ``tokenize.pattern`` (Python's ``re``), left to right.

    A token is the whole match; groups only group. The pattern sees the sentence after
    normalisation and lower-casing. A pattern that backtracks without end (nested
    quantifiers such as ``(a+)+b``) is not detected and hangs the stage. Raises PatternError
    for one that matches the empty string.
    """
    pattern = settings.pattern or ""
    compiled = re.compile(pattern)
    if any(not match.group() for probe in _PROBES for match in compiled.finditer(probe)):
        raise PatternError(
            f"tokenize.pattern: {pattern!r} matches the empty string; make it match at least "
            f"one character, such as [a-z]+ and not [a-z]*"
        )

    def tokenize(sentence: str) -> list[str]:
        return [match.group() for match in compiled.finditer(sentence)]

    def locate(sentence: str) -> list[Token]:
        return [Token(match.group(), *match.span()) for match in compiled.finditer(sentence)]

    return Cutter(compiled.findall if compiled.groups == 0 else tokenize, locate)
