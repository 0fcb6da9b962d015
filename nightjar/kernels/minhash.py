"""Signatures of texts: one-permutation MinHash of their shingles.

A text is a set of shingles, runs of ``n_words`` words. Each shingle is hashed once; the upper bits
of the hash select a bin, and a bin keeps the minimum of the lower bits (Li, Owen and Zhang, "One
Permutation Hashing", 2012). An empty bin copies the value of another bin, selected by a hash of its
number (Shrivastava, "Optimal Densification for Fast and Accurate Minwise Hashing", 2017). The share
of bins in which two texts agree then estimates the Jaccard similarity of their shingles, with a
standard error of sqrt(J (1 - J) / n_bins).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.uint32(0xFFFFFFFF)

_UNSPACED_FROM = 0x2E80
"""From here on, except for Hangul, scripts have no spaces; each character is a word."""


@compiled()
def sign_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    n_words: int,
    hashes: NDArray[np.uint64],
    signatures: NDArray[np.uint32],
) -> None:
    """Fill ``signatures`` (n_texts, n_bins), n_bins a power of two from 2 to 65,536.

    Text i is ``data[offsets[i]:offsets[i + 1]]``, valid UTF-8. Words are runs of letters, digits
    and other characters beyond ASCII, in ASCII's lower case. A text of fewer words than ``n_words``
    is one shingle; the signature of a text without words is all zeros. ``hashes`` is scratch space,
    as long as the longest text in bytes.
    """
    n_bins = signatures.shape[1]
    shift = np.uint64(64)
    size = n_bins
    while size > 1:
        shift -= np.uint64(1)
        size >>= 1
    for text in range(len(offsets) - 1):
        n_found = _hash_words(data, offsets[text], offsets[text + 1], hashes)
        signature = signatures[text]
        if n_found == 0:
            signature[:] = 0
            continue
        signature[:] = _EMPTY
        n_in_shingle = min(n_words, n_found)
        for first in range(n_found - n_in_shingle + 1):
            shingle = np.uint64(n_in_shingle)
            for word in range(first, first + n_in_shingle):
                shingle = _mixed(shingle * _GAMMA + hashes[word])
            place = np.int64(shingle >> shift)
            value = np.uint32(shingle & np.uint64(0x7FFFFFFF))
            signature[place] = min(signature[place], value)
        _fill_empty(signature)


@inlined
def _mixed(value: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled()
def _hash_words(data: NDArray[np.uint8], start: int, end: int, hashes: NDArray[np.uint64]) -> int:
    """Hash the words of a text; returns their number."""
    n_found, position = 0, start
    hashed, is_open = _FNV_OFFSET, False
    while position < end:
        byte = data[position]
        is_word, is_single, length = False, False, 1
        if byte < 0x80:
            if 65 <= byte <= 90:
                byte |= np.uint8(32)
            is_word = 97 <= byte <= 122 or 48 <= byte <= 57
        else:
            is_word = True
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            is_single = length > 2 and _is_single(data, position, length)
        if is_open and (is_single or not is_word):
            hashes[n_found] = _mixed(hashed)
            n_found += 1
            hashed, is_open = _FNV_OFFSET, False
        if is_word:
            hashed = (hashed ^ np.uint64(byte)) * _FNV_PRIME
            for place in range(position + 1, position + length):
                hashed = (hashed ^ np.uint64(data[place])) * _FNV_PRIME
            is_open = True
        if is_single:
            hashes[n_found] = _mixed(hashed)
            n_found += 1
            hashed, is_open = _FNV_OFFSET, False
        position += length
    if is_open:
        hashes[n_found] = _mixed(hashed)
        n_found += 1
    return n_found


@inlined
def _is_single(data: NDArray[np.uint8], position: int, length: int) -> bool:
    """Whether a character of three bytes or more is a word by itself."""
    if length == 4:
        return True
    code = (
        (np.int64(data[position]) & 0x0F) << 12
        | (np.int64(data[position + 1]) & 0x3F) << 6
        | (np.int64(data[position + 2]) & 0x3F)
    )
    is_southeast_asian = (
        0x0E00 <= code < 0x0F00 or 0x1000 <= code < 0x10A0 or 0x1780 <= code < 0x1800
    )
    return bool(is_southeast_asian or (code >= _UNSPACED_FROM and not 0xAC00 <= code < 0xD7B0))


@inlined
def _fill_empty(signature: NDArray[np.uint32]) -> None:
    n_bins = np.uint64(len(signature))
    for place in range(len(signature)):
        if signature[place] != _EMPTY:
            continue
        # Values of bins that are filled here have the upper bit set, so that no bin copies a value
        # that was itself copied.
        chosen = np.uint64(place)
        while True:
            chosen = _mixed(chosen * _GAMMA + np.uint64(place + 1))
            value = signature[np.int64(chosen % n_bins)]
            if value < np.uint32(0x80000000):
                signature[place] = value | np.uint32(0x80000000)
                break
    for place in range(len(signature)):
        signature[place] &= np.uint32(0x7FFFFFFF)
