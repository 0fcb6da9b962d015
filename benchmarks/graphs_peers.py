"""Walks of fastnode2vec and node2vec, for :mod:`benchmarks.graphs_speed`.

Runs in an interpreter that has the packages: ``graphs_peers.py ENGINE DIRECTORY SETTINGS``. Prints
JSON: steps, seconds by the clock and by the processors, for each kind of walk.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


def peak_rss_mb() -> float:
    """Peak memory of this process; ru_maxrss would begin with that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


class Clock:
    """Seconds of the block, by the clock and by the processors."""

    def __enter__(self) -> Clock:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began[0]
        self.processor_seconds = time.process_time() - self._began[1]


def fastnode2vec(directory: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Its compiled walk, in threads as gensim's workers call it, and the function around it.

    The function also looks up the names of nodes. The graph is put into its object as arrays: from
    tuples, as it reads a graph, 10 M edges take minutes and gigabytes.
    """
    package = import_module("fastnode2vec.graph")
    compiled_walk = package._random_walk  # noqa: SLF001  # the function around it looks up names
    arrays = np.load(directory / "rows.npz")
    graph = package.Graph.__new__(package.Graph)
    graph.weighted = False
    graph.indptr, graph.indices = arrays["offsets"].astype(np.int32), arrays["targets"]
    graph.node_names = np.arange(len(graph.indptr) - 1).astype(str)
    rows, length = (graph.indptr, graph.indices), settings["length"]
    found: dict[str, Any] = {}
    starts = np.random.default_rng(1).permutation(len(graph.indptr) - 1)
    for name, (p, q) in settings["walks"].items():
        n_walks = settings["peer_walks"]
        walks = {
            name: lambda start, p=p, q=q: len(compiled_walk(*rows, length, p, q, start)),
            f"{name}_with_names": lambda start, p=p, q=q: len(
                graph.generate_random_walk(length, p, q, start)
            ),
        }
        for key, walk in walks.items():
            chosen = [int(start) for start in np.resize(starts, n_walks)]
            walk(chosen[0])

            def some(part: list[int], walk: Any = walk) -> int:
                return sum(walk(start) - 1 for start in part)

            n_threads = settings["workers"]
            with ThreadPoolExecutor(n_threads) as threads, Clock() as clock:
                parts = [chosen[thread::n_threads] for thread in range(n_threads)]
                steps = sum(threads.map(some, parts))
            found[key] = _figures(steps, clock)
    return found


def node2vec(directory: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Its walks from every node, and beside them its tables of transitions."""
    pairs = np.load(directory / "part.npy")
    graph = import_module("networkx").Graph()
    graph.add_edges_from(pairs.tolist())
    p, q = settings["walks"]["second_order"]
    options = {"walk_length": settings["length"], "num_walks": settings["node2vec_walks"]}
    with Clock() as clock:
        made = import_module("node2vec").Node2Vec(
            graph, p=p, q=q, workers=settings["workers"], quiet=True, **options
        )
    both = clock.seconds
    # Making one makes the tables and walks; so the walks are done again.
    with Clock() as clock:
        walks = made._generate_walks()  # noqa: SLF001  # its only way to walk
    found = _figures(sum(len(walk) - 1 for walk in walks), clock)
    return {"part": found, "part_tables": {"seconds": both - clock.seconds}}


def _figures(steps: int, clock: Clock) -> dict[str, float]:
    return {
        "steps": steps,
        "seconds": clock.seconds,
        "processor_seconds": clock.processor_seconds,
    }


def main() -> None:
    """Run the engine that the first argument names."""
    engine, directory, settings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    engines = {"fastnode2vec": fastnode2vec, "node2vec": node2vec}
    found = engines[engine](directory, settings)
    print(json.dumps({"runs": found, "peak_rss_mb": peak_rss_mb()}))


if __name__ == "__main__":
    main()
