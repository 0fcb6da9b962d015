"""What every encoder does: texts in, vectors out."""

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
    """The vectors of some texts, and what is to be said of each text."""

    vectors: Floats
    """(n_texts, vector_size); the row of a text without a known token is zero."""
    is_known: Bools
    """(n_texts,): whether the encoder knows a token of it."""
    is_cut: Bools
    """(n_texts,): whether ``max_length`` left an end of it out."""


def ignore_progress(n_texts: int) -> None:
    """Listen to nothing."""
    del n_texts


class TextEncoder(Protocol):
    """Texts to vectors. A text's vector hangs on that text alone, not on those beside it."""

    @property
    def vector_size(self) -> int:
        """Values of a vector."""

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = ignore_progress
    ) -> Encoded:
        """The vectors of documents; ``advance`` hears of each so many that are done."""

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """The vectors of what is searched for among documents."""
