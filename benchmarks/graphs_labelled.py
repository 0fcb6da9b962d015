"""What vectors of the nodes of any graph say about its labels, by the share of known labels.

    python -m benchmarks.graphs_labelled --graph EDGES --labels LABELS --json FILE

``EDGES`` is Parquet with ``source`` and ``target`` (and ``weight``), undirected; ``LABELS`` what a
benchmark of type ``node_classification`` reads: ``node`` and ``label``, a row for each label of a
node. Graph, walks, trainers and benchmarks are those of a night. Nothing of it is downloaded.

Skip-gram on walks and ProNE, each with the settings that a user gets who writes none; ``--model``
sets others (JSON with a ``trainer``; repeatable), ``--walks`` those of the walks. ``mean`` is over
trainings with other seeds, ``range`` their least and most. Seconds are processor time, of the
threads together.

``--tune`` shows other splits than those that are reported: half of the labelled nodes, by a hash,
split again. Choose settings with it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.graph_trainings import Settings, TrainedGraph, labelled_nodes, over_seeds
from nightjar.stages.evaluate.benchmark_files import read_table
from nightjar.stages.evaluate.node_classification import LabelledNodes

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MODELS: Sequence[Settings] = ({"trainer": "word2vec"}, {"trainer": "prone"})


def main() -> None:
    """Measure, print a table for each model and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graph", type=Path, required=True, help="edges")
    parser.add_argument("--labels", type=Path, required=True, help="of nodes")
    parser.add_argument("--json", type=Path, help="where figures go")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each model")
    parser.add_argument("--model", type=json.loads, action="append", help="default: both")
    parser.add_argument("--walks", type=json.loads, default={}, help="settings of the walks")
    parser.add_argument("--tune", action="store_true", help="other splits, to choose settings by")
    arguments = parser.parse_args()
    found = measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of each model."""
    edges = pq.read_table(arguments.graph)
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        labels = arguments.labels
        if arguments.tune:
            labels = half_of(labels, Path(directory) / "half.parquet")
        tests = {s: labelled_nodes(labels, s, arguments.splits) for s in arguments.shares}
        graph = TrainedGraph(Path(directory), edges, walks=arguments.walks)
        for settings in arguments.model or MODELS:
            found = of_model(graph, settings, tests, arguments.seeds)
            figures.append(found)
            print(table(found), flush=True)
    return {
        "labelled": figures,
        "walks": arguments.walks,
        "counts": dict(graph.graph.manifest.counts),
    }


def of_model(
    graph: TrainedGraph, settings: Settings, tests: Mapping[float, LabelledNodes], seeds: int
) -> dict[str, Any]:
    """F1 by share, and the processor seconds of trainings and of judging."""
    runs, training, judging = [], [], []
    for seed in range(1, seeds + 1):
        started = time.process_time()
        vectors = graph.vectors(settings, seed)
        trained = time.process_time()
        runs.append({share: vectors.scores(test) for share, test in tests.items()})
        training.append(trained - started)
        judging.append(time.process_time() - trained)
    return {
        "settings": dict(settings),
        "seeds": seeds,
        "f1": {
            str(share): {
                metric.removesuffix("_f1"): over_seeds([run[share][metric] for run in runs])
                for metric in ("micro_f1", "macro_f1")
            }
            for share in tests
        },
        "training_seconds": round(float(np.median(training)), 1),
        "judging_seconds": round(float(np.median(judging)), 1),
    }


def half_of(labels: Path, path: Path) -> Path:
    """A file of labels of the nodes whose hash is even."""
    read = read_table(labels, texts=("node", "label"), of="node with its label")
    pairs = zip(read.texts("node"), read.texts("label"), strict=True)
    kept = [pair for pair in pairs if zlib.crc32(pair[0].encode()) % 2 == 0]
    nodes, names = zip(*kept, strict=True) if kept else sys.exit("too few nodes to tune with")
    pq.write_table(pa.table({"node": nodes, "label": names}), path)
    return path


def table(found: Mapping[str, Any]) -> str:
    """The scores as text."""
    lines = [f"{json.dumps(found['settings'])}: mean of {found['seeds']} seeds"]
    for metric in ("micro", "macro"):
        values = [f"{100 * at[metric]['mean']:6.2f}" for at in found["f1"].values()]
        lines.append(f"{metric:<6}" + "".join(values))
    lines.append(
        f"processor seconds: training {found['training_seconds']}, "
        f"judging {found['judging_seconds']}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
