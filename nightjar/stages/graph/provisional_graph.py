"""A graph and its walks in plain Python. Stands in until kernels do it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from nightjar.config import GraphCorpusConfig
from nightjar.core.stage import StageContext
from nightjar.errors import InputError
from nightjar.progress import Progress
from nightjar.sources.provisional_tables import write_tokens
from nightjar.store import Artifact, Staging, schemas

_HASHED = 1 << 64


def build_graph(
    config: GraphCorpusConfig, rows: Iterable[pa.Table], staging: Staging, progress: Progress
) -> None:
    """Write ``nodes``, ``edges`` and ``held_out``. Raises InputError without an edge."""
    del progress
    weights: dict[tuple[str, str], float] = {}
    counts = staging.counts
    for table in rows:
        for row in table.to_pylist():
            pair = (row["source"], row["target"])
            if not config.directed:
                pair = (min(pair), max(pair))
            if pair[0] == pair[1] and config.self_loops == "drop":
                counts["self_loops_dropped"] += 1
                continue
            counts["duplicate_edges"] += pair in weights
            weights[pair] = weights.get(pair, 0.0) + float(row.get("weight") or 1.0)
    if not weights:
        raise InputError("the graph has no edge: correct its sources")
    names = sorted({name for pair in weights for name in pair})
    place = {name: row for row, name in enumerate(names)}
    held = sorted(pair for pair in weights if _share(pair) < config.held_out)
    entries = []
    for (source, target), weight in weights.items():
        if _share((source, target)) >= config.held_out:
            entries.append((place[source], place[target], weight))
            if not config.directed and source != target:
                entries.append((place[target], place[source], weight))
    entries.sort()
    edges = np.array(entries, np.float64).reshape(-1, 3)
    n_out = np.bincount(edges[:, 0].astype(int), minlength=len(names))
    n_in = np.bincount(edges[:, 1].astype(int), minlength=len(names))
    strength = np.bincount(edges[:, 0].astype(int), edges[:, 2], minlength=len(names))
    staging.write("nodes", pa.table([names, n_out, n_in, strength], schema=schemas.NODES_SCHEMA))
    columns = [
        pa.array(edges[:, 0].astype(np.int32)),
        pa.array(edges[:, 1].astype(np.int32)),
        pa.array(edges[:, 2].astype(np.float32)),
    ]
    staging.write("edges", pa.table(columns, schema=schemas.EDGES_SCHEMA))
    pairs = np.array([(place[a], place[b]) for a, b in held], np.int32).reshape(-1, 2)
    columns = [pa.array(pairs[:, 0]), pa.array(pairs[:, 1])]
    staging.write("held_out", pa.table(columns, schema=schemas.HELD_OUT_EDGES_SCHEMA))
    counts.update(nodes=len(names), edges=len(weights), held_out=len(held))


def _share(pair: tuple[str, str]) -> float:
    digest = hashlib.blake2b("\0".join(pair).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / _HASHED


def write_walks(config: GraphCorpusConfig, graph: Artifact, context: StageContext) -> None:
    """Write ``sentences`` and ``vocabulary`` of uniform walks."""
    names = graph.read("nodes", ["node"]).column("node").to_pylist()
    edges = graph.read("edges")
    source, target = (edges.column(name).to_numpy() for name in ("source", "target"))
    offsets = np.searchsorted(source, np.arange(len(names) + 1))
    generator = np.random.default_rng(config.walks.seed)
    walks = []
    for number in range(config.walks.per_node):
        for node in generator.permutation(len(names)).tolist():
            walk = [node]
            while len(walk) < config.walks.length:
                first, last = offsets[walk[-1]], offsets[walk[-1] + 1]
                if first == last:
                    break
                walk.append(int(target[generator.integers(first, last)]))
            walks.append((f"{names[node]}/{number}", walk))
    write_tokens(context.staging, names, walks)
