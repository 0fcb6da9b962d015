"""Embeddings: reading them from an artifact, neighbours and analogies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from nightjar import schemas
from nightjar.embeddings import Embeddings, Neighbor
from nightjar.errors import ArtifactDamaged, ArtifactMissing, UnknownTokenError
from nightjar.store import Artifact, Identity, Staging, Store, publish

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


def brute_force(
    embeddings: Embeddings, query: NDArray[np.float64], excluded: set[str], topn: int
) -> list[tuple[str, float]]:
    """Cosine similarities one by one in float64, sorted by similarity, then vocabulary order."""
    scored = []
    for row, token in enumerate(embeddings.tokens):
        vector = embeddings.matrix[row].astype(np.float64)
        lengths = np.linalg.norm(vector) * np.linalg.norm(query)
        similarity = float(vector @ query / lengths) if lengths > 0 else 0.0
        if token not in excluded:
            scored.append((-similarity, row, token))
    return [(token, -negated) for negated, _, token in sorted(scored)[:topn]]


def assert_same(found: list[Neighbor], expected: list[tuple[str, float]]) -> None:
    assert [neighbor.token for neighbor in found] == [token for token, _ in expected]
    similarities = [neighbor.similarity for neighbor in found]
    assert similarities == pytest.approx([similarity for _, similarity in expected], abs=1e-6)


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
    with pytest.raises(UnknownTokenError, match=r"'king' is not in the vocabulary$"):
        read.neighbors("king")


def test_read_vectors_cannot_be_changed(tmp_path: Path) -> None:
    read = Embeddings.from_artifact(publish_vectors(tmp_path, some_embeddings(), 50))
    for array in (read.matrix, read.counts, read.unit_matrix):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_an_artifact_of_another_kind_has_no_vectors(tmp_path: Path) -> None:
    ref = publish(tmp_path, Identity("tokens", "", {}), lambda _: None)
    with pytest.raises(ArtifactMissing, match="has no table 'vectors'"):
        Embeddings.from_artifact(Store(tmp_path).open(ref))


def test_damaged_vectors_are_never_returned(tmp_path: Path) -> None:
    artifact = publish_vectors(tmp_path, some_embeddings(), 50)
    path = artifact.table_path("vectors")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactDamaged, match=r"vectors\.parquet cannot be read"):
        Embeddings.from_artifact(artifact)


# -- lookups -----------------------------------------------------------------------------


def test_a_vector_is_the_token_s_row() -> None:
    embeddings = some_embeddings()
    np.testing.assert_array_equal(embeddings.vector("t17"), embeddings.matrix[17])


@pytest.mark.parametrize(
    ("token", "hint"),
    [
        ("qeen", "; did you mean queen?"),
        ("kings", "; did you mean king?"),
        ("zzzzzz", ""),
        ("", ""),
    ],
)
def test_an_unknown_token_suggests_those_that_look_like_it(token: str, hint: str) -> None:
    embeddings = named(king=[1.0, 0.0], queen=[0.0, 1.0], car=[1.0, 1.0])
    for lookup in (
        embeddings.vector,
        embeddings.neighbors,
        lambda token: embeddings.analogy("king", "queen", token),
    ):
        with pytest.raises(UnknownTokenError) as caught:
            lookup(token)
        assert str(caught.value) == f"{token!r} is not in the vocabulary{hint}"


def test_the_unit_matrix_has_rows_of_length_one_and_keeps_zeros() -> None:
    embeddings = named(a=[3.0, 4.0], zero=[0.0, 0.0], tiny=[1e-30, 0.0], huge=[3e30, -4e30])
    expected = np.array([[0.6, 0.8], [0, 0], [1, 0], [0.6, -0.8]], dtype=np.float32)
    np.testing.assert_allclose(embeddings.unit_matrix, expected, rtol=1e-6)
    assert embeddings.unit_matrix.dtype == np.float32


# -- neighbours --------------------------------------------------------------------------


@pytest.mark.parametrize("topn", [1, 10, 199])
def test_neighbors_agree_with_brute_force(topn: int) -> None:
    embeddings = some_embeddings()
    for token in ("t0", "t99", "t199"):
        query = embeddings.vector(token).astype(np.float64)
        assert_same(
            embeddings.neighbors(token, topn), brute_force(embeddings, query, {token}, topn)
        )


def test_more_neighbors_than_tokens_are_all_the_others() -> None:
    embeddings = some_embeddings(5)
    assert {neighbor.token for neighbor in embeddings.neighbors("t2", 100)} == {
        "t0", "t1", "t3", "t4",
    }  # fmt: skip


@pytest.mark.parametrize("topn", [0, -1])
def test_no_neighbors_when_none_are_asked_for(topn: int) -> None:
    assert some_embeddings(5).neighbors("t2", topn) == []


def test_the_only_token_has_no_neighbors() -> None:
    assert named(alone=[1.0, 2.0]).neighbors("alone") == []


def test_equal_similarities_are_in_vocabulary_order_even_at_the_cut() -> None:
    vectors = {f"t{row}": [1.0, 0.0] for row in range(50)}
    found = named(**vectors, other=[0.0, 1.0]).neighbors("t3", 5)
    assert [neighbor.token for neighbor in found] == ["t0", "t1", "t2", "t4", "t5"]


def test_opposite_and_unrelated_words_come_last() -> None:
    embeddings = named(a=[1.0, 0.0], opposite=[-2.0, 0.0], zero=[0.0, 0.0], near=[5.0, 0.1])
    found = embeddings.neighbors("a")
    assert [neighbor.token for neighbor in found] == ["near", "zero", "opposite"]
    assert [neighbor.similarity for neighbor in found[1:]] == [0.0, -1.0]


def test_a_zero_vector_has_no_direction_hence_no_neighbors() -> None:
    assert named(zero=[0.0, 0.0], a=[1.0, 0.0]).neighbors("zero") == []


def test_similarities_stay_within_one() -> None:
    # Rounding in float32 takes the product of two unit vectors above one for some of these.
    tokens = tuple(f"t{row}" for row in range(40))
    for vector in np.random.default_rng(3).standard_normal((100, 3)):
        matrix = np.outer(np.arange(1, 41), vector).astype(np.float32)
        parallel = Embeddings(tokens, np.ones(40, dtype=np.int64), matrix)
        similarities = [neighbor.similarity for neighbor in parallel.neighbors("t0", 39)]
        assert 1 - 1e-6 < min(similarities) <= max(similarities) <= 1.0


# -- analogies ---------------------------------------------------------------------------


def test_analogies_agree_with_brute_force() -> None:
    embeddings = some_embeddings()
    for words in (
        ("t0", "t1", "t2"),
        ("t50", "t7", "t120"),
        ("t3", "t3", "t9"),
        ("t3", "t9", "t9"),
    ):
        a, b, c = (embeddings.vector(word).astype(np.float64) for word in words)
        a, b, c = (vector / np.linalg.norm(vector) for vector in (a, b, c))
        expected = brute_force(embeddings, b - a + c, set(words), 10)
        assert_same(embeddings.analogy(*words), expected)


def test_man_is_to_king_as_woman_is_to_queen() -> None:
    embeddings = named(
        man=[1.0, 0.0, 0.1],
        king=[1.0, 0.0, 1.0],
        woman=[0.0, 1.0, 0.1],
        queen=[0.0, 1.0, 1.0],
        apple=[0.5, 0.5, -1.0],
    )
    assert [answer.token for answer in embeddings.analogy("man", "king", "woman", 2)] == [
        "queen",
        "apple",
    ]


def test_an_analogy_that_cancels_out_has_no_answer() -> None:
    embeddings = named(a=[1.0, 0.0], b=[0.0, 0.0], c=[1.0, 0.0], other=[1.0, 1.0])
    assert embeddings.analogy("a", "b", "c") == []


def test_more_answers_than_tokens_are_all_but_the_three() -> None:
    embeddings = some_embeddings(6)
    found = {answer.token for answer in embeddings.analogy("t0", "t1", "t2", 100)}
    assert found == {"t3", "t4", "t5"}
    found = {answer.token for answer in embeddings.analogy("t0", "t0", "t2", 100)}
    assert found == {"t1", "t3", "t4", "t5"}
    assert embeddings.analogy("t0", "t1", "t2", 0) == []
