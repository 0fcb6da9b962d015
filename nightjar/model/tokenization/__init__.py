"""From raw text to tokens, the same way for a corpus and for a question to a model.

A text is cut into sentences and normalised (:mod:`.sentences`), each sentence into tokens by the
tokenizer that the settings name, which also says where a token stands in the raw text
(:mod:`.tokenizers`, with a module a family); words that belong together then become one token
(:mod:`.known_phrases`). What counts as a letter is in :mod:`.character_classes`. The settings are
those of the config's section ``tokenize``.

This package travels with every registered model, so that raw text is cut there as it was for
training. It imports the standard library alone, and itself relatively; what a tokenizer needs
beyond is imported when it is made (:mod:`.settings`).
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
]
