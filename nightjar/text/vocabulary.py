"""The vocabulary while it grows, and the ranks it ends with."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ranking:
    """The final vocabulary: by count descending, then token by code points.

    ``tokens[i]`` occurs ``counts[i]`` times in ``n_documents[i]`` documents.
    ``rank_of[provisional id]`` is the rank, -1 for a token that is not kept.
    """

    tokens: list[str]
    counts: NDArray[np.int64]
    n_documents: NDArray[np.int64]
    rank_of: NDArray[np.int32]


class _Ids(dict[str, int]):
    """Gives every new token the next id and notes its length, with no code per known token."""

    def __init__(self) -> None:
        super().__init__()
        self.n_chars = array("q")

    def __missing__(self, token: str) -> int:
        number = self[token] = len(self)
        self.n_chars.append(len(token))
        return number


class GrowingVocabulary:
    """Provisional ids in the order of first sight, and counts.

    Tokens of fewer than ``min_chars`` or more than ``max_chars`` characters get an id, too,
    so that the decision is taken once a token and not once an occurrence; they are not kept.
    In memory: every distinct token of the corpus and 28 bytes of numbers each.
    """

    def __init__(self, min_chars: int, max_chars: int) -> None:
        self._min_chars = min_chars
        self._max_chars = max_chars
        self._ids = _Ids()
        self._counts = np.zeros(0, np.int64)
        self._n_documents = np.zeros(0, np.int64)

    @property
    def id_of(self) -> Callable[[str], int]:
        """The provisional id of a token, a new one if need be."""
        return self._ids.__getitem__

    def is_too_short(self) -> NDArray[np.bool_]:
        """For each provisional id, whether its token is dropped as too short."""
        return np.array(self._ids.n_chars, np.int64) < self._min_chars

    def is_too_long(self) -> NDArray[np.bool_]:
        """For each provisional id, whether its token is dropped as too long."""
        return np.array(self._ids.n_chars, np.int64) > self._max_chars

    def count(self, ids: NDArray[np.int32], documents: NDArray[np.int64]) -> None:
        """Count the kept tokens ``ids``, of which ``documents`` says the document's number.

        A document must not be spread over two calls.
        """
        size = len(self._ids)
        self._counts = _grown(self._counts, size) + np.bincount(ids, minlength=size)
        pairs = documents * size + ids
        pairs.sort()
        is_first = np.ones(len(pairs), np.bool_)
        is_first[1:] = pairs[1:] != pairs[:-1]
        found = np.bincount(pairs[is_first] % size if size else pairs, minlength=size)
        self._n_documents = _grown(self._n_documents, size) + found

    def ranking(self) -> Ranking:
        """The kept tokens in their final order."""
        tokens = list(self._ids)
        by_token = np.array(sorted(range(len(tokens)), key=tokens.__getitem__), np.int64)
        order = by_token[np.argsort(-self._counts[by_token], kind="stable")]
        order = order[self._counts[order] > 0]
        rank_of = np.full(len(tokens), -1, np.int32)
        rank_of[order] = np.arange(len(order), dtype=np.int32)
        return Ranking(
            tokens=[tokens[number] for number in order.tolist()],
            counts=self._counts[order],
            n_documents=self._n_documents[order],
            rank_of=rank_of,
        )


def _grown(values: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.pad(values, (0, size - len(values)))
