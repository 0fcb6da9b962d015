"""The layout that keeps neighbours together: linked words attract each other, others repel.

The objective is UMAP's (McInnes et al. 2018, arXiv:1802.03426) with every link of weight one,
minimized for all words at once instead of link by link. Only the most frequent words are laid
out; other words go to the mean of their nearest laid-out words, and the rarest are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nightjar.model.lookup import VectorTable
from nightjar.model.lookup.nearest import nearest_rows, unit_rows
from nightjar.wording import counted

N_LAID_OUT = 5_000
N_PLACED = 100_000
_N_LINKS = 12
_N_ROUNDS = 250
_N_REPELLED = 5
_A, _B = 1.577, 0.8951
"""The curve of UMAP's defaults (least distance 0.1, spread 1)."""
_LONGEST_STEP = 4.0
_SIZE = 10.0
_N_ANCHORS = 3
_BLOCK = 8_192
_SEED = 1

Floats = NDArray[np.float32]
Report = Callable[[str], object]
"""Takes a progress note."""


def lay_out(table: VectorTable, start: Floats, report: Report) -> Floats:
    """Positions (n_tokens, 2), starting from ``start``; NaN for words left out. Deterministic."""
    n_laid_out = min(N_LAID_OUT, len(table))
    laid_out = lay_out_rows(
        table.vectors[:n_laid_out], table.norms[:n_laid_out], start[:n_laid_out], report
    )
    positions = np.full((len(table), 2), np.nan, np.float32)
    positions[:n_laid_out] = laid_out
    units = unit_rows(table.vectors[:n_laid_out], table.norms[:n_laid_out])
    n_anchors = min(_N_ANCHORS, n_laid_out)
    for first_row in range(n_laid_out, min(N_PLACED, len(table)), _BLOCK):
        part = slice(first_row, min(first_row + _BLOCK, N_PLACED, len(table)))
        scores = unit_rows(table.vectors[part], table.norms[part]) @ units.T
        nearest = np.argpartition(-scores, n_anchors - 1, axis=1)[:, :n_anchors]
        weights = np.maximum(np.take_along_axis(scores, nearest, axis=1), 1e-3) ** 4
        weights /= weights.sum(axis=1, keepdims=True)
        positions[part] = np.einsum("ij,ijk->ik", weights, laid_out[nearest])
        report(f"placed {counted(part.stop, 'point')}")
    return positions


def lay_out_rows(
    matrix: Floats, lengths: Floats, start: Floats, report: Report
) -> NDArray[np.float64]:
    """Positions (n, 2) of rows of ``lengths`` (n,), all of them laid out. Deterministic."""
    first = start.astype(np.float64)
    spread = first.std(axis=0)
    first = (first - first.mean(axis=0)) / np.where(spread > 0, spread, 1) * _SIZE / 2
    return _descend(first, _links(matrix, lengths), report)


def _links(matrix: Floats, lengths: Floats) -> NDArray[np.int64]:
    """Pairs of rows, one of which is among the other's nearest; shape (n_links, 2)."""
    excluded = [[row] for row in range(len(matrix))]
    found = nearest_rows(matrix, lengths, matrix, _N_LINKS, excluded)
    pairs = np.concatenate(
        [
            np.stack([np.full(len(answer.rows), row), answer.rows], axis=1)
            for row, answer in enumerate(found)
        ]
    )
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)


def _descend(
    positions: NDArray[np.float64], links: NDArray[np.int64], report: Report
) -> NDArray[np.float64]:
    generator = np.random.default_rng(_SEED)
    n_words = len(positions)
    degrees = np.bincount(links.ravel(), minlength=n_words)
    mean_degree = max(1.0, float(degrees.mean()))
    for done in range(_N_ROUNDS):
        steps = _attraction(positions, links)
        for _ in range(_N_REPELLED):
            others = generator.permutation(n_words)
            steps += _repulsion(positions, others) * (mean_degree / _N_REPELLED)
        lengths = np.linalg.norm(steps, axis=1, keepdims=True)
        steps *= np.minimum(1.0, _LONGEST_STEP / np.maximum(lengths, 1e-12))
        positions = positions + steps * (0.25 * (1.0 - done / _N_ROUNDS))
        report(f"laying out {counted(n_words, 'point')}, {done * 100 // _N_ROUNDS} %")
    return positions


def _attraction(positions: NDArray[np.float64], links: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over each word's links of the gradient of log(1 / (1 + a d^2b))."""
    left, right = links.T
    apart = positions[left] - positions[right]
    squares = np.maximum((apart**2).sum(axis=1), 1e-12)
    pull = -2 * _A * _B * squares ** (_B - 1) / (1 + _A * squares**_B)
    steps = np.clip(apart * pull[:, np.newaxis], -_LONGEST_STEP, _LONGEST_STEP)
    found = np.zeros_like(positions)
    for axis in range(2):
        found[:, axis] += np.bincount(left, steps[:, axis], len(positions))
        found[:, axis] -= np.bincount(right, steps[:, axis], len(positions))
    return found


def _repulsion(positions: NDArray[np.float64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gradient of log(1 - 1 / (1 + a d^2b)) for one other word each."""
    apart = positions - positions[others]
    squares = (apart**2).sum(axis=1)
    push = 2 * _B / ((1e-3 + squares) * (1 + _A * squares**_B))
    steps: NDArray[np.float64] = np.clip(apart * push[:, np.newaxis], -_LONGEST_STEP, _LONGEST_STEP)
    return steps
