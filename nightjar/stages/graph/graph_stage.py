"""Read and walk: from tables of edges to a graph, and from the graph to tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nightjar.config import GraphCorpusConfig, NightjarConfig
from nightjar.config.sources import NOT_SHAPING
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.stage import StageContext
from nightjar.sources.provisional_tables import check_edge, gather, table_inputs
from nightjar.stages.graph.provisional_graph import build_graph, write_walks
from nightjar.store import Identity, library_versions, schemas

GRAPH_REVISION = 1
"""Raise it when the same sources give another graph than before."""
WALKS_REVISION = 1
"""Raise it when the same graph gives other walks than before."""

_OF_THE_GRAPH = ("sources", "directed", "self_loops", "duplicate_edges", "held_out")
_OF_READING = ("on_error", "max_lost", "max_expanded_bytes", "max_expansion")


def graph_config(config: GraphCorpusConfig) -> dict[str, Any]:
    """What shapes the graph: places of files count by their content."""
    return config.model_dump(
        mode="json", include={*_OF_THE_GRAPH, *_OF_READING}, exclude=_NO_PLACES
    )


_NO_PLACES: Any = {"sources": {"__all__": set(NOT_SHAPING)}}


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
        "quarantine": schemas.ROWS_QUARANTINE_SCHEMA,
    }

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every corpus of kind graph."""
        return config.corpora_of(GraphCorpusConfig)

    def parents(self) -> Iterable[Parent]:
        """None: edges come from outside."""
        return ()

    def identity(self, planning: Planning) -> Identity:
        """The sources' content, and how edges become a graph."""
        del planning
        config = self.config.graph_corpus(self.subject)
        return Identity(
            stage=schemas.GRAPH,
            name=self.subject,
            config=graph_config(config),
            inputs=table_inputs(config.sources, self.loaded.base_dir),
            code={"revision": GRAPH_REVISION},
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.build_graph`."""
        config, staging = self.config.graph_corpus(self.subject), context.staging
        rows = gather(config.sources, context.base_dir, check_edge)
        build_graph(config, rows.tables.values(), staging, context.progress)
        staging.write("quarantine", rows.quarantined)
        staging.report["sources"] = rows.report
        staging.counts["quarantined"] = len(rows.quarantine)

    def changed_input(self, planned: Identity) -> str:
        """What changed since the plan, as text; empty if nothing did."""
        config = self.config.graph_corpus(self.subject)
        now = table_inputs(config.sources, self.loaded.base_dir)
        return "" if tuple(now) == tuple(planned.inputs) else f"a file of {self.label}"


class Walk(Stage):
    """The stage that walks over the graph of a corpus: a walk is a sentence, a node a token."""

    name = schemas.TOKENS
    verb = "walk"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = "of a graph: random walks as sentences of nodes, and the nodes by rank"
    tables = {"sentences": schemas.SENTENCES_SCHEMA, "vocabulary": schemas.VOCABULARY_SCHEMA}
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
            code={"revision": WALKS_REVISION, **library_versions("numpy")},
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.write_walks`."""
        config = self.config.graph_corpus(self.subject)
        write_walks(config, context.parent(schemas.GRAPH), context)
