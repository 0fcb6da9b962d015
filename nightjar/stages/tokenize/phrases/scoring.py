"""Which candidates are phrases: their scores, from the counts of the whole corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.phrase_counting import score_pairs
from nightjar.stages.tokenize.phrases.counts import PhraseCounts
from nightjar.stages.tokenize.phrases.phrase_table import PhraseTable
from nightjar.stages.tokenize.phrases.spelling import Spelling, same_spellings

BLOCK_ROWS = 1 << 18
"""Candidates that are scored at a time."""


class ScoreSettings(Protocol):
    """The keys of the config's section ``tokenize.phrases`` that decide what is a phrase."""

    @property
    def scoring(self) -> str:
        """``default`` (word2phrase) or ``npmi``."""

    @property
    def min_count(self) -> int:
        """What the default scoring subtracts; NPMI scores nothing that is rarer."""

    @property
    def threshold(self) -> float:
        """A phrase's score is above it."""

    @property
    def delimiter(self) -> str:
        """What stands between the words of a joined token."""


def score(
    counts: PhraseCounts,
    word_counts: NDArray[np.int64],
    is_connector: NDArray[np.bool_],
    words: Sequence[str],
    settings: ScoreSettings,
) -> PhraseTable:
    """The candidates whose score is above the threshold.

    ``words[i]``, which occurs ``word_counts[i]`` times, is the token with id i. The formulas
    and what goes into them are those of gensim's ``Phrases``: the number of types is that of
    all words but connector words and of all candidates, however rare; the number of tokens
    counts connector words, too; candidates and words that are spelled alike when joined
    (``new_york`` + ``city``, ``new`` + ``york_city``) are one type, and their counts are added.

    In memory, beside the arguments: 8 bytes a word, what BLOCK_ROWS candidates take, the
    phrases, and where words contain the delimiter what :mod:`.spelling` says.
    """
    spelling = same_spellings(counts, word_counts, is_connector, words, settings.delimiter)
    is_type = (word_counts > 0) & ~is_connector
    n_types = int(is_type.sum()) + len(counts) - spelling.n_repeated
    n_tokens = int(word_counts.sum())
    found: list[NDArray[np.int64]] = []
    found_counts: list[NDArray[np.int64]] = []
    found_scores: list[NDArray[np.float64]] = []
    for start in range(0, len(counts), BLOCK_ROWS):
        pairs = counts.pairs[start : start + BLOCK_ROWS]
        block = _block_counts(counts, spelling, start, start + len(pairs))
        scores = np.empty(len(pairs))
        score_pairs(
            *(pairs, block, spelling.word_counts, n_types, n_tokens, settings.min_count),
            *(settings.scoring == "npmi", scores),
        )
        rows = np.flatnonzero(scores > settings.threshold)
        found.append(rows + start)
        found_counts.append(block[rows])
        found_scores.append(scores[rows])
    if not found:
        return PhraseTable.empty()
    rows = np.concatenate(found)
    return _table(
        *(counts, rows, np.concatenate(found_counts), np.concatenate(found_scores)),
        *(words, settings.delimiter),
    )


def _block_counts(
    counts: PhraseCounts, spelling: Spelling, start: int, end: int
) -> NDArray[np.int64]:
    """Counts of the rows from ``start`` to ``end``, of all candidates spelled alike together."""
    block = np.array(counts.counts[start:end])
    first, last = np.searchsorted(spelling.rows, [start, end])
    block[spelling.rows[first:last] - start] = spelling.row_counts[first:last]
    return block


def _table(
    counts: PhraseCounts,
    rows: NDArray[np.int64],
    row_counts: NDArray[np.int64],
    scores: NDArray[np.float64],
    words: Sequence[str],
    delimiter: str,
) -> PhraseTable:
    tokens = [tuple(words[word] for word in candidate) for candidate in counts.words_of(rows)]
    phrases = [delimiter.join(parts) for parts in tokens]
    order = sorted(range(len(rows)), key=lambda row: (-scores[row], phrases[row], tokens[row]))
    return PhraseTable(
        phrases=[phrases[row] for row in order],
        tokens=[tokens[row] for row in order],
        counts=row_counts[order],
        scores=scores[order],
    )
