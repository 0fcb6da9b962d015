"""A table of vectors, open: rows of words, vectors of words, nearest words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .lookup_files import TableFiles, map_table
from .nearest import Nearest, nearest_rows
from .token_index import TokenIndex


class VectorTable:
    """Tokens and their vectors, most frequent first; everything is memory-mapped."""

    def __init__(self, files: TableFiles) -> None:
        self._tokens = files.tokens
        self.counts = files.counts
        """int64 (n_tokens,)"""
        self.vectors = files.vectors
        """float32 (n_tokens, vector_size)"""
        self.norms = files.norms
        """float32 (n_tokens,)"""
        self.index = TokenIndex(files.tokens.view(pa.large_binary()), files.hashes, files.slots)

    @classmethod
    def open(cls, directory: Path) -> VectorTable:
        """Open what :func:`.write_table` wrote. Raises TableDamaged."""
        return cls(map_table(directory))

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def vector_size(self) -> int:
        """Values of a vector."""
        return int(self.vectors.shape[1])

    def row(self, token: str) -> int:
        """The row of ``token``, or -1."""
        return self.index.row(token)

    def rows(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """The row of each token, -1 for those that are not there."""
        return self.index.rows(tokens)

    def tokens_of(self, rows: NDArray[np.int64]) -> list[str]:
        """The tokens of some rows."""
        found: list[str] = self._tokens.take(pa.array(rows)).to_pylist()
        return found

    def nearest(
        self,
        queries: NDArray[np.float32],
        topn: int,
        excluded: Sequence[Sequence[int]] | None = None,
        least: float | None = None,
    ) -> list[Nearest]:
        """The nearest rows of each query (:func:`.nearest_rows`)."""
        return nearest_rows(self.vectors, self.norms, queries, topn, excluded, least)
