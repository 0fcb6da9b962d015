"""Tokenizers by name, including the simple ones; from a text to its tokens and their positions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

from .character_classes import continuing_characters
from .dictionary_words import make_chinese_tokenizer, make_japanese_tokenizer, make_thai_tokenizer
from .known_phrases import PhraseJoiner
from .sentences import make_normaliser, make_sentence_finder, make_sentence_splitter
from .settings import PatternError, TokenizerError, TokenizerSettings, import_library
from .subword import make_subword_tokenizer
from .text_cutting import Cutter, Locator, Token, Tokenizer, is_word
from .unicode_words import make_unicode_tokenizer

_PROBES = ("", " ", "a", "a b", "a, b.")


def make_whitespace_tokenizer(_settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Split at white space, for text that is already tokenized."""

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

    A token is the entire match; groups only group. The pattern is applied after normalization and
    lower-casing. Catastrophic backtracking (nested quantifiers such as ``(a+)+b``) is not detected
    and hangs the stage. Raises PatternError for a pattern that matches the empty string.
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


def make_spacy_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """The tokens of ``spacy.blank(spacy_language)`` that have a letter or a number.

    It uses the rules and exceptions of the language, no model: ``don't`` is ``do`` and ``n't`` in
    English, ``z.B.`` one token in German. spaCy keeps every distinct token in memory as long as the
    tokenizer exists. Raises LibraryMissing, and TokenizerError for a language that spaCy does not
    have or does not split with its own rules.
    """
    spacy = import_library("spacy", "spacy")
    rules = import_library("spacy.tokenizer", "spacy").Tokenizer
    code = settings.spacy_language or "xx"
    if code in _SEGMENTED:
        raise TokenizerError(
            f"tokenize.spacy_language: spaCy cuts {code!r} by another library; choose tokenizer: "
            f"{_SEGMENTED[code]}"
        )
    try:
        cut = spacy.blank(code).tokenizer
    except (ImportError, ValueError) as error:
        raise TokenizerError(
            f"tokenize.spacy_language: spaCy has no blank pipeline for {code!r}; choose a code "
            f"such as en, de or xx (any language)"
        ) from error
    if not isinstance(cut, rules):
        raise TokenizerError(
            f"tokenize.spacy_language: spaCy cuts {code!r} by another library; choose tokenizer: "
            f"unicode"
        )

    def tokenize(sentence: str) -> list[str]:
        return [token.text for token in cut(sentence) if is_word(token.text)]

    def locate(sentence: str) -> list[Token]:
        return [
            Token(token.text, token.idx, token.idx + len(token.text))
            for token in cut(sentence)
            if is_word(token.text)
        ]

    return Cutter(tokenize, locate)


_SEGMENTED = {
    "zh": "chinese",
    "ja": "japanese",
    "th": "thai",
    "ko": "unicode (Korean writes spaces)",
    "vi": "unicode (syllables of Vietnamese)",
}


TOKENIZERS: Mapping[str, Callable[[TokenizerSettings, str | None], Cutter]] = MappingProxyType(
    {
        "unicode": make_unicode_tokenizer,
        "whitespace": make_whitespace_tokenizer,
        "regex": make_regex_tokenizer,
        "chinese": make_chinese_tokenizer,
        "japanese": make_japanese_tokenizer,
        "thai": make_thai_tokenizer,
        "subword": make_subword_tokenizer,
        "spacy": make_spacy_tokenizer,
    }
)
"""Functions that create tokenizers, by the values of ``tokenize.tokenizer``."""


def make_tokenizer(settings: TokenizerSettings, definition: str | None = None) -> Tokenizer:
    """The tokenizer that ``settings`` name.

    ``definition`` is the text that some need (:data:`NEED_DEFINITION`). Raises TokenizerError:
    PatternError for a pattern that matches the empty string, LibraryMissing, DefinitionError.
    """
    return TOKENIZERS[settings.tokenizer](settings, definition).tokenize


def make_locator(settings: TokenizerSettings, definition: str | None = None) -> Locator:
    """Like :func:`make_tokenizer`; the tokens have their positions in the sentence."""
    return TOKENIZERS[settings.tokenizer](settings, definition).locate


def make_word_finder(
    settings: TokenizerSettings,
    definition: str | None = None,
    phrases: PhraseJoiner | None = None,
) -> Callable[[str], list[str]]:
    """The function from a text to the tokens that training would have seen in it.

    Phrases are joined within a sentence, as in training. Raises what :func:`.make_tokenizer`
    raises.
    """
    split, tokenize = make_sentence_splitter(settings), make_tokenizer(settings, definition)
    lengths = range(settings.min_token_chars, settings.max_token_chars + 1)

    def words(sentence: str) -> list[str]:
        return [token for token in tokenize(sentence) if token and len(token) in lengths]

    def find(text: str) -> list[str]:
        return [
            token
            for sentence in split(text)
            for token in (words(sentence) if phrases is None else phrases.join(words(sentence)))
        ]

    return find


TokenFinder = Callable[[str], list[Token]]
"""Takes a raw text, returns its tokens with their positions in it."""


def make_token_finder(settings: TokenizerSettings, definition: str | None = None) -> TokenFinder:
    """The function from a text to the tokens that training would have seen, with positions.

    The tokens are those of :func:`.tokenizers.make_word_finder`. ``text[start:end]``, normalized
    and lower-cased by itself, is the token again, except:

    - the tokenizer ``unicode`` (and those that leave other scripts to it) writes an
      apostrophe as ``'``, with ``hyphens: keep`` a hyphen as ``-``, and leaves soft hyphens
      out; ``thai`` writes sara am as one character, which NFKC takes apart;
    - with ``subword`` the token has the marks of its vocabulary (``▁the``, ``##ing``), and
      where it splits the bytes of a character, several tokens share that character;
    - where one character becomes several (½ with NFKC is 1, a fraction slash and 2) and they
      belong to several tokens, each has the position of that character;
    - a capital sigma at the end of a token that is not at the end of a word for ``str.lower``
      (a letter follows after a point or an apostrophe) is lower-cased differently by itself.

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
    """For each character of the normalized text, where its source in ``raw`` starts and ends."""
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
    """Start and end of each part, and the number of characters that it becomes."""
    written = normalise(sequence)
    if len(sequence) > 1:
        singles = [normalise(sign) for sign in sequence]
        if "".join(singles) == written:  # nothing is composed
            return [(first + n, first + n + 1, len(text)) for n, text in enumerate(singles)]
    return [(first, first + len(sequence), len(written))]


@cache
def _sequences() -> re.Pattern[str]:
    """A character with everything that normalization may join to it."""
    return re.compile(f".[{continuing_characters()}]*+", re.DOTALL)
