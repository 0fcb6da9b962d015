"""Small graphs as artifacts, for tests of graphs and walks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from stage_support import context_of

from nightjar.config.corpora import GraphCorpusConfig
from nightjar.progress import SILENT
from nightjar.stages.graph.graph_building import build_graph
from nightjar.stages.graph.walks_writing import write_walks
from nightjar.store import Artifact, Identity, Staging, Store, publish

Edge = tuple[str, str] | tuple[str, str, float]


def graph_config(is_weighted: bool = False, **settings: Any) -> GraphCorpusConfig:
    """The config of a graph read from one file."""
    source = {"type": "text", "path": "edges.txt", "weighted": is_weighted}
    return GraphCorpusConfig.model_validate(
        {"kind": "graph", "sources": {"edges": source}, **settings}
    )


def batches_of(edges: Sequence[Edge], batch_rows: int = 1000) -> list[pa.RecordBatch]:
    """The edges as rows of the source."""
    names = ("source", "target", "weight")[: len(edges[0]) if edges else 2]
    table = pa.table({name: [edge[i] for edge in edges] for i, name in enumerate(names)})
    if not edges:
        table = pa.table({name: pa.array([], pa.string()) for name in names})
    batches: list[pa.RecordBatch] = table.to_batches(batch_rows)
    return batches


def make_graph(
    root: Path, config: GraphCorpusConfig, rows: Iterable[pa.RecordBatch], name: str = "g"
) -> Artifact:
    """Publish the graph of ``rows`` below ``root``."""
    identity = Identity("graph", name, {})
    ref = publish(root, identity, lambda staging: build_graph(config, rows, staging, SILENT))
    return Store(root).open(ref)


def make_walks(
    root: Path, config: GraphCorpusConfig, graph: Artifact, name: str = "w", **context: Any
) -> Artifact:
    """Publish the tokens of walks over ``graph``."""

    def write(staging: Staging) -> None:
        write_walks(config, graph, context_of(staging, **context))

    return Store(root).open(publish(root, Identity("tokens", name, {}), write))
