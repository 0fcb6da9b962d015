"""Embeddings artifacts: writing their tables, and their vectors in memory.

Queries are answered by :mod:`nightjar.model.lookup`, from memory-mapped files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.store import Artifact, Staging, schemas

NGRAMS = "ngrams"
"""The table of FastText's n-grams, and the report key with their sizes."""


@dataclass(frozen=True)
class NgramSizes:
    """Lengths of the n-grams, and the number of buckets that they are hashed into."""

    min_n: int
    max_n: int
    bucket: int


def ngram_sizes(embeddings: Artifact) -> NgramSizes | None:
    """The sizes, for a model that composes unknown words; otherwise None.

    A trained model has them in its configuration; an imported or derived one in its report.
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


BLOCK_ROWS = 8_192
"""Rows of a row group."""
Stretches = Iterable[tuple[slice, NDArray[np.float32]]]
"""Consecutive rows of a table, in order: their slice, and their vectors."""


def blocks(n_rows: int) -> Iterator[slice]:
    """Consecutive spans of at most :data:`BLOCK_ROWS` rows."""
    bounds = [*range(0, n_rows, BLOCK_ROWS), n_rows]
    for start, stop in pairwise(bounds):
        yield slice(start, stop)


def stretches(matrix: NDArray[np.float32], order: NDArray[np.int64] | None = None) -> Stretches:
    """The rows of ``matrix``; with ``order`` those rows in that order."""
    for rows in blocks(len(matrix) if order is None else len(order)):
        yield rows, matrix[rows] if order is None else matrix[order[rows]]


def vector_array(rows: NDArray[np.float32]) -> pa.Array:
    """``rows``, float32 of shape (n, vector_size), as one Arrow array of n vectors."""
    flat = pa.array(np.ascontiguousarray(rows).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=schemas.vector_type(rows.shape[1]))


def write_vectors(
    staging: Staging,
    tokens: Sequence[str],
    counts: NDArray[np.int64],
    vector_size: int,
    vectors: Stretches,
) -> None:
    """Write ``vectors``: the published vector of each word, in vocabulary order."""
    schema = schemas.vectors_schema(vector_size)
    with staging.writer("vectors", schema) as writer:
        for rows, values in vectors:
            columns = [
                pa.array(tokens[rows], pa.string()),
                pa.array(counts[rows]),
                vector_array(values),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def write_word_rows(
    staging: Staging, tokens: Sequence[str], vector_size: int, word_rows: Stretches
) -> None:
    """Write ``word_rows``: FastText's own row of each word."""
    schema = schemas.input_vectors_schema(vector_size)
    with staging.writer("word_rows", schema) as writer:
        for rows, values in word_rows:
            columns = [pa.array(tokens[rows], pa.string()), vector_array(values)]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def write_ngrams(
    staging: Staging, buckets: NDArray[np.int32], vector_size: int, ngrams: Stretches
) -> None:
    """Write ``ngrams``: the row of each bucket, ascending."""
    schema = schemas.ngrams_schema(vector_size)
    with staging.writer(NGRAMS, schema) as writer:
        for rows, values in ngrams:
            columns = [pa.array(buckets[rows]), vector_array(values)]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def write_output_vectors(
    staging: Staging, vector_size: int, layers: Mapping[str, Stretches]
) -> None:
    """Write ``output_vectors``: the rows of each layer, by kind."""
    schema = schemas.output_vectors_schema(vector_size)
    with staging.writer("output_vectors", schema) as writer:
        for kind, layer in layers.items():
            for rows, values in layer:
                columns = [
                    pa.array([kind] * len(values), pa.string()),
                    pa.array(np.arange(rows.start, rows.stop, dtype=np.int32)),
                    vector_array(values),
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))


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

        Memory: the table, and one more row group while reading. The arrays are read-only. Raises
        ArtifactMissing and ArtifactDamaged.
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
        """The row of each token."""
        return {token: row for row, token in enumerate(self.tokens)}
