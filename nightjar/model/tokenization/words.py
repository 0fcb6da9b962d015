"""From a text to its tokens, in one step."""

from __future__ import annotations

from collections.abc import Callable

from .known_phrases import PhraseJoiner
from .sentences import make_sentence_splitter
from .settings import TokenizerSettings
from .tokenizers import make_tokenizer


def make_word_finder(
    settings: TokenizerSettings,
    definition: str | None = None,
    phrases: PhraseJoiner | None = None,
) -> Callable[[str], list[str]]:
    """The function from a text to the tokens that training would have seen in it.

    Phrases are joined within a sentence, as they were found there. Raises what
    :func:`.make_tokenizer` raises.
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
