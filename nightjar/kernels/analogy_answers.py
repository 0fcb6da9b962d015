"""Answering analogies: the best word of each question, block by block of the vocabulary.

Google's 19,544 questions have only some 900 different words. So the similarity of every word to
each of those is computed once, as a matrix product, and a question only adds (or multiplies) three
rows of it. A block of the vocabulary is small enough for the processor's cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled

EPSILON = np.float32(0.001)
"""Keeps the quotient of 3CosMul finite (Levy and Goldberg 2014, equation 5)."""


@compiled()
def best_by_sum(
    similarities: NDArray[np.float32],
    questions: NDArray[np.int32],
    excluded: NDArray[np.int32],
    word_of: NDArray[np.int32],
    first: int,
    best: NDArray[np.float32],
    answers: NDArray[np.int64],
) -> None:
    """Raise ``best`` and ``answers`` by the words of one block (3CosAdd: Mikolov et al. 2013).

    ``similarities[i, j]`` is the similarity of input i and word ``first + j``. ``questions``
    (n, 3) are the inputs a, b, c; the score of a word is b + c - a. A word w takes no part if
    ``word_of[w]`` is one of the question's ``excluded`` (n, 3). The earlier of equal words wins.
    """
    n_words = similarities.shape[1]
    for question in range(len(questions)):
        a = similarities[questions[question, 0]]
        b = similarities[questions[question, 1]]
        c = similarities[questions[question, 2]]
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


@compiled()
def best_by_product(
    similarities: NDArray[np.float32],
    questions: NDArray[np.int32],
    excluded: NDArray[np.int32],
    word_of: NDArray[np.int32],
    first: int,
    best: NDArray[np.float32],
    answers: NDArray[np.int64],
) -> None:
    """Like :func:`best_by_sum`, with the score b c / (a + epsilon) of similarities from 0 to 1.

    3CosMul: Levy and Goldberg 2014, equation 5.
    """
    n_words = similarities.shape[1]
    for question in range(len(questions)):
        a = similarities[questions[question, 0]]
        b = similarities[questions[question, 1]]
        c = similarities[questions[question, 2]]
        bound = best[question]
        n_better = 0
        for j in range(n_words):
            n_better += (b[j] * c[j]) / (a[j] + EPSILON) > bound
        if n_better == 0:
            continue
        for j in range(n_words):
            value = (b[j] * c[j]) / (a[j] + EPSILON)
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
