"""Counting which words occur within a window of each other.

A pair of words d apart is written as one integer key, cell * n_slots + (d - 1), where cell =
row * n_words + column: sorted keys bring the pairs of a cell together, by distance, so the
sums do not depend on the sorting algorithm. Plain integers sort several times faster than
indices of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.training.kernels.compilation import compiled


@compiled()
def fill_pair_keys(
    ids: NDArray[np.int32],
    sentence_starts: NDArray[np.int64],
    position: int,
    window: int,
    n_words: int,
    n_slots: int,
    is_symmetric: bool,
    keys: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the keys of the pairs of each token with up to ``window`` tokens on its left.

    ``ids`` (n_tokens,) are sentences end to end, ``sentence_starts[p]`` is the position at
    which the sentence of token p starts. Begins at token ``position`` and stops before the
    token whose pairs no longer fit into ``keys``, which must have room for ``window``.
    Symmetric: row is the smaller id, so that each unordered pair has one cell; else row is
    the token and column the one on its left. ``n_slots`` 1 forgets distances.

    Returns the next position and the number of keys written.
    """
    n_keys = 0
    while position < ids.shape[0]:
        first = max(sentence_starts[position], position - window)
        if n_keys + position - first > keys.shape[0]:
            break
        word = np.int64(ids[position])
        for left in range(first, position):
            context = np.int64(ids[left])
            if is_symmetric:
                cell = min(word, context) * n_words + max(word, context)
            else:
                cell = word * n_words + context
            keys[n_keys] = cell * n_slots + min(position - left, n_slots) - 1
            n_keys += 1
        position += 1
    return position, n_keys


@compiled()
def sum_sorted_keys(
    keys: NDArray[np.int64],
    slot_weights: NDArray[np.float64],
    cells: NDArray[np.int64],
    counts: NDArray[np.float64],
) -> int:
    """Sum ``slot_weights`` (n_slots,) over the keys of each cell.

    ``keys`` ascend. Writes ascending ``cells`` and their ``counts``, both of at least the
    length of ``keys``, and returns how many cells there are.
    """
    n_slots = slot_weights.shape[0]
    last = -1
    previous = np.int64(-1)
    for key in keys:
        cell = key // n_slots
        if cell != previous:
            last += 1
            cells[last] = cell
            counts[last] = 0.0
            previous = cell
        counts[last] += slot_weights[key - cell * n_slots]
    return last + 1


@compiled()
def merge_cells(
    cells_a: NDArray[np.int64],
    counts_a: NDArray[np.float64],
    cells_b: NDArray[np.int64],
    counts_b: NDArray[np.float64],
    cells: NDArray[np.int64],
    counts: NDArray[np.float64],
) -> int:
    """Merge two ascending lists of cells, adding the counts of cells in both.

    ``cells`` and ``counts`` have room for both lists; returns how many cells there are.
    """
    a = b = n = 0
    while a < cells_a.shape[0] or b < cells_b.shape[0]:
        takes_a = b == cells_b.shape[0] or (a < cells_a.shape[0] and cells_a[a] <= cells_b[b])
        takes_b = a == cells_a.shape[0] or (b < cells_b.shape[0] and cells_b[b] <= cells_a[a])
        count = 0.0
        if takes_a:
            cells[n] = cells_a[a]
            count += counts_a[a]
            a += 1
        if takes_b:
            cells[n] = cells_b[b]
            count += counts_b[b]
            b += 1
        counts[n] = count
        n += 1
    return n


@compiled()
def weigh_cells(
    cells: NDArray[np.int64],
    counts: NDArray[np.float64],
    n_words: int,
    is_symmetric: bool,
    x_max: float,
    alpha: float,
    entries: NDArray[np.void],
) -> int:
    """Write GloVe's training entries of each cell: log of the count, and its weight.

    The weight is f(x) = min(1, (x / x_max) ** alpha), equation 9 of Pennington et al. 2014.
    Symmetric: a cell off the diagonal stands for two equal entries, one on it was met from
    both sides and counts twice. ``entries`` has fields ``row``, ``column`` (int32),
    ``log_count``, ``weight`` (float32) and room for all; returns how many there are.
    """
    n = 0
    for cell in range(cells.shape[0]):
        row = cells[cell] // n_words
        column = cells[cell] - row * n_words
        count = counts[cell]
        if is_symmetric and row == column:
            count *= 2.0
        weight = min(1.0, (count / x_max) ** alpha)
        for is_mirrored in range(2 if is_symmetric and row != column else 1):
            entries[n].row = column if is_mirrored else row
            entries[n].column = row if is_mirrored else column
            entries[n].log_count = np.log(count)
            entries[n].weight = weight
            n += 1
    return n
