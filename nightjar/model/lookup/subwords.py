"""Vectors of unknown words from the rows of their character n-grams (FastText)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray


def ngram_buckets(word: str, min_n: int, max_n: int, n_buckets: int) -> list[int]:
    """Bucket of each character n-gram of ``<word>``, as Facebook's fastText numbers them.

    Bojanowski et al. 2017, section 3.2: FNV-1a over the UTF-8 bytes. The reference
    implementation reads each byte as a signed char; a lone bracket is no n-gram.
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


class Subwords:
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

        A row of NaN for a word of which no n-gram has a row.
        """
        means = np.full((len(words), self.rows.shape[1]), np.nan, np.float32)
        if len(self.buckets) == 0:
            return means
        buckets = [ngram_buckets(word, *self.sizes) for word in words]
        wanted = np.fromiter(chain.from_iterable(buckets), np.int64)
        places = np.minimum(np.searchsorted(self.buckets, wanted), len(self.buckets) - 1)
        is_there = self.buckets[places] == wanted
        ends = np.cumsum([0, *map(len, buckets)]).tolist()
        for number, (start, stop) in enumerate(pairwise(ends)):
            found = places[start:stop][is_there[start:stop]]
            if found.size:
                means[number] = self.rows[found].sum(axis=0) / np.float32(stop - start)
        return means
