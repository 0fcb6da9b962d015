"""What vectors of Cora's nodes score: skip-gram on walks, and ProNE.

    python -m benchmarks.graphs_cora --json FILE [--data DIR] [--seeds 5]

The citation graph ``graph/cora`` below ``--data`` (edges.parquet: ``source``, ``target``;
labels.parquet: ``node``, ``label``): 2,708 papers, 5,278 undirected edges, 7 labels. Graph, walks,
trainers and benchmarks are those of a night, with the settings of one who writes none.

- ``f1``: micro and macro F1 of node classification by the share of nodes that labels are known of,
  10 splits, on vectors of the whole graph.
- ``links``: AUC and average precision of link prediction, on vectors of the graph without a tenth
  of its edges.

``mean`` is over trainings with other seeds (of walks and models), ``range`` their least and most.
Splits, held-out edges and pairs without an edge are the same in all. Settings were chosen on other
held-out edges and other splits (docs/experiments.md). ``cpu_seconds``: walks and training, in
processor time, of one training on the whole graph; the first one compiles and is left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.graph_trainings import Settings, TrainedGraph, labelled_nodes, over_seeds
from nightjar.config import LinkPredictionBenchmark
from nightjar.stages.evaluate.link_prediction import HeldOutLinks

DATA = Path(__file__).parents[2] / "shared" / "data"
SHARES = (0.1, 0.5, 0.9)
SPLITS = 10
HELD_OUT = 0.1
SEEDS = 5
MODELS: Mapping[str, Settings] = {
    "skipgram": {"trainer": "word2vec"},
    "prone": {"trainer": "prone"},
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures, under the key ``cora``."""
    folder = Path(arguments.data) / "graph" / "cora"
    edges = pq.read_table(folder / "edges.parquet", columns=["source", "target"])
    figures: dict[str, Any] = {}
    labels = {share: labelled_nodes(folder / "labels.parquet", share, SPLITS) for share in SHARES}
    with tempfile.TemporaryDirectory() as directory:
        whole = TrainedGraph(Path(directory), edges)
        part = TrainedGraph(Path(directory), edges, HELD_OUT)
        config = LinkPredictionBenchmark(type="link_prediction")
        links = HeldOutLinks.held_out(part.graph, config, seed=1)
        for name, settings in MODELS.items():
            runs = []
            for seed in range(1, getattr(arguments, "seeds", SEEDS) + 1):
                started = time.process_time()
                vectors = whole.vectors(settings, seed)
                seconds = time.process_time() - started
                found = {f"f1/{share}": vectors.scores(items) for share, items in labels.items()}
                found["links"] = part.vectors(settings, seed).scores(links)
                runs.append((seconds, found))
            figures[name] = _summed_up(runs)
    return {"cora": figures}


def _summed_up(runs: Sequence[tuple[float, Mapping[str, Mapping[str, float]]]]) -> dict[str, Any]:
    def scores(part: str, metric: str) -> dict[str, Any]:
        return over_seeds([found[part][metric] for _, found in runs])

    seconds = [seconds for seconds, _ in runs[1:]]
    return {
        "f1": {
            str(share): {
                metric.removesuffix("_f1"): scores(f"f1/{share}", metric)
                for metric in ("micro_f1", "macro_f1")
            }
            for share in SHARES
        },
        "links": {metric: scores("links", metric) for metric in ("auc", "average_precision")},
        "cpu_seconds": round(float(np.median(seconds)), 2) if seconds else None,
        "seeds": len(runs),
    }


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where figures go")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="trainings of each model")
    arguments = parser.parse_args()
    arguments.json.write_text(json.dumps(measure(arguments), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
