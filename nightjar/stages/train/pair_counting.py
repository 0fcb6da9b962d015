"""Counting pairs of words in several threads within a memory budget.

Each thread counts batches of sentences: pairs of frequent words in a dense array, the others as
keys in a buffer which is sorted and summed to a run when it is full. Runs are held until the budget
is used up, then written to disk as one. At the end everything is merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import GloVeConfig
from nightjar.errors import VocabularyError
from nightjar.kernels.cooccurrence_counts import (
    TILE,
    TILE_CELLS,
    count_pairs,
    sort_keys,
    sum_keys,
    take_dense_tile,
)
from nightjar.progress import Progress
from nightjar.stages.train.model_corpus import TokenBatch, Vocabulary
from nightjar.stages.train.sorted_runs import CELL_BYTES, HeldRun, Run, Source, SpilledRuns, merged
from nightjar.wording import counted

UNIT = 1 << 30
"""The count of a pair of adjacent words, while sums are integers."""
_MAX_DENSE_TILES = 4
"""4,096 words: nine tenths of all pairs; more would exceed the caches for little gain."""
_BYTES_PER_KEY = 32
"""A key, room to sort it, and the cell and sum that it becomes."""
_DENSE_TILE_BYTES = 8 * TILE_CELLS


@dataclass(frozen=True)
class CountingMemory:
    """How the memory for counting is divided, for all threads together."""

    n_dense_tiles: int
    """Tiles on each side of the dense arrays; 0 for none."""
    n_keys: int
    """Keys in the buffer of one thread."""
    max_held_cells: int
    """Cells in the runs held in memory."""

    @classmethod
    def within(
        cls, max_bytes: int, n_words: int, window: int, is_symmetric: bool, n_workers: int
    ) -> CountingMemory:
        """A quarter for dense arrays, a quarter for buffers, the rest for runs.

        An eighth stays free for merging. A buffer has room for at least one token's pairs.
        """
        n_dense = 0
        while n_dense < min(_MAX_DENSE_TILES, n_tiles(n_words)):
            n_side = n_dense + 1
            n_used = n_side * (n_side + 1) // 2 if is_symmetric else n_side**2
            if n_used * _DENSE_TILE_BYTES * n_workers > max_bytes // 4:
                break
            n_dense = n_side
        n_keys = max(window, max_bytes // (4 * _BYTES_PER_KEY * n_workers))
        return cls(n_dense, n_keys, max_held_cells=max_bytes * 3 // 8 // CELL_BYTES)


def n_tiles(n_words: int) -> int:
    """Tiles on each side of the matrix."""
    return -(-n_words // TILE)


class PairCounter:
    """Counts the pairs of one model; :meth:`merged` then gives the cells in order.

    ``max_bytes`` bounds its memory; runs beyond that are written below ``spill_dir``. Raises
    VocabularyError when 64 bits are too few to number or sum the pairs.
    """

    def __init__(
        self,
        model: GloVeConfig,
        vocabulary: Vocabulary,
        max_bytes: int,
        n_workers: int,
        spill_dir: Path,
    ) -> None:
        n_words = len(vocabulary)
        self._is_symmetric = model.symmetric
        self._weights = _weights(model)
        self._slot_bits = (model.window - 1).bit_length()
        self._n_tiles = n_tiles(n_words)
        self._n_workers = n_workers
        _check_bits(vocabulary, model.window, self._slot_bits, int(self._weights.sum()))
        self._memory = CountingMemory.within(
            max_bytes, n_words, model.window, model.symmetric, n_workers
        )
        # Untouched zero pages take no memory: for a symmetric matrix, those left of the diagonal.
        n_cells = self._memory.n_dense_tiles**2 * TILE_CELLS
        self._dense = np.zeros((n_workers, n_cells), np.int64)
        self._held: list[HeldRun] = []
        self._lock = Lock()
        self.spilled = SpilledRuns(spill_dir)

    def count(
        self, batches: Iterator[TokenBatch], threads: ThreadPoolExecutor, progress: Progress
    ) -> None:
        """Count all pairs of ``batches``, which the threads share."""
        lock = Lock()

        def next_batch() -> TokenBatch | None:
            with lock:
                batch = next(batches, None)
                if batch is not None:
                    progress.advance(len(batch.ids))
                return batch

        def work(worker: int) -> None:
            keys = np.empty(self._memory.n_keys, np.int64)
            spare = np.empty(self._memory.n_keys, np.int64)
            n_keys = 0
            while (batch := next_batch()) is not None:
                starts = np.repeat(batch.offsets[:-1], batch.lengths)
                position = 0
                while True:
                    position, n_keys = count_pairs(
                        batch.ids, starts, position, self._n_tiles, self._weights,
                        self._slot_bits, self._is_symmetric, self._dense[worker],
                        self._memory.n_dense_tiles, keys, n_keys,
                    )  # fmt: skip
                    if position == len(batch.ids):
                        break
                    self._hold(self._sum(keys[:n_keys], spare[:n_keys]))
                    n_keys = 0
            self._hold(self._sum(keys[:n_keys], spare[:n_keys]))

        for done in [threads.submit(work, worker) for worker in range(self._n_workers)]:
            # waits: for computing in threads of our own, whose progress is shown
            done.result()

    def merged(self, threads: ThreadPoolExecutor) -> Iterator[Run]:
        """All cells with their sums, in consecutive runs."""
        sources: list[Source] = [self, *self._held, *self.spilled.sources]
        return merged(sources, threads, n_ahead=2 * self._n_workers)

    def parts(self) -> Iterator[Run]:
        """The non-zero cells of the dense arrays, a tile at a time."""
        n_side = self._memory.n_dense_tiles
        for row in range(n_side):
            for column in range(row if self._is_symmetric else 0, n_side):
                cells, sums = np.empty(TILE_CELLS, np.int64), np.empty(TILE_CELLS, np.int64)
                start = (row * n_side + column) * TILE_CELLS
                first_cell = (row * self._n_tiles + column) * TILE_CELLS
                n_cells = take_dense_tile(self._dense, start, first_cell, cells, sums)
                if n_cells:
                    yield Run(cells[:n_cells], sums[:n_cells])

    def _sum(self, keys: NDArray[np.int64], spare: NDArray[np.int64]) -> Run:
        """The run for the pairs in ``keys``; overwrites both arrays."""
        keys, spare = sort_keys(keys, spare, self._slot_bits)
        n_cells = sum_keys(keys, self._slot_bits, self._weights, spare)
        return Run(keys[:n_cells].copy(), spare[:n_cells].copy())

    def _hold(self, run: Run) -> None:
        """Keep a run; if there are too many, write all of them to disk as one."""
        with self._lock:
            self._held.append(HeldRun(run))
            if sum(len(held.run) for held in self._held) > self._memory.max_held_cells:
                self.spilled.add(self._held)
                self._held = []


def _weights(model: GloVeConfig) -> NDArray[np.int64]:
    """The counts of pairs 1, 2, ... words apart."""
    distances = range(1, model.window + 1)
    if model.distance_weighting:
        return np.array([round(UNIT / distance) for distance in distances], np.int64)
    return np.full(model.window, UNIT, np.int64)


def _check_bits(vocabulary: Vocabulary, window: int, slot_bits: int, weight: int) -> None:
    """Raise VocabularyError when a key or a sum may need more than 63 bits.

    ``weight`` is that of a full window on one side of a word, so no cell sums to more than twice
    that for each occurrence of the most frequent word.
    """
    largest_key = (n_tiles(len(vocabulary)) ** 2 * TILE_CELLS) << slot_bits
    if largest_key >= 2**63:
        raise VocabularyError(
            f"{counted(len(vocabulary), 'word')} and window {window} are more pairs than 64 bits "
            f"can number; set max_vocabulary"
        )
    most_frequent = int(vocabulary.counts[0])
    if 2 * most_frequent * weight >= 2**63:
        raise VocabularyError(
            f"{vocabulary.words[0]!r} occurs {counted(most_frequent, 'time')}, and with window "
            f"{window} its co-occurrences may be more than 64 bits can sum; make window smaller or "
            f"count "
            f"parts of the corpus"
        )
