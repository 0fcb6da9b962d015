"""What workers and stage exchange while they find phrases: Parquet tables in a scratch directory.

===========================  ==========================================================
``words.parquet``            the vocabulary before phrases, by id
``connectors-P.parquet``     after pass P, whether each id is a connector word
``phrases-P.parquet``        the phrases of pass P, by ids
``ranks-N.parquet``          the rank of each id of shard N
``words-N.parquet``          how often each id occurs in shard N
``candidates-N.parquet``     how often each candidate occurs in shard N
``recounted-N.parquet``      the counts of shard N with all phrases joined
``ranks.parquet``            the rank of each id in the vocabulary with phrases
===========================  ==========================================================

Ids are ranks of words in the vocabulary before phrases, then phrases in the order in which they
were found. A file is complete or absent, so a worker that was given up may still write its own.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.stages.tokenize.phrases.counts import PhraseCounts
from nightjar.stages.tokenize.phrases.passes import ShardCounts
from nightjar.stages.tokenize.phrases.phrase_table import PhraseIds, PhraseIndex, index_phrases

WORDS = "words.parquet"
FINAL_RANKS = "ranks.parquet"

_IDS = pa.list_(pa.int32())
_PHRASES = pa.schema([("token_ids", _IDS), ("phrase_id", pa.int32())])
_WORD_COUNTS = pa.schema([("token_id", pa.int32()), ("count", pa.int64())])
_CANDIDATES = pa.schema(
    [
        ("run", pa.int32()),
        ("between", _IDS),
        ("first", pa.int32()),
        ("last", pa.int32()),
        ("count", pa.int64()),
    ]
)
"""``between`` are the connector words between ``first`` and ``last``; ``run`` numbers its values.
"""
_RECOUNTED = pa.schema(
    [("token_id", pa.int32()), ("count", pa.int64()), ("n_documents", pa.int64())]
)
_CONNECTORS = pa.schema([("is_connector", pa.bool_())])
_RANKS = pa.schema([("rank", pa.int32())])


class PhraseState(NamedTuple):
    """What the passes so far have found."""

    indexes: list[PhraseIndex]
    is_connector: NDArray[np.bool_]


def save_state(scratch: Path, indexes: list[PhraseIndex], is_connector: NDArray[np.bool_]) -> None:
    """Save what the last of the passes behind ``indexes`` has found."""
    columns = [pa.array(is_connector)]
    _save(scratch / f"connectors-{len(indexes)}.parquet", columns, _CONNECTORS)
    if indexes:
        found = indexes[-1].phrases
        columns = [pa.array(found.token_ids, _IDS), pa.array(found.phrase_ids, pa.int32())]
        _save(scratch / f"phrases-{len(indexes)}.parquet", columns, _PHRASES)


@lru_cache(maxsize=1)
def load_state(scratch: Path, n_passes: int) -> PhraseState:
    """What the first ``n_passes`` passes have found; a worker reads it once."""
    indexes = []
    for number in range(1, n_passes + 1):
        is_connector = _connectors(scratch, number)
        table = _load(scratch / f"phrases-{number}.parquet")
        phrases = PhraseIds(
            table.column("token_ids").to_pylist(), table.column("phrase_id").to_pylist()
        )
        indexes.append(index_phrases(phrases, is_connector))
    return PhraseState(indexes, _connectors(scratch, n_passes))


def _connectors(scratch: Path, n_passes: int) -> NDArray[np.bool_]:
    table = _load(scratch / f"connectors-{n_passes}.parquet")
    found: NDArray[np.bool_] = table.column("is_connector").to_numpy()
    return found


def save_counts(scratch: Path, number: int, counts: ShardCounts) -> int:
    """Save what shard ``number`` adds to a pass; returns ``number``."""
    ids = np.flatnonzero(counts.words)
    words = [pa.array(ids.astype(np.int32)), pa.array(counts.words[ids])]
    _save(scratch / f"words-{number}.parquet", words, _WORD_COUNTS)
    found = counts.phrases
    run_of = pa.array(np.repeat(np.arange(len(found.runs), dtype=np.int32), np.diff(found.starts)))
    candidates = [
        run_of,
        pa.array(found.runs, _IDS).take(run_of),
        pa.array((found.pairs >> np.uint64(32)).astype(np.int32)),
        pa.array((found.pairs & np.uint64(0xFFFFFFFF)).astype(np.int32)),
        pa.array(found.counts),
    ]
    _save(scratch / f"candidates-{number}.parquet", candidates, _CANDIDATES)
    return number


def take_counts(scratch: Path, number: int, n_words: int) -> ShardCounts:
    """What :func:`save_counts` saved, whose files are removed; ``n_words``: ids there are."""
    paths = [scratch / f"{name}-{number}.parquet" for name in ("words", "candidates")]
    known, candidates = map(_load, paths)
    words = np.zeros(n_words, np.int64)
    words[known.column("token_id").to_numpy()] = known.column("count").to_numpy()
    run_of, first, last = (candidates.column(name).to_numpy() for name in ("run", "first", "last"))
    n_runs = int(run_of[-1]) + 1 if len(run_of) else 0
    starts = np.searchsorted(run_of, np.arange(n_runs + 1)).astype(np.int64)
    runs = candidates.column("between").take(pa.array(starts[:-1])).to_pylist()
    pairs = (first.astype(np.uint64) << np.uint64(32)) | last.astype(np.uint64)
    counts = candidates.column("count").to_numpy()
    for path in paths:
        path.unlink()
    return ShardCounts(words, PhraseCounts(tuple(map(tuple, runs)), starts, pairs, counts))


def save_recounted(scratch: Path, number: int, counts: NDArray[np.int64]) -> int:
    """Save how often ids occur, and in how many documents: the rows of ``counts``."""
    ids = np.flatnonzero(counts[0])
    columns = [pa.array(ids.astype(np.int32)), *(pa.array(row[ids]) for row in counts)]
    _save(scratch / f"recounted-{number}.parquet", columns, _RECOUNTED)
    return number


def add_recounted(scratch: Path, number: int, counts: NDArray[np.int64]) -> None:
    """Add what :func:`save_recounted` saved to ``counts``, shape (2, number of ids)."""
    table = _load(scratch / f"recounted-{number}.parquet")
    ids = table.column("token_id").to_numpy()
    for row, name in zip(counts, ("count", "n_documents"), strict=True):
        row[ids] += table.column(name).to_numpy()


def save_ranks(path: Path, ranks: NDArray[np.int32]) -> None:
    """Save a rank for each id, -1 where it has none."""
    _save(path, [pa.array(ranks)], _RANKS)


def load_ranks(path: Path) -> NDArray[np.int32]:
    """What :func:`save_ranks` saved."""
    ranks: NDArray[np.int32] = _load(path).column("rank").to_numpy()
    return ranks


def _save(path: Path, columns: list[pa.Array], schema: pa.Schema) -> None:
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    table = pa.table(columns, schema=schema)
    pq.write_table(table, temporary, compression="none", use_dictionary=["run"])
    temporary.replace(path)


def _load(path: Path) -> pa.Table:
    return pq.read_table(path, use_threads=False, memory_map=False).combine_chunks()
