"""Estimating the memory and disk that ProNE needs, from the graph and its vocabulary."""

from __future__ import annotations

from nightjar.config.trainers import ProneConfig
from nightjar.core.resources import (
    INTERPRETER_BYTES,
    Need,
    Part,
    Resources,
    gigabytes,
    largest_parts,
)
from nightjar.errors import ModelTooLarge
from nightjar.store import Artifact, schemas

_EDGE_BYTES = 24
"""A stored edge: a number and a value, three times (:func:`.prone.factorize`)."""
_MATRICES = 7
_EXTRA = 10
"""Directions beyond vector_size."""
_WORD_BYTES = 200
_WORKING_BYTES = 250_000_000
"""Compiler and SciPy."""


def prone_need(model: ProneConfig, graph: Artifact, n_nodes: int) -> Need:
    """What factorizing ``graph`` needs at its peak, for ``n_nodes`` nodes of the vocabulary.

    Of a directed graph both directions are stored.
    """
    n_stored = graph.rows(schemas.EDGES)
    if graph.manifest.report.get("is_directed"):
        n_stored *= 2
    memory = (
        Part("interpreter and libraries", INTERPRETER_BYTES),
        Part("working memory", _WORKING_BYTES),
        Part("edges", n_stored * _EDGE_BYTES),
        Part("matrices", _MATRICES * n_nodes * (model.vector_size + _EXTRA) * 4),
        Part("vocabulary", n_nodes * _WORD_BYTES),
    )
    return Need(memory, (Part("tables", n_nodes * (4 * model.vector_size + 24)),))


def check_prone_fits(
    name: str, model: ProneConfig, graph: Artifact, n_nodes: int, resources: Resources
) -> None:
    """Raise ModelTooLarge when there is too little memory or disk for the model ``name``."""
    needed = prone_need(model, graph, n_nodes)
    for what, n_bytes, limit, parts in (
        ("memory", needed.memory_bytes, resources.memory_capacity, needed.memory),
        ("disk", needed.disk_bytes, resources.disk_free, needed.disk),
    ):
        if n_bytes <= limit:
            continue
        sized = sum(part.bytes for part in parts if part.name in ("matrices", "tables"))
        size = int(model.vector_size * (limit - n_bytes + sized) / max(sized, 1)) - _EXTRA
        advice = (
            f"models.{name}.vector_size: {size} would fit (now {model.vector_size})"
            if size >= 1
            else "no vector_size would fit: read fewer edges, or take a larger machine"
        )
        raise ModelTooLarge(
            f"models.{name}: factorizing {n_nodes:,} nodes needs about {gigabytes(n_bytes)} of "
            f"{what} and {gigabytes(limit)} are left ({largest_parts(parts)}): {advice}"
        )
