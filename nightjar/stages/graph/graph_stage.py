"""Read and walk: from tables of edges to a graph, and from the graph to tokens."""

from __future__ import annotations

from collections.abc import Iterable

from nightjar.config import GraphCorpusConfig, NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.resources import read_resources
from nightjar.core.stage import StageContext
from nightjar.kernels.code_digest import code_digest
from nightjar.sources.purge_list import Purged, PurgeList
from nightjar.sources.selection import Fetching
from nightjar.sources.tables import read_row_shards, rows_code, rows_config, table_inputs
from nightjar.stages.graph.erasing_nodes import (
    erase_from_edge_shard,
    erase_from_graph,
    erase_from_walks,
)
from nightjar.stages.graph.walk_estimates import check_walks_fit
from nightjar.store import Identity, library_versions, schemas

GRAPH_REVISION = 1
"""Raise it when the same sources give another graph than before."""
WALKS_REVISION = 1
"""Raise it when the same graph gives other walks than before."""

_SHAPING = ("directed", "self_loops", "duplicate_edges", "held_out")
_KERNELS = (
    "nightjar.kernels.first_order_walks",
    "nightjar.kernels.second_order_walks",
    "nightjar.kernels.counted_draws",
)


class ReadGraph(Stage):
    """The stage that makes the graph of a corpus of kind ``graph``."""

    name = schemas.GRAPH
    verb = "read graph"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = (
        "nodes and weighted edges, those held out left out of them; quarantines rows that are no "
        "edge, with a reason"
    )
    tables = {
        schemas.NODES: schemas.NODES_SCHEMA,
        schemas.EDGES: schemas.EDGES_SCHEMA,
        schemas.HELD_OUT: schemas.HELD_OUT_EDGES_SCHEMA,
        "quarantine": schemas.QUARANTINE_SCHEMA,
    }
    pieces = {
        schemas.ROW_SHARDS: {
            schemas.ROWS: schemas.EDGE_ROWS_SCHEMA,
            "quarantine": schemas.QUARANTINE_SCHEMA,
        }
    }
    erasers = {schemas.GRAPH: erase_from_graph, schemas.ROW_SHARDS: erase_from_edge_shard}
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every corpus of kind graph."""
        return config.corpora_of(GraphCorpusConfig)

    def parents(self) -> Iterable[Parent]:
        """None: edges come from outside."""
        return ()

    def identity(self, planning: Planning) -> Identity:
        """The sources' content, and how edges become a graph; fetches remote files."""
        config = self.config.graph_corpus(self.subject)
        fetching = Fetching.of(self.loaded.artifacts_dir, planning)
        purged = self.purged
        return Identity(
            stage=schemas.GRAPH,
            name=self.subject,
            config={
                **config.model_dump(mode="json", include=set(_SHAPING)),
                "rows": rows_config(config),
                **({"purged": purged.digest} if purged.nodes else {}),
            },
            inputs=table_inputs(config, self.loaded.base_dir, fetching),
            code={"revision": GRAPH_REVISION, **rows_code(config)},
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.read_row_shards` and :func:`.build_graph`."""
        from nightjar.stages.graph.graph_building import build_graph  # noqa: PLC0415  # kernels

        config, staging = self.config.graph_corpus(self.subject), context.staging
        rows = read_row_shards(config, context, self.purged)
        build_graph(config, rows.batches(), staging, context.progress)
        rows.note_in(staging)

    @property
    def purged(self) -> Purged:
        """The nodes that were purged from the corpus."""
        return PurgeList.read(self.loaded.pipeline_dir, self.subject).purged


class Walk(Stage):
    """The stage that walks over the graph of a corpus: a walk is a sentence, a node a token."""

    name = schemas.TOKENS
    verb = "walk"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = "of a graph: random walks as sentences of nodes, and the nodes by rank"
    tables = {"sentences": schemas.SENTENCES_SCHEMA, "vocabulary": schemas.VOCABULARY_SCHEMA}
    erasers = {schemas.TOKENS: erase_from_walks}
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every corpus of kind graph."""
        return config.corpora_of(GraphCorpusConfig)

    def parents(self) -> Iterable[Parent]:
        """The graph."""
        return (Parent(schemas.GRAPH, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """The graph, and the settings of the walks."""
        return Identity(
            stage=schemas.TOKENS,
            name=self.subject,
            config=self.config.graph_corpus(self.subject).walks.model_dump(mode="json"),
            parents={schemas.GRAPH: planning.parents[schemas.GRAPH]},
            code={
                "revision": WALKS_REVISION,
                "kernels": code_digest(*_KERNELS),
                **library_versions("numpy"),
            },
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.write_walks`."""
        from nightjar.stages.graph.walks_writing import write_walks  # noqa: PLC0415  # kernels

        config, graph = self.config.graph_corpus(self.subject), context.parent(schemas.GRAPH)
        resources = read_resources(self.loaded.artifacts_dir)
        check_walks_fit(self.subject, config.walks, graph, context.n_workers, resources)
        write_walks(config, graph, context)
