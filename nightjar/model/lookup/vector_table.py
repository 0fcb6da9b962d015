"""An open table of vectors: rows of words, nearest words, and unknown words from their n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .lookup_files import TableFiles, map_table
from .nearest import Nearest, nearest_rows
from .token_index import TokenIndex

LONGEST_COMPOSED = 1_000
"""Longer words get no vector from their n-grams: no real word is, and each letter takes time."""
_CHARACTERS_AT_ONCE = 1 << 16


def ngram_buckets(word: str, min_n: int, max_n: int, n_buckets: int) -> list[int]:
    """Bucket of each character n-gram of ``<word>``, as Facebook's fastText numbers them.

    Bojanowski et al. 2017, section 3.2: FNV-1a over the UTF-8 bytes. The reference implementation
    reads each byte as a signed char; a lone bracket is not an n-gram.
    """
    characters = [char.encode("utf-8", "surrogatepass") for char in f"<{word}>"]
    return [
        value % n_buckets
        for start in range(len(characters))
        for n, value in enumerate(_prefix_hashes(characters[start : start + max_n]), start=1)
        if n >= min_n and not (n == 1 and start in (0, len(characters) - 1))
    ]


def _prefix_hashes(characters: list[bytes]) -> Iterator[int]:
    """FNV-1a of the first character, of the first two, and so on (32 bits)."""
    value = 2_166_136_261
    for character in characters:
        for byte in character:
            signed = byte | 0xFFFFFF00 if byte > 127 else byte
            value = ((value ^ signed) * 16_777_619) & 0xFFFFFFFF
        yield value


class SubwordVectors:
    """``rows[i]`` is the vector of bucket ``buckets[i]``, ascending; other rows are zero."""

    def __init__(
        self,
        buckets: NDArray[np.int32],
        rows: NDArray[np.float32],
        min_n: int,
        max_n: int,
        n_buckets: int,
    ) -> None:
        self.buckets = buckets
        self.rows = rows
        self.sizes = (min_n, max_n, n_buckets)

    def vectors(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The mean over each word's n-grams, shape (n_words, vector_size).

        A row of NaN for a word without any known n-gram, or too long to be one.
        """
        means = np.full((len(words), self.rows.shape[1]), np.nan, np.float32)
        if len(self.buckets) == 0:
            return means
        for first, stop in _batches(words):
            self._compose(words[first:stop], means[first:stop])
        return means

    def n_known(self, word: str) -> tuple[int, int]:
        """How many n-grams of ``word`` have a vector, and how many it has; 0, 0 if it is too long.

        The vector of an unknown word is the sum of the former, divided by the number of all.
        """
        if len(word) > LONGEST_COMPOSED or len(self.buckets) == 0:
            return 0, 0
        wanted = np.array(ngram_buckets(word, *self.sizes), np.int64)
        return int(np.isin(wanted, self.buckets).sum()), len(wanted)

    def _compose(self, words: Sequence[str], means: NDArray[np.float32]) -> None:
        """Write the vectors of some words into ``means``."""
        buckets = [
            ngram_buckets(word, *self.sizes) if len(word) <= LONGEST_COMPOSED else []
            for word in words
        ]
        wanted = np.fromiter(chain.from_iterable(buckets), np.int64)
        places = np.minimum(np.searchsorted(self.buckets, wanted), len(self.buckets) - 1)
        is_there = self.buckets[places] == wanted
        ends = np.cumsum([0, *map(len, buckets)]).tolist()
        for number, (start, stop) in enumerate(pairwise(ends)):
            found = places[start:stop][is_there[start:stop]]
            if found.size:
                means[number] = self.rows[found].sum(axis=0) / np.float32(stop - start)


def _batches(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Bounds of runs of words that are composed together, so that memory stays small."""
    first = n_characters = 0
    for place, word in enumerate(words):
        n_characters += min(len(word), LONGEST_COMPOSED)
        if n_characters > _CHARACTERS_AT_ONCE:
            yield first, place + 1
            first, n_characters = place + 1, 0
    if first < len(words):
        yield first, len(words)


class VectorTable:
    """Tokens and their vectors, most frequent first; everything is memory-mapped."""

    def __init__(self, files: TableFiles) -> None:
        self._tokens = files.tokens
        self.counts = files.counts
        """int64 (n_tokens,)"""
        self.vectors = files.vectors
        """float32 (n_tokens, vector_size)"""
        self.norms = files.norms
        """float32 (n_tokens,)"""
        self.index = TokenIndex(files.tokens.view(pa.large_binary()), files.hashes, files.slots)

    @classmethod
    def open(cls, directory: Path) -> VectorTable:
        """Open what :func:`.write_table` wrote. Raises TableDamaged."""
        return cls(map_table(directory))

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return int(self.vectors.shape[1])

    def row(self, token: str) -> int:
        """The row of ``token``, or -1."""
        return self.index.row(token)

    def rows(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """The row of each token, -1 for unknown ones."""
        return self.index.rows(tokens)

    def tokens_of(self, rows: NDArray[np.int64]) -> list[str]:
        """The tokens of some rows."""
        found: list[str] = self._tokens.take(pa.array(rows)).to_pylist()
        return found

    def nearest(
        self,
        queries: NDArray[np.float32],
        topn: int,
        excluded: Sequence[Sequence[int]] | None = None,
        least: float | None = None,
    ) -> list[Nearest]:
        """The nearest rows of each query (:func:`.nearest_rows`)."""
        return nearest_rows(self.vectors, self.norms, queries, topn, excluded, least)
