"""Sorted runs of cells: the partial counts, in memory or on disk, and their merge.

A run is ascending, distinct cells and their sums. Runs are merged by cutting the same range of
cells out of all of them; such a piece is sorted and summed by itself, so several threads may do it,
and nothing larger than a piece is needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.kernels.cooccurrence_counts import sort_cells, sum_cells

CELL_BYTES = 16
"""A cell and its sum in memory."""
PIECE_CELLS = 1 << 17
"""Cells of a piece before equal ones are summed: 2 MiB, and as much again to sort it."""
SPILLED_ROWS = 1 << 14
"""Cells of a spilled run that are read at a time: 256 KiB."""
MAX_SPILLED_OF_A_SIZE = 16
"""This many spilled runs of similar size are merged into one."""
_SCHEMA = pa.schema(
    [pa.field("cell", pa.int64(), nullable=False), pa.field("sum", pa.int64(), nullable=False)]
)


@dataclass(frozen=True, eq=False)
class Run:
    """Ascending ``cells`` and their ``sums``, both int64."""

    cells: NDArray[np.int64]
    sums: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cells)


class Source(Protocol):
    """A run in consecutive, non-empty parts."""

    def parts(self) -> Iterator[Run]:
        """The parts in order."""


@dataclass(frozen=True, eq=False)
class HeldRun:
    """A run in memory: one part."""

    run: Run

    def parts(self) -> Iterator[Run]:
        """The run itself."""
        if len(self.run):
            yield self.run


@dataclass(frozen=True)
class SpilledRun:
    """A run in a Parquet file. SPILLED_ROWS of it are in memory while it is read."""

    path: Path
    level: int
    """How many merges on disk led to it."""

    def parts(self) -> Iterator[Run]:
        """The row groups."""
        with pq.ParquetFile(self.path, page_checksum_verification=True) as parquet:
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group, use_threads=False)
                yield Run(table.column("cell").to_numpy(), table.column("sum").to_numpy())

    def write(self, pieces: Iterable[Run]) -> None:
        """Write ``pieces`` of one run in order."""
        with pq.ParquetWriter(
            self.path, _SCHEMA, compression="lz4", use_dictionary=False, write_page_checksum=True
        ) as writer:
            for piece in pieces:
                table = pa.table([piece.cells, piece.sums], schema=_SCHEMA)
                writer.write_table(table, row_group_size=SPILLED_ROWS)


class SpilledRuns:
    """Numbered runs on disk below ``directory``; few enough of each size to merge at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs: list[SpilledRun] = []
        self.n_written = 0
        """Files written, including those that were merged since."""

    @property
    def sources(self) -> Sequence[Source]:
        """All current runs."""
        return self._runs

    def add(self, sources: Sequence[Source], level: int = 0) -> None:
        """Write the merged ``sources`` to disk as one run."""
        self._directory.mkdir(exist_ok=True)
        run = SpilledRun(self._directory / f"{self.n_written}.parquet", level)
        self.n_written += 1
        run.write(map(summed, pieces(sources)))
        self._runs.append(run)
        similar = [other for other in self._runs if other.level == level]
        if len(similar) == MAX_SPILLED_OF_A_SIZE:
            self.add(similar, level + 1)
            for merged in similar:
                self._runs.remove(merged)
                merged.path.unlink()


def merged(sources: Sequence[Source], threads: Executor, n_ahead: int) -> Iterator[Run]:
    """The merged ``sources`` as consecutive runs, summed by ``threads``.

    Memory: a part of each source and ``n_ahead`` pieces.
    """
    waiting: deque[Future[Run]] = deque()
    for piece in pieces(sources):
        waiting.append(threads.submit(summed, piece))
        if len(waiting) > n_ahead:
            # waits: for adding up one piece in a thread of our own
            yield waiting.popleft().result()
    while waiting:
        # waits: for adding up one piece in a thread of our own
        yield waiting.popleft().result()


def pieces(sources: Sequence[Source]) -> Iterator[list[Run]]:
    """Cut ``sources`` into consecutive pieces of at most PIECE_CELLS cells.

    A piece has everything up to some cell, which is included in full. Memory: a part of each
    source.
    """
    cursors = [_Cursor(source.parts()) for source in sources]
    while cursors := [cursor for cursor in cursors if cursor.fill()]:
        ends = _piece_ends([cursor.rest.cells for cursor in cursors])
        yield [cursor.take(end) for cursor, end in zip(cursors, ends, strict=True) if end]


def _piece_ends(rests: Sequence[NDArray[np.int64]]) -> list[int]:
    """How many of the next cells of each source go into a piece.

    The piece ends at the smallest of the cells that are the same distance ahead in each source, so
    that nothing after a source's current part can belong to it. The distance is doubled while that
    gives few cells, because sources differ in the range of their cells.
    """
    distance = max(1, PIECE_CELLS // len(rests))
    ends: list[int] = []
    while True:
        bound = min(cells[min(distance, len(cells)) - 1] for cells in rests)
        further = [int(np.searchsorted(cells, bound, side="right")) for cells in rests]
        if ends and (sum(further) > PIECE_CELLS or further == ends):
            return ends
        ends = further
        if distance >= PIECE_CELLS:
            return ends
        distance *= 2


def summed(piece: Sequence[Run]) -> Run:
    """The cells of a piece, sorted and distinct, with their sums."""
    if len(piece) == 1:
        return piece[0]
    cells = np.concatenate([run.cells for run in piece])
    sums = np.concatenate([run.sums for run in piece])
    cells, sums = sort_cells(cells, sums, np.empty_like(cells), np.empty_like(sums))
    n_cells = sum_cells(cells, sums)
    return Run(cells[:n_cells], sums[:n_cells])


class _Cursor:
    """A position in a source: ``rest`` is what is left of the current part."""

    def __init__(self, parts: Iterator[Run]) -> None:
        self._parts = parts
        self.rest = Run(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def fill(self) -> bool:
        """Go to the next part if this one is used up; False at the end."""
        if len(self.rest) == 0:
            self.rest = next(self._parts, self.rest)
        return len(self.rest) > 0

    def take(self, n_cells: int) -> Run:
        """The next cells of this part."""
        taken = Run(self.rest.cells[:n_cells], self.rest.sums[:n_cells])
        self.rest = Run(self.rest.cells[n_cells:], self.rest.sums[n_cells:])
        return taken
