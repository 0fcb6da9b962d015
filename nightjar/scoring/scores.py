"""Reading what an evaluation artifact says: scores, and the answers to each item behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.scoring.resampling import Floats, Units
from nightjar.store import Artifact, Manifest, schemas

ALL = "all"
"""The category of a score over every item of its benchmark."""


@dataclass(frozen=True)
class Score:
    """One row of the table ``scores``.

    ``value`` is None when it is undefined for the covered items, ``ci_low`` and ``ci_high`` when
    the interval is.
    """

    model: str
    benchmark: str
    category: str
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n_items: int
    n_covered: int
    max_vocabulary: int
    seconds: float
    is_main: bool
    """Whether the metric is the one that decides."""

    @property
    def coverage(self) -> float:
        """Share of the items that could be answered, 0 to 1."""
        return self.n_covered / self.n_items if self.n_items else 0.0


def read_scores(evaluation: Artifact) -> tuple[Score, ...]:
    """Every score of an evaluation artifact, in the order of its table."""
    columns = list(Score.__dataclass_fields__)
    return tuple(Score(**row) for row in evaluation.read("scores", columns).to_pylist())


def items_in_files(evaluation: Manifest) -> dict[str, str]:
    """By benchmark that is a file: the sha256 of its content. Inputs are ``<benchmark>/<file>``."""
    inputs = evaluation.identity["inputs"]
    return {str(entry["name"]).partition("/")[0]: str(entry["sha256"]) for entry in inputs}


def items_of(evaluation: Manifest) -> dict[str, str]:
    """By benchmark: what its items are.

    The sha256 of its file, or stage and version of the corpus' artifact that they are held out of.
    """
    others = sorted(set(evaluation.parents) - {schemas.EMBEDDINGS})
    held_out = ", ".join(f"{stage}/{evaluation.parents[stage]}" for stage in others)
    names = evaluation.identity["config"]["benchmarks"]
    return dict.fromkeys(names, held_out) | items_in_files(evaluation)


def main_scores(scores: Iterable[Score]) -> dict[str, Score]:
    """The one score that represents each benchmark, over all of its items."""
    return {score.benchmark: score for score in scores if score.category == ALL and score.is_main}


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers to the items of a benchmark, in the order of its file.

    :mod:`.metrics` says what ``values`` and ``gold`` are for each kind. ``values`` is NaN for an
    item that is not covered: the model knows too few of its words.
    """

    values: Floats
    gold: Floats
    units: Units
    """What is resampled: :mod:`.resampling`."""
    categories: tuple[str, ...] = ()
    """Of each item; empty when there are none."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_covered(self) -> NDArray[np.bool_]:
        """Which items are covered."""
        covered: NDArray[np.bool_] = ~np.isnan(self.values)
        return covered

    def only(self, chosen: NDArray[np.bool_]) -> Answers:
        """The chosen items; categories are dropped."""
        return replace(
            self,
            values=self.values[chosen],
            gold=self.gold[chosen],
            units=self.units[chosen],
            categories=(),
        )

    def sha256(self) -> str:
        """Digest of everything that a comparison rests on."""
        digest = hashlib.sha256(str(self.units.shape).encode())
        for array in (self.values, self.gold, self.units.astype(np.float64)):
            digest.update(np.ascontiguousarray(array).astype("<f8").tobytes())
        return digest.hexdigest()

    def as_table(self, benchmark: str) -> pa.Table:
        """Rows of the table ``answers``."""
        n_items = len(self)
        second = self.units[:, 1] if self.units.shape[1] > 1 else None
        return pa.table(
            {
                "benchmark": pa.array([benchmark] * n_items, pa.string()),
                "item": pa.array(range(n_items), pa.int32()),
                "category": pa.array(self.categories or [None] * n_items, pa.string()),
                "answer": pa.array(self.values, pa.float64(), mask=~self.is_covered),
                "gold": pa.array(self.gold, pa.float64()),
                "unit": pa.array(self.units[:, 0], pa.int32()),
                "second_unit": pa.nulls(n_items, pa.int32())
                if second is None
                else pa.array(second, pa.int32()),
            },
            schema=schemas.ANSWERS_SCHEMA,
        )

    @classmethod
    def of_table(cls, rows: pa.Table) -> Answers:
        """From the rows of one benchmark in the table ``answers``."""
        rows = rows.sort_by("item")
        columns = {name: rows.column(name).combine_chunks() for name in rows.column_names}
        units = [columns["unit"].to_numpy()]
        if len(rows) and not columns["second_unit"].null_count:
            units.append(columns["second_unit"].to_numpy())
        categories = columns["category"].to_pylist()
        return cls(
            values=pc.fill_null(columns["answer"], np.nan).to_numpy(),
            gold=columns["gold"].to_numpy(),
            units=np.stack(units, axis=1).astype(np.int64),
            categories=() if None in categories else tuple(categories),
        )


def read_answers(evaluation: Artifact, benchmarks: Iterable[str]) -> Mapping[str, Answers]:
    """The answers to each of some benchmarks, those that the artifact does not have left out."""
    table = evaluation.read(schemas.ANSWERS)
    names = table.column("benchmark")
    # As a scalar of Arrow: to convert the text, Arrow would import pandas.
    found = {name: table.filter(pc.equal(names, pa.scalar(name))) for name in benchmarks}
    return {name: Answers.of_table(rows) for name, rows in found.items() if len(rows)}
