"""Embeddings: reading them from an artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nightjar.errors import ArtifactDamaged, ArtifactMissing
from nightjar.formats.embeddings import Embeddings
from nightjar.model.lookup.nearest import unit_rows
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas

VECTOR_SIZE = 8


def some_embeddings(n_tokens: int = 200, seed: int = 1) -> Embeddings:
    generator = np.random.default_rng(seed)
    return Embeddings(
        tokens=tuple(f"t{row}" for row in range(n_tokens)),
        counts=np.arange(n_tokens, 0, -1),
        matrix=generator.standard_normal((n_tokens, VECTOR_SIZE)).astype(np.float32),
    )


def named(**vectors: list[float]) -> Embeddings:
    matrix = np.array(list(vectors.values()), dtype=np.float32)
    return Embeddings(tuple(vectors), np.ones(len(vectors), dtype=np.int64), matrix)


def publish_vectors(root: Path, embeddings: Embeddings, row_group_rows: int) -> Artifact:
    schema = schemas.vectors_schema(embeddings.matrix.shape[1])

    def write(staging: Staging) -> None:
        table = pa.table(
            {
                "token": list(embeddings.tokens),
                "count": embeddings.counts,
                "vector": pa.FixedSizeListArray.from_arrays(
                    embeddings.matrix.ravel(), type=schema.field("vector").type
                ),
            },
            schema=schema,
        )
        with staging.writer("vectors", schema) as writer:
            # Slices of one table: their vectors start at an offset within shared values.
            for start in range(0, len(table), row_group_rows):
                writer.write_table(table.slice(start, row_group_rows))

    return Store(root).open(publish(root, Identity("embeddings", "m", {}), write))


# -- from an artifact --------------------------------------------------------------------


@pytest.mark.parametrize("row_group_rows", [1, 7, 200, 1000])
def test_an_artifact_gives_back_what_was_published(tmp_path: Path, row_group_rows: int) -> None:
    embeddings = some_embeddings()
    read = Embeddings.from_artifact(publish_vectors(tmp_path, embeddings, row_group_rows))
    assert read.tokens == embeddings.tokens
    np.testing.assert_array_equal(read.counts, embeddings.counts)
    np.testing.assert_array_equal(read.matrix, embeddings.matrix)
    assert (read.counts.dtype, read.matrix.dtype) == (np.int64, np.float32)
    assert read.matrix.flags.c_contiguous


def test_a_row_group_of_many_batches_is_read_in_order(tmp_path: Path) -> None:
    embeddings = Embeddings(
        tokens=tuple(f"t{row}" for row in range(150_000)),
        counts=np.ones(150_000, dtype=np.int64),
        matrix=np.arange(300_000, dtype=np.float32).reshape(150_000, 2),
    )
    artifact = publish_vectors(tmp_path, embeddings, 150_000)
    assert len(list(artifact.batches("vectors"))) > 1
    read = Embeddings.from_artifact(artifact)
    assert read.tokens == embeddings.tokens
    np.testing.assert_array_equal(read.matrix, embeddings.matrix)


def test_an_artifact_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    read = Embeddings.from_artifact(publish_vectors(tmp_path, some_embeddings(0), 10))
    assert (read.tokens, read.counts.shape, read.matrix.shape) == ((), (0,), (0, VECTOR_SIZE))


def test_read_vectors_cannot_be_changed(tmp_path: Path) -> None:
    read = Embeddings.from_artifact(publish_vectors(tmp_path, some_embeddings(), 50))
    for array in (read.matrix, read.counts):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_an_artifact_of_another_kind_has_no_vectors(tmp_path: Path) -> None:
    ref = publish(tmp_path, Identity("tokens", "", {}), lambda _: None)
    with pytest.raises(ArtifactMissing, match="has no table 'vectors'"):
        Embeddings.from_artifact(Store(tmp_path).open(ref))


def test_damaged_vectors_are_never_returned(tmp_path: Path) -> None:
    artifact = publish_vectors(tmp_path, some_embeddings(), 50)
    path = artifact.table_paths("vectors")[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactDamaged, match=r"vectors\.parquet cannot be read"):
        Embeddings.from_artifact(artifact)


def test_unit_rows_have_length_one_and_zeros_stay() -> None:
    embeddings = named(a=[3.0, 4.0], zero=[0.0, 0.0], tiny=[1e-30, 0.0], huge=[3e30, -4e30])
    expected = np.array([[0.6, 0.8], [0, 0], [1, 0], [0.6, -0.8]], dtype=np.float32)
    units = unit_rows(embeddings.matrix)
    np.testing.assert_allclose(units, expected, rtol=1e-6)
    assert units.dtype == np.float32
