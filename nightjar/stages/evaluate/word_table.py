"""The words of a served model that take part in an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nightjar.model.lookup import VectorModel
from nightjar.model.lookup.nearest import unit_rows

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WordTable:
    """The most frequent tokens of a model, and how others get a vector.

    Row i of ``unit_matrix`` (float32, length one; a zero vector stays zero) is the i-th most
    frequent token. With ``case_insensitive``, tokens that differ only in case are one word,
    represented by the most frequent of them, and ``word_of[i]`` is its row. Words are compared by
    ``str.upper``, as gensim does.
    """

    unit_matrix: Floats
    word_of: NDArray[np.int32]
    rows: Mapping[str, int]
    case_insensitive: bool
    compose: Callable[[Sequence[str]], Floats] | None = None
    """For a model with n-grams: vectors of words outside the table, NaN where there is none."""
    composed: set[str] = field(default_factory=set)
    """The words that were composed so far."""

    @classmethod
    def of_model(cls, model: VectorModel, max_vocabulary: int, case_insensitive: bool) -> WordTable:
        """The ``max_vocabulary`` most frequent tokens of ``model``, and its n-grams if any."""
        n_tokens = min(max_vocabulary, len(model.table))
        tokens = model.table.tokens_of(np.arange(n_tokens))

        def compose(words: Sequence[str]) -> Floats:
            return model.vectors(words, unknown="nan")

        return cls.of(
            tokens,
            model.table.vectors[:n_tokens],
            case_insensitive,
            None if model.subwords is None else compose,
        )

    @classmethod
    def of(
        cls,
        tokens: Sequence[str],
        vectors: Floats,
        case_insensitive: bool,
        compose: Callable[[Sequence[str]], Floats] | None = None,
    ) -> WordTable:
        """All of ``tokens``, most frequent first, with their ``vectors`` (n_tokens, size)."""
        words = [_word(token, case_insensitive) for token in tokens]
        rows: dict[str, int] = {}
        for row, word in enumerate(words):
            rows.setdefault(word, row)
        word_of = np.array([rows[word] for word in words], np.int32)
        return cls(unit_rows(vectors), word_of, rows, case_insensitive, compose)

    def find(self, words: Iterable[str]) -> NDArray[np.int64]:
        """The row of each word, -1 if the word is not in the table."""
        found = [self.rows.get(_word(word, self.case_insensitive), -1) for word in words]
        return np.array(found, np.int64)

    def units(self, words: Sequence[str]) -> Floats:
        """The vector of each word with length one, shape (n_words, size); NaN without one.

        A model with n-grams composes the words that are not in the table.
        """
        rows = self.find(words)
        found = np.full((len(words), self.unit_matrix.shape[1]), np.nan, np.float32)
        found[rows >= 0] = self.unit_matrix[rows[rows >= 0]]
        unknown = np.flatnonzero(rows < 0)
        if self.compose is not None and unknown.size:
            others = list(dict.fromkeys(words[place] for place in unknown.tolist()))
            vectors = unit_rows(self.compose(others))
            self.composed.update(
                word
                for word, vector in zip(others, vectors, strict=True)
                if not np.isnan(vector[0])
            )
            row_of = {word: row for row, word in enumerate(others)}
            found[unknown] = vectors[[row_of[words[place]] for place in unknown.tolist()]]
        return found


def _word(token: str, case_insensitive: bool) -> str:
    return token.upper() if case_insensitive else token
