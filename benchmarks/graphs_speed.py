"""How fast and in how much memory a generated graph is built and walked, beside other packages.

The graph has power-law degrees (Chung and Lu, "Connected components in random graphs with given
expected degree sequences", 2002): an edge's nodes are drawn in proportion to expected degrees with
exponent 2.5. Every measurement is a process of its own; engines take turns, figures are medians.
Walks of first order have p = q = 1, those of second order p = 0.5 and q = 2. node2vec's tables do
not fit into memory for the whole graph, so it and Nightjar walk over a part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.corpora import GraphCorpusConfig, WalksConfig
from nightjar.core import StageContext
from nightjar.progress import SILENT
from nightjar.stages.graph.graph_building import build_graph
from nightjar.stages.graph.graph_loading import WalkableGraph
from nightjar.stages.graph.walks_writing import write_walks
from nightjar.store import Artifact, Identity, Store, publish

ROOT = Path(__file__).resolve().parents[1]
_EXPONENT = 2.5
_SHIFT = 10.0
"""Flattens the largest degrees, so that no node has edges to most others."""
_NODES_PER_EDGE = 0.1
_BATCH_EDGES = 1 << 18


def power_law_edges(
    n_nodes: int, n_edges: int, seed: int = 1
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Distinct undirected edges without self-loops, in random order, between numbered nodes."""
    draw = np.random.default_rng(seed)
    power = 1 - 1 / (_EXPONENT - 1)
    low, high = _SHIFT**power, (n_nodes + _SHIFT) ** power

    def nodes(n: int) -> NDArray[np.int64]:
        found = (low + draw.random(n) * (high - low)) ** (1 / power) - _SHIFT
        return np.minimum(found.astype(np.int64), n_nodes - 1)

    keys = np.zeros(0, np.int64)
    while len(keys) < n_edges:
        n = int(1.1 * (n_edges - len(keys))) + 100
        first, second = nodes(n), nodes(n)
        found = np.minimum(first, second) * n_nodes + np.maximum(first, second)
        keys = np.unique(np.concatenate([keys, found[first != second]]))
    keys = draw.permutation(keys)[:n_edges]
    number_of = draw.permutation(n_nodes).astype(np.int32)
    return number_of[keys // n_nodes], number_of[keys % n_nodes]


def part_of(
    sources: NDArray[np.int32], targets: NDArray[np.int32], n_nodes: int
) -> NDArray[np.int32]:
    """The edges between nodes with many edges, without the largest hubs; shape (n_edges, 2).

    node2vec has an entry for each pair of neighbouring edges, and hubs have millions.
    """
    degrees = np.bincount(sources, minlength=n_nodes) + np.bincount(targets, minlength=n_nodes)
    order = np.argsort(-degrees, kind="stable")
    is_in = np.zeros(n_nodes, np.bool_)
    is_in[order[n_nodes // 1000 : n_nodes // 1000 + max(40, n_nodes // 200)]] = True
    is_inside = is_in[sources] & is_in[targets]
    return np.stack([sources[is_inside], targets[is_inside]], axis=1)


def build(directory: Path, name: str) -> dict[str, Any]:
    """Build the graph artifact of ``name.npy`` below ``directory``."""
    pairs = np.load(directory / f"{name}.npy", mmap_mode="r")

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, len(pairs), _BATCH_EDGES):
            columns = [
                pa.array(np.ascontiguousarray(pairs[first : first + _BATCH_EDGES, side]))
                for side in (0, 1)
            ]
            yield pa.record_batch(
                {
                    role: column.cast(pa.string())
                    for role, column in zip(("source", "target"), columns, strict=True)
                }
            )

    source = {"type": "text", "path": "generated"}
    config = GraphCorpusConfig.model_validate({"kind": "graph", "sources": {"all": source}})
    with _Clock() as clock:
        publish(
            directory / "artifacts",
            Identity("graph", name, {}),
            lambda staging: build_graph(config, batches(), staging, SILENT),
        )
    return {"build": {"edges": len(pairs), **clock.figures}}


def walk(directory: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Draw walks of both orders over the graph ``name``, without writing them."""
    artifact = _graph(directory, name)
    found: dict[str, Any] = {}
    for order, (p, q) in settings["walks"].items():
        config = WalksConfig(p=p, q=q, length=settings["length"], per_node=10_000)
        with _Clock() as clock:
            graph = WalkableGraph.load(artifact, config)
        found[f"{order}_load"] = clock.figures
        n_walks = min(settings["our_walks"], graph.n_walks)
        size = min(10_000, -(-n_walks // settings["workers"]))
        graph.walk(0, 10)  # compiled

        def some(first: int, graph: WalkableGraph = graph, size: int = size) -> int:
            walks = graph.walk(first, size)
            return int(np.count_nonzero(walks >= 0)) - len(walks)

        with ThreadPoolExecutor(settings["workers"]) as threads, _Clock() as clock:
            steps = sum(threads.map(some, range(0, n_walks - size + 1, size)))
        found[order] = {"steps": steps, **clock.figures}
        del graph
    return found


def write(directory: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Make the tokens artifact of one walk from each node, of first order."""
    artifact = _graph(directory, name)
    source = {"type": "text", "path": "generated"}
    walks = {"per_node": 1, "length": settings["length"]}
    config = GraphCorpusConfig.model_validate(
        {"kind": "graph", "sources": {"all": source}, "walks": walks}
    )
    identity = Identity("tokens", name, {})
    with _Clock() as clock:
        ref = publish(
            directory / "artifacts",
            identity,
            lambda staging: write_walks(
                config,
                artifact,
                StageContext(identity, staging, n_workers=settings["workers"]),
            ),
        )
    manifest = json.loads((Path(ref.path) / "manifest.json").read_text(encoding="utf-8"))
    shutil.rmtree(ref.path)
    return {"write": {"steps": manifest["counts"]["tokens"], **clock.figures}}


def _graph(directory: Path, name: str) -> Artifact:

    store = Store(directory / "artifacts")
    return store.open(store.ref("graph", Identity("graph", name, {}).version))


class _Clock:
    def __enter__(self) -> _Clock:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.figures = {
            "seconds": time.perf_counter() - self._began[0],
            "processor_seconds": time.process_time() - self._began[1],
        }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of :mod:`benchmarks.graphs`: speed, ratios to the peers, memory, every run."""
    settings = {
        "edges": arguments.edges,
        "workers": arguments.workers,
        "length": 80,
        "walks": {"first_order": (1.0, 1.0), "second_order": (0.5, 2.0)},
        "our_walks": min(200_000, arguments.edges // 10),
        "peer_walks": min(30_000, arguments.edges // 50),
        "node2vec_walks": 2,
    }
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        part_settings = settings | _generate(directory, settings)
        for graph in ("whole", "part"):
            runs[f"build_{graph}"] = [_ours("build", directory, graph)]
        turns = [("ours", "whole"), ("ours", "part")]
        if arguments.peers is not None:
            turns += [("fastnode2vec", ""), ("node2vec", "")]
        for _ in range(arguments.repeats):
            for engine, graph in turns:
                found = (
                    _ours("walk", directory, graph, part_settings)
                    if engine == "ours"
                    else _peer(arguments.peers, engine, directory, part_settings)
                )
                runs.setdefault(f"{engine}_{graph}".strip("_"), []).append(found)
            runs.setdefault("write", []).append(_ours("write", directory, "whole", settings))
    figures = _summary(runs) | {"settings": part_settings, "runs": runs}
    _show(figures)
    return figures


def _generate(directory: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Write the edges of the graph and of the part, and the rows that fastnode2vec takes."""
    n_edges = settings["edges"]
    n_nodes = max(50, int(n_edges * _NODES_PER_EDGE))
    sources, targets = power_law_edges(n_nodes, n_edges)
    np.save(directory / "whole.npy", np.stack([sources, targets], axis=1))
    part = part_of(sources, targets, n_nodes)
    np.save(directory / "part.npy", part)
    keys = np.concatenate([sources, targets]) * np.int64(n_nodes)
    keys += np.concatenate([targets, sources])
    keys.sort()
    degrees = np.bincount(keys // n_nodes, minlength=n_nodes)
    offsets = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int32)
    np.savez(directory / "rows.npz", offsets=offsets, targets=(keys % n_nodes).astype(np.int32))
    return {
        "nodes": n_nodes,
        "largest_degree": int(degrees.max()),
        "part_nodes": len(np.unique(part)),
        "part_edges": len(part),
    }


def _ours(
    what: str, directory: Path, graph: str, settings: dict[str, Any] | None = None
) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.graphs_speed", what, str(directory), graph]
    return _run([*command, json.dumps(settings)])


def _peer(peers: Path, engine: str, directory: Path, settings: dict[str, Any]) -> dict[str, Any]:
    python = peers / "bin" / "python" if peers.is_dir() else peers
    script = str(Path(__file__).with_name("graphs_peers.py"))
    return _run([str(python), script, engine, str(directory), json.dumps(settings)])


def _run(command: list[str]) -> dict[str, Any]:
    load = os.getloadavg()[0]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"load": load}


def _summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Steps a second by the clock and a processor second, and ratios of processor seconds.

    Other work on the machine takes processors away from both sides by chance, so ratios are of
    steps a processor second.
    """

    def rate(engine: str, what: str, seconds: str) -> float | None:
        found = [
            run["runs"][what]["steps"] / run["runs"][what][seconds] for run in runs.get(engine, [])
        ]
        return statistics.median(found) if found else None

    def ratio(ours: str, peer: str, what: tuple[str, str], seconds: str) -> float | None:
        mine, theirs = rate(ours, what[0], seconds), rate(peer, what[1], seconds)
        return None if mine is None or theirs is None else mine / theirs

    orders = ("first_order", "second_order")
    whole = [*runs["ours_whole"], *runs["write"]]
    return {
        "speed_ratio": {
            "fastnode2vec": ratio(
                "ours_whole", "fastnode2vec", (orders[1], orders[1]), "processor_seconds"
            ),
            # Its walks run in processes of joblib, whose processor seconds are not its own.
            "node2vec": ratio("ours_part", "node2vec", (orders[1], "part"), "seconds"),
        },
        "speed_ratio_first_order": {
            "fastnode2vec": ratio(
                "ours_whole", "fastnode2vec", (orders[0], orders[0]), "processor_seconds"
            )
        },
        "steps_per_second": {order: rate("ours_whole", order, "seconds") for order in orders},
        "steps_per_processor_second": {
            order: rate("ours_whole", order, "processor_seconds") for order in orders
        },
        "written_steps_per_second": rate("write", "write", "seconds"),
        "peer_steps_per_second": {
            "fastnode2vec": {order: rate("fastnode2vec", order, "seconds") for order in orders},
            "node2vec": rate("node2vec", "part", "seconds"),
        },
        "build_seconds": runs["build_whole"][0]["runs"]["build"]["seconds"],
        "build_peak_rss_mb": runs["build_whole"][0]["peak_rss_mb"],
        "peak_rss_mb": max(run["peak_rss_mb"] for run in whole),
    }


def _show(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        if name not in ("runs", "settings"):
            print(f"{name}: {value}")


def main() -> None:
    """Run one measurement in this process: ``build``, ``walk`` or ``write``."""
    what, directory, graph, settings = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    chosen = json.loads(settings)
    if what == "build":
        found = build(directory, graph)
    else:
        found = (walk if what == "walk" else write)(directory, graph, chosen)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    print(json.dumps({"runs": found, "peak_rss_mb": peak}))


if __name__ == "__main__":
    main()
