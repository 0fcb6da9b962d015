"""GloVe's pass over the co-occurrences with AdaGrad steps.

The objective (Pennington et al. 2014, equation 8) of one entry is half of f(x) (w.c + b + b' -
log x)^2. The step is that of the authors' C program (glove.c, version 1.0): the learning
rate is part of the gradient whose squares are accumulated, accumulators start at 1, and a
step divides by the root of the sum before this gradient is added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.adagrad_rows import pair_products, step_pair, step_single
from nightjar.kernels.compilation import compiled, inlined
from nightjar.kernels.cooccurrence_counts import TILE_BITS
from nightjar.kernels.random_bits import shuffle

BLOCK_BITS = 4
"""A block is 16 rows of a tile: their words stay in the L1 cache."""


class Cells(NamedTuple):
    """Cells of the co-occurrence matrix: ``rows``, ``columns`` int32, ``counts`` float64.

    Symmetric: an off-diagonal cell represents two equal entries; a diagonal cell was counted from
    both sides, so it counts twice.
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    counts: NDArray[np.float64]
    is_symmetric: bool


class Weighting(NamedTuple):
    """f(x) = min(1, (x / x_max) ** alpha), equation 9; with the logarithm of ``x_max``."""

    log_x_max: np.float32
    alpha: np.float32


AdaGradKernel = Callable[
    [Cells, NDArray[np.int32], NDArray[np.float32], Weighting, np.float32], float
]
"""Steps the entries of cells in a given order, on rows as in adagrad_rows, with a learning rate.

A cell off a symmetric diagonal is entry (row, column), then (column, row). Returns the float64 sum
of the losses, each before its step. Threads may work on the same rows at once without locks.
"""


@inlined
def log_count(cells: Cells, n: int) -> np.float32:
    """The logarithm of a cell's count."""
    x = np.float32(cells.counts[n])
    if cells.is_symmetric and cells.rows[n] == cells.columns[n]:
        x *= np.float32(2.0)
    return np.float32(np.log(x))


@inlined
def weight(log_x: np.float32, weighting: Weighting) -> np.float32:
    """f(x)."""
    power = np.exp(weighting.alpha * (log_x - weighting.log_x_max))
    return min(np.float32(1.0), power)


def adagrad_kernel(n_chunks: int) -> AdaGradKernel:
    """The pass for vectors of ``16 * n_chunks`` values, compiled for that size."""

    @compiled(has_fast_sums=True)
    def adagrad_pass(
        cells: Cells,
        order: NDArray[np.int32],
        parameters: NDArray[np.float32],
        weighting: Weighting,
        eta: np.float32,
    ) -> float:
        loss = 0.0
        for n in order:
            i, j = np.int64(cells.rows[n]), np.int64(cells.columns[n])
            log_x = log_count(cells, n)
            scale = weight(log_x, weighting)
            product, mirrored_product = pair_products(parameters, i, j, n_chunks)
            difference = product - log_x
            step = scale * difference
            loss += 0.5 * np.float64(step) * np.float64(difference)
            if cells.is_symmetric and i != j:
                difference = mirrored_product - log_x
                mirrored_step = scale * difference
                loss += 0.5 * np.float64(mirrored_step) * np.float64(difference)
                step_pair(parameters, i, j, eta * step, eta * mirrored_step, n_chunks)
            else:
                step_single(parameters, i, j, eta * step, n_chunks)
        return loss

    return adagrad_pass


@compiled()
def untrained_losses(cells: Cells, weighting: Weighting) -> tuple[int, float]:
    """The number of entries, and the sum of their losses if all products are zero."""
    n_entries = 0
    loss = 0.0
    for n in range(cells.rows.shape[0]):
        log_x = log_count(cells, n)
        is_pair = cells.is_symmetric and cells.rows[n] != cells.columns[n]
        n_here = 2 if is_pair else 1
        n_entries += n_here
        loss += n_here * 0.5 * np.float64(weight(log_x, weighting)) * np.float64(log_x) ** 2
    return n_entries, loss


@compiled()
def draw_order(
    rows: NDArray[np.int32], columns: NDArray[np.int32], state: np.uint64
) -> NDArray[np.int32]:
    """A random order of ascending cells that keeps cells with shared words close together.

    The tiles in random order, in each its blocks of 16 rows, in each block its cells. int32, of the
    length of ``rows``.
    """
    n_cells = rows.shape[0]
    blocks = np.empty(n_cells + 1, np.int32)  # first cell of each
    tiles = np.empty(n_cells + 1, np.int32)  # first block of each
    n_blocks = n_tiles = 0
    last_tile = last_block = np.int64(-1)
    for n in range(n_cells):
        columns_of_tile = np.int64(columns[n] >> TILE_BITS)
        block = (np.int64(rows[n] >> BLOCK_BITS) << 32) | columns_of_tile
        tile = (np.int64(rows[n] >> TILE_BITS) << 32) | columns_of_tile
        if tile != last_tile:
            tiles[n_tiles] = n_blocks
            n_tiles += 1
            last_tile = tile
        if block != last_block:
            blocks[n_blocks] = n
            n_blocks += 1
            last_block = block
    tiles[n_tiles] = n_blocks
    blocks[n_blocks] = n_cells

    tile_order = np.arange(n_tiles).astype(np.int32)
    block_order = np.arange(n_blocks).astype(np.int32)
    order = np.empty(n_cells, np.int32)
    state = shuffle(tile_order, state)
    place = 0
    for t in tile_order:
        of_tile = block_order[tiles[t] : tiles[t + 1]]
        state = shuffle(of_tile, state)
        for b in of_tile:
            first, end = blocks[b], blocks[b + 1]
            of_block = order[place : place + end - first]
            for n in range(first, end):
                of_block[n - first] = n
            state = shuffle(of_block, state)
            place += end - first
    return order
