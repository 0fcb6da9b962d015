"""From the ids of a token shard to the ranks of its tokens in the whole vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.core.executors import Advance
from nightjar.stages.tokenize.vocabulary_counts import ranks_of
from nightjar.store import Artifact, FileEntry, schemas, write_part

_ROWS = 1 << 18
"""Of the vocabulary, held at once."""


@dataclass(frozen=True)
class RankShard:
    """A token shard whose ids are to be replaced by ranks."""

    shard: Artifact
    directory: Path
    """The staging directory, which has the vocabulary already."""
    name: str
    """Of the part of ``sentences``."""

    @property
    def root(self) -> Path:
        """The artifact directory of all stages."""
        return self.directory.parents[1]


@dataclass(frozen=True, eq=False)
class RankedRows:
    """Some sentences of whole documents: sentence i has ``ids[offsets[i]:offsets[i + 1]]``."""

    sentences: pa.Table
    """As SHARD_SENTENCES_SCHEMA says."""
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def batch(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> pa.RecordBatch:
        """Rows of the published table: these sentences with other tokens."""
        kind = schemas.SENTENCES_SCHEMA.field("token_ids").type
        columns = [
            *(self.sentences.column(name).combine_chunks() for name in ("doc_id", "sentence")),
            pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(ids), type=kind),
        ]
        return pa.record_batch(columns, schema=schemas.SENTENCES_SCHEMA)


def rank_shard(piece: RankShard, advance: Advance) -> FileEntry:
    """Write the part of ``sentences`` that holds the shard's, by ranks in the vocabulary."""
    rank_of = local_ranks(piece.shard, piece.directory / "vocabulary.parquet")

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in ranked_rows(piece.shard, rank_of):
            yield rows.batch(rows.ids, rows.offsets)
            advance(len(rows.ids))

    schema = schemas.SENTENCES_SCHEMA
    return write_part(piece.root, piece.directory, piece.name, schema, batches())


def local_ranks(shard: Artifact, vocabulary: Path) -> NDArray[np.int32]:
    """The rank of each id of the shard in the Parquet table ``vocabulary``, by its order."""
    tokens = shard.read("vocabulary", ["token"]).column("token")
    with pq.ParquetFile(vocabulary) as table:
        batches = table.iter_batches(_ROWS, columns=["token"], use_threads=False)
        return ranks_of(tokens, (batch.column("token") for batch in batches))


def ranked_rows(shard: Artifact, rank_of: NDArray[np.int32]) -> Iterator[RankedRows]:
    """The shard's row groups, about a million tokens of whole documents each, by ranks."""
    with shard.row_groups("sentences") as sentences, shard.row_groups("tokens") as tokens:
        for number in range(len(sentences)):
            rows = sentences.read(number).combine_chunks()
            ends = np.cumsum(rows.column("n_tokens").to_numpy(), dtype=np.int64)
            ids = rank_of[tokens.read(number).column("token_id").to_numpy()]
            yield RankedRows(rows, ids, np.concatenate([np.zeros(1, np.int64), ends]))
