"""A sparse matrix that multiplies dense ones in threads, with the same bytes for any number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.sparse_rows import multiply_rows

Floats = NDArray[np.float32]
_PARTS_OF_A_THREAD = 4
"""Parts of the rows for each thread: the last one to finish is then not long alone."""


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A square matrix in compressed rows: see :func:`nightjar.kernels.sparse_rows.multiply_rows`.

    Memory: 8 bytes a value and 8 a row.
    """

    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: Floats

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def rows(self) -> NDArray[np.int32]:
        """The row of each value."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.offsets))

    @property
    def row_sums(self) -> NDArray[np.float64]:
        """The sum of each row's values."""
        return np.bincount(self.rows, self.values, len(self)).astype(np.float64)

    def transposed(self) -> SparseMatrix:
        """Rows and columns exchanged; the values of a row stay in the order of their columns."""
        order = np.argsort(self.columns, kind="stable")
        counts = np.bincount(self.columns, minlength=len(self))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return SparseMatrix(offsets, self.rows[order], self.values[order])


@dataclass(frozen=True)
class Products:
    """Threads that multiply."""

    threads: ThreadPoolExecutor
    n_threads: int
    advance: Callable[[int], None]
    """Is called after each product."""

    @classmethod
    @contextmanager
    def of(cls, n_threads: int, advance: Callable[[int], None]) -> Iterator[Products]:
        """``n_threads`` of them, for the block."""
        # waits: for computing in threads of our own, one product
        with ThreadPoolExecutor(n_threads, thread_name_prefix="multiply") as threads:
            yield cls(threads, n_threads, advance)

    def multiply(self, matrix: SparseMatrix, dense: Floats) -> Floats:
        """``matrix`` times ``dense``, (n, size); each thread takes rows with as many values."""
        dense = np.ascontiguousarray(dense)
        out = np.empty_like(dense)
        n_parts = self.n_threads * _PARTS_OF_A_THREAD
        ends = np.linspace(0, len(matrix.values), n_parts + 1).astype(np.int64)
        bounds = np.searchsorted(matrix.offsets, ends)
        bounds[0], bounds[-1] = 0, len(matrix)

        def some(part: tuple[int, int]) -> None:
            multiply_rows(
                matrix.offsets, matrix.columns, matrix.values, dense, part[0], part[1], out
            )

        # waits: for computing in threads of our own, one product
        for _ in self.threads.map(some, pairwise(bounds.tolist())):
            pass
        self.advance(1)
        return out
