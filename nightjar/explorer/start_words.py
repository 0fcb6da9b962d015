"""Words to start from: frequent enough to be learned well, and about something.

The most frequent words of any language stand beside everything and mean little; so do the rarest,
of which little is known. In between, a word that is about something has some neighbours that are
much nearer than the rest, and are not among the most frequent ones themselves. That needs no list
of stop words, and works in any language.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.model.lookup import VectorTable
from nightjar.model.lookup.nearest import nearest_rows

N_WORDS = 40
_STOPPED_SHARE = 0.6
"""The most frequent words that together are this share of the text are left out."""
_LEARNED_SHARE = 0.85
"""So are the rare ones that are the rest beyond this share."""
_MAX_CANDIDATES = 600
_COMPARED = 20_000
"""Neighbours are looked for among so many of the most frequent words."""
_N_NEAR, _N_FAR = 5, 50
_N_JUDGED = 12
"""None of so many nearest words may be among the most frequent ones, or another start word."""


def start_words(table: VectorTable) -> NDArray[np.int64]:
    """The rows of at most :data:`N_WORDS` words, most frequent first; the same ones each time."""
    first, rows = _middling(table)
    n_compared = min(len(table), _COMPARED)
    if len(rows) <= N_WORDS or n_compared <= _N_FAR:
        return rows[:N_WORDS]
    near = nearest_rows(
        table.vectors[:n_compared],
        table.norms[:n_compared],
        np.asarray(table.vectors[rows]),
        _N_FAR,
        [[row] for row in rows.tolist()],
    )
    apart = np.array([_apart(found.similarities) for found in near])
    n_frequent = np.array([np.count_nonzero(found.rows[:_N_JUDGED] < first) for found in near])
    apart -= np.where(n_frequent > 0, 2.0, 0.0)  # after all others
    chosen: list[int] = []
    covered: set[int] = set()
    for place in np.argsort(-apart, kind="stable").tolist():
        row = int(rows[place])
        if row in covered:  # its subject is there already
            continue
        chosen.append(row)
        covered.update(near[place].rows[:_N_JUDGED].tolist())
        if len(chosen) == N_WORDS:
            break
    return np.sort(np.array(chosen, np.int64))


def _apart(similarities: NDArray[np.float32]) -> float:
    """How much nearer the nearest words are than the last of those looked at."""
    if not len(similarities):
        return 0.0
    return float(similarities[:_N_NEAR].mean() - similarities[-1])


def _middling(table: VectorTable) -> tuple[int, NDArray[np.int64]]:
    """The first row of middling frequency, and rows from there of what looks like a word."""
    counts = np.asarray(table.counts, np.float64)
    shares = np.cumsum(counts) / max(1.0, float(counts.sum()))
    first, last = np.searchsorted(shares, (_STOPPED_SHARE, _LEARNED_SHARE)).tolist()
    if counts[0] <= counts[-1]:  # imported without counts: the rank has to do
        first, last = round(len(table) ** 0.5), len(table)
    last = min(len(table), max(last, first + 4 * N_WORDS))
    first = max(0, min(first, last - 4 * N_WORDS))
    n_tried = min(_MAX_CANDIDATES, last - first)
    rows = np.unique(np.linspace(first, last - 1, n_tried).astype(np.int64))
    # What is said most often is short, in every language.
    usual = np.median([len(token) for token in table.tokens_of(np.arange(max(1, first)))])
    is_word = np.array([_is_word(token, usual) for token in table.tokens_of(rows)], bool)
    is_word &= table.norms[rows] > 0
    return first, rows[is_word] if is_word.any() else rows


def _is_word(token: str, least_letters: float) -> bool:
    n_letters = sum(map(str.isalpha, token))
    return n_letters >= least_letters and not any(map(str.isdigit, token))
