"""The tokenize stage: a documents artifact in, a tokens artifact out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar import schemas
from nightjar.config import TokenizeConfig
from nightjar.errors import VocabularyError
from nightjar.executors import INLINE, INLINE_BYTES, Advance, Executor
from nightjar.progress import Progress
from nightjar.store import Artifact, FileEntry, Staging, Store, part_name, write_part
from nightjar.text.definitions import write_definition
from nightjar.text.identity import token_shard_identity
from nightjar.text.vocabulary import Ranking, ranks_of

if TYPE_CHECKING:
    from nightjar.text.cutting import CutPart

logger = logging.getLogger(__name__)

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
    staging: Staging,
    progress: Progress,
    executor: Executor = INLINE,
    git_commit: str | None = None,
    base_dir: Path = Path(),
) -> None:
    """Write ``sentences`` and ``vocabulary`` of the tokens artifact, and ``tokenizer.json``.

    That file is the definition of a tokenizer that needs one (:mod:`.definitions`).

    Two passes: each part of the documents is cut into tokens with ids of its own, unless that
    is published from an earlier night; then, counts being known, those ids are replaced by
    ranks. In memory: what :func:`~nightjar.text.cutting.cut_part` holds, for each worker, and
    the distinct tokens of the corpus (before any ``min_count``).

    Raises VocabularyError when no token is left, and ConfigError for a pattern that matches
    the empty string.
    """
    logger.info("tokenizing %s with %s", documents.ref, config.tokenizer)
    from nightjar.text.cutting import CutPart  # noqa: PLC0415  # numba takes a while to import

    definition = write_definition(config, base_dir, documents, staging)
    definition_path = None if definition is None else staging.directory / schemas.TOKENIZER_FILE
    pieces = [
        CutPart(
            config,
            documents,
            part,
            token_shard_identity(config, part, definition),
            definition_path,
            staging.root,
            git_commit,
        )
        for part in documents.parts(schemas.DOCUMENTS)
    ]
    shards = _cut(pieces, staging, progress, executor)
    counts = dict.fromkeys(_COUNTED, 0)
    for shard in shards:
        for name in _COUNTED:
            counts[name] += shard.manifest.counts[name]
    staging.counts.update(counts)
    staging.report["dropped"] = _dropped(config)
    if counts["tokens"] == 0:
        raise _nothing_left(config, staging.counts)
    ranking = Ranking.of(shard.read("vocabulary") for shard in shards)
    staging.counts["vocabulary"] = len(ranking)
    staging.report["most_frequent"] = ranking.tokens[:_MOST_FREQUENT].to_pylist()
    staging.write("vocabulary", ranking.table)
    _rank(shards, staging, progress, executor)


def _cut(
    pieces: list[CutPart], staging: Staging, progress: Progress, executor: Executor
) -> list[Artifact]:
    """Have the parts cut that are not yet, and open all their token shards."""
    from nightjar.text.cutting import cut_part  # noqa: PLC0415

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


@dataclass(frozen=True)
class _RankShard:
    """A token shard whose ids are to be replaced by ranks."""

    shard: Artifact
    directory: Path
    name: str


def _rank(shards: list[Artifact], staging: Staging, progress: Progress, executor: Executor) -> None:
    """Write ``sentences``, a part for each shard that has any."""
    filled = [shard for shard in shards if shard.rows("sentences")]
    pieces = [
        _RankShard(shard, staging.directory, part_name("sentences", number))
        for number, shard in enumerate(filled)
    ]
    progress.start("rank tokens", staging.counts["tokens"], "tokens")
    n_bytes = sum(entry.bytes for shard in filled for entry in shard.parts("tokens"))
    chosen = executor if n_bytes >= INLINE_BYTES else INLINE
    try:
        staging.add_parts("sentences", list(chosen.map(_rank_shard, pieces, progress.advance)))
    finally:
        _ranked_tokens.cache_clear()


def _rank_shard(piece: _RankShard, advance: Advance) -> FileEntry:
    ranked = _ranked_tokens(piece.directory / "vocabulary.parquet")
    vocabulary = piece.shard.read("vocabulary", ["token"]).column("token")
    rank_of = ranks_of(vocabulary, ranked)

    def batches() -> Iterator[pa.RecordBatch]:
        with (
            piece.shard.row_groups("sentences") as sentences,
            piece.shard.row_groups("tokens") as tokens,
        ):
            for number in range(len(sentences)):
                yield _ranked(sentences.read(number), tokens.read(number), rank_of)
                advance(tokens.sizes()[number])

    root = piece.directory.parents[1]
    return write_part(root, piece.directory, piece.name, schemas.SENTENCES_SCHEMA, batches())


def _ranked(sentences: pa.Table, tokens: pa.Table, rank_of: NDArray[np.int32]) -> pa.RecordBatch:
    """Rows of the published table: sentences with the ranks of their tokens."""
    sentences = sentences.combine_chunks()
    ends = np.cumsum(sentences.column("n_tokens").to_numpy(), dtype=np.int64)
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    ranks = pa.array(rank_of[tokens.column("token_id").to_numpy()])
    kind = schemas.SENTENCES_SCHEMA.field("token_ids").type
    columns = [
        *(sentences.column(name).combine_chunks() for name in ("doc_id", "sentence")),
        pa.ListArray.from_arrays(offsets, ranks, type=kind),
    ]
    return pa.record_batch(columns, schema=schemas.SENTENCES_SCHEMA)


@lru_cache(maxsize=1)
def _ranked_tokens(path: Path) -> pa.ChunkedArray:
    """The tokens in the order of their ranks; read once by each worker."""
    return pq.read_table(path, columns=["token"]).column("token")


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
        f"no token is left of {counts['documents_read']} documents (tokenizer "
        f"{config.tokenizer}; dropped as too short: {counts['token_too_short']}, as too long: "
        f"{counts['token_too_long']}); check ingest.sources, tokenize.tokenizer and "
        f"tokenize.pattern, tokenize.min_token_chars ({config.min_token_chars}) and "
        f"tokenize.max_token_chars ({config.max_token_chars})"
    )
