"""Tokenize: documents to sentences of token ids, and the vocabulary."""

from __future__ import annotations

from collections.abc import Iterable

from nightjar.config import NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext
from nightjar.stages.tokenize import tokenize, tokens_identity
from nightjar.stages.tokenize.erasing_tokens import erase_from_token_shard, erase_from_tokens
from nightjar.store import Identity, schemas


class Tokenize(Stage):
    """Tokens of a text corpus."""

    name = schemas.TOKENS
    verb = "tokenize"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = "sentences of token ids, phrases joined if asked for, and the vocabulary by rank"
    tables = {
        "sentences": schemas.SENTENCES_SCHEMA,
        "vocabulary": schemas.VOCABULARY_SCHEMA,
        schemas.PHRASES: schemas.PHRASES_SCHEMA,
    }
    files = (schemas.TOKENIZER_FILE,)
    pieces = {
        schemas.TOKEN_SHARDS: {
            "sentences": schemas.SHARD_SENTENCES_SCHEMA,
            "tokens": schemas.SHARD_TOKENS_SCHEMA,
            "vocabulary": schemas.SHARD_VOCABULARY_SCHEMA,
        }
    }
    erasers = {
        schemas.TOKENS: erase_from_tokens,
        schemas.TOKEN_SHARDS: erase_from_token_shard,
    }
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every text corpus."""
        return config.text_corpora

    def parents(self) -> Iterable[Parent]:
        """The corpus' documents."""
        return (Parent(schemas.DOCUMENTS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """Documents, tokenizer and phrases."""
        config = self.config.corpora[self.subject].tokenize
        documents = planning.parents[schemas.DOCUMENTS]
        return tokens_identity(config, documents, self.loaded.base_dir, self.subject)

    def write(self, context: StageContext) -> None:
        """As :func:`.tokenize`."""
        config = self.config.corpora[self.subject].tokenize
        tokenize(config, context.parent(schemas.DOCUMENTS), context)
