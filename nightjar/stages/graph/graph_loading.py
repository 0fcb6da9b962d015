"""A graph artifact in memory, as the kernels walk over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.config.corpora import WalksConfig
from nightjar.kernels.counted_draws import plan_walks
from nightjar.kernels.first_order_walks import walk_first_order
from nightjar.kernels.graph_rows import (
    GraphRows,
    Neighborhood,
    Weights,
    fill_alias_tables,
    fill_filter,
)
from nightjar.kernels.second_order_walks import bias_of, walk_second_order
from nightjar.stages.graph.node_numbers import hashes_of
from nightjar.store import Artifact, schemas

_EDGES_PER_WORD = 6
"""Of the filter: 11 bits for each edge, and one pair in a hundred is searched in vain."""


@dataclass(frozen=True, eq=False)
class WalkableGraph:
    """A graph and how it is walked.

    Memory: 4 bytes for each row of ``edges`` and 16 for each node; with weights 12 bytes instead of
    4, or 16 for walks of second order; for these, also 1.4 bytes for each edge (a filter).
    """

    settings: WalksConfig
    hashes: NDArray[np.uint64]
    """Of the ids of the nodes: they seed the walks."""
    rows: GraphRows
    weights: Weights
    neighborhood: Neighborhood

    @classmethod
    def load(cls, artifact: Artifact, settings: WalksConfig) -> WalkableGraph:
        """Read ``artifact``, a graph, for walks with ``settings``.

        Raises ArtifactDamaged when its pages cannot be read.
        """
        nodes = artifact.read(schemas.NODES, ["node", "n_out"])
        hashes = hashes_of(nodes.column("node"))
        n_out = nodes.column("n_out").to_numpy()
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(n_out)])
        del nodes
        is_weighted = bool(artifact.manifest.report["is_weighted"])
        rows, weights = _read_rows(artifact, offsets, is_weighted)
        is_symmetric = not artifact.manifest.report["is_directed"]
        n_words = 1
        if not cls._is_first_order(settings) and (settings.q != 1 or not is_symmetric):
            n_edges = len(rows.targets) // (2 if is_symmetric else 1)
            n_words = n_edges // _EDGES_PER_WORD + 1
        neighborhood = Neighborhood(np.zeros(n_words, np.uint64), is_symmetric)
        if n_words > 1:
            fill_filter(rows, neighborhood)
        if is_weighted:
            fill_alias_tables(rows, weights, 0, len(hashes))
            if cls._is_first_order(settings):
                weights = weights._replace(weights=np.zeros(0, np.float32))
        return cls(settings, hashes, rows, weights, neighborhood)

    @staticmethod
    def _is_first_order(settings: WalksConfig) -> bool:
        return settings.p == 1 and settings.q == 1

    @property
    def n_nodes(self) -> int:
        """Number of nodes, with those that no edge leaves."""
        return len(self.hashes)

    @property
    def n_walks(self) -> int:
        """Number of all walks, with those that end where they start."""
        return self.n_nodes * self.settings.per_node

    def walk(self, first: int, n_walks: int) -> NDArray[np.int32]:
        """The walks from number ``first`` on; int32 of shape (n_walks, length), -1 after the end.

        Walk w is of round w // n_nodes. A walk is the same however the walks are divided.
        """
        starts, states = np.empty(n_walks, np.int32), np.empty(n_walks, np.uint64)
        plan_walks(first, self.hashes, np.uint64(self.settings.seed), starts, states)
        walks = np.empty((n_walks, self.settings.length), np.int32)
        if self._is_first_order(self.settings):
            walk_first_order(self.rows, self.weights, starts, states, walks)
        else:
            bias = bias_of(self.settings.p, self.settings.q)
            walk_second_order(
                self.rows, self.weights, self.neighborhood, bias, starts, states, walks
            )
        return walks


def _read_rows(
    artifact: Artifact, offsets: NDArray[np.int64], is_weighted: bool
) -> tuple[GraphRows, Weights]:
    n_edges = int(offsets[-1])
    n_weights = n_edges if is_weighted else 0
    rows = GraphRows(offsets, np.empty(n_edges, np.int32))
    weights = Weights(
        np.empty(n_weights, np.uint32),
        np.empty(n_weights, np.int32),
        np.empty(n_weights, np.float32),
        np.empty(len(offsets) - 1 if is_weighted else 0, np.float64),
    )
    columns = ["target", "weight"] if is_weighted else ["target"]
    first = 0
    for batch in artifact.batches(schemas.EDGES, columns):
        end = first + batch.num_rows
        rows.targets[first:end] = batch.column("target").to_numpy()
        if is_weighted:
            weights.weights[first:end] = batch.column("weight").to_numpy()
        first = end
    return rows, weights
