"""From raw text to tokens, in the same way for a corpus and for a query to a model.

A text is split into normalized sentences (:mod:`.sentences`), and each sentence into tokens by the
configured tokenizer, which can also give their positions in the raw text (:mod:`.tokenizers`, with
a module for each family); then phrases are joined (:mod:`.known_phrases`).
:mod:`.character_classes` defines letters. The settings are those of the config's section
``tokenize``.

This package is copied into every registered model, so that raw text is split there as it was for
training. It only imports the standard library, and itself by relative imports; the libraries of a
tokenizer are imported when it is created (:mod:`.settings`).
"""

from .known_phrases import PhraseJoiner, phrases_to_json
from .sentences import SentenceSplitter, make_normaliser, make_sentence_splitter
from .settings import (
    EXTRAS,
    DefinitionError,
    LibraryMissing,
    PatternError,
    Settings,
    TokenizerError,
    TokenizerSettings,
    missing_message,
    untyped_errors,
)
from .subword import train_subword
from .text_cutting import Locator, Token, Tokenizer
from .tokenizers import (
    TokenFinder,
    make_locator,
    make_token_finder,
    make_tokenizer,
    make_word_finder,
)

__all__ = [
    "EXTRAS",
    "DefinitionError",
    "LibraryMissing",
    "Locator",
    "PatternError",
    "PhraseJoiner",
    "SentenceSplitter",
    "Settings",
    "Token",
    "TokenFinder",
    "Tokenizer",
    "TokenizerError",
    "TokenizerSettings",
    "make_locator",
    "make_normaliser",
    "make_sentence_splitter",
    "make_token_finder",
    "make_tokenizer",
    "make_word_finder",
    "missing_message",
    "phrases_to_json",
    "train_subword",
    "untyped_errors",
]
