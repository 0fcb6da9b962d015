"""What vectors of Cora's nodes score: skip-gram on walks, and ProNE.

    python -m benchmarks.graphs_cora --json FILE [--data DIR] [--seeds 5]

The citation graph ``graph/cora`` below ``--data`` (edges.parquet: ``source``, ``target``;
labels.parquet: ``node``, ``label``): 2,708 papers, 5,278 undirected edges, 7 labels. Graph, walks,
trainers and benchmarks are those of a night, called one after the other.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.config import (
    GraphCorpusConfig,
    LinkPredictionBenchmark,
    NodeClassificationBenchmark,
    ProneConfig,
    TrainingConfig,
    Word2VecConfig,
)
from nightjar.core import StageContext
from nightjar.formats.embeddings import Embeddings
from nightjar.model.lookup import VectorModel
from nightjar.progress import SILENT
from nightjar.scoring.metrics import score
from nightjar.stages.evaluate.benchmark_items import BenchmarkItems, Examinee
from nightjar.stages.evaluate.link_prediction import HeldOutLinks
from nightjar.stages.evaluate.node_classification import LabelledNodes
from nightjar.stages.evaluate.word_table import WordTable
from nightjar.stages.graph.graph_building import build_graph
from nightjar.stages.graph.walks_writing import write_walks
from nightjar.stages.train import Lessons, train
from nightjar.stages.train.prone import NodeArtifacts, factorize
from nightjar.store import Artifact, Identity, Staging, Store, publish

DATA = Path(__file__).parents[2] / "shared" / "data"
SHARES = (0.1, 0.5, 0.9)
SPLITS = 10
HELD_OUT = 0.1
SEEDS = 5
SKIPGRAM: Mapping[str, Any] = {
    "vector_size": 128,
    "window": 10,
    "epochs": 1,
    "negative": 5,
    "ns_exponent": 0.0,
    "alpha": 0.025,
    "sample": 0.0,
    "min_count": 1,
}
WALKS: Mapping[str, Any] = {"per_node": 10, "length": 80}
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Vectors:
    """A model that knows nodes by their ids."""

    rows: Mapping[str, int]
    matrix: Floats

    @classmethod
    def of(cls, artifact: Artifact) -> _Vectors:
        found = Embeddings.from_artifact(artifact)
        return cls(found.ids, found.matrix)

    def vectors(self, nodes: Sequence[str], unknown: str) -> Floats:
        """The vector of each node, NaN where there is none."""
        del unknown
        rows = np.array([self.rows.get(node, -1) for node in nodes])
        found: Floats = self.matrix[rows].copy()
        found[rows < 0] = np.nan
        return found

    def scores(self, items: BenchmarkItems) -> dict[str, float]:
        """The value of each metric."""
        asked = Examinee(cast("VectorModel", self), cast("WordTable", None), seed=1)
        answers = items.answer(asked).answers
        covered = answers.only(answers.is_covered)
        found = {name: score(name, covered.values, covered.gold) for name in items.metrics}
        return {name: float("nan") if value is None else value for name, value in found.items()}


class _Night:
    """The stages of one graph, in a store of its own."""

    def __init__(self, root: Path, edges: pa.Table, held_out: float) -> None:
        self._root = root
        self._held_out = held_out
        self._n_made = 0
        rows = edges.to_batches()
        config = self._config(1)
        self.graph = self._made("graph", lambda c: build_graph(config, rows, c.staging, SILENT))

    def _config(self, seed: int) -> GraphCorpusConfig:
        return GraphCorpusConfig.model_validate(
            {
                "kind": "graph",
                "sources": {"cora": {"type": "parquet", "path": "edges.parquet"}},
                "held_out": self._held_out,
                "walks": {**WALKS, "seed": seed},
            }
        )

    def _made(self, stage: str, write: Callable[[StageContext], None]) -> Artifact:
        self._n_made += 1
        identity = Identity(stage, f"cora-{self._held_out}-{self._n_made}", {})

        def write_staging(staging: Staging) -> None:
            write(StageContext(identity=identity, staging=staging, n_workers=2))

        return Store(self._root).open(publish(self._root, identity, write_staging))

    def walks(self, seed: int) -> Artifact:
        """Tokens."""
        return self._made("tokens", lambda c: write_walks(self._config(seed), self.graph, c))

    def skipgram(self, seed: int) -> Artifact:
        """Embeddings of walks."""
        tokens = self.walks(seed)
        model = Word2VecConfig.model_validate({"trainer": "word2vec", **SKIPGRAM, "seed": seed})
        training = TrainingConfig()
        return self._made(
            "embeddings", lambda c: train("skipgram", model, training, Lessons(tokens), c)
        )

    def prone(self, seed: int) -> Artifact:
        """Embeddings without walks, except for the order of the nodes."""
        artifacts = NodeArtifacts(self.graph, self.walks(1))
        model = ProneConfig(trainer="prone", seed=seed)
        return self._made("embeddings", lambda c: factorize("prone", model, artifacts, c))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures, under the key ``cora``."""
    folder = Path(arguments.data) / "graph" / "cora"
    edges = pq.read_table(folder / "edges.parquet", columns=["source", "target"])
    figures: dict[str, Any] = {"settings": {"skipgram": dict(SKIPGRAM), "walks": dict(WALKS)}}
    labels = {share: _labels(folder / "labels.parquet", share) for share in SHARES}
    with tempfile.TemporaryDirectory() as directory:
        whole = _Night(Path(directory), edges, 0.0)
        part = _Night(Path(directory), edges, HELD_OUT)
        config = LinkPredictionBenchmark(type="link_prediction")
        links = HeldOutLinks.held_out(part.graph, config, seed=1)
        for name in ("skipgram", "prone"):
            runs = []
            for seed in range(1, getattr(arguments, "seeds", SEEDS) + 1):
                started = time.process_time()
                vectors = _Vectors.of(getattr(whole, name)(seed))
                seconds = time.process_time() - started
                found = {f"f1/{share}": vectors.scores(items) for share, items in labels.items()}
                found["links"] = _Vectors.of(getattr(part, name)(seed)).scores(links)
                runs.append((seconds, found))
            figures[name] = _summed_up(runs)
    return {"cora": figures}


def _labels(path: Path, share: float) -> LabelledNodes:
    config = NodeClassificationBenchmark(
        type="node_classification", path=str(path), train_share=share, splits=SPLITS
    )
    return LabelledNodes.read(path, config)


def _summed_up(runs: Sequence[tuple[float, Mapping[str, Mapping[str, float]]]]) -> dict[str, Any]:
    def over_seeds(part: str, metric: str) -> dict[str, Any]:
        values = [found[part][metric] for _, found in runs]
        ends = [round(min(values), 4), round(max(values), 4)]
        return {"mean": round(float(np.mean(values)), 4), "range": ends}

    seconds = [seconds for seconds, _ in runs[1:]]
    return {
        "f1": {
            str(share): {
                metric.removesuffix("_f1"): over_seeds(f"f1/{share}", metric)
                for metric in ("micro_f1", "macro_f1")
            }
            for share in SHARES
        },
        "links": {metric: over_seeds("links", metric) for metric in ("auc", "average_precision")},
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
