"""Drift: what moved between two trainings, beside what another seed alone moves."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes

from nightjar.drift import (
    BANDS,
    Moves,
    Pairs,
    Vectors,
    align,
    displacements,
    drift_of,
    measure_floor,
    measure_moves,
)
from nightjar.drift.floor import Floor, band_of, lost_share

N_WORDS, SIZE = 600, 8
Floats = NDArray[np.float32]


def turned(generator: np.random.Generator, size: int = SIZE) -> NDArray[np.float64]:
    """A random orthogonal matrix."""
    matrix: NDArray[np.float64] = np.linalg.qr(generator.normal(size=(size, size)))[0]
    return matrix


def counts_of(n_words: int = N_WORDS) -> NDArray[np.int64]:
    return np.sort(np.geomspace(5, 20_000, n_words).astype(np.int64))[::-1].copy()


def vectors(matrix: NDArray[np.float64], tokens: list[str] | None = None) -> Vectors:
    names = [f"word{row}" for row in range(len(matrix))] if tokens is None else tokens
    return Vectors(pa.array(names), matrix.astype(np.float32), counts_of(len(matrix)))


class World:
    """Trainings of one text: the same meaning, noise that grows with rarity, other coordinates."""

    def __init__(self, seed: int = 1) -> None:
        self.generator = np.random.default_rng(seed)
        self.meaning = self.generator.normal(size=(N_WORDS, SIZE))
        self.noise = np.linspace(0.1, 0.5, N_WORDS)[:, np.newaxis]

    def training(self, meaning: NDArray[np.float64] | None = None) -> Vectors:
        base = self.meaning if meaning is None else meaning
        noisy = base + self.noise * self.generator.normal(size=base.shape)
        return vectors(noisy @ turned(self.generator))


def floor_of(trainings: list[Vectors]) -> Floor:
    return measure_floor([partial(copy.copy, training) for training in trainings])


def test_the_map_is_the_rotation_that_was_made() -> None:
    generator = np.random.default_rng(3)
    left = generator.normal(size=(N_WORDS, SIZE))
    rotation = turned(generator)
    scales = generator.uniform(0.5, 2, size=(N_WORDS, 1))  # lengths do not matter
    rows = np.arange(N_WORDS)
    pairs = Pairs(
        left.astype(np.float32), (scales * left @ rotation).astype(np.float32), rows, rows
    )
    found = align(pairs, counts_of())
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-5)
    assert found.residual == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(displacements(pairs, found.rotation), 0, atol=1e-5)


def test_the_estimate_is_scipys_on_centred_and_weighted_rows() -> None:
    generator = np.random.default_rng(4)
    left, right = (generator.normal(1, 1, size=(200, SIZE)) for _ in range(2))
    counts = counts_of(200)
    rows = np.arange(200)
    pairs = Pairs(left.astype(np.float32), right.astype(np.float32), rows, rows)
    found = align(pairs, counts)
    weights = np.sqrt(counts)[:, np.newaxis] / np.sqrt(counts).sum()
    sides = []
    for side in (left.astype(np.float32).astype(float), right.astype(np.float32).astype(float)):
        units = side / np.linalg.norm(side, axis=1, keepdims=True)
        centred = units - (weights * units).sum(axis=0)
        sides.append(centred / np.linalg.norm(centred, axis=1, keepdims=True))
    expected, _ = orthogonal_procrustes(np.sqrt(weights) * sides[0], np.sqrt(weights) * sides[1])
    np.testing.assert_allclose(found.rotation, expected, atol=1e-6)
    cosines = (sides[0] @ expected * sides[1]).sum(axis=1)
    assert found.residual == pytest.approx(1 - float((weights[:, 0] * cosines).sum()))


def test_vectors_that_are_used_as_they_are_turned_keep_their_mean() -> None:
    generator = np.random.default_rng(6)
    left = generator.normal(0, 1, size=(200, SIZE)) + 5 * np.eye(SIZE)[0]  # a common direction
    rotation = turned(generator)
    right = left @ rotation + generator.normal(0, 3, size=(200, SIZE))
    counts, rows = counts_of(200), np.arange(200)
    pairs = Pairs(left.astype(np.float32), right.astype(np.float32), rows, rows)
    found = align(pairs, counts, as_used=True)
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (left, right)]
    weights = (counts / counts.sum())[:, np.newaxis]
    expected, _ = orthogonal_procrustes(np.sqrt(weights) * units[0], np.sqrt(weights) * units[1])
    np.testing.assert_allclose(found.rotation, expected, atol=1e-6)
    assert found.residual == pytest.approx(
        1 - float((weights * (units[0] @ expected) * units[1]).sum())
    )

    def nearness(rotation: NDArray[np.float64]) -> float:
        one, other = ((weights * side).sum(axis=0) for side in (left @ rotation, right))
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    assert nearness(found.rotation) > 0.99 > nearness(align(pairs, counts).rotation)


def test_cosines_within_a_model_stay() -> None:
    world = World()
    one, other = world.training(), world.training()
    rows = np.arange(N_WORDS)
    found = align(Pairs(one.matrix, other.matrix, rows, rows), one.counts)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(SIZE), atol=1e-12)


def test_words_are_matched_by_name_and_zero_vectors_are_left_out() -> None:
    generator = np.random.default_rng(5)
    matrix = generator.normal(size=(50, SIZE))
    matrix[7] = 0
    before = vectors(matrix)
    names = [f"word{row}" for row in range(40)]
    order = generator.permutation(40)
    after = Vectors(
        pa.array([names[row] for row in order]),
        (matrix[:40] @ turned(generator))[order].astype(np.float32),
        before.counts[order],
    )
    moves = measure_moves(before, after)
    assert moves.tokens.to_pylist() == [name for name in names if name != "word7"]
    np.testing.assert_allclose(moves.displacement, 0, atol=1e-5)
    np.testing.assert_array_equal(moves.overlap, 1)
    with pytest.raises(ValueError, match="8 shared words cannot align a vector_size of 8"):
        measure_moves(before, vectors(matrix[:9]))
    with pytest.raises(ValueError, match="vector sizes 8 and 7 differ"):
        measure_moves(before, vectors(matrix[:, :7]))


@pytest.fixture(scope="module")
def floor() -> Floor:
    world = World()
    return floor_of([world.training() for _ in range(5)])


def test_the_floor_knows_that_rare_words_move_farther(floor: Floor) -> None:
    means = [band.displacement for band in floor.bands]
    assert len(means) == len(BANDS)
    assert means[1] > 3 * means[-1]
    assert [band.overlap for band in floor.bands][1] < floor.bands[-1].overlap
    assert all(band.limit > 0 for band in floor.bands)
    assert (len(floor.losses), floor.n_trainings) == (10, 5)
    with pytest.raises(ValueError, match="2 trainings cannot show chance: 3 are needed"):
        floor_of([World().training(), World().training()])


def test_another_seed_alone_is_chance() -> None:
    """The interval holds 0 nineteen times in twenty, and few words are said to have moved."""
    world = World(7)
    known = floor_of([world.training() for _ in range(5)])
    first = world.training()
    found = [drift_of(measure_moves(first, world.training()), known) for _ in range(40)]
    assert sum(one.low > 0 for one in found) <= 4
    assert sum(one.high < 0 for one in found) <= 4
    assert np.mean([one.is_beyond.mean() for one in found]) < 0.01
    assert not any(one.is_more_than(0.02) for one in found)


def test_words_with_another_meaning_are_found_among_those_that_moved_farthest() -> None:
    world = World(9)
    known = floor_of([world.training() for _ in range(5)])
    changed = world.meaning.copy()
    places = np.arange(20, 420, 20)
    changed[places] = world.generator.normal(size=(len(places), SIZE))
    moves = measure_moves(world.training(), world.training(changed))
    found = drift_of(moves, known)
    farthest = set(found.farthest(30).tolist())
    assert len(farthest & set(places.tolist())) >= 0.9 * len(places)
    assert found.is_beyond[places].mean() >= 0.8
    assert found.low > 0


def test_a_word_has_the_floor_of_its_own_and_an_unknown_one_that_of_its_band(floor: Floor) -> None:
    counts = np.array([15_000, 6], np.int64)
    moves = Moves(
        pa.array(["word3", "new"]),
        counts,
        np.array([0.5, 0.5]),
        np.array([0.5, np.nan]),
        align(
            Pairs(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), *[np.arange(2)] * 2),
            counts,
        ),
    )
    displacement, overlap = floor.expected(moves)
    row = floor.tokens.to_pylist().index("word3")
    assert (displacement[0], overlap[0]) == (floor.displacement[row], floor.overlap[row])
    band = floor.bands[band_of(counts)[1]]
    assert (displacement[1], overlap[1]) == (band.displacement, band.overlap)


def test_the_lost_share_is_of_the_neighbours_that_chance_would_keep() -> None:
    overlap, expected = np.array([0.2, 0.4, np.nan, 0.9]), np.array([0.4, 0.4, 0.5, np.nan])
    assert lost_share(overlap, expected) == pytest.approx(0.25)
    assert lost_share(np.array([np.nan]), np.array([0.5])) == 0
