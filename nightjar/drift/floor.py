"""What chance does: how far words move between trainings that differ in their seed alone.

Rare words move farther than frequent ones, and some words of every frequency move farther than
others. So each word has a floor of its own: its mean over all pairs of reseeded trainings. A word
that those lack has the floor of its band of frequency.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.drift.alignment import Doubles
from nightjar.drift.moves import Moves, Vectors, measure_moves
from nightjar.store import Artifact, schemas
from nightjar.wording import counted

BANDS = (0, 10, 20, 50, 100, 200, 1_000, 10_000)
"""The least count of each band of frequency."""
MIN_TRAININGS = 3
FLOOR = "floor"
"""Key in the report of the artifact that holds a floor: ``losses`` and ``n_trainings``."""
BEYOND = 0.999
"""A word moved beyond chance when it moved farther, above its floor, than this share of the words
of its band do between reseeded trainings."""


@dataclass(frozen=True)
class Band:
    """Words of similar frequency, between reseeded trainings."""

    least_count: int
    n_words: int
    displacement: float
    """Mean."""
    overlap: float
    """Mean of those whose neighbours were compared; NaN if none was."""
    limit: float
    """The quantile :data:`BEYOND` of a word's displacement above its own floor."""


@dataclass(frozen=True, eq=False)
class Floor:
    """What chance does to each word and in each band."""

    tokens: pa.Array
    displacement: Doubles
    """Each word's mean over the pairs, (n,)."""
    overlap: Doubles
    """Likewise; NaN where it was not measured."""
    bands: tuple[Band, ...]
    """One for each of :data:`BANDS`; an empty one is like its neighbour."""
    losses: tuple[float, ...]
    """Of each pair: the share of the expected neighbours that is lost, which is chance alone."""
    n_trainings: int

    @classmethod
    def read(cls, artifact: Artifact) -> Floor | None:
        """The floor that an artifact holds (:meth:`tables`); None if it holds none."""
        found = artifact.manifest.report.get(FLOOR)
        if found is None:
            return None
        words = (
            artifact.read(schemas.FLOOR_WORDS)
            if artifact.has_table(schemas.FLOOR_WORDS)
            else schemas.FLOOR_WORDS_SCHEMA.empty_table()  # a purge left them out
        )
        bands = artifact.read(schemas.FLOOR_BANDS).to_pylist()
        return cls(
            tokens=words.column("token").combine_chunks(),
            displacement=_doubles(words.column("displacement")),
            overlap=_doubles(words.column("overlap")),
            bands=tuple(Band(**{**row, "overlap": _or_nan(row["overlap"])}) for row in bands),
            losses=tuple(found["losses"]),
            n_trainings=found["n_trainings"],
        )

    def tables(self) -> dict[str, pa.Table]:
        """Its words and bands as tables; what they lack is in :meth:`report`."""
        words = [
            self.tokens,
            pa.array(self.displacement, pa.float32()),
            pa.array(self.overlap, pa.float32(), from_pandas=True),
        ]
        bands = [asdict(band) for band in self.bands]
        for band in bands:
            band["overlap"] = None if math.isnan(band["overlap"]) else band["overlap"]
        return {
            schemas.FLOOR_WORDS: pa.Table.from_arrays(words, schema=schemas.FLOOR_WORDS_SCHEMA),
            schemas.FLOOR_BANDS: pa.Table.from_pylist(bands, schema=schemas.FLOOR_BANDS_SCHEMA),
        }

    @property
    def report(self) -> dict[str, Any]:
        """What :meth:`tables` lack, to be stored under :data:`FLOOR`."""
        return {"losses": list(self.losses), "n_trainings": self.n_trainings}

    def expected(self, moves: Moves) -> tuple[Doubles, Doubles]:
        """The displacement and overlap that chance gives each word of ``moves``."""
        rows = np.asarray(pc.fill_null(pc.index_in(moves.tokens, value_set=self.tokens), -1))
        places = band_of(moves.counts)
        found = []
        for own, of_band in (
            (self.displacement, [band.displacement for band in self.bands]),
            (self.overlap, [band.overlap for band in self.bands]),
        ):
            known = np.append(own, np.nan)[rows]  # the last one for words it lacks
            found.append(np.where(np.isnan(known), np.array(of_band)[places], known))
        return found[0], found[1]

    def limits(self, counts: NDArray[np.int64]) -> Doubles:
        """How far above its floor chance moves a word of each count."""
        return np.array([band.limit for band in self.bands])[band_of(counts)]


def _doubles(column: pa.ChunkedArray) -> Doubles:
    """Its values, with NaN for null."""
    values: Doubles = column.to_numpy().astype(np.float64)
    return values


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def band_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place in :data:`BANDS` of each count."""
    return np.searchsorted(np.array(BANDS), counts, side="right") - 1


def lost_share(overlap: Doubles, expected: Doubles) -> float:
    """The share of the expected neighbours that is lost, over the words that were measured."""
    are_measured = ~(np.isnan(overlap) | np.isnan(expected))
    total = float(expected[are_measured].sum())
    return 1.0 - float(overlap[are_measured].sum()) / total if total else 0.0


def measure_floor(trainings: Sequence[Callable[[], Vectors]]) -> Floor:
    """Compare every two of at least three trainings that differ in their seed alone.

    Each of ``trainings`` opens one; two are in memory at a time. Raises ValueError for fewer, and
    what :func:`.moves.measure_moves` raises.
    """
    if len(trainings) < MIN_TRAININGS:
        given = counted(len(trainings), "training")
        raise ValueError(f"{given} cannot show chance: {MIN_TRAININGS} are needed")
    pairs = list(_pairs(trainings))
    tokens = pairs[0].tokens
    for pair in pairs[1:]:
        tokens = tokens.filter(pc.is_in(tokens, value_set=pair.tokens))
    rows = [np.asarray(pc.index_in(tokens, value_set=pair.tokens)) for pair in pairs]
    displacement = np.stack([pair.displacement[own] for pair, own in zip(pairs, rows, strict=True)])
    overlap = np.stack([pair.overlap[own] for pair, own in zip(pairs, rows, strict=True)])
    places = band_of(pairs[0].counts[rows[0]])
    # The floor that a pair is compared with is that of the other pairs.
    above = displacement - _of_others(displacement)
    losses = tuple(map(lost_share, overlap, _of_others(overlap)))
    return Floor(
        tokens,
        displacement.mean(axis=0),
        overlap.mean(axis=0),
        _bands(places, displacement, overlap, above),
        losses,
        len(trainings),
    )


def _pairs(trainings: Sequence[Callable[[], Vectors]]) -> Iterator[Moves]:
    for place, opened in enumerate(trainings[:-1], start=1):
        one = opened()
        for other in trainings[place:]:
            yield measure_moves(one, other())


def _of_others(values: Doubles) -> Doubles:
    """The mean of all other rows, for each row."""
    found: Doubles = (values.sum(axis=0) - values) / (len(values) - 1)
    return found


def _bands(
    places: NDArray[np.int64], displacement: Doubles, overlap: Doubles, above: Doubles
) -> tuple[Band, ...]:
    found: list[Band | None] = []
    for number, least in enumerate(BANDS):
        is_in = places == number
        if not is_in.any():
            found.append(None)
            continue
        overlaps = overlap[:, is_in]
        measured = overlaps[~np.isnan(overlaps)]
        found.append(
            Band(
                least,
                int(is_in.sum()),
                float(displacement[:, is_in].mean()),
                float(measured.mean()) if len(measured) else float("nan"),
                float(np.quantile(above[:, is_in], BEYOND)),
            )
        )
    filled = [band for band in found if band is not None]
    return tuple(
        min(filled, key=lambda one: abs(BANDS.index(one.least_count) - number))
        if band is None
        else band
        for number, band in enumerate(found)
    )
