"""Small graphs as artifacts, as the stage ``graph`` publishes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from training_support import publish_tokens

from nightjar.store import Artifact, Identity, Staging, Store, fingerprint, publish, schemas

Edge = tuple[str, str] | tuple[str, str, float]


def publish_graph(
    root: Path,
    edges: Sequence[Edge],
    held_out: Sequence[Edge] = (),
    alone: Iterable[str] = (),
    *,
    directed: bool = False,
) -> Artifact:
    """A graph of ``edges`` (source, target and perhaps a weight), and nodes without any."""
    names = sorted({end for edge in (*edges, *held_out) for end in edge[:2]} | set(alone))
    number = {name: place for place, name in enumerate(names)}
    rows = [(number[e[0]], number[e[1]], float(e[2]) if len(e) > 2 else 1.0) for e in edges]
    if not directed:
        rows += [(target, source, weight) for source, target, weight in rows]
    rows.sort()
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    source, target = (np.array(column, np.int32) for column in columns[:2])
    weight = np.array(columns[2], np.float32)
    n_nodes = len(names)

    def write(staging: Staging) -> None:
        nodes = [
            pa.array(names, pa.string()),
            pa.array(np.bincount(source, minlength=n_nodes)),
            pa.array(np.bincount(target, minlength=n_nodes)),
            pa.array(np.bincount(source, weight, n_nodes).astype(np.float64)),
        ]
        staging.write(schemas.NODES, pa.table(nodes, schema=schemas.NODES_SCHEMA))
        edge_columns = [pa.array(source), pa.array(target), pa.array(weight)]
        staging.write(schemas.EDGES, pa.table(edge_columns, schema=schemas.EDGES_SCHEMA))
        held = [pa.array([number[edge[end]] for edge in held_out], pa.int32()) for end in (0, 1)]
        staging.write(schemas.HELD_OUT, pa.table(held, schema=schemas.HELD_OUT_EDGES_SCHEMA))

    content = fingerprint({"edges": rows, "held": [list(e) for e in held_out], "names": names})
    return Store(root).open(publish(root, Identity(schemas.GRAPH, "", {"of": content}), write))


def publish_visits(root: Path, nodes: Sequence[str]) -> Artifact:
    """Tokens in which each node comes once more often than the one behind it."""
    n_nodes = len(nodes)
    walks = [[node] * (n_nodes - place) for place, node in enumerate(nodes)]
    return publish_tokens(root, walks)
