"""The interface of tokenizers, and cutting one script with another tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Token(NamedTuple):
    """A token and its position: from ``start`` up to, not including, ``end``."""

    text: str
    start: int
    end: int


class Tokenizer(Protocol):
    """Cuts one sentence into tokens.

    The sentence is normalized and has no line break. The result depends on the sentence alone.
    Empty tokens may be returned: they are dropped as too short.
    """

    def __call__(self, sentence: str, /) -> list[str]:
        """The tokens of ``sentence``, in order."""


Locator = Callable[[str], list[Token]]
"""Takes a sentence like a tokenizer, returns the same tokens with their positions."""


@dataclass(frozen=True)
class Cutter:
    """The two ways to use a tokenizer: tokens alone, which is fast, or with positions."""

    tokenize: Tokenizer
    locate: Locator


def is_word(piece: str) -> bool:
    """Whether it contains a letter or a number."""
    return any(map(str.isalnum, piece))


def by_script(
    run: re.Pattern[str], segment: Callable[[str], Iterable[str]], others: Cutter
) -> Cutter:
    """Cut the matches of ``run`` with ``segment`` and the rest with ``others``.

    ``segment`` gives the pieces of a run, without gaps; pieces without a letter or number are not
    tokens.
    """

    def tokenize(sentence: str) -> list[str]:
        tokens: list[str] = []
        done = 0
        for match in run.finditer(sentence):
            if match.start() > done:
                tokens += others.tokenize(sentence[done : match.start()])
            tokens += filter(is_word, segment(match.group()))
            done = match.end()
        if done < len(sentence):
            tokens += others.tokenize(sentence[done:])
        return tokens

    def locate(sentence: str) -> list[Token]:
        tokens: list[Token] = []
        done = 0
        for match in run.finditer(sentence):
            tokens += _moved(others.locate(sentence[done : match.start()]), done)
            done = match.start()
            for piece in segment(match.group()):
                if is_word(piece):
                    tokens.append(Token(piece, done, done + len(piece)))
                done += len(piece)
            done = match.end()
        return tokens + _moved(others.locate(sentence[done:]), done)

    return Cutter(tokenize, locate)


def _moved(tokens: Iterable[Token], by: int) -> list[Token]:
    return [Token(text, start + by, end + by) for text, start, end in tokens]
