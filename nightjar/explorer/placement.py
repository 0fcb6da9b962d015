"""A point and a cluster for every word of a model: principal components of its directions.

The vectors are scaled to length one, so that nearness on the map means cosine similarity, and
projected onto the two directions in which they differ most (Pearson 1901). The covariance matrix
is summed block by block; memory holds one block and two float32 per word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightjar.drawing.neighbour_graph import lay_out
from nightjar.explorer.derived import Arrays, read_arrays, write_arrays
from nightjar.explorer.jobs import Report
from nightjar.model.lookup import VectorModel, VectorTable
from nightjar.wording import counted, plural_of

KINDS = {"pca": "map-pca1", "neighbours": "map-neighbours1"}
"""Names of the cached directories; the digit is the method's revision."""
N_CLUSTERS = 10
_BLOCK = 32_768
_CLUSTERED = 8_000
"""The number of most frequent words that are clustered; the others join the nearest centre."""
_NAMED_AMONG = 2_000
_SEED = 1

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WordMap:
    """The place of each word. ``positions`` is (n_tokens, 2), ``clusters`` (n_tokens,)."""

    positions: NDArray[np.float32]
    clusters: NDArray[np.uint8]
    typical: NDArray[np.int64]
    """Rows of three words that represent each cluster, shape (N_CLUSTERS, 3), -1 for none."""


def open_map(
    directory: Path, model: VectorModel, method: str, report: Report, unit: str = "word"
) -> WordMap:
    """Open the map of a model, which is written to ``directory`` on first use."""
    n_tokens = len(model.table)
    shapes = {"positions": (n_tokens, 2), "clusters": (n_tokens,), "typical": (N_CLUSTERS, 3)}
    found = read_arrays(directory, shapes)
    if found is not None:
        return WordMap(**found)
    if method == "neighbours":
        report(f"linking the most frequent {plural_of(unit)} with their neighbours")
        positions = lay_out(model.table, _principal(model.table, report, unit), report)
    else:
        positions = _principal(model.table, report, unit)
    report("finding clusters")
    clusters, typical = _clusters(model)
    made: Arrays = {"positions": positions, "clusters": clusters, "typical": typical}
    write_arrays(directory, made)
    found = read_arrays(directory, shapes)
    return WordMap(**(found or made))


def unit_blocks(table: VectorTable, n_rows: int | None = None) -> Iterator[tuple[slice, Floats]]:
    """Yield rows scaled to length one, block by block; rows of zeros stay zero."""
    n_rows = len(table) if n_rows is None else n_rows
    for first in range(0, n_rows, _BLOCK):
        part = slice(first, min(first + _BLOCK, n_rows))
        lengths = table.norms[part]
        scale = np.where(lengths > 0, lengths, np.float32(1))[:, np.newaxis]
        yield part, np.divide(table.vectors[part], scale, dtype=np.float32)


def _principal(table: VectorTable, report: Report, unit: str) -> Floats:
    size = table.vector_size
    total = np.zeros(size)
    products = np.zeros((size, size))
    for part, units in unit_blocks(table):
        total += units.sum(axis=0, dtype=np.float64)
        products += units.T @ units
        report(f"components of {part.stop:,} of {counted(len(table), unit)}")
    mean = total / max(1, len(table))
    _, vectors = np.linalg.eigh(products / max(1, len(table)) - np.outer(mean, mean))
    axes = vectors[:, ::-1][:, :2]
    # The sign of a component is arbitrary: its largest value is made positive.
    largest = np.argmax(np.abs(axes), axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    positions = np.zeros((len(table), 2), np.float32)
    for part, units in unit_blocks(table):
        positions[part, : axes.shape[1]] = (units - mean.astype(np.float32)) @ axes
        report(f"placed {part.stop:,} of {counted(len(table), unit)}")
    return positions


def _clusters(model: VectorModel) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The cluster of each word, and the rows of typical words of each."""
    table = model.table
    n_clustered = min(_CLUSTERED, len(table))
    n_clusters = min(N_CLUSTERS, n_clustered)
    words = table.tokens_of(np.arange(n_clustered))
    labels = np.asarray(model.clusters(words, n_clusters, _SEED), np.int64)
    units = np.concatenate([units for _, units in unit_blocks(table, n_clustered)])
    centres = np.zeros((N_CLUSTERS, table.vector_size), np.float32)
    np.add.at(centres, labels, units)
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    centres /= np.where(lengths > 0, lengths, 1)
    clusters = np.zeros(len(table), np.uint8)
    for part, block in unit_blocks(table):
        clusters[part] = np.argmax(block @ centres.T, axis=1)
    typical = np.full((N_CLUSTERS, 3), -1, np.int64)
    for cluster in range(n_clusters):
        members = np.flatnonzero(labels == cluster)
        members = members[members < _NAMED_AMONG] if (members < _NAMED_AMONG).any() else members
        nearest = members[np.argsort(-(units[members] @ centres[cluster]), kind="stable")[:3]]
        typical[cluster, : len(nearest)] = nearest
    return clusters, typical
