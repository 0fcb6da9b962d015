"""Tokens with their places in the raw text, before normalisation and lower-casing."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from .character_classes import continuing_characters
from .sentences import make_normaliser, make_sentence_finder
from .settings import TokenizerSettings
from .text_cutting import Token
from .tokenizers import make_locator

TokenFinder = Callable[[str], list[Token]]
"""Takes a raw text, returns its tokens with their places in it."""


def make_token_finder(settings: TokenizerSettings, definition: str | None = None) -> TokenFinder:
    """The function from a text to the tokens that training would have seen, and where.

    The tokens are those of :func:`.tokenizers.make_word_finder`. ``text[start:end]``, normalised
    and lower-cased by itself, is the token again, but

    - the tokenizer ``unicode`` (and those that leave other scripts to it) writes an
      apostrophe as ``'``, with ``hyphens: keep`` a hyphen as ``-``, and leaves soft hyphens
      out; ``thai`` writes sara am as one character, which NFKC takes apart;
    - of ``subword`` the token has the marks of its vocabulary (``▁the``, ``##ing``), and
      where it cuts through bytes, several tokens share one character;
    - where one character becomes several (½ with NFKC is 1, a fraction slash and 2) and they
      belong to several tokens, each stands for the whole of that character;
    - a capital sigma at the end of a token that ``str.lower`` did not take for the end of a
      word (a letter follows behind a point or an apostrophe) is another one by itself.

    Raises what :func:`.make_tokenizer` raises.
    """
    locate, find = make_locator(settings, definition), make_sentence_finder(settings)
    normalise = make_normaliser(settings)
    lengths = range(settings.min_token_chars, settings.max_token_chars + 1)

    def find_tokens(text: str) -> list[Token]:
        found: list[Token] = []
        for first, last in find(text):
            raw = text[first:last]
            located = locate(normalise(raw))
            starts, ends = _places(raw, normalise)
            found += (
                Token(token, first + starts[start], first + ends[end - 1])
                for token, start, end in located
                if token and len(token) in lengths
            )
        return found

    return find_tokens


def _places(raw: str, normalise: Callable[[str], str]) -> tuple[list[int], list[int]]:
    """For each character of the normalised text, where what it was made of starts and ends."""
    if raw.isascii():
        return list(range(len(raw))), list(range(1, len(raw) + 1))
    starts: list[int] = []
    ends: list[int] = []
    for match in _sequences().finditer(raw):
        for start, end, length in _parts(match.group(), match.start(), normalise):
            starts += [start] * length
            ends += [end] * length
    return starts, ends


def _parts(
    sequence: str, first: int, normalise: Callable[[str], str]
) -> list[tuple[int, int, int]]:
    """Start and end of each part, and how many characters it becomes."""
    written = normalise(sequence)
    if len(sequence) > 1:
        singles = [normalise(sign) for sign in sequence]
        if "".join(singles) == written:  # nothing is joined
            return [(first + n, first + n + 1, len(text)) for n, text in enumerate(singles)]
    return [(first, first + len(sequence), len(written))]


@cache
def _sequences() -> re.Pattern[str]:
    """A character with all that normalisation may join to it."""
    return re.compile(f".[{continuing_characters()}]*+", re.DOTALL)
