"""Tokenize: documents become sentences of token ids, and a vocabulary.

A document is cut into sentences and normalised (:mod:`~nightjar.tokenization.sentences`), each
sentence into tokens (:mod:`~nightjar.tokenization.tokenizers`), each token gets the id of its rank
by count (:mod:`~nightjar.text.vocabulary`), and the stage streams all of it from artifact
to artifact (:mod:`~nightjar.text.stage`).
"""

from nightjar.text.identity import tokens_identity
from nightjar.text.stage import tokenize

__all__ = ["tokenize", "tokens_identity"]
