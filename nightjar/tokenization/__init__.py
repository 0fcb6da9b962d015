"""From raw text to tokens, the same way for a corpus and for a question to a model.

A text is cut into sentences and normalised (:mod:`.sentences`), each sentence into tokens
(:mod:`.tokenizers`); what counts as a letter is in :mod:`.characters`. The settings are those
of the config's section ``tokenize``.

This package travels with every registered model, so that raw text is cut there as it was for
training. It imports the standard library alone, and itself relatively.
"""

from .sentences import SentenceSplitter, make_sentence_splitter
from .settings import Settings, TokenizerSettings
from .tokenizers import PatternError, Tokenizer, make_tokenizer
from .words import make_word_finder

__all__ = [
    "PatternError",
    "SentenceSplitter",
    "Settings",
    "Tokenizer",
    "TokenizerSettings",
    "make_sentence_splitter",
    "make_tokenizer",
    "make_word_finder",
]
