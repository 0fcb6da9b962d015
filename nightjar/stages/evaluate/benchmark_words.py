"""Looking up a benchmark's words among the most frequent tokens of the embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.formats.embeddings import Embeddings


@dataclass(frozen=True, eq=False)
class WordTable:
    """The tokens that take part in an evaluation.

    Row i of ``unit_matrix`` (float32, length one; a zero vector stays zero) is the i-th most
    frequent token. Tokens that differ in nothing but case are one word when
    ``case_insensitive``: the most frequent of them stands for it, and ``word_of[i]`` is its
    row. Words are compared by ``str.upper``, as gensim does.
    """

    unit_matrix: NDArray[np.float32]
    word_of: NDArray[np.int64]
    rows: Mapping[str, int]
    case_insensitive: bool

    @classmethod
    def of(cls, embeddings: Embeddings, max_vocabulary: int, case_insensitive: bool) -> WordTable:
        """The ``max_vocabulary`` most frequent tokens of ``embeddings``."""
        capped = Embeddings(
            embeddings.tokens[:max_vocabulary],
            embeddings.counts[:max_vocabulary],
            embeddings.matrix[:max_vocabulary],
        )
        words = [_word(token, case_insensitive) for token in capped.tokens]
        rows: dict[str, int] = {}
        for row, word in enumerate(words):
            rows.setdefault(word, row)
        word_of = np.array([rows[word] for word in words], np.int64)
        return cls(capped.unit_matrix, word_of, rows, case_insensitive)

    def find(self, words: Iterable[str]) -> NDArray[np.int64]:
        """The row of each word, -1 for a word that has none."""
        found = [self.rows.get(_word(word, self.case_insensitive), -1) for word in words]
        return np.array(found, np.int64)


def is_covered(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each item, a line of ``rows`` as :meth:`WordTable.find` gives them, is known."""
    covered: NDArray[np.bool_] = np.all(rows >= 0, axis=1)
    return covered


def _word(token: str, case_insensitive: bool) -> str:
    return token.upper() if case_insensitive else token
