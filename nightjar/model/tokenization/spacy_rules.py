"""The tokenizer ``spacy``: the rules of spaCy for one language."""

from __future__ import annotations

from .libraries import import_library
from .settings import TokenizerSettings
from .text_cutting import Cutter, Token, is_word
from .tokenization_errors import TokenizerError


def make_spacy_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """The tokens of ``spacy.blank(spacy_language)`` that have a letter or a number.

    Rules and exceptions of the language, no model: ``don't`` is ``do`` and ``n't`` in
    English, ``z.B.`` one token in German. spaCy keeps every distinct token in memory for as
    long as the tokenizer lives. Raises LibraryMissing, and TokenizerError for a language
    that spaCy does not have or cuts by another library than its rules.
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
