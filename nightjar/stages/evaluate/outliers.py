"""Outlier detection: which word does not belong to a set of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nightjar.config import OutlierBenchmark
from nightjar.errors import BenchmarkError
from nightjar.model.lookup.nearest import unit_rows
from nightjar.scoring.metrics import ACCURACY, SHARE
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_files import read_table
from nightjar.stages.evaluate.benchmark_items import Answered, Examinee, FileItems, distinct
from nightjar.stages.evaluate.word_table import WordTable

_MIN_WORDS = 3
"""Known words that a set must have, and at least half of it."""


@dataclass(frozen=True)
class OutlierSets(FileItems):
    """Item i: the words of ``sets[i]`` and the outlier ``outliers[i]`` among them."""

    metrics = (ACCURACY, SHARE)
    sets: tuple[tuple[str, ...], ...]
    outliers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.outliers)

    @property
    def item_names(self) -> Sequence[str]:
        """Each outlier with its set."""
        return [f"{o} among {', '.join(s)}" for o, s in zip(self.outliers, self.sets, strict=True)]

    @classmethod
    def read(cls, path: Path, config: OutlierBenchmark | None = None) -> Self:
        """Read ``words`` and ``outliers``, tab-separated below a header in UTF-8, or as Parquet.

        A line has a set of words and its outliers, each separated by spaces (lists in Parquet);
        each outlier is an item.
        """
        del config
        table = read_table(path, lists=("words", "outliers"), of="set of words with outliers")
        sets: list[tuple[str, ...]] = []
        outliers: list[str] = []
        for number, (words, odd) in enumerate(
            zip(table.lists("words"), table.lists("outliers"), strict=True), start=1
        ):
            if len(words) < _MIN_WORDS:
                raise BenchmarkError(
                    f"{path}, {table.place(number)}: a set needs {_MIN_WORDS} words at least; "
                    f"add some, or delete it"
                )
            inside = next((word for word in odd if word in words), None)
            if inside is not None:
                raise BenchmarkError(
                    f"{path}, {table.place(number)}: the outlier {inside!r} is one of the words of "
                    f"its own set, so no model can find it; take it out of one of the two"
                )
            sets += [words] * len(odd)
            outliers += odd
        return cls(tuple(sets), tuple(outliers))

    def answer(self, asked: Examinee) -> Answered:
        """The position of each outlier (Camacho-Collados and Navigli 2016, equations 1 to 4).

        The words of a set with its outlier are sorted by how much tighter the others are without
        them. The answer is the place of the outlier, from 0; the last place, the number of the
        set's known words, is right. An item is covered when the outlier and at least half of the
        set's words (three at least) have a vector. A word with ``_`` that is unknown is the mean
        of its parts, as in the authors' script.
        """
        names = distinct(word for words in (*self.sets, self.outliers) for word in words)
        vectors = phrase_units(names, asked.words)
        row_of = {word: row for row, word in enumerate(names)}
        is_known = ~np.isnan(vectors[:, 0])
        places = np.full(len(self), np.nan)
        gold = np.zeros(len(self))
        for item, (words, outlier) in enumerate(zip(self.sets, self.outliers, strict=True)):
            rows = np.array([row_of[word] for word in words])
            rows = rows[is_known[rows]]
            gold[item] = len(rows)
            least = max(_MIN_WORDS, (len(words) + 1) // 2)
            if is_known[row_of[outlier]] and len(rows) >= least:
                places[item] = outlier_place(vectors[[*rows, row_of[outlier]]])
        asked.advance(len(self))
        missing = [word for word, known in zip(names, is_known.tolist(), strict=True) if not known]
        return Answered(Answers(places, gold, own_units(len(self))), missing)


def phrase_units(words: list[str], table: WordTable) -> NDArray[np.float32]:
    """Unit vectors; an unknown word of several parts (``New_York``) is the mean of its parts."""
    units = table.units(words)
    for row in np.flatnonzero(np.isnan(units[:, 0]) | (table.find(words) < 0)).tolist():
        parts = [part for part in words[row].split("_") if part]
        if len(parts) > 1:
            units[row] = unit_rows(table.units(parts).mean(axis=0, keepdims=True))[0]
    return units


def outlier_place(units: NDArray[np.float32]) -> int:
    """The place of the last of ``units`` (n, size) by the compactness of the others, from 0.

    The compactness without word w is the mean similarity of all pairs of other words; the word
    without which it is largest has the last place, n - 1. Of equal words the outlier is before.
    """
    similarities = units.astype(np.float64) @ units.astype(np.float64).T
    np.fill_diagonal(similarities, 0)
    # All pairs without w: the total minus twice the row of w.
    compactness = similarities.sum() - 2 * similarities.sum(axis=1)
    return int((compactness[:-1] < compactness[-1] - 1e-12).sum())
