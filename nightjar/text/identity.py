"""What shapes tokens; light enough to be asked for when a night is planned."""

from __future__ import annotations

import unicodedata
from typing import Any

from nightjar import schemas
from nightjar.config import TokenizeConfig
from nightjar.errors import ConfigError
from nightjar.store import FileEntry, FileIdentity, Identity
from nightjar.tokenization import PatternError, Tokenizer, make_tokenizer

REVISION = 2
"""Raise when the same config and documents give other tokens than before."""


def tokens_identity(config: TokenizeConfig, documents_version: str) -> Identity:
    """What shapes the tokens artifact.

    Raises ConfigError for a pattern that matches the empty string.
    """
    if config.tokenizer == "regex":
        tokenizer_of(config)
    return Identity(
        stage=schemas.TOKENS,
        name="",
        config=config.model_dump(mode="json"),
        parents={schemas.DOCUMENTS: documents_version},
        code=_code(),
    )


def token_shard_identity(config: TokenizeConfig, part: FileEntry) -> Identity:
    """What shapes the tokens of a part of the documents: its content, wherever it is."""
    return Identity(
        stage=schemas.TOKEN_SHARDS,
        name="",
        config=config.model_dump(mode="json"),
        inputs=[FileIdentity(schemas.DOCUMENTS, part.bytes, part.sha256)],
        code=_code(),
    )


def _code() -> dict[str, Any]:
    return {"revision": REVISION, "unicode": unicodedata.unidata_version}


def tokenizer_of(config: TokenizeConfig) -> Tokenizer:
    """The tokenizer of the config. Raises ConfigError for a pattern that matches nothing."""
    try:
        return make_tokenizer(config)
    except PatternError as error:
        raise ConfigError(str(error)) from error
