"""Graph, walks, vectors and scores as a night makes them, one function after the other.

Settings that are not given are those that a user gets who does not write them: of the section, and
for models of graphs of ``nightjar/config/kind_defaults.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import (
    GraphCorpusConfig,
    NodeClassificationBenchmark,
    ProneConfig,
    TrainingConfig,
    Word2VecConfig,
)
from nightjar.config.kind_defaults import DEFAULTS
from nightjar.core import StageContext
from nightjar.formats.embeddings import Embeddings
from nightjar.model.lookup import VectorModel
from nightjar.progress import SILENT
from nightjar.scoring.metrics import score
from nightjar.stages.evaluate.benchmark_items import BenchmarkItems, Examinee
from nightjar.stages.evaluate.node_classification import LabelledNodes
from nightjar.stages.evaluate.word_table import WordTable
from nightjar.stages.graph.graph_building import build_graph
from nightjar.stages.graph.walks_writing import write_walks
from nightjar.stages.train import Lessons, train
from nightjar.stages.train.prone import NodeArtifacts, factorize
from nightjar.store import Artifact, Identity, Staging, Store, publish

Floats = NDArray[np.float32]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class NodeVectors:
    """A model that knows nodes by their ids."""

    rows: Mapping[str, int]
    matrix: Floats

    @classmethod
    def of(cls, artifact: Artifact) -> NodeVectors:
        """Those of published embeddings."""
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


class TrainedGraph:
    """The stages of one graph, in a store of its own below ``root``."""

    def __init__(
        self, root: Path, edges: pa.Table, held_out: float = 0.0, walks: Settings | None = None
    ) -> None:
        self._root = root
        self._held_out = held_out
        self._walks = walks or {}
        self._number = itertools.count()
        config = self._config(1)
        rows = edges.to_batches()
        self.graph = self._made("graph", lambda c: build_graph(config, rows, c.staging, SILENT))

    def _config(self, seed: int) -> GraphCorpusConfig:
        source = {"type": "parquet", "path": "edges.parquet"}
        return GraphCorpusConfig.model_validate(
            {
                "kind": "graph",
                "sources": {"edges": source},
                "held_out": self._held_out,
                "walks": {**self._walks, "seed": seed},
            }
        )

    def _made(self, stage: str, write: Callable[[StageContext], None]) -> Artifact:
        identity = Identity(stage, f"graph-{self._held_out}-{next(self._number)}", {})

        def write_staging(staging: Staging) -> None:
            write(StageContext(identity=identity, staging=staging, n_workers=2))

        return Store(self._root).open(publish(self._root, identity, write_staging))

    def walks(self, seed: int) -> Artifact:
        """Tokens."""
        return self._made("tokens", lambda c: write_walks(self._config(seed), self.graph, c))

    def vectors(self, settings: Settings, seed: int) -> NodeVectors:
        """Those of a model with a ``trainer``, ``word2vec`` or ``prone``, and other settings.

        ``seed`` is that of the walks and of the model. ProNE reads walks only for the order of the
        nodes, so they are always the same.
        """
        given = {**DEFAULTS["graph"].get(settings["trainer"], {}), **settings, "seed": seed}
        if settings["trainer"] == "prone":
            prone, nodes = (
                ProneConfig.model_validate(given),
                NodeArtifacts(self.graph, self.walks(1)),
            )
            return self._embedded(lambda c: factorize("prone", prone, nodes, c))
        model, lessons = Word2VecConfig.model_validate(given), Lessons(self.walks(seed))
        return self._embedded(lambda c: train("skipgram", model, TrainingConfig(), lessons, c))

    def _embedded(self, write: Callable[[StageContext], None]) -> NodeVectors:
        return NodeVectors.of(self._made("embeddings", write))


def labelled_nodes(path: Path, share: float, splits: int) -> LabelledNodes:
    """The benchmark of a file of labels with ``share`` of its nodes learned from."""
    config = NodeClassificationBenchmark(
        type="node_classification", path=str(path), train_share=share, splits=splits
    )
    return LabelledNodes.read(path, config)


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean and range."""
    ends = [round(min(values), 4), round(max(values), 4)]
    return {"mean": round(float(np.mean(values)), 4), "range": ends}
