"""Answering a benchmark from vectors: find its words, compare pairs, complete analogies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.model.lookup import VectorModel
from nightjar.model.lookup.nearest import unit_rows
from nightjar.stages.evaluate.benchmarks import AnalogySet, SimilaritySet, StsSet
from nightjar.stages.evaluate.bootstrap import Correlations, Resampling, estimate_correlations


@dataclass(frozen=True, eq=False)
class WordTable:
    """The tokens that take part in an evaluation.

    Row i of ``unit_matrix`` (float32, length one; a zero vector stays zero) is the i-th most
    frequent token. With ``case_insensitive``, tokens that differ only in case are one word,
    represented by the most frequent of them, and ``word_of[i]`` is its row. Words are compared by
    ``str.upper``, as gensim does.
    """

    unit_matrix: NDArray[np.float32]
    word_of: NDArray[np.int64]
    rows: Mapping[str, int]
    case_insensitive: bool

    @classmethod
    def of_model(cls, model: VectorModel, max_vocabulary: int, case_insensitive: bool) -> WordTable:
        """The ``max_vocabulary`` most frequent tokens of ``model``."""
        n_tokens = min(max_vocabulary, len(model.table))
        tokens = model.table.tokens_of(np.arange(n_tokens))
        return cls.of(tokens, model.table.vectors[:n_tokens], case_insensitive)

    @classmethod
    def of(
        cls, tokens: Sequence[str], vectors: NDArray[np.float32], case_insensitive: bool
    ) -> WordTable:
        """All of ``tokens``, most frequent first, with their ``vectors`` (n_tokens, size)."""
        words = [_word(token, case_insensitive) for token in tokens]
        rows: dict[str, int] = {}
        for row, word in enumerate(words):
            rows.setdefault(word, row)
        word_of = np.array([rows[word] for word in words], np.int64)
        units = unit_rows(vectors)
        return cls(units, word_of, rows, case_insensitive)

    def find(self, words: Iterable[str]) -> NDArray[np.int64]:
        """The row of each word, -1 if the word is unknown."""
        found = [self.rows.get(_word(word, self.case_insensitive), -1) for word in words]
        return np.array(found, np.int64)


def is_covered(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether all words of each item are known; ``rows`` has one item per row, -1 for unknown."""
    covered: NDArray[np.bool_] = np.all(rows >= 0, axis=1)
    return covered


def _word(token: str, case_insensitive: bool) -> str:
    return token.upper() if case_insensitive else token


def find_pairs(items: SimilaritySet, words: WordTable) -> NDArray[np.int64]:
    """Rows of the two words of each pair, shape (n_items, 2), -1 for an unknown word."""
    return np.stack([words.find(items.left), words.find(items.right)], axis=1)


def correlate_pairs(
    items: SimilaritySet,
    pairs: NDArray[np.int64],
    words: WordTable,
    resampling: Resampling,
    name: str,
) -> Correlations:
    """Correlation of cosine similarity with the human scores, over the covered pairs.

    Defined as gensim's ``evaluate_word_pairs`` with ``dummy4unknown=False``: pairs with an unknown
    word are left out, a repeated pair counts each time, and a zero vector has similarity 0 to
    everything. We compute cosines in float64 and gensim in float32, which matters from the seventh
    digit on, or where it makes or breaks a tie.
    """
    covered = is_covered(pairs)
    rows = pairs[covered]
    left = words.unit_matrix[rows[:, 0]].astype(np.float64)
    right = words.unit_matrix[rows[:, 1]].astype(np.float64)
    cosines = (left * right).sum(axis=1)
    return estimate_correlations(cosines, items.gold[covered], resampling, name)


Encoder = Callable[[Sequence[str]], NDArray[np.float32]]
"""The vector of each text, shape (n_texts, vector_size); a row of NaN for a text without a known
word."""


def text_similarities(items: StsSet, encode: Encoder) -> NDArray[np.float64]:
    """Cosine similarity of the texts of each pair, float64 of shape (n_items,).

    NaN where a text has no known word: the pair is not covered. A zero vector has similarity 0 to
    everything. Memory: the vectors of all distinct texts.
    """
    texts = list(dict.fromkeys([*items.left, *items.right]))
    vectors = encode(texts).astype(np.float64)
    vectors = unit_rows(vectors)
    row_of = {text: row for row, text in enumerate(texts)}
    left, right = (vectors[[row_of[text] for text in side]] for side in (items.left, items.right))
    similarities: NDArray[np.float64] = np.einsum("ij,ij->i", left, right)
    return similarities


BLOCK_BYTES = 64 << 20
"""Limit of the similarities held at once: (questions of a block, words), float32."""


def find_questions(items: AnalogySet, words: WordTable) -> NDArray[np.int64]:
    """Rows of the four words of each question, shape (n_items, 4), -1 for an unknown word."""
    flat = [word for question in items.questions for word in question]
    return words.find(flat).reshape(-1, 4)


def answer_questions(
    questions: NDArray[np.int64],
    words: WordTable,
    advance: Callable[[int], None],
    block_bytes: int = BLOCK_BYTES,
) -> NDArray[np.bool_]:
    """Whether each question (rows of a, b, c, d; all known) is answered by d.

    The answer is the token with the largest cosine similarity to b - a + c, computed with unit
    vectors in float32, excluding a, b, c and their case variants; the more frequent token wins a
    tie. It is correct when it is d or a case variant of d. ``advance`` is called with the number of
    questions done.

    Defined as gensim's ``evaluate_word_analogies``, with two exceptions: gensim gives up when the
    five best tokens are all case variants of a, b and c, and a zero vector has similarity NaN in
    gensim but 0 here. Where two similarities differ only by rounding, either token may be the
    answer.
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
    """For each word, all tokens that are its case variants."""

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
