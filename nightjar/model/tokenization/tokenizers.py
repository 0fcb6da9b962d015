"""Tokenizers by name: from a normalised sentence to its tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from .chinese import make_chinese_tokenizer
from .japanese import make_japanese_tokenizer
from .settings import TokenizerSettings
from .simple import make_regex_tokenizer, make_whitespace_tokenizer
from .spacy_rules import make_spacy_tokenizer
from .subword import make_subword_tokenizer
from .text_cutting import Cutter, Locator, Tokenizer
from .thai import make_thai_tokenizer
from .unicode_words import make_unicode_tokenizer

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
"""Makers of tokenizers by the name that ``tokenize.tokenizer`` gives them."""


def make_tokenizer(settings: TokenizerSettings, definition: str | None = None) -> Tokenizer:
    """The tokenizer that ``settings`` name.

    ``definition`` is the text that some are made of (:data:`NEED_DEFINITION`). Raises
    TokenizerError: PatternError for a pattern that matches the empty string,
    LibraryMissing, DefinitionError.
    """
    return TOKENIZERS[settings.tokenizer](settings, definition).tokenize


def make_locator(settings: TokenizerSettings, definition: str | None = None) -> Locator:
    """Like :func:`make_tokenizer`; the tokens come with their places in the sentence."""
    return TOKENIZERS[settings.tokenizer](settings, definition).locate
