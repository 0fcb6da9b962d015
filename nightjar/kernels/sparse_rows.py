"""Rows of a sparse matrix times a dense matrix, for some of the rows: threads share the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled


@compiled()
def multiply_rows(
    offsets: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    dense: NDArray[np.float32],
    first: int,
    stop: int,
    out: NDArray[np.float32],
) -> None:
    """Write the rows ``first`` to ``stop`` of the product into ``out``.

    Row i of the sparse matrix has ``values[offsets[i]:offsets[i + 1]]`` in those ``columns``
    (compressed rows); ``dense`` (n_columns, size) and ``out`` (n_rows, size) are stored by row.
    Each row is summed in the order of its values, so threads do not change a bit.
    """
    size = dense.shape[1]
    for row in range(first, stop):
        target = out[row]
        target[:] = np.float32(0)
        for place in range(offsets[row], offsets[row + 1]):
            value = values[place]
            source = dense[columns[place]]
            for k in range(size):
                target[k] += value * source[k]
