"""Estimating the memory and disk that walks need, from the graph; imports nothing that compiles."""

from __future__ import annotations

from nightjar.config.corpora import WalksConfig
from nightjar.core.resources import (
    INTERPRETER_BYTES,
    Need,
    Part,
    Resources,
    gigabytes,
    largest_parts,
)
from nightjar.errors import WalksTooLarge
from nightjar.store import Artifact, schemas

_VISIT_BYTES = 4
"""A visit in the walks as they are first written, and again in the sentences."""
_WALK_BYTES = 12
"""What else a walk has in the sentences: its start, its number, where it ends."""
_NODE_BYTES = 16
_RANKING_BYTES = 24
"""For each node: visits, walks and rank."""
_ID_BYTES = 40
"""A node's id, as Arrow and the vocabulary have it."""
_THREAD_BYTES = 20_000_000
_WORKING_BYTES = 200_000_000
"""Compiler and loaded libraries."""


def walks_need(walks: WalksConfig, graph: Artifact, n_workers: int) -> Need:
    """What walking over ``graph`` needs at its peak; see :class:`.graph_loading.WalkableGraph`.

    Disk: nodes x ``per_node`` x ``length`` visits, which for a moment are there twice; the tables
    before compression. A walk that ends early needs less.
    """
    n_nodes, n_rows = graph.rows(schemas.NODES), graph.rows(schemas.EDGES)
    is_first_order = walks.p == 1 and walks.q == 1
    row_bytes = 4.0
    if graph.manifest.report.get("is_weighted"):
        row_bytes = 12.0 if is_first_order else 16.0
    if not is_first_order:
        row_bytes += 1.4
    n_walks = n_nodes * walks.per_node
    n_visits = n_walks * walks.length
    memory = (
        Part("interpreter and libraries", INTERPRETER_BYTES),
        Part("working memory", _WORKING_BYTES + n_workers * _THREAD_BYTES),
        Part("graph", int(n_rows * row_bytes) + n_nodes * _NODE_BYTES),
        Part("visits and ranks", n_nodes * (_RANKING_BYTES + _ID_BYTES)),
    )
    disk = (
        Part("walks before they are ranked", n_visits * _VISIT_BYTES),
        Part("sentences", n_visits * _VISIT_BYTES + n_walks * _WALK_BYTES),
        Part("vocabulary", n_nodes * _ID_BYTES),
    )
    return Need(memory, disk)


def check_walks_fit(
    corpus: str, walks: WalksConfig, graph: Artifact, n_workers: int, resources: Resources
) -> None:
    """Raise WalksTooLarge when there is too little memory or disk for the walks of ``corpus``."""
    needed = walks_need(walks, graph, n_workers)
    n_nodes = graph.rows(schemas.NODES)
    capacity = resources.memory_capacity
    if needed.memory_bytes > capacity:
        raise WalksTooLarge(
            f"corpora.{corpus}.walks: walking over {n_nodes:,} nodes needs about "
            f"{gigabytes(needed.memory_bytes)} of memory and {resources.memory_limit} has "
            f"{gigabytes(capacity)} left ({largest_parts(needed.memory)}); take a machine with "
            f"more, or read fewer edges (sources.SOURCE.limit or where)"
        )
    if needed.disk_bytes > resources.disk_free:
        fixed = n_nodes * _ID_BYTES
        share = (resources.disk_free - fixed) / (needed.disk_bytes - fixed)
        fits = max(0, int(walks.per_node * share))
        advice = (
            f"per_node: {fits} would fit (now {walks.per_node})" if fits else "a shorter length"
        )
        raise WalksTooLarge(
            f"corpora.{corpus}.walks: {n_nodes:,} nodes x {walks.per_node:,} walks x "
            f"{walks.length:,} nodes are about {gigabytes(needed.disk_bytes)} while they are "
            f"written and {gigabytes(resources.disk_free)} are free where the artifacts are; free "
            f"some space, choose another pipeline.artifacts_dir, or: {advice}"
        )
