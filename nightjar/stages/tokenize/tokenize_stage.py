"""Tokenize: from documents to sentences of token ids, and the vocabulary."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nightjar.config import NightjarConfig, TokenizeConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.executors import INLINE, INLINE_BYTES, Executor
from nightjar.core.stage import StageContext
from nightjar.errors import VocabularyError
from nightjar.progress import Progress
from nightjar.stages.tokenize import phrases
from nightjar.stages.tokenize.cutting import (
    CutPart,
    cut_part,
    definition_inputs,
    open_tokenizer,
    tokenizer_libraries,
    write_definition,
)
from nightjar.stages.tokenize.erasing_tokens import erase_from_token_shard, erase_from_tokens
from nightjar.stages.tokenize.ranking import Ranking, RankShard, rank_shard
from nightjar.store import (
    Artifact,
    FileEntry,
    FileIdentity,
    Identity,
    Staging,
    Store,
    part_name,
    schemas,
)
from nightjar.wording import counted

logger = logging.getLogger(__name__)


REVISION = 5
"""Raise it when the same config and documents give different tokens than before."""


def tokens_identity(
    config: TokenizeConfig, documents_version: str, base_dir: Path = Path(), corpus: str = ""
) -> Identity:
    """The identity of the tokens artifact; a relative ``subword_path`` starts at ``base_dir``.

    Raises ConfigError for a pattern that matches the empty string or a missing definition file, and
    InputError when a library that the tokenizer needs is missing.
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
    """The identity of the tokens of one part of the documents, which depends on its content.

    Phrases are found later, in all parts together.
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


_MOST_FREQUENT = 20
_COUNTED = (
    "documents_read",
    "documents_without_tokens",
    "sentences",
    "tokens",
    "token_too_short",
    "token_too_long",
)


def tokenize(
    config: TokenizeConfig,
    documents: Artifact,
    context: StageContext,
) -> None:
    """Write ``sentences`` and ``vocabulary`` of the tokens artifact, and ``tokenizer.json``.

    ``tokenizer.json`` is only written for tokenizers with a definition (:mod:`.cutting`), the table
    ``phrases`` only if phrases are joined.

    There are two passes. The first cuts each part of the documents into tokens with ids of its own,
    unless an earlier night has published that. The second, with counts known, finds and joins
    phrases (:mod:`.phrases.shards`) and replaces ids with ranks. Memory: that of
    :func:`.cutting.cut_part`, for each worker, and the distinct tokens of the corpus (before any
    ``min_count``).

    Raises VocabularyError when no token is left, and ConfigError for a pattern that matches the
    empty string.
    """
    staging, progress, executor = context.staging, context.progress, context.executor
    logger.info("tokenizing %s with %s", documents.ref, config.tokenizer)
    definition = write_definition(config, context.base_dir, documents, staging)
    definition_path = None if definition is None else staging.directory / schemas.TOKENIZER_FILE
    pieces = [
        CutPart(
            config,
            documents,
            part,
            token_shard_identity(config, part, definition),
            definition_path,
            staging.root,
            context.git_commit,
        )
        for part in documents.parts(schemas.DOCUMENTS)
    ]
    shards = _cut(pieces, staging, progress, executor)
    staging.report["pieces"] = {
        schemas.TOKEN_SHARDS: sorted({shard.ref.version for shard in shards})
    }
    counts = dict.fromkeys(_COUNTED, 0)
    for shard in shards:
        for name in _COUNTED:
            counts[name] += shard.manifest.counts[name]
    staging.counts.update(counts)
    staging.report["dropped"] = _dropped(config)
    if counts["tokens"] == 0:
        raise _nothing_left(config, staging.counts)
    ranking = Ranking.of(shard.read("vocabulary") for shard in shards)
    filled = [shard for shard in shards if shard.rows("sentences")]
    n_bytes = sum(entry.bytes for shard in filled for entry in shard.parts("tokens"))
    chosen = executor if n_bytes >= INLINE_BYTES else INLINE
    if config.phrases is None:
        _rank(filled, ranking, staging, progress, chosen)
    else:
        from nightjar.stages.tokenize.phrases.shards import PhraseStage  # noqa: PLC0415

        stage = PhraseStage(config.phrases, filled, staging, progress, chosen)
        ranking = stage.run(ranking.table)
    staging.counts["vocabulary"] = len(ranking)
    staging.report["most_frequent"] = ranking.tokens[:_MOST_FREQUENT].to_pylist()


def _cut(
    pieces: list[CutPart], staging: Staging, progress: Progress, executor: Executor
) -> list[Artifact]:
    """Cut the parts that were not cut before, and open the token shards of all."""
    store = Store(staging.root)
    due = [
        piece
        for piece in pieces
        if not store.is_published(schemas.TOKEN_SHARDS, piece.identity.version)
    ]
    progress.start("tokenize", sum(piece.part.rows for piece in due), "documents")
    if len(due) < len(pieces):
        logger.info("%d of %d parts are new", len(due), len(pieces))
    chosen = executor if sum(piece.part.bytes for piece in due) >= INLINE_BYTES else INLINE
    for _version in chosen.map(cut_part, due, progress.advance):
        pass
    return [store.open(store.ref(schemas.TOKEN_SHARDS, piece.identity.version)) for piece in pieces]


def _rank(
    shards: list[Artifact], ranking: Ranking, staging: Staging, progress: Progress, chosen: Executor
) -> None:
    """Write ``vocabulary``, and ``sentences`` with a part for each shard."""
    staging.write("vocabulary", ranking.table)
    pieces = [
        RankShard(shard, staging.directory, part_name("sentences", number))
        for number, shard in enumerate(shards)
    ]
    progress.start("rank tokens", staging.counts["tokens"], "tokens")
    staging.add_parts("sentences", list(chosen.map(rank_shard, pieces, progress.advance)))


def _dropped(config: TokenizeConfig) -> dict[str, str]:
    return {
        "token_too_short": f"fewer characters than tokenize.min_token_chars "
        f"({config.min_token_chars})",
        "token_too_long": f"more characters than tokenize.max_token_chars "
        f"({config.max_token_chars})",
        "documents_without_tokens": "documents in which the tokenizer found no token, or of "
        "which every token was dropped",
    }


def _nothing_left(config: TokenizeConfig, counts: Counter[str]) -> VocabularyError:
    return VocabularyError(
        f"no token is left of {counted(counts['documents_read'], 'document')} (tokenizer "
        f"{config.tokenizer}; dropped as too short: {counts['token_too_short']}, as too long: "
        f"{counts['token_too_long']}); check sources, tokenize.tokenizer and "
        f"tokenize.pattern, tokenize.min_token_chars ({config.min_token_chars}) and "
        f"tokenize.max_token_chars ({config.max_token_chars})"
    )


class Tokenize(Stage):
    """The stage that makes the tokens of a text corpus."""

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
        """The documents of the corpus."""
        return (Parent(schemas.DOCUMENTS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """The documents, and the settings of tokenizer and phrases."""
        config = self.config.text_corpus(self.subject).tokenize
        documents = planning.parents[schemas.DOCUMENTS]
        return tokens_identity(config, documents, self.loaded.base_dir, self.subject)

    def write(self, context: StageContext) -> None:
        """See :func:`.tokenize`."""
        config = self.config.text_corpus(self.subject).tokenize
        tokenize(config, context.parent(schemas.DOCUMENTS), context)
