"""The quality reported with every speed: how well vectors rank word pairs as people do."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np

from nightjar.formats.embeddings import Embeddings
from nightjar.scoring.metrics import SPEARMAN, score
from nightjar.stages.evaluate.benchmark_items import distinct
from nightjar.stages.evaluate.word_pairs import WordPairs
from nightjar.stages.evaluate.word_table import WordTable

WORD_PAIRS = ("wordsim353", "simlex999", "men", "mturk771")


def quality(embeddings: Embeddings, directory: Path) -> float:
    """Mean Spearman correlation over the sets of word pairs in ``directory``.

    Uses the evaluation stage's functions: pairs with an unknown word are left out. A set in which
    fewer than three pairs are known counts as 0.
    """
    words = WordTable.of(embeddings.tokens, embeddings.matrix, case_insensitive=True)
    correlations = []
    for name in WORD_PAIRS:
        items = WordPairs.read(directory / f"{name}.tsv")
        names = distinct([*items.left, *items.right])
        cosines = items.cosines(names, words.units(names))
        is_covered = ~np.isnan(cosines)
        found = score(SPEARMAN, cosines[is_covered], items.gold[is_covered])
        correlations.append(found or 0.0)
    return statistics.mean(correlations)
