"""What an unknown word may have meant: words a few letters away, and words it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .token_index import TokenIndex

MAX_WORDS = 100_000
"""Of so many of the most frequent words the distance is measured."""
_MIN_PART = 4
_LONGEST = 40


def edit_distances(word: str, candidates: Sequence[str]) -> NDArray[np.int64]:
    """Letters to insert, delete, replace or swap with the next to get from one to the other.

    Optimal string alignment (Damerau 1964), for all candidates at once.
    """
    if not candidates:
        return np.zeros(0, np.int64)
    texts = np.array(candidates)
    width = texts.dtype.itemsize // 4
    letters = texts.view(np.uint32).reshape(len(candidates), width)
    lengths = np.fromiter(map(len, candidates), np.int64, len(candidates))
    asked = [ord(letter) for letter in word]
    previous: NDArray[np.int64] = np.zeros(0, np.int64)
    row = np.broadcast_to(np.arange(width + 1), (len(candidates), width + 1)).astype(np.int64)
    for i, letter in enumerate(asked, start=1):
        before_previous, previous = previous, row
        row = np.empty_like(previous)
        row[:, 0] = i
        for j in range(1, width + 1):
            is_other = letters[:, j - 1] != letter
            best = np.minimum(previous[:, j] + 1, row[:, j - 1] + 1)
            np.minimum(best, previous[:, j - 1] + is_other, out=best)
            if i > 1 and j > 1:
                is_swap = (letters[:, j - 2] == letter) & (letters[:, j - 1] == asked[i - 2])
                np.minimum(best, before_previous[:, j - 2] + 1, out=best, where=is_swap)
            row[:, j] = best
    return row[np.arange(len(candidates)), lengths]


def suggest(word: str, frequent: Sequence[str], index: TokenIndex, topn: int = 3) -> list[str]:
    """Up to ``topn`` words that ``word`` may stand for, the likeliest first.

    First other spellings of it (upper and lower case), then words at most a third of its letters
    away among ``frequent`` (the most frequent words, most frequent first), then the
    longest known words within it.
    """
    if not word or len(word) > _LONGEST:
        return []
    spellings = [word.lower(), word.capitalize(), word.upper(), word.strip()]
    found = [spelling for spelling in spellings if index.row(spelling) >= 0]
    limit = max(1, len(word) // 3)
    near = [token for token in frequent if abs(len(token) - len(word)) <= limit]
    distances = edit_distances(word, near)
    closest = np.argsort(distances, kind="stable")[: topn + 1]
    found += [near[i] for i in closest if 0 < distances[i] <= limit]
    if len(found) < topn:
        found += _parts(word, index)
    return list(dict.fromkeys(found))[:topn]


def _parts(word: str, index: TokenIndex) -> list[str]:
    """Known words within ``word``, longest first."""
    parts = [
        word[start : start + length]
        for length in range(len(word) - 1, _MIN_PART - 1, -1)
        for start in range(len(word) - length + 1)
    ]
    rows = index.rows(parts)
    return [part for part, row in zip(parts, rows, strict=True) if row >= 0]
