"""Counting which words occur within a window of each other.

Cells of the co-occurrence matrix are numbered in the published order: tile by tile of TILE x TILE
words, and within a tile row by row (:func:`cell_number`). Pairs of frequent words are summed
directly in a dense array. A pair with a rarer word is written as one integer key, its cell with its
distance in the lowest bits; keys are later sorted by cell and summed. Weights and sums are
integers, so neither the order of the pairs nor the division into batches can change a sum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined

TILE_BITS = 10
TILE = 1 << TILE_BITS
"""Words on each side of a tile."""
TILE_CELLS = 1 << (2 * TILE_BITS)
_IN_TILE = TILE - 1
_DIGIT_BITS = 11
_DIGITS = 1 << _DIGIT_BITS
_MAX_PASSES = 6
"""Digits of a 63-bit key."""


@inlined
def cell_number(row: np.int64, column: np.int64, n_tiles: int) -> np.int64:
    """The number of a cell in a matrix of ``n_tiles`` x ``n_tiles`` tiles."""
    tile = (row >> TILE_BITS) * n_tiles + (column >> TILE_BITS)
    in_tile = ((row & _IN_TILE) << TILE_BITS) | (column & _IN_TILE)
    return (tile << (2 * TILE_BITS)) | in_tile


@compiled()
def count_pairs(
    ids: NDArray[np.int32],
    sentence_starts: NDArray[np.int64],
    position: int,
    n_tiles: int,
    weights: NDArray[np.int64],
    slot_bits: int,
    is_symmetric: bool,
    dense: NDArray[np.int64],
    n_dense_tiles: int,
    keys: NDArray[np.int64],
    n_keys: int,
) -> tuple[int, int]:
    """Count the pairs of each token with up to ``len(weights)`` tokens to its left.

    ``ids`` (n_tokens,) are sentences end to end, ``sentence_starts[p]`` is the position at which
    the sentence of token p starts. Starts at token ``position`` and stops before a token whose keys
    might not fit after the first ``n_keys`` of ``keys``. If symmetric, the row is the smaller id,
    so that each unordered pair has one cell; otherwise the row is the token and the column the one
    to its left. ``weights[d - 1]`` is the count of a pair d apart.

    ``dense``, of length n_dense_tiles**2 * TILE_CELLS, has the sums of the cells among the first
    words. Other pairs become keys; ``slot_bits`` are enough for any d - 1.

    Returns the next position and the total number of keys written.
    """
    n_dense = n_dense_tiles * TILE
    window = weights.shape[0]
    while position < ids.shape[0]:
        if n_keys + window > keys.shape[0]:
            break
        first = max(sentence_starts[position], position - window)
        word = np.int64(ids[position])
        for left in range(first, position):
            context = np.int64(ids[left])
            row, column = word, context
            if is_symmetric:
                row, column = min(word, context), max(word, context)
            slot = position - left - 1
            if word < n_dense and context < n_dense:
                dense[cell_number(row, column, n_dense_tiles)] += weights[slot]
            else:
                keys[n_keys] = (cell_number(row, column, n_tiles) << slot_bits) | slot
                n_keys += 1
        position += 1
    return position, n_keys


@compiled()
def sort_keys(
    keys: NDArray[np.int64], spare: NDArray[np.int64], low_bit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Radix-sort non-negative ``keys`` by their bits from ``low_bit`` up.

    ``spare`` is as long as ``keys``. Returns the sorted one of the two, then the other.
    """
    counts = _digit_counts(keys, low_bit)
    for digit in range(_MAX_PASSES):
        shift = low_bit + digit * _DIGIT_BITS
        if not _begin_pass(counts[digit], keys.shape[0]):
            continue
        places = counts[digit]
        for key in keys:
            value = (key >> shift) & (_DIGITS - 1)
            spare[places[value]] = key
            places[value] += 1
        keys, spare = spare, keys
    return keys, spare


@compiled()
def sort_cells(
    cells: NDArray[np.int64],
    sums: NDArray[np.int64],
    spare_cells: NDArray[np.int64],
    spare_sums: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort ``cells`` and, alongside, ``sums``; all four arrays have the same length.

    Returns the sorted cells and sums, which are two of the four arrays.
    """
    counts = _digit_counts(cells, 0)
    for digit in range(_MAX_PASSES):
        shift = digit * _DIGIT_BITS
        if not _begin_pass(counts[digit], cells.shape[0]):
            continue
        places = counts[digit]
        for n in range(cells.shape[0]):
            value = (cells[n] >> shift) & (_DIGITS - 1)
            place = places[value]
            spare_cells[place] = cells[n]
            spare_sums[place] = sums[n]
            places[value] += 1
        cells, spare_cells = spare_cells, cells
        sums, spare_sums = spare_sums, sums
    return cells, sums


@compiled()
def _digit_counts(keys: NDArray[np.int64], low_bit: int) -> NDArray[np.int64]:
    """How often each value of each digit occurs: (_MAX_PASSES, _DIGITS)."""
    counts = np.zeros((_MAX_PASSES, _DIGITS), np.int64)
    largest = np.int64(0)
    for key in keys:
        largest |= key
    n_digits = 0
    while n_digits < _MAX_PASSES and largest >> (low_bit + n_digits * _DIGIT_BITS):
        n_digits += 1
    for key in keys:
        rest = key >> low_bit
        for digit in range(n_digits):
            counts[digit, rest & (_DIGITS - 1)] += 1
            rest >>= _DIGIT_BITS
    return counts


@compiled()
def _begin_pass(counts: NDArray[np.int64], n_keys: int) -> bool:
    """Turn the counts of a digit into start positions; False when all keys have the same digit."""
    place = np.int64(0)
    is_needed = False
    for value in range(counts.shape[0]):
        count = counts[value]
        is_needed |= 0 < count < n_keys
        counts[value] = place
        place += count
    return is_needed


@compiled()
def sum_keys(
    keys: NDArray[np.int64],
    slot_bits: int,
    weights: NDArray[np.int64],
    sums: NDArray[np.int64],
) -> int:
    """Sum the weights of sorted keys by cell.

    The cells overwrite the start of ``keys``, their sums go into ``sums``; returns their number.
    """
    last = -1
    previous = np.int64(-1)
    slots = (1 << slot_bits) - 1
    for key in keys:
        cell = key >> slot_bits
        if cell != previous:
            last += 1
            keys[last] = cell
            sums[last] = 0
            previous = cell
        sums[last] += weights[key & slots]
    return last + 1


@compiled()
def sum_cells(cells: NDArray[np.int64], sums: NDArray[np.int64]) -> int:
    """Merge equal neighbours in sorted ``cells`` in place, adding ``sums``; their new number."""
    last = -1
    previous = np.int64(-1)
    for n in range(cells.shape[0]):
        if cells[n] != previous:
            last += 1
            previous = cells[n]
            cells[last] = previous
            sums[last] = sums[n]
        else:
            sums[last] += sums[n]
    return last + 1


@compiled()
def take_dense_tile(
    dense: NDArray[np.int64],
    start: int,
    first_cell: int,
    cells: NDArray[np.int64],
    sums: NDArray[np.int64],
) -> int:
    """Write the non-zero cells of a tile of :func:`count_pairs`; returns their number.

    ``dense`` (n_workers, n) has the tile from column ``start`` on, with a row per worker to be
    summed; ``first_cell`` is the number of its first cell. Outputs have room for TILE_CELLS.
    """
    n_cells = 0
    for n in range(TILE_CELLS):
        total = np.int64(0)
        for worker in range(dense.shape[0]):
            total += dense[worker, start + n]
        if total:
            cells[n_cells] = first_cell + n
            sums[n_cells] = total
            n_cells += 1
    return n_cells


@compiled()
def split_cells(
    cells: NDArray[np.int64],
    sums: NDArray[np.int64],
    n_tiles: int,
    unit: float,
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    counts: NDArray[np.float64],
) -> int:
    """Write row, column and count (sum * unit) of each cell; returns how many are diagonal."""
    n_diagonal = 0
    for n in range(cells.shape[0]):
        tile = cells[n] >> (2 * TILE_BITS)
        tile_row = tile // n_tiles
        row = (tile_row << TILE_BITS) | ((cells[n] >> TILE_BITS) & _IN_TILE)
        column = ((tile - tile_row * n_tiles) << TILE_BITS) | (cells[n] & _IN_TILE)
        rows[n] = row
        columns[n] = column
        counts[n] = sums[n] * unit
        n_diagonal += row == column
    return n_diagonal
