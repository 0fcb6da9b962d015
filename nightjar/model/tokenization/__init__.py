"""From raw text to tokens, the same way for a corpus and for a question to a model.

A text is cut into sentences (:mod:`.sentences`) and normalised (:mod:`.casing`), each sentence
into tokens by the tokenizer that the settings name (:mod:`.tokenizers`, one module a family);
words that belong together then become one token (:mod:`.phrases`). What counts as a letter is in
:mod:`.characters`, where a token stands in the raw text in :mod:`.offsets`. The settings are
those of the config's section ``tokenize``.

This package travels with every registered model, so that raw text is cut there as it was for
training. It imports the standard library alone, and itself relatively; what a tokenizer needs
beyond is imported when it is made (:mod:`.libraries`).
"""

from .known_phrases import PhraseJoiner, phrases_to_json
from .libraries import EXTRAS, missing_message
from .offsets import TokenFinder, make_token_finder
from .sentences import SentenceSplitter, make_normaliser, make_sentence_splitter
from .settings import Settings, TokenizerSettings
from .subword_training import train_subword
from .text_cutting import Locator, Token, Tokenizer
from .tokenization_errors import DefinitionError, LibraryMissing, PatternError, TokenizerError
from .tokenizers import make_locator, make_tokenizer
from .words import make_word_finder

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
