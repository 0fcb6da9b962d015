"""Searching the documents of one index: the nearest that meet the conditions, and their text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar import schemas
from nightjar.errors import ArtifactDamaged, InputError
from nightjar.lookup import ApproximateIndex, QueryError, TableDamaged
from nightjar.lookup.nearest import Nearest, nearest_rows
from nightjar.search.document_index import open_rows
from nightjar.search.filters import Filters, matching
from nightjar.search.settings import INDEX_FILE
from nightjar.store import Artifact, Store

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
        vectors = store.ref(
            schemas.DOCUMENT_VECTORS, index.manifest.parents[schemas.DOCUMENT_VECTORS]
        )
        self.document_vectors = store.open(vectors)
        version = self.document_vectors.manifest.parents[schemas.DOCUMENTS]
        self.documents = store.open(store.ref(schemas.DOCUMENTS, version))
        try:
            self._rows = open_rows(index)
            self._graph = _open_graph(index, self._rows.rows_of_keys())
        except TableDamaged as error:
            raise ArtifactDamaged(
                f"{index.ref} cannot be used: {error}. Set it aside with 'nightjar verify "
                f"{index.ref} --set-aside'; it is built anew when it is asked for"
            ) from error

    @property
    def vector_size(self) -> int:
        """Values of a vector."""
        return int(self._rows.matrix.shape[1])

    def search(
        self, query: NDArray[np.float32], topn: int, filters: Filters | None = None
    ) -> list[Hit]:
        """The ``topn`` documents nearest to ``query``, shape (vector_size,), best first.

        From the graph, where there is one. With filters every document that passes is
        compared: finding out which ones pass has read them all, too, and so ``topn`` answers
        come whenever there are as many.
        """
        if filters is not None and not filters.are_empty:
            rows = np.flatnonzero(matching(self.documents, filters) & (self._rows.lengths > 0))
            found = self._nearest_of(rows, query, topn)
        elif self._graph is not None:
            matrix, lengths = self._rows.matrix, self._rows.lengths
            found = self._graph.nearest(matrix, lengths, query[np.newaxis], topn)[0]
        else:
            found = self._nearest_of(self._rows.rows, query, topn)
        documents = self.read(found.rows)
        return [
            Hit(similarity, document)
            for similarity, document in zip(found.similarities.tolist(), documents, strict=True)
        ]

    def _nearest_of(
        self, rows: NDArray[np.int64], query: NDArray[np.float32], topn: int
    ) -> Nearest:
        """The nearest of some rows; copies a block of them at a time."""
        best = Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32))
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            block = self._rows.matrix[some]
            near = nearest_rows(block, np.ones(len(block), np.float32), query[np.newaxis], topn)[0]
            merged = np.concatenate([best.rows, some[near.rows]])
            scores = np.concatenate([best.similarities, near.similarities])
            order = np.lexsort((merged, -scores))[:topn]
            best = Nearest(merged[order], scores[order])
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


def _open_graph(index: Artifact, rows: NDArray[np.int64] | None) -> ApproximateIndex | None:
    """The graph, where the index has one. Raises InputError without usearch."""
    if not index.has_file(INDEX_FILE):
        return None
    expansion = index.manifest.report["expansion_search"]
    try:
        return ApproximateIndex.open(index.file_path(INDEX_FILE), expansion, rows)
    except QueryError as error:
        raise InputError(str(error)) from error
