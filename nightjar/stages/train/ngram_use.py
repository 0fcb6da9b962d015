"""How many n-gram rows a FastText vocabulary uses; numpy only, since planning needs it.

Facebook's subwords (Bojanowski et al. 2017; fastText's ``Dictionary::computeSubwords``): the
character n-grams of ``<word>``, hashed by 32-bit FNV-1a over their UTF-8 bytes, each byte extended
with its sign; the row of an n-gram is its hash modulo ``bucket``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXACT_WORDS = 200_000
"""Words whose n-grams are counted: the most frequent ones of a larger vocabulary, with the rest
extrapolated. Takes half a second and 100 MB."""
_OFFSET_BASIS = np.uint32(2_166_136_261)
_PRIME = np.uint32(16_777_619)
_MAX_CHARACTER_BYTES = 4


@dataclass(frozen=True, eq=False)
class NgramUse:
    """Distinct n-grams of the most frequent words of a vocabulary.

    ``first_words`` has, for each distinct hash, the rank of the first word with it, ascending;
    ``n_counted`` of ``n_words`` words were counted.
    """

    first_words: NDArray[np.int64]
    n_counted: int
    n_words: int
    bucket: int

    @property
    def is_exact(self) -> bool:
        """Whether all words were counted and hashes are rows; otherwise rows are approximate."""
        return self.n_counted == self.n_words

    def n_rows(self, n_words: int) -> int:
        """Rows that the ``n_words`` most frequent words use.

        Beyond the words counted, the number of distinct n-grams is extrapolated as a power of the
        number of words (Heaps' law), with the exponent of the second half counted, and n-grams
        collide in buckets at random.
        """
        n_hashes = int(np.searchsorted(self.first_words, min(n_words, self.n_counted)))
        if n_words <= self.n_counted or n_hashes == 0:
            return n_hashes
        n_half = int(np.searchsorted(self.first_words, self.n_counted // 2))
        exponent = math.log2(n_hashes / max(n_half, 1))
        n_ngrams = n_hashes * (n_words / self.n_counted) ** min(exponent, 1.0)
        return round(-self.bucket * math.expm1(-n_ngrams / self.bucket))


def count_ngrams(
    words: Sequence[str], n_words: int, min_n: int, max_n: int, bucket: int
) -> NgramUse:
    """Count the n-grams of ``words``: all words of a vocabulary of ``n_words``, or the first.

    If ``words`` is the full vocabulary, distinct buckets are counted; otherwise distinct hashes,
    which :meth:`NgramUse.n_rows` distributes to buckets. With ``max_n`` below ``min_n`` there are
    none.
    """
    hashes, owners = ngram_hashes(words, min_n, max_n)
    if len(words) == n_words and bucket:
        hashes %= np.uint32(bucket)
    # The word's rank is in the low bits, so after sorting, a hash's first word comes first.
    keys = hashes.astype(np.uint64) << np.uint64(32) | owners.astype(np.uint64)
    keys.sort()
    distinct = keys >> np.uint64(32)
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = distinct[1:] != distinct[:-1]
    first_words = (keys[is_first] & np.uint64(0xFFFF_FFFF)).astype(np.int64)
    first_words.sort()
    return NgramUse(first_words, len(words), n_words, bucket)


def ngram_hashes(
    words: Sequence[str], min_n: int, max_n: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The hash of every n-gram of every word, and the index of its word in ``words``.

    All positions of all words advance by a character together, so the order is by length of the
    n-gram, then by word, then by position. A single ``<`` or ``>`` is not an n-gram.
    """
    if not words or max_n < min_n:
        return np.empty(0, np.uint32), np.empty(0, np.int64)
    # What cannot be encoded (half a surrogate pair) is kept as bytes, without U+FFFD.
    text = "".join([f"<{word}>" for word in words])
    lengths = np.fromiter(map(len, words), np.int64, len(words)) + 2
    ends = np.cumsum(lengths)
    codes, n_bytes = _signed_bytes(text)
    owners = np.repeat(np.arange(len(words)), lengths)
    is_edge = np.zeros(len(owners), np.bool_)
    is_edge[ends - 1] = is_edge[ends - lengths] = True
    starts = np.arange(len(owners))
    state = np.full(len(owners), _OFFSET_BASIS, np.uint32)
    found: list[tuple[NDArray[np.uint32], NDArray[np.int64]]] = []
    for n in range(1, max_n + 1):
        is_inside = starts + n <= ends[owners[starts]]
        starts, state = starts[is_inside], state[is_inside]
        if not len(starts):
            break
        _absorb(state, codes, n_bytes, starts + n - 1)
        if n >= min_n:
            taken = ~is_edge[starts] if n == 1 else slice(None)
            found.append((state[taken].copy(), owners[starts[taken]]))
    if not found:
        return np.empty(0, np.uint32), np.empty(0, np.int64)
    return np.concatenate([h for h, _ in found]), np.concatenate([o for _, o in found])


def _signed_bytes(text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """UTF-8 of each character: (n, 4) bytes, sign-extended to uint32, and the number of bytes."""
    raw = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.int8)
    is_start = (raw.view(np.uint8) & 0xC0) != 0x80
    starts = np.flatnonzero(is_start)
    n_bytes = np.diff(starts, append=len(raw)).astype(np.uint8)
    padded = np.concatenate((raw, np.zeros(_MAX_CHARACTER_BYTES, np.int8)))
    places = starts[:, None] + np.arange(_MAX_CHARACTER_BYTES)
    return padded[places].astype(np.int32).view(np.uint32), n_bytes


def _absorb(
    state: NDArray[np.uint32],
    codes: NDArray[np.uint32],
    n_bytes: NDArray[np.uint8],
    places: NDArray[np.int64],
) -> None:
    """Add one more character, those at ``places``, to each FNV-1a state, in place."""
    state ^= codes[places, 0]
    state *= _PRIME
    for byte in range(1, int(n_bytes.max())):
        has_byte = np.flatnonzero(n_bytes[places] > byte)
        state[has_byte] = (state[has_byte] ^ codes[places[has_byte], byte]) * _PRIME
