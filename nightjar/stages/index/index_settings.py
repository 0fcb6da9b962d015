"""How an approximate index is built, and how good it must be."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

DTYPE = "f16"
"""Half precision: half the memory and twice the speed of float32 for 0.1 % of the recall; the
candidates are compared again in float32."""
INDEX_FILE = "index.usearch"


@dataclass(frozen=True)
class IndexSettings:
    """An HNSW index (Malkov and Yashunin 2018) and the recall it must reach.

    The first three are where the build starts. While recall is below ``min_recall`` it doubles
    ``expansion_search`` and measures again, then ``connectivity`` and ``expansion_add`` and
    builds again, up to the ceilings.
    """

    connectivity: int = 16
    """Neighbours that a row is linked to (M); the lowest level has twice as many."""
    expansion_add: int = 128
    """Candidates kept while a row is added (efConstruction)."""
    expansion_search: int = 64
    """Candidates kept while searching (ef)."""
    max_connectivity: int = 64
    max_expansion_search: int = 1_024
    min_recall: float = 0.95
    """Least mean share of the exact ``topn`` nearest that the index must find."""
    topn: int = 10
    n_sampled: int = 1_000
    """Rows whose neighbours are asked for to measure recall."""
    seed: int = 1
    """Of the sample."""


def usearch_version() -> str | None:
    """The installed version of usearch, which is not imported; None without it."""
    try:
        return metadata.version("usearch")
    except metadata.PackageNotFoundError:
        return None
