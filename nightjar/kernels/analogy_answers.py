"""Answering analogies: the best word of each question, block by block of the vocabulary.

Google's 19,544 questions have only some 900 different words. So the similarity of every word to
each of those is computed once, as a matrix product, and a question only adds three rows of it. A
block of the vocabulary is small enough for the processor's cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled


@compiled()
def best_by_sum(
    added: NDArray[np.float32],
    removed: NDArray[np.float32],
    questions: NDArray[np.int32],
    excluded: NDArray[np.int32],
    word_of: NDArray[np.int32],
    first: int,
    best: NDArray[np.float32],
    answers: NDArray[np.int64],
) -> None:
    """Raise ``best`` and ``answers`` by the words of one block.

    ``added[i, j]`` and ``removed[i, j]`` say how similar input i is to word ``first + j``.
    ``questions`` (n, 3) are the inputs a, b, c; the score of a word is added b + added c - removed
    a. A word w takes no part if ``word_of[w]`` is one of the question's ``excluded`` (n, 3). The
    earlier of equal words wins.
    """
    n_words = added.shape[1]
    for question in range(len(questions)):
        a = removed[questions[question, 0]]
        b = added[questions[question, 1]]
        c = added[questions[question, 2]]
        bound = best[question]
        n_better = 0
        for j in range(n_words):  # counts, and does not remember: so it is vectorized
            n_better += (b[j] + c[j]) - a[j] > bound
        if n_better == 0:
            continue
        for j in range(n_words):
            value = (b[j] + c[j]) - a[j]
            if value > bound:
                word = word_of[first + j]
                is_free = (
                    word != excluded[question, 0]
                    and word != excluded[question, 1]
                    and word != excluded[question, 2]
                )
                if is_free:
                    bound = value
                    answers[question] = first + j
        best[question] = bound
