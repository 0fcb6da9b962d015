"""The interface of every encoder: texts in, vectors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Encoded:
    """The vectors of some texts, with flags for each text."""

    vectors: Floats
    """(n_texts, vector_size); a zero row for a text without a known token."""
    is_known: Bools
    """(n_texts,): whether the encoder knows a token of the text."""
    is_cut: Bools
    """(n_texts,): whether ``max_length`` cut the text off."""


def ignore_progress(n_texts: int) -> None:
    """Ignore progress."""
    del n_texts


class TextEncoder(Protocol):
    """Texts to vectors. A text's vector depends on that text alone, not on its batch."""

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = ignore_progress
    ) -> Encoded:
        """The vectors of documents; calls ``advance`` with the number of texts just encoded."""

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """The vectors of search queries."""
