"""Searching the documents of one index: the nearest that meet the conditions, and their text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import ArtifactDamaged, InputError, StoreError
from nightjar.model.lookup import ApproximateIndex, QueryError, TableDamaged
from nightjar.model.lookup.nearest import Nearest, nearest_rows
from nightjar.stages.index.index_settings import INDEX_FILE
from nightjar.stages.index.index_stage import open_rows
from nightjar.stages.index.search_filters import Filters, matching
from nightjar.store import Artifact, Store, schemas

Floats = NDArray[np.float32]

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Document:
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
    document: Document


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

    def read(self, rows: NDArray[np.int64]) -> list[Document]:
        """The documents at some rows, in their order; reads only the row groups they are in."""
        columns = ["doc_id", "source", "language", "n_chars", "text"]
        found: dict[int, Document] = {}
        with self.documents.row_groups("documents", columns) as groups:
            ends = np.cumsum(groups.sizes())
            for group in np.unique(np.searchsorted(ends, rows, side="right")).tolist():
                first = int(ends[group - 1]) if group else 0
                inside = rows[(rows >= first) & (rows < ends[group])]
                some = groups.read(group).select(columns).take(inside - first)
                found |= {
                    row: Document(**values)
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
