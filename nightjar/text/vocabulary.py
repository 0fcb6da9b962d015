"""The vocabulary while it grows in a shard, and the ranks that all shards end with."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.schemas import SHARD_VOCABULARY_SCHEMA, VOCABULARY_SCHEMA

MERGED_ROWS = 1 << 22
"""Rows of shards' vocabularies that are held before they are added up."""


class _Ids(dict[str, int]):
    """Gives every new token the next id and notes its length, with no code per known token."""

    def __init__(self) -> None:
        super().__init__()
        self.n_chars = array("q")

    def __missing__(self, token: str) -> int:
        number = self[token] = len(self)
        self.n_chars.append(len(token))
        return number


class GrowingVocabulary:
    """Ids in the order of first sight, and counts.

    Tokens of fewer than ``min_chars`` or more than ``max_chars`` characters get an id, too,
    so that the decision is taken once a token and not once an occurrence; they are not kept.
    In memory: every distinct token and 28 bytes of numbers each.
    """

    def __init__(self, min_chars: int, max_chars: int) -> None:
        self._min_chars = min_chars
        self._max_chars = max_chars
        self._ids = _Ids()
        self._counts = np.zeros(0, np.int64)
        self._n_documents = np.zeros(0, np.int64)

    @property
    def id_of(self) -> Callable[[str], int]:
        """The id of a token, a new one if need be."""
        return self._ids.__getitem__

    def is_too_short(self) -> NDArray[np.bool_]:
        """For each id, whether its token is dropped as too short."""
        return np.array(self._ids.n_chars, np.int64) < self._min_chars

    def is_too_long(self) -> NDArray[np.bool_]:
        """For each id, whether its token is dropped as too long."""
        return np.array(self._ids.n_chars, np.int64) > self._max_chars

    def count(self, ids: NDArray[np.int32], documents: NDArray[np.int64]) -> None:
        """Count the kept tokens ``ids``, of which ``documents`` says the document's number.

        A document must not be spread over two calls.
        """
        size = len(self._ids)
        self._counts = _grown(self._counts, size) + np.bincount(ids, minlength=size)
        pairs = documents * size + ids
        pairs.sort()
        is_first = np.ones(len(pairs), np.bool_)
        is_first[1:] = pairs[1:] != pairs[:-1]
        found = np.bincount(pairs[is_first] % size if size else pairs, minlength=size)
        self._n_documents = _grown(self._n_documents, size) + found

    def table(self) -> pa.Table:
        """Token, count and documents of each id; a token that is not kept is null."""
        is_kept = self._counts > 0
        tokens = pa.array(list(self._ids), pa.string(), mask=~is_kept)
        columns = [tokens, pa.array(self._counts), pa.array(self._n_documents)]
        return pa.table(columns, schema=SHARD_VOCABULARY_SCHEMA)


def _grown(values: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.pad(values, (0, size - len(values)))


@dataclass(frozen=True, eq=False)
class Ranking:
    """The tokens of all shards, by count descending, then by code points."""

    table: pa.Table
    """As VOCABULARY_SCHEMA says."""

    @classmethod
    def of(cls, shards: Iterable[pa.Table]) -> Ranking:
        """Add up the vocabularies of shards (SHARD_VOCABULARY_SCHEMA).

        In memory: the distinct tokens of all, and MERGED_ROWS rows.
        """
        waiting: list[pa.Table] = []
        n_rows = 0
        for shard in shards:
            waiting.append(shard.filter(pc.is_valid(shard.column("token"))))
            n_rows += len(waiting[-1])
            if n_rows > MERGED_ROWS and len(waiting) > 1:
                waiting = [_added_up(waiting)]
                n_rows = 0
        if not waiting:
            return cls(VOCABULARY_SCHEMA.empty_table())
        # UTF-8 sorts as code points do.
        merged = _added_up(waiting).sort_by([("count", "descending"), ("token", "ascending")])
        ids = pa.array(np.arange(len(merged), dtype=np.int32))
        columns = [ids, *(merged.column(name) for name in ("token", "count", "n_documents"))]
        return cls(pa.table(columns, schema=VOCABULARY_SCHEMA).combine_chunks())

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self.table)

    @property
    def tokens(self) -> pa.ChunkedArray:
        """In the order of their ranks."""
        return self.table.column("token")


def ranks_of(tokens: pa.ChunkedArray, ranked: pa.ChunkedArray) -> NDArray[np.int32]:
    """The rank of each of ``tokens`` among ``ranked``; -1 for null and for a missing one."""
    found = pc.index_in(tokens, ranked, skip_nulls=True)
    ranks: NDArray[np.int32] = found.fill_null(-1).to_numpy()
    return ranks


def _added_up(tables: list[pa.Table]) -> pa.Table:
    merged = pa.concat_tables(tables).group_by("token", use_threads=False)
    added = merged.aggregate([("count", "sum"), ("n_documents", "sum")])
    columns = [added.column(name) for name in ("token", "count_sum", "n_documents_sum")]
    return pa.table(columns, schema=SHARD_VOCABULARY_SCHEMA)
