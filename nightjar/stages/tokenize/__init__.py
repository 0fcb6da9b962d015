"""Tokenize: from documents to sentences of token ids, and a vocabulary.

A document is split into normalized sentences (:mod:`~nightjar.model.tokenization.sentences`), each
sentence into tokens (:mod:`~nightjar.model.tokenization.tokenizers`). A token's id is its rank by
count (:mod:`.ranking`). The stage streams from artifact to artifact (:mod:`.tokenize_stage`).
"""

from nightjar.stages.tokenize.tokenize_stage import tokenize, tokens_identity

__all__ = ["tokenize", "tokens_identity"]
