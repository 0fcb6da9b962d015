"""Words by prefix: a sorted order of the vocabulary, searched by bisection.

The order is one int32 per word, memory-mapped. A query reads some twenty tokens and the rows
that share the prefix; once the order exists, the vocabulary is never held in memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.explorer.derived import read_arrays, write_arrays
from nightjar.model.lookup import VectorTable

KIND = "prefix1"
_BLOCK = 65_536


class PrefixIndex:
    """Words by prefix, most frequent first."""

    def __init__(self, table: VectorTable, order: NDArray[np.int32]) -> None:
        self._table = table
        self._order = order

    @classmethod
    def open(cls, directory: Path, table: VectorTable) -> PrefixIndex:
        """Open the order of a table, written on first use with all tokens in memory."""
        shapes = {"order": (len(table),)}
        found = read_arrays(directory, shapes)
        if found is None:
            write_arrays(directory, {"order": _sorted_rows(table)})
            found = read_arrays(directory, shapes)
        order = found["order"] if found else _sorted_rows(table)
        return cls(table, order)

    def rows(self, prefix: str, topn: int) -> list[int]:
        """The most frequent words that start with ``prefix`` in one of its spellings.

        Spellings are as written, lower case, and capitalized; the empty prefix matches every
        word.
        """
        if not prefix:
            return list(range(min(topn, len(self._table))))
        best: set[int] = set()
        for spelling in dict.fromkeys((prefix, prefix.lower(), prefix.capitalize())):
            best.update(self._smallest(spelling.encode("utf-8", "surrogatepass"), topn))
        return sorted(best)[:topn]

    def _smallest(self, prefix: bytes, topn: int) -> list[int]:
        first = self._bisect(prefix, is_after=False)
        last = self._bisect(prefix, is_after=True)
        rows = self._order[first:last]
        if len(rows) > topn:
            rows = np.partition(rows, topn - 1)[:topn]
        return [int(row) for row in rows]

    def _bisect(self, prefix: bytes, *, is_after: bool) -> int:
        """The first place not before the prefix, or with ``is_after`` the first after its words."""
        low, high = 0, len(self._order)
        while low < high:
            middle = (low + high) // 2
            token = self._table.tokens_of(self._order[middle : middle + 1].astype(np.int64))[0]
            start = token.encode("utf-8")[: len(prefix)]
            if start < prefix or (is_after and start == prefix):
                low = middle + 1
            else:
                high = middle
        return low


def _sorted_rows(table: VectorTable) -> NDArray[np.int32]:
    """Rows sorted by their tokens' bytes."""
    blocks = [
        pa.array(table.tokens_of(np.arange(first, min(first + _BLOCK, len(table)))), pa.string())
        for first in range(0, len(table), _BLOCK)
    ]
    tokens = pa.chunked_array(blocks, pa.string()).cast(pa.large_binary())
    order: NDArray[np.int32] = pc.sort_indices(tokens).to_numpy().astype(np.int32)
    return order
