"""The vocabulary of all shards, and the mapping from a shard's ids to ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.core.executors import Advance
from nightjar.store import Artifact, FileEntry, schemas, write_part
from nightjar.store.schemas import SHARD_VOCABULARY_SCHEMA, VOCABULARY_SCHEMA

MERGED_ROWS = 1 << 19
"""Rows of shard vocabularies to collect before adding them up; more if there are more tokens."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """The tokens of all shards, by count descending, then by code points."""

    table: pa.Table
    """With VOCABULARY_SCHEMA."""

    @classmethod
    def of(cls, shards: Iterable[pa.Table]) -> Ranking:
        """Add up the vocabularies of shards (SHARD_VOCABULARY_SCHEMA).

        Memory: all distinct tokens twice, or once and MERGED_ROWS rows.
        """
        waiting: list[pa.Table] = []
        n_rows = n_added_up = 0
        for shard in shards:
            waiting.append(shard)
            n_rows += len(shard)
            if n_rows > max(MERGED_ROWS, n_added_up) and len(waiting) > 1:
                waiting = [_added_up(waiting)]
                n_rows, n_added_up = 0, len(waiting[0])
        if not waiting:
            return cls(VOCABULARY_SCHEMA.empty_table())
        # UTF-8 sorts by code point.
        merged = _added_up(waiting).sort_by([("count", "descending"), ("token", "ascending")])
        numbers = pa.py_buffer(np.arange(len(merged), dtype=np.int32))
        ids = pa.Array.from_buffers(pa.int32(), len(merged), [None, numbers])
        columns = [ids, *(merged.column(name) for name in ("token", "count", "n_documents"))]
        return cls(pa.table(columns, schema=VOCABULARY_SCHEMA).combine_chunks())

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.table)

    @property
    def tokens(self) -> pa.ChunkedArray:
        """The tokens in the order of their ranks."""
        return self.table.column("token")


def ranks_of(tokens: pa.ChunkedArray, ranked: Iterable[pa.Array]) -> NDArray[np.int32]:
    """The rank among ``ranked`` of each of ``tokens``, which are distinct; -1 if it has none.

    ``ranked`` is read in pieces and searched in an index of ``tokens``: a shard has few tokens
    compared with the corpus, so memory does not grow with the vocabulary.
    """
    ranks = np.full(len(tokens), -1, np.int32)
    first = 0
    for piece in ranked:
        found = pc.index_in(piece, tokens).fill_null(-1).to_numpy(zero_copy_only=False)
        places = np.flatnonzero(found >= 0)
        ranks[found[places]] = first + places
        first += len(piece)
    return ranks


def _added_up(tables: list[pa.Table]) -> pa.Table:
    merged = pa.concat_tables(tables)
    encoded = merged.column("token").dictionary_encode()
    if not encoded.num_chunks:
        return merged
    tokens = encoded.chunk(encoded.num_chunks - 1).dictionary  # the last one covers all chunks
    codes = np.concatenate([np.from_dlpack(chunk.indices) for chunk in encoded.chunks])
    columns = [tokens]
    for name in ("count", "n_documents"):
        sums = np.zeros(len(tokens), np.int64)
        counts = np.concatenate([np.from_dlpack(chunk) for chunk in merged.column(name).chunks])
        np.add.at(sums, codes, counts)
        columns.append(pa.Array.from_buffers(pa.int64(), len(sums), [None, pa.py_buffer(sums)]))
    return pa.table(columns, schema=SHARD_VOCABULARY_SCHEMA)


_ROWS = 1 << 18
"""Rows of the vocabulary held at once."""


@dataclass(frozen=True)
class RankShard:
    """A token shard whose ids are to be replaced with ranks."""

    shard: Artifact
    directory: Path
    """The staging directory, which already has the vocabulary."""
    name: str
    """Name of the part of ``sentences``."""

    @property
    def root(self) -> Path:
        """The artifact directory of all stages."""
        return self.directory.parents[1]


@dataclass(frozen=True, eq=False)
class RankedRows:
    """Sentences of complete documents: sentence i has ``ids[offsets[i]:offsets[i + 1]]``."""

    sentences: pa.Table
    """With SHARD_SENTENCES_SCHEMA."""
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def batch(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> pa.RecordBatch:
        """Rows of the published table for these sentences, with the given tokens."""
        kind = schemas.SENTENCES_SCHEMA.field("token_ids").type
        columns = [
            *(self.sentences.column(name).combine_chunks() for name in ("doc_id", "sentence")),
            pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(ids), type=kind),
        ]
        return pa.record_batch(columns, schema=schemas.SENTENCES_SCHEMA)


def rank_shard(piece: RankShard, advance: Advance) -> FileEntry:
    """Write the shard's part of ``sentences``, with ranks in the vocabulary."""
    rank_of = local_ranks(piece.shard, piece.directory / "vocabulary.parquet")

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in ranked_rows(piece.shard, rank_of):
            yield rows.batch(rows.ids, rows.offsets)
            advance(len(rows.ids))

    schema = schemas.SENTENCES_SCHEMA
    return write_part(piece.root, piece.directory, piece.name, schema, batches())


def local_ranks(shard: Artifact, vocabulary: Path) -> NDArray[np.int32]:
    """The rank of each id of the shard in the Parquet table ``vocabulary``, ordered by rank."""
    tokens = shard.read("vocabulary", ["token"]).column("token")
    with pq.ParquetFile(vocabulary) as table:
        batches = table.iter_batches(_ROWS, columns=["token"], use_threads=False)
        return ranks_of(tokens, (batch.column("token") for batch in batches))


def ranked_rows(shard: Artifact, rank_of: NDArray[np.int32]) -> Iterator[RankedRows]:
    """The shard's row groups with ranks: about a million tokens of complete documents each."""
    with shard.row_groups("sentences") as sentences, shard.row_groups("tokens") as tokens:
        for number in range(len(sentences)):
            rows = sentences.read(number).combine_chunks()
            ends = np.cumsum(rows.column("n_tokens").to_numpy(), dtype=np.int64)
            ids = rank_of[tokens.read(number).column("token_id").to_numpy()]
            yield RankedRows(rows, ids, np.concatenate([np.zeros(1, np.int64), ends]))
