"""Embeddings: a table of tokens and their vectors, with lookup and neighbours."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import UnknownTokenError
from nightjar.store import Artifact


@dataclass(frozen=True)
class Neighbor:
    """A token and its cosine similarity to the query."""

    token: str
    similarity: float


@dataclass(frozen=True, eq=False)
class Embeddings:
    """``tokens[i]`` has the vector ``matrix[i]``; most frequent token first.

    ``matrix`` is float32 of shape (n_tokens, vector_size), ``counts`` int64 of shape
    (n_tokens,).
    """

    tokens: tuple[str, ...]
    counts: NDArray[np.int64]
    matrix: NDArray[np.float32]

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Embeddings:
        """Read the ``vectors`` table of an embeddings artifact.

        All of it is in memory, and one row group more while it is read. The arrays are
        read-only. Raises ArtifactMissing and ArtifactDamaged.
        """
        n_tokens = artifact.rows("vectors")
        vector_size = artifact.schema("vectors").field("vector").type.list_size
        tokens: list[str] = []
        counts = np.empty(n_tokens, dtype=np.int64)
        matrix = np.empty((n_tokens, vector_size), dtype=np.float32)
        for batch in artifact.batches("vectors"):
            rows = slice(len(tokens), len(tokens) + len(batch))
            tokens += batch.column("token").to_pylist()
            counts[rows] = batch.column("count").to_numpy(zero_copy_only=False)
            # flatten() respects the offset of a sliced batch, .values does not.
            values = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
            matrix[rows] = values.reshape(len(batch), vector_size)
        for array in (counts, matrix):
            array.setflags(write=False)
        return cls(tuple(tokens), counts, matrix)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Row of each token."""
        return {token: row for row, token in enumerate(self.tokens)}

    @cached_property
    def unit_matrix(self) -> NDArray[np.float32]:
        """``matrix`` with rows of length one; a zero row stays zero."""
        # Lengths in float64: squares of float32 overflow above 1e19 and vanish below 1e-23.
        squares = np.einsum("ij,ij->i", self.matrix, self.matrix, dtype=np.float64)
        norms = np.sqrt(squares)[:, np.newaxis]
        unit = np.empty_like(self.matrix, dtype=np.float32)
        np.divide(self.matrix, np.where(norms > 0, norms, 1), out=unit, casting="same_kind")
        unit.setflags(write=False)
        return unit

    def vector(self, token: str) -> NDArray[np.float32]:
        """The vector of ``token``, shape (vector_size,). Raises UnknownTokenError."""
        row: NDArray[np.float32] = self.matrix[self._row(token)]
        return row

    def neighbors(self, token: str, topn: int = 10) -> list[Neighbor]:
        """The ``topn`` tokens with the highest cosine similarity to ``token``, itself left out.

        Equal similarities are in vocabulary order. Fewer when there are no more tokens, none
        when the vector of ``token`` is zero: it has no direction. Raises UnknownTokenError.
        """
        row = self._row(token)
        return self._nearest(self.unit_matrix[row], topn, exclude=[row])

    def analogy(self, a: str, b: str, c: str, topn: int = 10) -> list[Neighbor]:
        """Answers to "a is to b as c is to ?" by 3CosAdd (Mikolov et al. 2013).

        The three words are left out. Raises UnknownTokenError.
        """
        rows = [self._row(token) for token in (a, b, c)]
        query = self.unit_matrix[rows[1]] - self.unit_matrix[rows[0]] + self.unit_matrix[rows[2]]
        norm = np.linalg.norm(query)
        return self._nearest(query / norm if norm > 0 else query, topn, exclude=rows)

    def _row(self, token: str) -> int:
        row = self.ids.get(token)
        if row is None:
            close = difflib.get_close_matches(token, self.tokens[:50_000], n=3, cutoff=0.7)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            raise UnknownTokenError(f"{token!r} is not in the vocabulary{hint}")
        return row

    def _nearest(
        self, query: NDArray[np.float32], topn: int, exclude: Sequence[int]
    ) -> list[Neighbor]:
        topn = min(topn, len(self.tokens) - len(set(exclude)))
        if topn <= 0 or not query.any():
            return []
        similarities = np.clip(self.unit_matrix @ query, -1, 1)
        similarities[list(exclude)] = -np.inf
        # Everything that ties with the last is sorted, too: else which of them is in is chance.
        last = -np.partition(-similarities, topn - 1)[topn - 1]
        best = np.flatnonzero(similarities >= last)
        best = best[np.lexsort((best, -similarities[best]))][:topn]
        return [Neighbor(self.tokens[row], float(similarities[row])) for row in best]
