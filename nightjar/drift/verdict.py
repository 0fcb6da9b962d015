"""What moved more than chance explains, and one number for it with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.drift.alignment import Doubles
from nightjar.drift.floor import Floor, lost_share
from nightjar.drift.moves import Moves

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Drift:
    """How far one training is from another beyond what another seed does."""

    lost: float
    """The share of the neighbours that another seed would have kept and that are gone: 0 is chance
    alone, 1 that no neighbour stays; -1, the least, that twice as many stay."""
    low: float
    high: float
    """The interval at :data:`CONFIDENCE`: another training would give another share."""
    expected_displacement: Doubles
    expected_overlap: Doubles
    excess: Doubles
    """Displacement above the word's floor, (n,)."""
    is_beyond: NDArray[np.bool_]
    """Whether the word moved farther than chance moves words of its frequency."""

    def farthest(self, n_words: int) -> NDArray[np.int64]:
        """Places of the words that moved farthest above their floor, farthest first."""
        return np.argsort(-self.excess, kind="stable")[:n_words]

    def is_more_than(self, tolerance: float) -> bool:
        """Whether the lost share is above ``tolerance`` for sure."""
        return self.low > tolerance


def drift_of(moves: Moves, floor: Floor) -> Drift:
    """Compare what moved with what chance moves.

    ``lost`` varies as it does between pairs of reseeded trainings, and the floor, their mean,
    varies with them. Words are no sample: their luck is part of what those pairs vary by.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  # takes a tenth of a second

    displacement, overlap = floor.expected(moves)
    lost = lost_share(moves.overlap, overlap)
    error = math.sqrt(float(np.var(floor.losses, ddof=1)) * (1 + 1 / len(floor.losses)))
    half = float(stdtrit(floor.n_trainings - 1, (1 + CONFIDENCE) / 2)) * error
    excess = moves.displacement - displacement
    return Drift(
        lost=max(lost, -1.0),
        low=max(lost - half, -1.0),
        high=min(max(lost + half, -1.0), 1.0),
        expected_displacement=displacement,
        expected_overlap=overlap,
        excess=excess,
        is_beyond=excess > floor.limits(moves.counts),
    )
