"""Tokenize: documents become sentences of token ids, and a vocabulary.

A document is cut into sentences and normalised (:mod:`~nightjar.text.sentences`), each
sentence into tokens (:mod:`~nightjar.text.tokenizers`), each token gets the id of its rank
by count (:mod:`~nightjar.text.vocabulary`), and the stage streams all of it from artifact
to artifact (:mod:`~nightjar.text.stage`).
"""

from nightjar.text.stage import tokenize, tokens_identity
from nightjar.text.tokenizers import Tokenizer

__all__ = ["Tokenizer", "tokenize", "tokens_identity"]
