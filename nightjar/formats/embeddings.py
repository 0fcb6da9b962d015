"""Embeddings artifacts: tokens and vectors in memory, for evaluation, and what all readers share.

Questions to a model are answered by :mod:`nightjar.model.lookup`, from memory-mapped files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.store import Artifact

NGRAMS = "ngrams"
"""The table of FastText's n-grams; and the key of a report that holds their sizes."""


@dataclass(frozen=True)
class NgramSizes:
    """The lengths of the n-grams, and how many rows they are hashed into."""

    min_n: int
    max_n: int
    bucket: int


def ngram_sizes(embeddings: Artifact) -> NgramSizes | None:
    """Those of a model that composes unknown words; None for one that does not.

    A trained model has them in its configuration, one made from a file or from another model
    in its report.
    """
    if not embeddings.has_table(NGRAMS):
        return None
    manifest = embeddings.manifest
    found = manifest.report.get(NGRAMS) or manifest.identity["config"]["model"]
    return NgramSizes(found["min_n"], found["max_n"], found["bucket"])


def matrix_of(batch: pa.RecordBatch, column: str = "vector") -> NDArray[np.float32]:
    """A column of vectors as an array of shape (rows, vector_size)."""
    # flatten() respects the offset of a sliced batch, .values does not.
    vectors = batch.column(column)
    values = vectors.flatten().to_numpy(zero_copy_only=False)
    matrix: NDArray[np.float32] = values.reshape(len(batch), vectors.type.list_size)
    return matrix


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
            matrix[rows] = matrix_of(batch)
        for array in (counts, matrix):
            array.setflags(write=False)
        return cls(tuple(tokens), counts, matrix)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Row of each token."""
        return {token: row for row, token in enumerate(self.tokens)}
