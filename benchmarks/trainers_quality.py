"""The quality reported with every speed: how well vectors rank word pairs as people do."""

from __future__ import annotations

import statistics
from pathlib import Path

from nightjar.formats.embeddings import Embeddings
from nightjar.stages.evaluate.benchmark_answers import WordTable, correlate_pairs, find_pairs
from nightjar.stages.evaluate.benchmarks import read_similarity
from nightjar.stages.evaluate.bootstrap import Resampling

WORD_PAIRS = ("wordsim353", "simlex999", "men", "mturk771")


def quality(embeddings: Embeddings, directory: Path) -> float:
    """Mean Spearman correlation over the sets of word pairs in ``directory``.

    Uses the evaluation stage's functions: pairs with an unknown word are left out. A set in which
    fewer than three pairs are known counts as 0.
    """
    words = WordTable.of(embeddings.tokens, embeddings.matrix, case_insensitive=True)
    correlations = []
    for name in WORD_PAIRS:
        items = read_similarity(directory / f"{name}.tsv")
        pairs = find_pairs(items, words)
        found = correlate_pairs(items, pairs, words, Resampling(1, 0.95, 1), name)
        correlations.append(found.spearman.value or 0.0)
    return statistics.mean(correlations)
