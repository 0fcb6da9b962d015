"""Categorization: are the words of a category each other's nearest? Clusters against categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nightjar.config import CategorizationBenchmark
from nightjar.errors import BenchmarkError
from nightjar.model.lookup.nearest import cluster_rows
from nightjar.scoring.metrics import ADJUSTED_INFORMATION, NORMALIZED_INFORMATION, PURITY
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_files import read_table
from nightjar.stages.evaluate.benchmark_items import (
    Answered,
    Examinee,
    FileItems,
    unknown_words,
)

_STARTS = 20
"""Clusterings from different first centres, of which the tightest counts."""


@dataclass(frozen=True)
class CategorizedWords(FileItems):
    """Word i belongs to ``categories[i]``."""

    metrics = (PURITY, NORMALIZED_INFORMATION, ADJUSTED_INFORMATION)
    words: tuple[str, ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.words)

    @property
    def item_names(self) -> Sequence[str]:
        """Each word with its category."""
        return [f"{w} ({c})" for w, c in zip(self.words, self.categories, strict=True)]

    @classmethod
    def read(cls, path: Path, config: CategorizationBenchmark | None = None) -> Self:
        """Read ``category`` and ``word``, tab-separated below a header in UTF-8, or as Parquet.

        A line that names a category without a word, as in the published sets, is skipped.
        """
        del config
        table = read_table(
            path, texts=("category", "word"), of="word with its category", blank="word"
        )
        found = cls(table.texts("word"), table.texts("category"))
        if len(set(found.categories)) < 2:
            raise BenchmarkError(
                f"{path}: all words have the same category, so there is nothing to tell apart; "
                f"give two categories at least"
            )
        return found

    def answer(self, asked: Examinee) -> Answered:
        """The cluster of each word: spherical k-means of the known ones.

        As many clusters as the known words have categories (Baroni, Dinu and Kruszewski 2014,
        section 3). The clustering with the largest sum of similarities to the centres counts, of
        20 that start from other centres.
        """
        names, gold = np.unique(self.categories, return_inverse=True)
        del names
        units = asked.words.units(self.words)
        is_known = ~np.isnan(units[:, 0])
        clusters = np.full(len(self), np.nan)
        if is_known.any():
            n_clusters = len(np.unique(gold[is_known]))
            clusters[is_known] = tightest_clusters(units[is_known], n_clusters, asked.seed)
        asked.advance(len(self))
        found = Answers(clusters, gold.astype(np.float64), own_units(len(self)))
        return Answered(found, unknown_words(self.words, units))


def tightest_clusters(units: NDArray[np.float32], n_clusters: int, seed: int) -> NDArray[np.int64]:
    """The tightest of several spherical k-means clusterings of unit vectors (n, size)."""
    best, most = np.zeros(len(units), np.int64), -np.inf
    for start in range(_STARTS):
        labels = cluster_rows(units, n_clusters, seed + start)
        sums = np.zeros((labels.max() + 1, units.shape[1]))
        np.add.at(sums, labels, units)
        tightness = float(np.sqrt((sums * sums).sum(axis=1)).sum())
        if tightness > most + 1e-9:
            best, most = labels, tightness
    return best
