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
        """Read the ``vectors`` table of an embeddings artifact; all of it is in memory."""
        table = artifact.read("vectors").combine_chunks()
        vectors = table.column("vector").combine_chunks()
        matrix = vectors.flatten().to_numpy(zero_copy_only=False)
        return cls(
            tokens=tuple(table.column("token").to_pylist()),
            counts=table.column("count").to_numpy().astype(np.int64, copy=False),
            matrix=matrix.reshape(len(table), vectors.type.list_size),
        )

    @cached_property
    def ids(self) -> dict[str, int]:
        """Row of each token."""
        return {token: row for row, token in enumerate(self.tokens)}

    @cached_property
    def unit_matrix(self) -> NDArray[np.float32]:
        """``matrix`` with rows of length one; a zero row stays zero."""
        norms = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        return (self.matrix / np.where(norms > 0, norms, 1)).astype(np.float32, copy=False)

    def vector(self, token: str) -> NDArray[np.float32]:
        """The vector of ``token``, shape (vector_size,). Raises UnknownTokenError."""
        row: NDArray[np.float32] = self.matrix[self._row(token)]
        return row

    def neighbors(self, token: str, topn: int = 10) -> list[Neighbor]:
        """The ``topn`` tokens with the highest cosine similarity to ``token``."""
        row = self._row(token)
        return self._nearest(self.unit_matrix[row], topn, exclude=[row])

    def analogy(self, a: str, b: str, c: str, topn: int = 10) -> list[Neighbor]:
        """Answers to "a is to b as c is to ?" by 3CosAdd (Mikolov et al. 2013)."""
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
        similarities = self.unit_matrix @ query
        similarities[list(exclude)] = -np.inf
        topn = min(topn, len(self.tokens) - len(set(exclude)))
        if topn <= 0:
            return []
        best = np.argpartition(-similarities, topn - 1)[:topn]
        best = best[np.lexsort((best, -similarities[best]))]
        return [Neighbor(self.tokens[row], float(similarities[row])) for row in best]
