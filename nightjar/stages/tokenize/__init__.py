"""Tokenize: documents become sentences of token ids, and a vocabulary.

A document is cut into sentences and normalised (:mod:`~nightjar.model.tokenization.sentences`),
each sentence into tokens (:mod:`~nightjar.model.tokenization.tokenizers`), each token gets the id
of its rank by count (:mod:`.ranking`), and the stage streams all of it from artifact to artifact
(:mod:`.tokenize_stage`).
"""

from nightjar.stages.tokenize.tokenize_stage import tokenize, tokens_identity

__all__ = ["tokenize", "tokens_identity"]
