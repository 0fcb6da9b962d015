"""The tokenizer ``subword``: pieces of words, by a definition of Hugging Face's tokenizers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .libraries import import_library
from .settings import TokenizerSettings
from .text_cutting import Cutter, Token
from .tokenization_errors import DefinitionError

MARK = "\u2581"
"""In front of the first piece of a word, as SentencePiece has it. By itself it is no token."""


def make_subword_tokenizer(_settings: TokenizerSettings, definition: str | None) -> Cutter:
    """The pieces that a ``tokenizer.json`` cuts a sentence into, as its vocabulary has them.

    ``definition`` is that file's text. No special tokens are added, nothing is padded or
    truncated; what the vocabulary does not have is left out, and so is a mark by itself. The
    sentence is normalised and lower-cased before; the file may do more of it. Raises
    LibraryMissing, and DefinitionError for a definition that is missing or that the library
    does not take.
    """
    library = import_library("tokenizers", "subword")
    if definition is None:
        raise DefinitionError(
            "the tokenizer 'subword' has no definition here; its tokenizer.json has to be given"
        )
    try:
        tokenizer = library.Tokenizer.from_str(definition)
    except Exception as error:  # the library raises nothing finer
        raise DefinitionError(
            f"the definition of the tokenizer 'subword' cannot be used ({error}); give the "
            f"tokenizer.json that the library tokenizers {library.__version__} writes"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    left_out = {
        _unknown_id(tokenizer, json.loads(definition)["model"]),
        tokenizer.token_to_id(MARK),
    }

    def tokenize(sentence: str) -> list[str]:
        found = tokenizer.encode(sentence, add_special_tokens=False)
        return [
            piece
            for piece, number in zip(found.tokens, found.ids, strict=True)
            if number not in left_out
        ]

    def locate(sentence: str) -> list[Token]:
        found = tokenizer.encode(sentence, add_special_tokens=False)
        return [
            Token(piece, *span)
            for piece, number, span in zip(found.tokens, found.ids, found.offsets, strict=True)
            if number not in left_out
        ]

    return Cutter(tokenize, locate)


def _unknown_id(tokenizer: Any, model: Mapping[str, Any]) -> int | None:
    """The id of what the vocabulary does not have, from the definition's part ``model``."""
    number: int | None = model.get("unk_id")
    piece = model.get("unk_token")
    return tokenizer.token_to_id(piece) if number is None and piece else number
