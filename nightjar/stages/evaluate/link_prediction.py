"""Link prediction: whether edges that no model saw have nearer ends than pairs without an edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import LinkPredictionBenchmark
from nightjar.errors import BenchmarkError
from nightjar.model.lookup.nearest import unit_rows
from nightjar.scoring.metrics import AUC, AVERAGE_PRECISION
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_items import Answered, CorpusItems, Examinee
from nightjar.store import Artifact, schemas
from nightjar.wording import counted

_BLOCK_PAIRS = 20_000
"""Whose vectors are in memory at once."""
_TRIES = 50
"""Times as many pairs are drawn at most as are wanted."""


@dataclass(frozen=True, eq=False)
class HeldOutLinks(CorpusItems):
    """Item i is the pair ``ends[i]`` of numbers of ``nodes``, an edge where ``is_edge[i]``.

    The pairs that are no edges are drawn evenly from all pairs of nodes with edges, neither of
    which is an edge, in the graph or held out, in either direction. ``is_connected[i]`` says
    whether both ends have an edge left in the graph: otherwise no model can know anything about the
    pair, and it is not covered. For the bootstrap the nodes are drawn, and a pair counts by the
    product of its ends, as pairs of a node are not independent.
    """

    metrics = (AUC, AVERAGE_PRECISION)
    stage = schemas.GRAPH
    nodes: tuple[str, ...]
    ends: NDArray[np.int64]
    is_edge: NDArray[np.bool_]
    is_connected: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def item_names(self) -> Sequence[str]:
        """The two nodes of each pair."""
        return [f"{self.nodes[a]} - {self.nodes[b]}" for a, b in self.ends.tolist()]

    @classmethod
    def held_out(cls, corpus: Artifact, config: LinkPredictionBenchmark, seed: int) -> Self:
        """The held-out edges of the graph and as many pairs that are no edges, drawn by ``seed``.

        Of more than ``max_edges`` a sample. In memory: the edges, 8 bytes each, and the names of
        the nodes. Raises BenchmarkError when no edge is held out, or nearly all pairs are edges.
        """
        held = corpus.read(schemas.HELD_OUT)
        if not len(held):
            raise BenchmarkError(
                f"{corpus.ref} holds no edges out, since each node keeps one at least: raise "
                f"held_out of the corpus, add edges, or take the benchmark out"
            )
        edges = corpus.read(schemas.EDGES, ["source", "target"])
        names = corpus.read(schemas.NODES, ["node"]).column("node")
        codes = [_codes(_pairs(part), len(names)) for part in (edges, held)]
        taken = np.unique(np.concatenate(codes))
        has_edge = np.zeros(len(names), np.bool_)
        has_edge[_pairs(edges).ravel()] = True
        generator = np.random.default_rng(seed)
        chosen = _pairs(held)
        if len(chosen) > config.max_edges:
            rows = generator.choice(len(chosen), config.max_edges, replace=False)
            chosen = chosen[np.sort(rows)]
        n_wanted = max(1, int(has_edge[chosen].all(axis=1).sum()))
        others = _without_edge(np.flatnonzero(has_edge), taken, len(names), n_wanted, generator)
        if len(others) < n_wanted:
            raise BenchmarkError(
                f"{corpus.ref}: nearly all pairs of its {counted(len(names), 'node')} are edges, "
                f"so there are no {n_wanted} pairs without one to compare with; take the benchmark "
                f"out"
            )
        ends = np.concatenate([chosen, others])
        used, places = np.unique(ends, return_inverse=True)
        return cls(
            nodes=tuple(names.take(used).to_pylist()),
            ends=places.reshape(ends.shape),
            is_edge=np.arange(len(ends)) < len(chosen),
            is_connected=has_edge[ends].all(axis=1),
        )

    def answer(self, asked: Examinee) -> Answered:
        """The cosine of the two vectors of each pair; a vector of zeros has 0 with all.

        Pairs with a node that the model does not know are not covered. Neither ``max_vocabulary``
        nor ``case_insensitive`` apply. In memory: the vectors of the nodes.
        """
        units = unit_rows(asked.model.vectors(self.nodes, unknown="nan"))
        found = np.full(len(self), np.nan)
        for start in range(0, len(self), _BLOCK_PAIRS):
            some = slice(start, start + _BLOCK_PAIRS)
            left, right = units[self.ends[some, 0]], units[self.ends[some, 1]]
            found[some] = np.einsum("ij,ij->i", left, right, dtype=np.float64)
        found[~self.is_connected] = np.nan
        asked.advance(len(self))
        is_known = ~np.isnan(units[:, 0])
        missing = [node for node, known in zip(self.nodes, is_known, strict=True) if not known]
        return Answered(Answers(found, self.is_edge.astype(np.float64), self.ends), missing)


def _pairs(edges: pa.Table) -> NDArray[np.int64]:
    """The two ends of each edge, (n, 2)."""
    columns = [edges.column(name).to_numpy() for name in ("source", "target")]
    return np.stack(columns, axis=1).astype(np.int64)


def _codes(pairs: NDArray[np.int64], n_nodes: int) -> NDArray[np.int64]:
    """One number for each pair, the same in either direction."""
    codes: NDArray[np.int64] = pairs.min(axis=1) * n_nodes + pairs.max(axis=1)
    return codes


def _without_edge(
    nodes: NDArray[np.int64],
    taken: NDArray[np.int64],
    n_nodes: int,
    n_wanted: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Different pairs of different ``nodes`` whose codes are not ``taken``, (n_wanted, 2).

    Fewer where :data:`_TRIES` times as many draws do not find them.
    """
    found = np.zeros((0, 2), np.int64)
    for _ in range(_TRIES):
        missing = n_wanted - len(found)
        if missing <= 0 or len(nodes) < 2:
            break
        drawn = nodes[generator.integers(0, len(nodes), (missing, 2))]
        drawn = drawn[drawn[:, 0] != drawn[:, 1]]
        drawn = drawn[~np.isin(_codes(drawn, n_nodes), taken)]
        both = np.concatenate([found, drawn])
        _, first = np.unique(_codes(both, n_nodes), return_index=True)
        found = both[np.sort(first)]
    return found[:n_wanted]
