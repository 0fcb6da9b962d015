"""Numbers for node ids: any strings become rows of the table ``nodes``, sorted by id."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.errors import SourceError
from nightjar.kernels.counted_draws import hash_strings

_SETTLED_IDS = 1 << 20
"""Distinct ids of blocks to collect before they are put together; more if there are more nodes."""
_MOST_BYTES = (1 << 31) - (1 << 20)
"""An Arrow array of strings holds 2 GB."""


class NodeNumbers:
    """Numbers the nodes of edges that arrive in blocks.

    A block is encoded by itself; the ids of several blocks are put together once they are as many
    as all ids before. Memory: 8 bytes for each edge, each distinct id twice, and while ids are put
    together, as much again.
    """

    def __init__(self) -> None:
        self._ids = pa.array([], pa.string())
        self._pending: list[pa.Array] = []
        self._codes: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []

    def add(self, sources: list[pa.Array], targets: list[pa.Array]) -> None:
        """Number the ids of a block of edges; both lists have as many rows, without nulls."""
        n_rows = sum(len(part) for part in sources)
        if not n_rows:
            return
        encoded = pa.chunked_array([*sources, *targets], pa.string()).dictionary_encode()
        codes = _codes(encoded)
        self._codes.append((codes[:n_rows].copy(), codes[n_rows:].copy()))
        self._pending.append(_dictionary(encoded))
        if sum(len(ids) for ids in self._pending) > max(_SETTLED_IDS, len(self._ids)):
            self._settle()

    def _settle(self) -> None:
        """Put the ids of the pending blocks together with those before."""
        if not self._pending:
            return
        pieces = [self._ids, *self._pending]
        if sum(piece.nbytes for piece in pieces) > _MOST_BYTES:
            raise SourceError(
                "the ids of the nodes have more than 2 GB of characters together; give nodes "
                "shorter ids, for instance numbers"
            )
        encoded = pa.chunked_array(pieces, pa.string()).dictionary_encode()
        numbers = _codes(encoded)
        self._ids = _dictionary(encoded)
        first = len(pieces[0])
        n_settled = len(self._codes) - len(self._pending)
        for place, ids in enumerate(self._pending, n_settled):
            number_of = numbers[first : first + len(ids)]
            sources, targets = self._codes[place]
            self._codes[place] = number_of[sources], number_of[targets]
            first += len(ids)
        self._pending = []

    def sorted_ids(self) -> tuple[pa.StringArray, NDArray[np.int32]]:
        """The distinct ids by code point, and the row of each number in them."""
        self._settle()
        order = pc.array_sort_indices(self._ids).to_numpy()  # UTF-8 sorts by code point
        row_of = np.empty(len(order), np.int32)
        row_of[order] = np.arange(len(order), dtype=np.int32)
        return self._ids.take(pa.array(order)), row_of

    def take_blocks(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Sources and targets of each block as numbers; a block is forgotten once it was given."""
        self._codes.reverse()
        while self._codes:
            yield self._codes.pop()


def _dictionary(encoded: pa.ChunkedArray) -> pa.StringArray:
    return encoded.chunk(encoded.num_chunks - 1).dictionary  # the last one covers all chunks


def _codes(encoded: pa.ChunkedArray) -> NDArray[np.int32]:
    return np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])


def hashes_of(ids: pa.StringArray | pa.ChunkedArray) -> NDArray[np.uint64]:
    """A hash of each id that depends on the id alone, on every machine."""
    chunks = ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]
    hashes = np.empty(len(ids), np.uint64)
    first = 0
    for chunk in chunks:
        if not len(chunk):
            continue
        _, offsets, data = chunk.buffers()
        found = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        content = np.frombuffer(data if data is not None else b"", np.uint8)
        hash_strings(content, found, hashes[first : first + len(chunk)])
        first += len(chunk)
    return hashes
