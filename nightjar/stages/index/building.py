"""Building an approximate index (an HNSW graph by usearch) until its recall is high enough.

With one thread the same rows in the same order give the same bytes; with several, the graph depends
on the order in which the threads add rows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError, RecallTooLow, StoreNotWritable
from nightjar.model.lookup import ApproximateIndex
from nightjar.model.lookup.nearest import Nearest, nearest_rows, unit_rows
from nightjar.progress import Progress

logger = logging.getLogger(__name__)


DTYPE = "f16"
"""Half precision: half the memory and twice the speed of float32 for a loss of 0.1 % recall;
candidates are compared again in float32."""
INDEX_FILE = "index.usearch"


@dataclass(frozen=True)
class IndexSettings:
    """An HNSW index (Malkov and Yashunin 2018) and the recall it must reach.

    The first three are the initial values. While recall is below ``min_recall``,
    ``expansion_search`` is doubled and recall measured again; at its ceiling, ``connectivity`` and
    ``expansion_add`` are doubled and the graph is built again, up to their ceilings.
    """

    connectivity: int = 16
    """Links per row (M); the lowest level has twice as many."""
    expansion_add: int = 128
    """Candidates kept while adding a row (efConstruction)."""
    expansion_search: int = 64
    """Candidates kept while searching (ef)."""
    max_connectivity: int = 64
    max_expansion_search: int = 1_024
    min_recall: float = 0.95
    """Mean share of the exact ``topn`` nearest rows that the index must find."""
    topn: int = 10
    n_sampled: int = 1_000
    """Rows that are queried to measure recall."""
    seed: int = 1
    """Seed of the sample."""


def usearch_version() -> str | None:
    """The installed version of usearch, without importing it; None if it is not installed."""
    try:
        return metadata.version("usearch")
    except metadata.PackageNotFoundError:
        return None


ROWS_AT_ONCE = 8_192
_SAME = 1e-6
"""Similarities closer than this count as equal: of rows with the same vector, any is correct."""


@dataclass(frozen=True, eq=False)
class IndexedRows:
    """The rows to index: those rows of ``matrix`` that are not zero, each under its key.

    ``matrix`` is float32 (n_rows, vector_size) with ``lengths`` (n_rows,); it may be memory-mapped.
    ``keys`` is int64 (n_rows,), -1 for a row that is not indexed; None if each row is its own key.
    """

    matrix: NDArray[np.float32]
    lengths: NDArray[np.float32]
    keys: NDArray[np.int64] | None = None

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that are indexed, ascending."""
        if self.keys is None:
            return np.flatnonzero(self.lengths > 0)
        return np.flatnonzero((self.lengths > 0) & (self.keys >= 0))

    def keys_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The key of each row."""
        return rows if self.keys is None else self.keys[rows]

    def rows_of_keys(self) -> NDArray[np.int64] | None:
        """The row of each key, 0 for a key without a row; None if keys are row numbers."""
        if self.keys is None:
            return None
        found = np.zeros(int(self.keys.max(initial=-1)) + 1, np.int64)
        rows = self.rows
        found[self.keys[rows]] = rows
        return found


@dataclass(frozen=True)
class Trial:
    """One measurement of recall."""

    connectivity: int
    expansion_add: int
    expansion_search: int
    recall: float
    """Mean share of the exact nearest rows that were found."""
    searches_per_second: float
    build_seconds: float
    """Time to build the graph; 0 if an earlier trial had built it."""


@dataclass(frozen=True, eq=False)
class BuiltIndex:
    """An index with enough recall, not yet saved."""

    index: Any
    trials: tuple[Trial, ...]
    """Every measurement; the last one is of this index."""

    def save(self, path: Path) -> None:
        """Write usearch's file. Raises StoreNotWritable when it cannot be written."""
        try:
            self.index.save(path)
        except RuntimeError as error:  # usearch raises nothing more specific
            raise StoreNotWritable(
                f"{path}: the index cannot be written ({error}); free some space or fix its "
                f"permissions, then run the same command again. Nothing was half published."
            ) from error

    def report(self) -> dict[str, Any]:
        """The index's part of the manifest's report."""
        last = self.trials[-1]
        return {
            "recall_at_10": last.recall,
            "connectivity": last.connectivity,
            "expansion_add": last.expansion_add,
            "expansion_search": last.expansion_search,
            "trials": [asdict(trial) for trial in self.trials],
        }


def new_index(vector_size: int, connectivity: int, expansion_add: int) -> Any:
    """An empty ``usearch.index.Index``. Raises InputError without usearch."""
    try:
        from usearch.index import Index  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise InputError(
            "an approximate index needs usearch: pip install 'nightjar[index]'"
        ) from error
    return Index(
        ndim=vector_size,
        metric="ip",
        dtype=DTYPE,
        connectivity=connectivity,
        expansion_add=expansion_add,
    )


def build_index(
    indexed: IndexedRows, settings: IndexSettings, n_threads: int, progress: Progress
) -> BuiltIndex:
    """Build an index of all rows that reaches ``settings.min_recall``.

    Memory: the index (2 bytes per value and about ``8 * connectivity`` per row) and a block of
    rows. Raises RecallTooLow when the ceilings are reached, InputError without usearch.
    """
    sample = Sample.drawn(indexed, settings)
    trials: list[Trial] = []
    now = settings
    while now.connectivity <= settings.max_connectivity:
        index = new_index(indexed.matrix.shape[1], now.connectivity, now.expansion_add)
        started = time.monotonic()
        rows = indexed.rows
        progress.start(f"build, {now.connectivity} links a row", len(rows), "rows")
        add_rows(index, indexed, rows, n_threads, progress)
        seconds = time.monotonic() - started
        for trial in measure(index, indexed, sample, now, seconds):
            trials.append(trial)
            logger.info("%s", trial)
            if trial.recall >= settings.min_recall:
                return BuiltIndex(index, tuple(trials))
        now = replace(now, connectivity=2 * now.connectivity, expansion_add=2 * now.expansion_add)
    best = max(trial.recall for trial in trials)
    raise RecallTooLow(
        f"the approximate index finds {best:.3f} of the {settings.topn} nearest at best, less than "
        f"{settings.min_recall}; nothing was published. These vectors have too few near "
        f"neighbours for an approximation: ask for exact ones"
    )


def add_rows(
    index: Any,
    indexed: IndexedRows,
    rows: NDArray[np.int64],
    n_threads: int,
    progress: Progress,
) -> None:
    """Add rows under their keys, a block at a time."""
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        units = unit_rows(indexed.matrix[some], indexed.lengths[some])
        index.add(indexed.keys_of(some).astype(np.uint64), units, threads=n_threads)
        progress.advance(len(some))


def measure(
    index: Any,
    indexed: IndexedRows,
    sample: Sample,
    settings: IndexSettings,
    build_seconds: float = 0.0,
) -> Iterator[Trial]:
    """Measure recall, doubling ``expansion_search`` each time, up to its ceiling."""
    searched = ApproximateIndex(index, indexed.rows_of_keys())
    expansion = settings.expansion_search
    while expansion <= settings.max_expansion_search:
        index.expansion_search = expansion
        started = time.monotonic()
        found = searched.nearest(
            indexed.matrix, indexed.lengths, sample.queries, settings.topn, sample.excluded
        )
        seconds = time.monotonic() - started
        yield Trial(
            settings.connectivity,
            settings.expansion_add,
            expansion,
            sample.recall(found),
            round(len(found) / max(seconds, 1e-9), 1),
            round(build_seconds, 1),
        )
        expansion, build_seconds = 2 * expansion, 0.0


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows drawn at random and their exact nearest neighbours, without the rows themselves."""

    queries: NDArray[np.float32]
    excluded: list[list[int]]
    nearest: list[Nearest]

    @classmethod
    def drawn(cls, indexed: IndexedRows, settings: IndexSettings) -> Sample:
        """Draw ``settings.n_sampled`` of the indexed rows, or all if there are fewer."""
        rows = indexed.rows
        n_drawn = min(settings.n_sampled, len(rows))
        drawn = np.sort(np.random.default_rng(settings.seed).choice(rows, n_drawn, replace=False))
        queries = np.ascontiguousarray(indexed.matrix[drawn])
        excluded = [[row] for row in drawn.tolist()]
        nearest = nearest_rows(
            indexed.matrix, indexed.lengths, queries, settings.topn, excluded, least=None
        )
        is_indexed = np.zeros(len(indexed.lengths), dtype=bool)
        is_indexed[rows] = True
        return cls(queries, excluded, [_those(near, is_indexed) for near in nearest])

    def recall(self, found: list[Nearest]) -> float:
        """Mean share of the exact nearest rows that were found; 1 when there are none."""
        shares = [
            np.count_nonzero(ours.similarities >= exact.similarities[-1] - _SAME) / len(exact.rows)
            for ours, exact in zip(found, self.nearest, strict=True)
            if len(exact.rows)
        ]
        return float(np.mean(shares)) if shares else 1.0


def _those(near: Nearest, is_indexed: NDArray[np.bool_]) -> Nearest:
    """Only indexed rows: in exact search, a row of zeros has similarity 0."""
    is_kept = is_indexed[near.rows]
    return Nearest(near.rows[is_kept], near.similarities[is_kept])
