"""Report on a graph: degrees, components, nodes with most edges, what was left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import GraphCorpusConfig, NightjarConfig
from nightjar.core import Planning
from nightjar.core.stage import StageContext
from nightjar.drawing import Bar, Page, bar_chart
from nightjar.stages.report.measures import binned
from nightjar.stages.report.report_runs import (
    DOUBTS,
    PAGE,
    ReportStage,
    drop_rows,
    show_drops,
    show_sources,
    source_rows,
)
from nightjar.store import Artifact, Identity, library_versions, schemas
from nightjar.wording import counted

REVISION = 1
"""Raise it when the same graph gives a different report than before."""

_MOST_NODES = 50
_MOST_SIZES = 20
_SMALL = 0.5
"""A graph whose largest component has a smaller share of its nodes is doubtful."""


@dataclass(frozen=True, eq=False)
class _Measured:
    degrees: NDArray[np.int64]
    """By node: edges that lead away from it and, in a directed graph, to it."""
    sizes: NDArray[np.int64]
    """Nodes of each component, the largest first; directions do not count."""
    top: pa.Table


def report_graph(graph: Artifact, walks: Artifact, context: StageContext) -> None:
    """Write the tables and ``report.html``. Memory: 24 bytes an entry of edges, every node."""
    staging = context.staging
    found = _measure(graph)
    doubts = _doubts(graph.manifest.name, found)
    staging.report[DOUBTS] = doubts
    sources = source_rows(graph)
    drops = drop_rows(graph, ("self_loops_dropped", "duplicate_edges"))
    degrees = [
        {"min_degree": low, "max_degree": high, "nodes": n}
        for (low, high), n in binned(found.degrees).items()
    ]
    sizes, times = np.unique(found.sizes, return_counts=True)
    components = pa.table([sizes, times], schema=schemas.REPORT_COMPONENTS_SCHEMA)
    for name, table in (
        ("sources", sources),
        ("drops", drops),
        ("degrees", pa.Table.from_pylist(degrees, schemas.REPORT_DEGREES_SCHEMA)),
        ("components", components),
        ("top", found.top),
    ):
        staging.write(name, table)
    counts = graph.manifest.counts
    staging.counts.update(
        nodes=counts["nodes"],
        edges=counts["edges"],
        edges_held_out=graph.rows(schemas.HELD_OUT),
        isolated=int((found.degrees == 0).sum()),
        components=len(found.sizes),
        quarantined=counts.get("quarantined", 0),
        walks=walks.manifest.counts["sentences"],
        steps=walks.manifest.counts["tokens"],
    )
    page = Page(f"The graph {graph.manifest.name}")
    page.text(f"{graph.ref} and {walks.ref}")
    page.figures({name.replace("_", " "): f"{n:,}" for name, n in staging.counts.items()})
    if doubts:
        page.heading("Doubts")
        page.items(doubts)
    show_sources(page, sources, "edge")
    page.heading("Degrees")
    page.plots(_degree_chart(degrees), _top_chart(found.top))
    page.heading("Components")
    page.table(
        ("nodes", "components of this size"),
        [(int(n), int(m)) for n, m in zip(sizes[::-1], times[::-1], strict=True)][:_MOST_SIZES],
    )
    show_drops(page, drops)
    staging.add_file(PAGE).write_text(page.html(), encoding="utf-8")


def _measure(graph: Artifact) -> _Measured:
    from scipy.sparse import csr_array  # noqa: PLC0415  # loads slowly
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    nodes = graph.read(schemas.NODES, ["node", "n_out", "n_in"])
    n_out, n_in = (nodes.column(name).to_numpy() for name in ("n_out", "n_in"))
    is_directed = bool(graph.manifest.identity["config"]["directed"])
    degrees = (n_out + n_in if is_directed else n_out).astype(np.int64)
    edges = graph.read(schemas.EDGES, ["source", "target"])
    source, target = (edges.column(name).to_numpy() for name in ("source", "target"))
    matrix = csr_array((np.ones(len(source), np.int8), (source, target)), (len(nodes),) * 2)
    _, of_node = connected_components(matrix, directed=is_directed, connection="weak")
    sizes = np.sort(np.bincount(of_node))[::-1].astype(np.int64)
    order = np.lexsort((np.arange(len(degrees)), -degrees))[:_MOST_NODES]
    top = pa.table(
        [nodes.column("node").take(pa.array(order)), pa.array(degrees[order])],
        schema=schemas.REPORT_TOP_SCHEMA,
    )
    return _Measured(degrees, sizes, top)


def _doubts(corpus: str, found: _Measured) -> list[str]:
    n_nodes, largest = len(found.degrees), int(found.sizes[0])
    if largest >= _SMALL * n_nodes:
        return []
    doubt = (
        f"the largest component of {corpus} has {counted(largest, 'node')} of {n_nodes:,}: nodes "
        f"of different components are never on one walk, so their similarities say nothing. Check "
        f"that ids are written alike in all sources"
    )
    return [doubt]


def _degree_chart(degrees: list[dict[str, int]]) -> str:
    bars = [
        Bar(
            str(row["min_degree"])
            if row["min_degree"] == row["max_degree"]
            else f"{row['min_degree']:,} to {row['max_degree']:,}",
            row["nodes"],
            f"{row['nodes']:,}",
        )
        for row in degrees
    ]
    return bar_chart("Nodes by their number of edges", bars, "nodes")


def _top_chart(top: pa.Table) -> str:
    rows = top.slice(0, 12).to_pylist()
    bars = [Bar(row["token"], row["count"], f"{row['count']:,}", colour=1) for row in rows]
    return bar_chart("Nodes with most edges", bars, "edges")


class ReportGraph(ReportStage):
    """The stage that reports on a graph; logged to MLflow as well."""

    source = schemas.GRAPH
    about = "what a graph is like: degrees, components, tables and a page"
    tables = {
        "sources": schemas.REPORT_ROWS_SCHEMA,
        "drops": schemas.REPORT_DROPS_SCHEMA,
        "degrees": schemas.REPORT_DEGREES_SCHEMA,
        "components": schemas.REPORT_COMPONENTS_SCHEMA,
        "top": schemas.REPORT_TOP_SCHEMA,
    }

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every corpus of kind graph."""
        return config.corpora_of(GraphCorpusConfig)

    def identity(self, planning: Planning) -> Identity:
        """The two parents and nothing else."""
        return Identity(
            stage=schemas.CORPUS_REPORT,
            name=self.subject,
            config={},
            parents=dict(planning.parents),
            code={"revision": REVISION, **library_versions("scipy")},
        )

    def report(self, source: Artifact, tokens: Artifact, context: StageContext) -> None:
        """See :func:`.report_graph`."""
        report_graph(source, tokens, context)
