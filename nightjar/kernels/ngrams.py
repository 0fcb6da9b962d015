"""Hashing the character n-grams of words, and numbering the buckets that occur.

The n-grams of ``<word>`` are counted in characters and hashed by 32-bit FNV-1a over their UTF-8
bytes, each extended with its sign (fastText, ``Dictionary::computeSubwords``; gensim's
``ft_ngram_hashes``). Words are stored end to end as UTF-8: word w is
``text[starts[w]:starts[w + 1]]``.

A set of buckets is a bitmap: bit b & 63 of ``bits[b >> 6]``. The rank of a bucket in it is the
number of set bits before, so numbering them densely needs 1.5 bits per bucket and no sorting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined

_OFFSET_BASIS = np.uint64(2_166_136_261)
_PRIME = np.uint64(16_777_619)
_UINT32 = np.uint64(0xFFFF_FFFF)
_SIGN = np.uint64(0x80)
_SIGN_EXTENSION = np.uint64(0xFFFF_FF00)
_BEGIN, _END = 0x3C, 0x3E
"""The characters < and > around a word."""


@inlined
def byte_of(text: NDArray[np.uint8], start: int, stop: int, place: int) -> int:
    """The byte at ``place`` of the word ``text[start:stop]`` in angle brackets."""
    if place == 0:
        return _BEGIN
    if place > stop - start:
        return _END
    return int(text[start + place - 1])


@compiled()
def hash_ngrams(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    min_n: int,
    max_n: int,
    bucket: int,
    offsets: NDArray[np.int64],
    buckets: NDArray[np.int32],
    is_count: bool,
) -> None:
    """Write the bucket of each n-gram of each word, or only count them.

    Counting sets ``offsets`` (n_words + 1,): each word has one slot more than it has n-grams. With
    these offsets, ``buckets[offsets[w] + 1:offsets[w + 1]]`` are then those of word w, by first
    character, then by length, including repetitions; ``buckets[offsets[w]]`` is not written.
    """
    n = 0
    offsets[0] = 0
    for word in range(starts.shape[0] - 1):
        start, stop = starts[word], starts[word + 1]
        n_bytes = stop - start + 2
        n += 1
        for first in range(n_bytes):
            if byte_of(text, start, stop, first) & 0xC0 == 0x80:
                continue  # inside a character
            state = _OFFSET_BASIS
            place, n_characters = first, 0
            while place < n_bytes and n_characters < max_n:
                is_begun = True
                while is_begun:
                    byte = np.uint64(byte_of(text, start, stop, place))
                    signed = byte | _SIGN_EXTENSION if byte & _SIGN else byte
                    state = ((state ^ signed) * _PRIME) & _UINT32
                    place += 1
                    is_begun = place < n_bytes and byte_of(text, start, stop, place) & 0xC0 == 0x80
                n_characters += 1
                is_bracket = n_characters == 1 and (first == 0 or place == n_bytes)
                if n_characters >= min_n and not is_bracket:
                    if not is_count:
                        buckets[n] = np.int32(state % np.uint64(bucket))
                    n += 1
        offsets[word + 1] = n


@inlined
def n_bits(word: np.uint64) -> int:
    """Number of set bits (Hacker's Delight, section 5-1)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled()
def mark_buckets(
    offsets: NDArray[np.int64],
    buckets: NDArray[np.int32],
    bits: NDArray[np.uint64],
    n_before: NDArray[np.int32],
) -> int:
    """Set the bits of all buckets, and count those before each element; returns their number.

    ``offsets`` and ``buckets`` are those of :func:`hash_ngrams`; ``bits`` is initially 0, and
    ``n_before`` has its length.
    """
    for word in range(offsets.shape[0] - 1):
        for i in range(offsets[word] + 1, offsets[word + 1]):
            bucket = np.uint64(buckets[i])
            bits[bucket >> np.uint64(6)] |= np.uint64(1) << (bucket & np.uint64(63))
    n = 0
    for i in range(bits.shape[0]):
        n_before[i] = n
        n += n_bits(bits[i])
    return n


@compiled()
def list_buckets(bits: NDArray[np.uint64], buckets: NDArray[np.int32]) -> None:
    """Write the buckets whose bits are set, ascending."""
    n = 0
    for i in range(bits.shape[0]):
        element = bits[i]
        for bit in range(64):
            if (element >> np.uint64(bit)) & np.uint64(1):
                buckets[n] = 64 * i + bit
                n += 1


@compiled()
def number_rows(
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    bits: NDArray[np.uint64],
    n_before: NDArray[np.int32],
) -> None:
    """Turn buckets into rows in place: word w's own row is w, those of the buckets follow."""
    n_words = offsets.shape[0] - 1
    for word in range(n_words):
        rows[offsets[word]] = word
        for i in range(offsets[word] + 1, offsets[word + 1]):
            bucket = np.uint64(rows[i])
            element = bucket >> np.uint64(6)
            lower = (np.uint64(1) << (bucket & np.uint64(63))) - np.uint64(1)
            rows[i] = n_words + n_before[element] + n_bits(bits[element] & lower)


@compiled()
def add_uses(
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    uses_of_word: NDArray[np.float64],
    uses: NDArray[np.float64],
) -> None:
    """Add the uses of each word to each of its rows."""
    for word in range(offsets.shape[0] - 1):
        for i in range(offsets[word], offsets[word + 1]):
            uses[rows[i]] += uses_of_word[word]


@compiled()
def renumber(rows: NDArray[np.int32], place: NDArray[np.int64]) -> None:
    """Replace each row with its new position, in place."""
    for i in range(rows.shape[0]):
        rows[i] = place[rows[i]]
