"""What shapes tokens; light enough to be asked for when a night is planned."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from typing import Any

from nightjar.config import TokenizeConfig
from nightjar.stages.tokenize import phrases
from nightjar.stages.tokenize.definitions import (
    definition_inputs,
    open_tokenizer,
    tokenizer_libraries,
)
from nightjar.store import FileEntry, FileIdentity, Identity, schemas

REVISION = 4
"""Raise when the same config and documents give other tokens than before."""


def tokens_identity(
    config: TokenizeConfig, documents_version: str, base_dir: Path = Path(), corpus: str = ""
) -> Identity:
    """What shapes the tokens artifact; a relative ``subword_path`` starts at ``base_dir``.

    Raises ConfigError for a pattern that matches the empty string or a definition that is
    not there, and InputError when a library that the tokenizer needs is missing.
    """
    if config.tokenizer == "regex":
        open_tokenizer(config)
    return Identity(
        stage=schemas.TOKENS,
        name=corpus,
        config=config.shaping(),
        parents={schemas.DOCUMENTS: documents_version},
        inputs=definition_inputs(config, base_dir),
        code=_code(config) | ({} if config.phrases is None else {"phrases": phrases.REVISION}),
    )


def token_shard_identity(
    config: TokenizeConfig, part: FileEntry, definition: str | None
) -> Identity:
    """What shapes the tokens of a part of the documents: its content, wherever it is.

    Phrases are found in all parts together, after that.
    """
    inputs = [FileIdentity(schemas.DOCUMENTS, part.bytes, part.sha256)]
    if definition is not None:
        content = definition.encode()
        digest = hashlib.sha256(content).hexdigest()
        inputs.append(FileIdentity(schemas.TOKENIZER_FILE, len(content), digest))
    return Identity(
        stage=schemas.TOKEN_SHARDS,
        name="",
        config=config.shaping_words(),
        inputs=inputs,
        code=_code(config),
    )


def _code(config: TokenizeConfig) -> dict[str, Any]:
    return {
        "revision": REVISION,
        "unicode": unicodedata.unidata_version,
        **tokenizer_libraries(config),
    }
