"""How far words moved between two trainings of a model, beside what another seed alone does.

Two trainings of one text end in different coordinates and with other neighbours. :mod:`.alignment`
brings one into the coordinates of the other. :mod:`.moves` measures each word's displacement and
how many of its neighbours stay. :mod:`.floor` measures the same between trainings that differ in
their seed alone, which is what chance does, and :mod:`.verdict` says what is beyond it.
"""

from nightjar.drift.alignment import Alignment, Pairs, align, displacements
from nightjar.drift.floor import (
    BANDS,
    FLOOR,
    MIN_TRAININGS,
    Floor,
    band_of,
    measure_floor,
)
from nightjar.drift.moves import Moves, Vectors, measure_moves
from nightjar.drift.verdict import Drift, drift_of

__all__ = [
    "BANDS",
    "FLOOR",
    "MIN_TRAININGS",
    "Alignment",
    "Drift",
    "Floor",
    "Moves",
    "Pairs",
    "Vectors",
    "align",
    "band_of",
    "displacements",
    "drift_of",
    "measure_floor",
    "measure_moves",
]
