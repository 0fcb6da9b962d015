"""Semantic textual similarity: how far vectors of texts rank pairs as people do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nightjar.stages.evaluate.benchmarks import StsSet

Encoder = Callable[[Sequence[str]], NDArray[np.float32]]
"""The vector of each text, shape (n_texts, vector_size); a row of NaN for one without a word."""


def text_similarities(items: StsSet, encode: Encoder) -> NDArray[np.float64]:
    """Cosine similarity of the texts of each pair, float64 of shape (n_items,).

    NaN where a text has no known word: the pair is not covered. A zero vector has the
    similarity 0 to everything. In memory: the vectors of all distinct texts.
    """
    texts = list(dict.fromkeys([*items.left, *items.right]))
    vectors = encode(texts).astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    vectors /= np.where(lengths == 0, 1, lengths)[:, np.newaxis]
    row_of = {text: row for row, text in enumerate(texts)}
    left, right = (vectors[[row_of[text] for text in side]] for side in (items.left, items.right))
    similarities: NDArray[np.float64] = np.einsum("ij,ij->i", left, right)
    return similarities
