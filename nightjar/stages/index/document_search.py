"""Searching the documents of one index: the nearest that meet the conditions, and their text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.errors import ArtifactDamaged, InputError, StoreError
from nightjar.model.lookup import ApproximateIndex, QueryError, TableDamaged
from nightjar.model.lookup.nearest import Nearest, nearest_rows
from nightjar.stages.index.building import INDEX_FILE
from nightjar.stages.index.index_stage import open_rows
from nightjar.store import Artifact, Store, schemas

_READ_ROWS = 2_048
_MAX_SHOWN = 10


@dataclass(frozen=True)
class Filters:
    """Conditions that a document must meet, all of them; empty ones hold for all."""

    sources: tuple[str, ...] = ()
    """Any of these."""
    languages: tuple[str, ...] = ()
    contains: str | None = None
    """A regular expression (RE2), found anywhere in the text whatever the case."""
    min_chars: int | None = None
    max_chars: int | None = None

    @property
    def are_empty(self) -> bool:
        """Whether every document passes."""
        return self == Filters()


def matching(documents: Artifact, filters: Filters) -> NDArray[np.bool_]:
    """Whether each document meets the conditions; reads only the columns they are about.

    One batch is in memory. Raises InputError for a source or language that no document has,
    and for what is no regular expression.
    """
    columns = {
        "source": bool(filters.sources),
        "language": bool(filters.languages),
        "n_chars": filters.min_chars is not None or filters.max_chars is not None,
        "text": filters.contains is not None,
    }
    wanted = [name for name, is_wanted in columns.items() if is_wanted] or ["n_chars"]
    seen: dict[str, set[str]] = {"source": set(), "language": set()}
    masks = []
    for batch in documents.batches("documents", wanted, _READ_ROWS):
        for name in seen.keys() & set(wanted):
            seen[name].update(batch.column(name).unique().drop_null().to_pylist())
        masks.append(_matches(batch, filters))
    for name, given in (("source", filters.sources), ("language", filters.languages)):
        _check_known(name, given, seen[name])
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def _matches(batch: pa.RecordBatch, filters: Filters) -> NDArray[np.bool_]:
    found = np.ones(len(batch), dtype=bool)
    if filters.sources:
        found &= _flags(pc.is_in(batch.column("source"), pa.array(filters.sources)))
    if filters.languages:
        found &= _flags(pc.is_in(batch.column("language"), pa.array(filters.languages)))
    if filters.min_chars is not None:
        found &= _flags(pc.greater_equal(batch.column("n_chars"), filters.min_chars))
    if filters.max_chars is not None:
        found &= _flags(pc.less_equal(batch.column("n_chars"), filters.max_chars))
    if filters.contains is not None and found.any():
        try:
            is_there = pc.match_substring_regex(
                batch.column("text"), filters.contains, ignore_case=True
            )
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{filters.contains!r} is not a regular expression: {error}; put a backslash "
                f"before a sign that stands for itself"
            ) from error
        found &= _flags(is_there)
    return found


def _flags(column: pa.BooleanArray) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return flags


def _check_known(name: str, given: Iterable[str], seen: set[str]) -> None:
    for value in given:
        if value not in seen:
            have = sorted(seen)
            rest = f" and {len(have) - _MAX_SHOWN} more" if len(have) > _MAX_SHOWN else ""
            shown = ", ".join(have[:_MAX_SHOWN]) or "none"
            raise InputError(f"no document has the {name} {value!r}; there are {shown}{rest}")


Floats = NDArray[np.float32]

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class FoundDocument:
    """A document of the documents artifact."""

    doc_id: str
    source: str
    language: str | None
    n_chars: int
    text: str


@dataclass(frozen=True)
class Hit:
    """A document that answers, and its cosine similarity to the query."""

    similarity: float
    document: FoundDocument


class DocumentSearch:
    """An open search index and the documents it is of."""

    def __init__(self, store: Store, index: Artifact) -> None:
        """Open ``index``. Raises ArtifactMissing when its documents are gone, ArtifactDamaged."""
        self._index = index
        vectors = store.ref(
            schemas.DOCUMENT_VECTORS, index.manifest.parents[schemas.DOCUMENT_VECTORS]
        )
        self.document_vectors = store.open(vectors)
        version = self.document_vectors.manifest.parents[schemas.DOCUMENTS]
        self.documents = store.open(store.ref(schemas.DOCUMENTS, version))
        if index.rows("entries") != self.documents.rows("documents"):
            raise StoreError(
                f"{index.ref} has {index.rows('entries'):,} documents, {self.documents.ref} has "
                f"{self.documents.rows('documents'):,}: documents are being purged. When that was "
                f"stopped, the next night finishes it, or 'nightjar collect'"
            )
        try:
            self._rows = open_rows(index)
            self._graph = _open_graph(index, self._rows.rows_of_keys())
        except TableDamaged as error:
            raise ArtifactDamaged(
                f"{index.ref} cannot be used: {error}. Set it aside with 'nightjar verify "
                f"{index.ref} --set-aside' and run 'nightjar run': it is built anew"
            ) from error

    @property
    def vector_size(self) -> int:
        """Values of a vector."""
        return int(self._rows.matrix.shape[1])

    def search(self, query: Floats, topn: int, filters: Filters | None = None) -> list[Hit]:
        """The ``topn`` documents nearest to ``query``, shape (vector_size,), best first.

        From the graph, where there is one. With filters every document that passes is
        compared: finding out which ones pass has read them all, too, and so ``topn`` answers
        come whenever there are as many.
        """
        if filters is None or filters.are_empty:
            found = self.nearest(query[np.newaxis], topn)[0]
        else:
            passes = matching(self.documents, filters) & (self._rows.lengths > 0)
            found = self._nearest_of(np.flatnonzero(passes), query[np.newaxis], topn)[0]
        documents = self.read(found.rows)
        return [
            Hit(similarity, document)
            for similarity, document in zip(found.similarities.tolist(), documents, strict=True)
        ]

    def nearest(self, queries: Floats, topn: int) -> list[Nearest]:
        """Rows of the documents nearest to each query, shape (n_queries, vector_size)."""
        if self._graph is None:
            return self._nearest_of(self._rows.rows, queries, topn)
        return self._graph.nearest(self._rows.matrix, self._rows.lengths, queries, topn)

    def doc_ids(self) -> list[str]:
        """The id of each row."""
        ids: list[str] = self._index.read("entries", ["doc_id"]).column("doc_id").to_pylist()
        return ids

    def _nearest_of(self, rows: NDArray[np.int64], queries: Floats, topn: int) -> list[Nearest]:
        """The nearest among some rows; copies a block of them at a time."""
        best = [Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in queries]
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            lengths = np.ones(len(some), np.float32)
            near = nearest_rows(self._rows.matrix[some], lengths, queries, topn)
            best = [
                _merged(old, Nearest(some[new.rows], new.similarities), topn)
                for old, new in zip(best, near, strict=True)
            ]
        return best

    def read(self, rows: NDArray[np.int64]) -> list[FoundDocument]:
        """The documents at some rows, in their order; reads only the row groups they are in."""
        columns = ["doc_id", "source", "language", "n_chars", "text"]
        found: dict[int, FoundDocument] = {}
        with self.documents.row_groups("documents", columns) as groups:
            ends = np.cumsum(groups.sizes())
            for group in np.unique(np.searchsorted(ends, rows, side="right")).tolist():
                first = int(ends[group - 1]) if group else 0
                inside = rows[(rows >= first) & (rows < ends[group])]
                some = groups.read(group).select(columns).take(inside - first)
                found |= {
                    row: FoundDocument(**values)
                    for row, values in zip(inside.tolist(), some.to_pylist(), strict=True)
                }
        return [found[row] for row in rows.tolist()]


def _merged(one: Nearest, other: Nearest, topn: int) -> Nearest:
    rows = np.concatenate([one.rows, other.rows])
    similarities = np.concatenate([one.similarities, other.similarities])
    order = np.lexsort((rows, -similarities))[:topn]
    return Nearest(rows[order], similarities[order])


def _open_graph(index: Artifact, rows: NDArray[np.int64] | None) -> ApproximateIndex | None:
    """The graph, where the index has one. Raises InputError without usearch."""
    if not index.has_file(INDEX_FILE):
        return None
    expansion = index.manifest.report["expansion_search"]
    try:
        return ApproximateIndex.open(index.file_path(INDEX_FILE), expansion, rows)
    except QueryError as error:
        raise InputError(str(error)) from error
