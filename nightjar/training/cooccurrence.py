"""Co-occurrence counts of a corpus, for GloVe (Pennington et al. 2014, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import GloVeConfig
from nightjar.errors import VocabularyError
from nightjar.progress import Progress
from nightjar.training.corpus import Corpus, CorpusSize
from nightjar.training.kernels.cooccurrence import (
    fill_pair_keys,
    merge_cells,
    sum_sorted_keys,
    weigh_cells,
)

ENTRY = np.dtype(
    [
        ("row", np.int32),
        ("column", np.int32),
        ("log_count", np.float32),
        ("weight", np.float32),
    ]
)
"""What GloVe learns from: a non-zero cell of the co-occurrence matrix."""

BATCH_PAIRS = 1 << 22
"""Pairs that are sorted at once: 32 MiB of keys."""


@dataclass(frozen=True, eq=False)
class Cooccurrences:
    """The non-zero cells of the co-occurrence matrix, ascending, and their counts.

    ``cells`` int64, a cell is row * n_words + column; ``counts`` float64. Symmetric: only
    cells with row <= column, and each pair of a word with itself is counted once, not from
    both sides. 16 bytes a cell.
    """

    cells: NDArray[np.int64]
    counts: NDArray[np.float64]
    n_words: int
    is_symmetric: bool

    def entries(self, x_max: float, alpha: float) -> NDArray[np.void]:
        """All non-zero cells of the whole matrix as ENTRY records, of 16 bytes."""
        n_entries = len(self.cells)
        if self.is_symmetric:
            n_diagonal = int(np.count_nonzero(self.cells % (self.n_words + 1) == 0))
            n_entries = 2 * n_entries - n_diagonal
        entries = np.empty(n_entries, ENTRY)
        weigh_cells(self.cells, self.counts, self.n_words, self.is_symmetric, x_max, alpha, entries)
        return entries


def count_cooccurrences(
    corpus: Corpus, size: CorpusSize, model: GloVeConfig, progress: Progress
) -> Cooccurrences:
    """Count the pairs of kept words at most ``model.window`` words apart in a sentence.

    A pair d words apart counts 1/d with ``distance_weighting``, else 1. Symmetric: X[i, j]
    counts j on both sides of i; else only on its left. Sums are float64. In memory: one row
    group of tokens, BATCH_PAIRS keys, and, while the last lists of cells are merged, the
    cells twice.
    """
    n_words = len(corpus.vocabulary)
    n_slots = model.window if model.distance_weighting else 1
    if n_words**2 * n_slots >= 2**63:
        raise VocabularyError(
            f"{n_words} words and window {model.window} are more pairs than 64 bits can "
            f"number; set max_vocabulary"
        )
    progress.start("count co-occurrences", size.n_tokens_kept, "tokens")
    runs = _Runs()
    keys = np.empty(max(BATCH_PAIRS, model.window), np.int64)
    slot_weights = 1.0 / np.arange(1, n_slots + 1)
    for batch in corpus.batches():
        starts = np.repeat(batch.offsets[:-1], batch.lengths)
        position = 0
        while position < len(batch.ids):
            begin = position
            position, n_keys = fill_pair_keys(
                batch.ids, starts, position, model.window, n_words, n_slots, model.symmetric, keys
            )
            runs.add(_sum_keys(keys[:n_keys], slot_weights))
            progress.advance(position - begin, f"{runs.n_cells:,} cells")
    run = runs.merged()
    return Cooccurrences(run.cells, run.counts, n_words, model.symmetric)


@dataclass(frozen=True, eq=False)
class _Run:
    """Ascending cells and their counts."""

    cells: NDArray[np.int64]
    counts: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.cells)


class _Runs:
    """Runs of falling length: equal ones are merged early, so each cell moves log n times."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    @property
    def n_cells(self) -> int:
        """Cells held; one that is in several runs counts more than once."""
        return sum(map(len, self._runs))

    def add(self, run: _Run) -> None:
        """Add a run, and merge from the end while the last two are of similar length."""
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            self._merge_last_two()

    def merged(self) -> _Run:
        """Everything in one run."""
        while len(self._runs) > 1:
            self._merge_last_two()
        return self._runs.pop()

    def _merge_last_two(self) -> None:
        b, a = self._runs.pop(), self._runs.pop()
        room = len(a) + len(b)
        cells, counts = np.empty(room, np.int64), np.empty(room, np.float64)
        n_cells = merge_cells(a.cells, a.counts, b.cells, b.counts, cells, counts)
        self._runs.append(_shrunk(cells, counts, n_cells))


def _sum_keys(keys: NDArray[np.int64], slot_weights: NDArray[np.float64]) -> _Run:
    """Sort ``keys`` in place and sum each cell."""
    keys.sort()
    cells, counts = np.empty(len(keys), np.int64), np.empty(len(keys), np.float64)
    return _shrunk(cells, counts, sum_sorted_keys(keys, slot_weights, cells, counts))


def _shrunk(cells: NDArray[np.int64], counts: NDArray[np.float64], n_cells: int) -> _Run:
    """The first ``n_cells``, giving the rest of the memory back without a copy."""
    cells.resize(n_cells, refcheck=False)
    counts.resize(n_cells, refcheck=False)
    return _Run(cells, counts)
