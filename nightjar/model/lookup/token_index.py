"""From token to row, and suggestions for unknown words.

A hash table in two arrays, so that it can be memory-mapped. It uses open addressing with linear
probing: ``slots`` holds row + 1 in the first free slot from the token's hash on, and 0 in empty
slots; ``hashes`` has the CRC-32 of each row's token. At most half of the slots are used. Unlike
Python's own hash, CRC-32 is the same in every process.

Suggestions are words a few letters away, and known words within the unknown one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_FREE = 0
_MANY = 32
"""From this number of words on, all are looked up at once."""


def token_bytes(token: str) -> bytes:
    """UTF-8; also encodes a lone surrogate, which no stored token can contain."""
    return token.encode("utf-8", "surrogatepass")


def hash_tokens(tokens: Iterable[bytes], n_tokens: int) -> NDArray[np.uint32]:
    """The hash of each token."""
    return np.fromiter((crc32(token) for token in tokens), np.uint32, n_tokens)


def fill_slots(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The slots for rows with these hashes.

    It works in rounds: of the rows that want a free slot, the first gets it and the others try the
    next.
    """
    n_slots = 1 << max(1, (2 * len(hashes) - 1).bit_length())
    slots = np.zeros(n_slots, np.uint32)
    rows = np.arange(len(hashes))
    places = hashes.astype(np.int64) & (n_slots - 1)
    while rows.size:
        wanted, first = np.unique(places, return_index=True)
        is_free = slots[wanted] == _FREE
        slots[wanted[is_free]] = rows[first[is_free]] + 1
        is_waiting = np.ones(rows.size, dtype=bool)
        is_waiting[first[is_free]] = False
        rows = rows[is_waiting]
        places = (places[is_waiting] + 1) & (n_slots - 1)
    return slots


class TokenIndex:
    """The rows of tokens. ``tokens`` is a binary array; the arrays may be memory-mapped."""

    def __init__(
        self, tokens: pa.BinaryArray, hashes: NDArray[np.uint32], slots: NDArray[np.uint32]
    ) -> None:
        self._tokens = tokens
        self._hashes = hashes
        self._slots = slots

    def row(self, token: str) -> int:
        """The row of one token, -1 for an unknown one."""
        encoded = token_bytes(token)
        return self._probe(encoded, crc32(encoded))

    def rows(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """The row of each token, -1 for an unknown one."""
        if len(tokens) < _MANY:
            return np.fromiter(map(self.row, tokens), np.int64, len(tokens))
        encoded = [token_bytes(token) for token in tokens]
        hashes = hash_tokens(encoded, len(encoded))
        rows = self._rows_of_hashes(hashes)
        known = np.flatnonzero(rows >= 0)
        candidates = self._tokens.take(pa.array(rows[known]))
        asked = pa.array(encoded, self._tokens.type).take(pa.array(known))
        is_same = pc.equal(candidates, asked).to_numpy(zero_copy_only=False)
        for place in known[~is_same]:  # another token with the same hash
            rows[place] = self._probe(encoded[place], int(hashes[place]))
        return rows

    def _rows_of_hashes(self, hashes: NDArray[np.uint32]) -> NDArray[np.int64]:
        """For each hash the first row with it, or -1."""
        mask = len(self._slots) - 1
        found = np.full(len(hashes), -1, np.int64)
        asking = np.arange(len(hashes))
        places = hashes.astype(np.int64) & mask
        while asking.size:
            rows = self._slots[places].astype(np.int64) - 1
            is_taken = rows >= 0
            asking, places, rows = asking[is_taken], places[is_taken], rows[is_taken]
            is_match = self._hashes[rows] == hashes[asking]
            found[asking[is_match]] = rows[is_match]
            asking, places = asking[~is_match], (places[~is_match] + 1) & mask
        return found

    def _probe(self, token: bytes, token_hash: int) -> int:
        mask = len(self._slots) - 1
        place = token_hash & mask
        while (entry := int(self._slots[place])) != _FREE:
            row = entry - 1
            if self._hashes[row] == token_hash and self._tokens[row].as_py() == token:
                return row
            place = (place + 1) & mask
        return -1


MAX_WORDS = 100_000
"""Edit distances are measured to this many of the most frequent words."""
_MIN_PART = 4
_LONGEST = 40


def edit_distances(word: str, candidates: Sequence[str]) -> NDArray[np.int64]:
    """Insertions, deletions, replacements and swaps of adjacent letters between words.

    Optimal string alignment (Damerau 1964), for all candidates at once.
    """
    if not candidates:
        return np.zeros(0, np.int64)
    texts = np.array(candidates)
    width = texts.dtype.itemsize // 4
    letters = texts.view(np.uint32).reshape(len(candidates), width)
    lengths = np.fromiter(map(len, candidates), np.int64, len(candidates))
    asked = [ord(letter) for letter in word]
    previous: NDArray[np.int64] = np.zeros(0, np.int64)
    row = np.broadcast_to(np.arange(width + 1), (len(candidates), width + 1)).astype(np.int64)
    for i, letter in enumerate(asked, start=1):
        before_previous, previous = previous, row
        row = np.empty_like(previous)
        row[:, 0] = i
        for j in range(1, width + 1):
            is_other = letters[:, j - 1] != letter
            best = np.minimum(previous[:, j] + 1, row[:, j - 1] + 1)
            np.minimum(best, previous[:, j - 1] + is_other, out=best)
            if i > 1 and j > 1:
                is_swap = (letters[:, j - 2] == letter) & (letters[:, j - 1] == asked[i - 2])
                np.minimum(best, before_previous[:, j - 2] + 1, out=best, where=is_swap)
            row[:, j] = best
    return row[np.arange(len(candidates)), lengths]


def suggest(word: str, frequent: Sequence[str], index: TokenIndex, topn: int = 3) -> list[str]:
    """Up to ``topn`` words that ``word`` may mean, the likeliest first.

    First its other spellings (upper and lower case), then words among ``frequent`` (most frequent
    first) within an edit distance of a third of its letters, then the longest known words within
    it.
    """
    if not word or len(word) > _LONGEST:
        return []
    spellings = [word.lower(), word.capitalize(), word.upper(), word.strip()]
    found = [spelling for spelling in spellings if index.row(spelling) >= 0]
    limit = max(1, len(word) // 3)
    near = [token for token in frequent if abs(len(token) - len(word)) <= limit]
    distances = edit_distances(word, near)
    closest = np.argsort(distances, kind="stable")[: topn + 1]
    found += [near[i] for i in closest if 0 < distances[i] <= limit]
    if len(found) < topn:
        found += _parts(word, index)
    return list(dict.fromkeys(found))[:topn]


def _parts(word: str, index: TokenIndex) -> list[str]:
    """Known words within ``word``, longest first."""
    parts = [
        word[start : start + length]
        for length in range(len(word) - 1, _MIN_PART - 1, -1)
        for start in range(len(word) - length + 1)
    ]
    rows = index.rows(parts)
    return [part for part, row in zip(parts, rows, strict=True) if row >= 0]
