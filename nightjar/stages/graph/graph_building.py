"""From rows of edges to the graph artifact: numbered nodes and the rows of the adjacency matrix."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.corpora import GraphCorpusConfig
from nightjar.errors import SourceError
from nightjar.kernels.edge_order import (
    add_up_rows,
    choose_held_out,
    count_edges,
    fill_rows,
    merge_duplicates,
)
from nightjar.progress import Progress
from nightjar.stages.graph.node_numbers import NodeNumbers, hashes_of
from nightjar.store import Staging, schemas
from nightjar.wording import counted

logger = logging.getLogger(__name__)

_BLOCK_ROWS = 1 << 20
"""Edges that are numbered at once."""
_GROUP_ROWS = 1 << 20
"""Edges in a row group of ``edges``."""
_DROPPED = {
    "self_loops_dropped": "rows with an edge of a node to itself, with self_loops: drop",
    "duplicate_edges": "rows with an edge that another row has; in an undirected graph also in the "
    "other direction",
    "isolated_nodes": "nodes without an edge to another node or, with self_loops: keep, to "
    "themselves: they are in the graph, but in no walk",
}


def build_graph(
    config: GraphCorpusConfig,
    rows: Iterable[pa.RecordBatch],
    staging: Staging,
    progress: Progress,
) -> None:
    """Write ``nodes``, ``edges`` and ``held_out`` of the graph artifact, counts and report.

    ``rows`` has the columns ``source`` and ``target`` (string) and, where a source has weights,
    ``weight`` (float64; a batch without that column has weights of 1). The tables do not depend on
    the order of the rows: nodes are sorted by id, edges by source and target, and of an edge given
    several times the weights are added or, with ``duplicate_edges: once``, the largest is kept.

    An undirected edge stands twice in ``edges``, a self-loop that is kept once. The report says
    ``is_weighted`` (if not, every weight is 1) and ``is_directed``.

    An edge is held out if a hash of its two ids, the same in both directions, is below
    ``held_out``, so the choice is the same every night and in directed graphs both directions are
    held out together. One rule is above that: where all edges of a node would be held out, the one
    with the largest hash stays, since a node without edges gets no vector. It may be held out on a
    later night, once its node has other edges. Self-loops are never held out.

    Memory: 8 bytes for each row and 16 more while edges are sorted (with weights 48 in all), 8 or
    16 for each undirected edge that is kept, and each distinct id twice. 10 M edges between a
    million nodes take about 500 MB.

    Raises SourceError when no edge is left, there is one node alone, a weight is not a positive
    number that fits into 32 bits, or an id is missing.
    """
    numbers = NodeNumbers()
    weights = _number(config, rows, numbers, progress)
    ids, row_of = numbers.sorted_ids()
    staging.counts["nodes"] = len(ids)
    progress.start("sort edges", None, "edges")
    edges = _edges(config, numbers, row_of, weights, staging)
    if not len(edges.keys) or len(ids) < 2:
        raise _nothing_left(config, staging, len(ids))
    held_out = _take_held_out(config, edges, ids)
    staging.counts["held_out"] = len(held_out)
    staging.counts["edges"] = len(edges.keys)
    _write(config, edges, ids, staging)
    columns = [pa.array((held_out // len(ids)).astype(np.int32)),
               pa.array((held_out % len(ids)).astype(np.int32))]  # fmt: skip
    staging.write(schemas.HELD_OUT, pa.table(columns, schema=schemas.HELD_OUT_EDGES_SCHEMA))
    staging.report["is_weighted"] = edges.weights is not None
    staging.report["is_directed"] = config.directed
    staging.report["dropped"] = _DROPPED


@dataclass(eq=False)
class _Edges:
    """Distinct edges: ascending keys source * n_nodes + target, and their weights, if any."""

    keys: NDArray[np.int64]
    weights: NDArray[np.float32] | None


def has_weights(config: GraphCorpusConfig) -> bool:
    """Whether a source of the corpus has weights."""
    return any("weight" in source.role_columns for source in config.sources.values())


def _number(
    config: GraphCorpusConfig,
    rows: Iterable[pa.RecordBatch],
    numbers: NodeNumbers,
    progress: Progress,
) -> list[NDArray[np.float64]] | None:
    """Give ``numbers`` all rows; returns the weights of its blocks, None if there are none."""
    progress.start("number nodes", None, "edges")
    weights: list[NDArray[np.float64]] | None = [] if has_weights(config) else None
    for block in _blocks(rows):
        sources = [batch.column("source").cast(pa.string()) for batch in block]
        targets = [batch.column("target").cast(pa.string()) for batch in block]
        if any(column.null_count for column in (*sources, *targets)):
            raise SourceError("a row of the edges has no source or no target; quarantine it")
        if weights is not None:
            weights.append(np.concatenate([_weights(batch) for batch in block]))
        numbers.add(sources, targets)
        progress.advance(sum(batch.num_rows for batch in block))
    return weights


def _blocks(rows: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    block: list[pa.RecordBatch] = []
    n_rows = 0
    for batch in rows:
        if batch.num_rows:
            block.append(batch)
            n_rows += batch.num_rows
        if n_rows >= _BLOCK_ROWS:
            yield block
            block, n_rows = [], 0
    if block:
        yield block


def _weights(batch: pa.RecordBatch) -> NDArray[np.float64]:
    if "weight" not in batch.schema.names:
        return np.ones(batch.num_rows)
    weights: NDArray[np.float64] = batch.column("weight").to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore", under="ignore"):
        is_wrong = ~((stored := weights.astype(np.float32)) > 0) | ~np.isfinite(stored)
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        source, target = (batch.column(name)[row].as_py() for name in ("source", "target"))
        raise SourceError(
            f"the edge from {source!r} to {target!r} has the weight {weights[row]}; a weight is a "
            f"positive number from 1e-45 to 3.4e38"
        )
    return weights


def _edges(
    config: GraphCorpusConfig,
    numbers: NodeNumbers,
    row_of: NDArray[np.int32],
    weights: list[NDArray[np.float64]] | None,
    staging: Staging,
) -> _Edges:
    """The distinct edges of all blocks, without self-loops if they are to be dropped."""
    keys: list[NDArray[np.int64]] = []
    n_rows = 0
    staging.counts["self_loops_dropped"] = 0
    for place, (sources, targets) in enumerate(numbers.take_blocks()):
        first, second = row_of[sources], row_of[targets]
        n_rows += len(first)
        if not config.directed:
            first, second = np.minimum(first, second), np.maximum(first, second)
        found = first * np.int64(len(row_of)) + second
        if config.self_loops == "drop":
            is_kept = first != second
            staging.counts["self_loops_dropped"] += int(len(found) - is_kept.sum())
            found = found[is_kept]
            if weights is not None:
                weights[place] = weights[place][is_kept]
        keys.append(found)
    staging.counts["rows"] = n_rows
    every = np.concatenate([np.zeros(0, np.int64), *keys])
    del keys
    is_summed = _is_summed(config)
    if weights is None:
        edges = _distinct(every, is_summed)
    else:
        edges = _merged(every, np.concatenate([np.zeros(0), *weights]), is_summed)
        weights.clear()
    staging.counts["duplicate_edges"] = len(every) - len(edges.keys)
    if edges.weights is not None and not np.isfinite(edges.weights).all():
        raise SourceError(
            "the weights of an edge that is given several times add up to more than 3.4e38; use "
            "duplicate_edges: once or smaller weights"
        )
    return edges


def _is_summed(config: GraphCorpusConfig) -> bool:
    if config.duplicate_edges == "auto":
        return has_weights(config)
    return config.duplicate_edges == "sum"


def _distinct(keys: NDArray[np.int64], is_summed: bool) -> _Edges:
    """Each edge once; its weight, if summed, is how often it is given. Sorts ``keys``."""
    keys.sort()
    is_first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    if not is_summed:
        return _Edges(keys[is_first], None)
    n_given = np.diff(np.flatnonzero(is_first), append=len(keys))
    return _Edges(keys[is_first], n_given.astype(np.float32))


def _merged(keys: NDArray[np.int64], weights: NDArray[np.float64], is_summed: bool) -> _Edges:
    order = np.argsort(keys)
    keys, weights = keys[order], weights[order]
    del order
    n_kept = merge_duplicates(keys, weights, is_summed)
    with np.errstate(over="ignore"):
        return _Edges(keys[:n_kept].copy(), weights[:n_kept].astype(np.float32))


def _take_held_out(
    config: GraphCorpusConfig, edges: _Edges, ids: pa.StringArray
) -> NDArray[np.int64]:
    """Remove the held-out edges from ``edges`` and return their keys."""
    if config.held_out == 0:
        return np.zeros(0, np.int64)
    is_held_out = np.empty(len(edges.keys), np.bool_)
    below = np.uint64(int(config.held_out * 2.0**64))
    choose_held_out(edges.keys, hashes_of(ids), below, is_held_out)
    held_out: NDArray[np.int64] = edges.keys[is_held_out]
    edges.keys = edges.keys[~is_held_out]
    if edges.weights is not None:
        edges.weights = edges.weights[~is_held_out]
    return held_out


def _write(config: GraphCorpusConfig, edges: _Edges, ids: pa.StringArray, staging: Staging) -> None:
    """Write ``nodes`` and ``edges``."""
    n_out, n_in = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    is_symmetric = not config.directed
    count_edges(edges.keys, is_symmetric, n_out, n_in)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(n_out)])
    is_weighted = edges.weights is not None
    targets = np.empty(offsets[-1], np.int32)
    row_weights = np.empty(offsets[-1] if is_weighted else 0, np.float32)
    stored = edges.weights if edges.weights is not None else np.zeros(0, np.float32)
    fill_rows(edges.keys, stored, is_symmetric, offsets[:-1].copy(), targets, row_weights)
    edges.keys, stored, edges.weights = edges.keys[:0], stored[:0], stored[:0]
    strength = n_out.astype(np.float64)
    if is_weighted:
        add_up_rows(offsets, row_weights, strength)
    else:
        edges.weights = None
    columns = [ids, *(pa.array(values) for values in (n_out, n_in, strength))]
    staging.write(schemas.NODES, pa.table(columns, schema=schemas.NODES_SCHEMA))
    with staging.writer(schemas.EDGES, schemas.EDGES_SCHEMA) as writer:
        for first in range(0, len(targets), _GROUP_ROWS):
            end = min(first + _GROUP_ROWS, len(targets))
            weights = row_weights[first:end] if is_weighted else np.ones(end - first, np.float32)
            arrays = [_sources(offsets, first, end), targets[first:end], weights]
            table = pa.table([pa.array(one) for one in arrays], schema=schemas.EDGES_SCHEMA)
            writer.write_table(table)
    staging.counts["isolated_nodes"] = int(np.sum((n_out == 0) & (n_in == 0)))
    staging.counts["nodes_no_edge_leaves"] = int(np.sum(n_out == 0))
    staging.report["most_edges"] = int(n_out.max())


def _sources(offsets: NDArray[np.int64], first: int, end: int) -> NDArray[np.int32]:
    """The source of each edge from ``first`` to before ``end``."""
    low, high = np.searchsorted(offsets, (first, end - 1), side="right") - 1
    bounds = np.clip(offsets[low : high + 2], first, end)
    return np.repeat(np.arange(low, high + 1, dtype=np.int32), np.diff(bounds))


def _nothing_left(config: GraphCorpusConfig, staging: Staging, n_nodes: int) -> SourceError:
    if n_nodes == 1 and config.self_loops == "keep":
        return SourceError("the graph has one node and models need at least two; check sources")
    n_rows, n_loops = staging.counts["rows"], staging.counts["self_loops_dropped"]
    if not n_rows:
        return SourceError("the graph has no edge: no source has a row that is one; check sources")
    return SourceError(
        f"no edge is left of {counted(n_rows, 'row')}: {n_loops} lead from a node to itself and "
        f"self_loops is drop; check which columns are source and target, or set self_loops: keep"
    )
