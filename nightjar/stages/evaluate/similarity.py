"""Word similarity: how far the vectors rank word pairs as people do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.stages.evaluate.benchmark_words import WordTable, is_covered
from nightjar.stages.evaluate.benchmarks import SimilaritySet
from nightjar.stages.evaluate.bootstrap import Correlations, Resampling, estimate_correlations


def find_pairs(items: SimilaritySet, words: WordTable) -> NDArray[np.int64]:
    """Rows of the two words of each pair, shape (n_items, 2), -1 where there is none."""
    return np.stack([words.find(items.left), words.find(items.right)], axis=1)


def correlate_pairs(
    items: SimilaritySet,
    pairs: NDArray[np.int64],
    words: WordTable,
    resampling: Resampling,
    name: str,
) -> Correlations:
    """Correlation of cosine similarity with the human scores, over the covered pairs.

    The definition of gensim's ``evaluate_word_pairs`` with ``dummy4unknown=False``: a pair
    with an unknown word is left out, a pair that comes twice counts twice, a zero vector has
    the similarity 0 to everything. Cosines are of float64 here and of float32 there, which
    matters from the seventh digit on, or when that makes or breaks a tie.
    """
    covered = is_covered(pairs)
    rows = pairs[covered]
    left = words.unit_matrix[rows[:, 0]].astype(np.float64)
    right = words.unit_matrix[rows[:, 1]].astype(np.float64)
    cosines = (left * right).sum(axis=1)
    return estimate_correlations(cosines, items.gold[covered], resampling, name)
