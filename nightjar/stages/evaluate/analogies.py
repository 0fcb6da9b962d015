"""Analogies: a is to b as c is to which word? By 3CosAdd (Mikolov et al. 2013, NAACL)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nightjar.stages.evaluate.benchmark_words import WordTable
from nightjar.stages.evaluate.benchmarks import AnalogySet

BLOCK_BYTES = 64 << 20
"""Of similarities held at once: (questions of a block, words), float32."""


def find_questions(items: AnalogySet, words: WordTable) -> NDArray[np.int64]:
    """Rows of the four words of each question, shape (n_items, 4), -1 where there is none."""
    flat = [word for question in items.questions for word in question]
    return words.find(flat).reshape(-1, 4)


def answer_questions(
    questions: NDArray[np.int64],
    words: WordTable,
    advance: Callable[[int], None],
    block_bytes: int = BLOCK_BYTES,
) -> NDArray[np.bool_]:
    """Whether each question (rows of a, b, c, d; all known) is answered by d.

    The answer is the token with the largest cosine similarity to b - a + c, all of unit
    length in float32, without a, b, c and their case variants; of equal ones the most
    frequent. It is right when it is d or a case variant of d. ``advance`` is called with the
    number of questions done.

    The definition of gensim's ``evaluate_word_analogies``, except that gensim gives up when
    the five best tokens are all case variants of a, b and c, and that a zero vector, which
    has the similarity NaN there, has 0 here. Where two tokens are equally similar but for
    rounding, either may answer.
    """
    n_words = len(words.unit_matrix)
    block = max(1, block_bytes // max(1, 4 * n_words))
    similarities = np.empty((min(block, len(questions)), n_words), np.float32)
    variants = _CaseVariants(words.word_of)
    is_right = np.zeros(len(questions), np.bool_)
    for start in range(0, len(questions), block):
        rows = questions[start : start + block]
        a, b, c = (words.unit_matrix[rows[:, position]] for position in range(3))
        scores = np.matmul(b + c - a, words.unit_matrix.T, out=similarities[: len(rows)])
        scores[variants.of(rows[:, :3])] = -np.inf
        best = scores.argmax(axis=1)
        is_open = scores[np.arange(len(rows)), best] > -np.inf
        is_right[start : start + block] = is_open & (words.word_of[best] == rows[:, 3])
        advance(len(rows))
    return is_right


class _CaseVariants:
    """All tokens that are the same word."""

    def __init__(self, word_of: NDArray[np.int64]) -> None:
        self._tokens = np.argsort(word_of, kind="stable")
        self._sizes = np.bincount(word_of, minlength=len(word_of))
        self._starts = np.cumsum(self._sizes) - self._sizes

    def of(self, words: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For ``words`` of shape (n, k): index arrays (i, token) of the tokens of words[i]."""
        sizes = self._sizes[words.ravel()]
        first_positions = np.cumsum(sizes) - sizes
        offsets = np.repeat(self._starts[words.ravel()] - first_positions, sizes)
        tokens = self._tokens[offsets + np.arange(len(offsets))]
        return np.repeat(np.arange(words.size) // words.shape[1], sizes), tokens
