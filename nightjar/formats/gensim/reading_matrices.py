"""Matrices from and to Parquet, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.errors import ArtifactDamaged
from nightjar.formats.embeddings import matrix_of
from nightjar.store import Artifact, Staging, schemas

_BLOCK_ROWS = 8_192
"""Rows of a row group."""


@dataclass(frozen=True, eq=False)
class OrderedRows:
    """The rows ``order`` of ``matrix``, each times its sign: float32 blocks, copied one at a time.

    ``matrix`` is of any float type and shape (n, vector_size), ``order`` int64, ``signs``
    float32 of +1 and -1 or None.
    """

    matrix: NDArray[Any]
    order: NDArray[np.int64]
    signs: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Which rows, and their values. A value too large for float32 becomes infinite."""
        for start in range(0, len(self.order), _BLOCK_ROWS):
            span = slice(start, min(start + _BLOCK_ROWS, len(self.order)))
            with np.errstate(over="ignore"):
                values = np.ascontiguousarray(self.matrix[self.order[span]], np.float32)
            if self.signs is not None:
                values *= self.signs[span, np.newaxis]
            yield span, values


def _vector_array(values: NDArray[np.float32]) -> pa.Array:
    flat = pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=schemas.vector_type(values.shape[1]))


def write_vectors(
    staging: Staging, tokens: Sequence[str], counts: NDArray[np.int64], rows: OrderedRows
) -> None:
    """Write ``vectors``."""
    schema = schemas.vectors_schema(rows.matrix.shape[1])
    with staging.writer("vectors", schema) as writer:
        for span, values in rows.blocks():
            columns = [pa.array(tokens[span], pa.string()), pa.array(counts[span])]
            columns.append(_vector_array(values))
            writer.write_batch(pa.record_batch(columns, schema=schema))


def write_word_rows(staging: Staging, tokens: Sequence[str], rows: OrderedRows) -> None:
    """Write ``word_rows``."""
    schema = schemas.input_vectors_schema(rows.matrix.shape[1])
    with staging.writer("word_rows", schema) as writer:
        for span, values in rows.blocks():
            columns = [pa.array(tokens[span], pa.string()), _vector_array(values)]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def write_ngrams(staging: Staging, rows: OrderedRows) -> None:
    """Write ``ngrams``; the rows' numbers are the buckets."""
    schema = schemas.ngrams_schema(rows.matrix.shape[1])
    with staging.writer("ngrams", schema) as writer:
        for span, values in rows.blocks():
            columns = [pa.array(rows.order[span].astype(np.int32)), _vector_array(values)]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def write_output_vectors(
    staging: Staging, vector_size: int, layers: dict[str, OrderedRows]
) -> None:
    """Write ``output_vectors``: the rows of each layer, by kind."""
    schema = schemas.output_vectors_schema(vector_size)
    with staging.writer("output_vectors", schema) as writer:
        for kind, rows in layers.items():
            for span, values in rows.blocks():
                columns = [
                    pa.array([kind] * len(values), pa.string()),
                    pa.array(np.arange(span.start, span.stop, dtype=np.int32)),
                    _vector_array(values),
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))


def read_word_rows(artifact: Artifact, tokens: Sequence[str]) -> NDArray[np.float32]:
    """FastText's own row of each of ``tokens``. Raises ArtifactDamaged when they are others."""
    matrix = np.empty((len(tokens), _vector_size(artifact, "word_rows")), np.float32)
    n_read = 0
    for batch in artifact.batches("word_rows"):
        span = slice(n_read, n_read + len(batch))
        if batch.column("token").to_pylist() != list(tokens[span]):
            raise _mismatch(artifact, "the words of word_rows are not those of vectors")
        matrix[span] = matrix_of(batch)
        n_read = span.stop
    if n_read != len(tokens):
        raise _mismatch(artifact, f"word_rows has {n_read} rows for {len(tokens)} words")
    return matrix


def read_ngrams(artifact: Artifact, n_buckets: int) -> NDArray[np.float32]:
    """The whole matrix of ``n_buckets`` rows; a bucket that is not in the table is zero."""
    matrix = np.zeros((n_buckets, _vector_size(artifact, "ngrams")), np.float32)
    for batch in artifact.batches("ngrams"):
        buckets = batch.column("bucket").to_numpy()
        _check_rows(artifact, "ngrams", buckets, n_buckets)
        matrix[buckets] = matrix_of(batch)
    return matrix


def read_layer(artifact: Artifact, kind: str, n_rows: int, n_expected: int) -> NDArray[np.float32]:
    """The output rows of ``kind``, in a matrix of ``n_rows``: the first ``n_expected`` of them.

    Raises ArtifactDamaged unless the table has exactly these.
    """
    matrix = np.zeros((n_rows, _vector_size(artifact, "output_vectors")), np.float32)
    n_read = 0
    for batch in artifact.batches("output_vectors"):
        found = batch.filter(pc.equal(batch.column("kind"), kind))
        rows = found.column("row").to_numpy()
        _check_rows(artifact, "output_vectors", rows, n_expected)
        matrix[rows] = matrix_of(found)
        n_read += len(found)
    if n_read != n_expected:
        raise _mismatch(
            artifact, f"output_vectors has {n_read} rows of kind {kind}, not {n_expected}"
        )
    return matrix


def _vector_size(artifact: Artifact, table: str) -> int:
    return int(artifact.schema(table).field("vector").type.list_size)


def _check_rows(artifact: Artifact, table: str, rows: NDArray[Any], n_rows: int) -> None:
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_rows:
        raise _mismatch(artifact, f"{table} numbers a row outside 0 to {n_rows - 1}")


def _mismatch(artifact: Artifact, problem: str) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"{artifact.ref}: {problem}; train or import the model again, this one cannot be used"
    )
