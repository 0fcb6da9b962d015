"""fastText's ``.bin`` (version 12 of its format): words, their own rows, rows of n-grams.

A word's vector is the mean of its own row and its n-grams' rows (Bojanowski et al. 2017). The
output layer that fastText's program expects is written as zeros: the file answers queries, but
cannot be trained further.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.content import BLOCK_ROWS, ExportedVectors, Ngrams, ReadVectors, decoded
from nightjar.model.lookup.vector_table import ngram_buckets

_MAGIC, _VERSION = 793_712_314, 12
_HEAD = struct.Struct("<2i12id")
_DICTIONARY = struct.Struct("<3i2q")
_ENTRY = struct.Struct("<qb")
_SHAPE = struct.Struct("<2q")
_NEGATIVE_SAMPLING, _SKIPGRAM, _WORD = 2, 2, 0
_MAX_WORD_BYTES = 1 << 16


def cannot_hold(token: str) -> bool:
    """Whether ``token`` has a zero byte, which would end the word."""
    return token == "" or "\0" in token


def write_fasttext(vectors: ExportedVectors, path: Path) -> None:
    """Write all ``bucket`` rows; those that no word uses are zeros."""
    ngrams, size = vectors.ngrams, vectors.vector_size
    min_n, max_n, bucket = (ngrams.min_n, ngrams.max_n, ngrams.bucket) if ngrams else (0, 0, 0)
    n_words = len(vectors.tokens)
    arguments = (size, 5, 5, 1, 5, 1, _NEGATIVE_SAMPLING, _SKIPGRAM, bucket, min_n, max_n, 100)
    n_tokens = int(vectors.counts.sum())
    with path.open("wb") as file:
        file.write(_HEAD.pack(_MAGIC, _VERSION, *arguments, 1e-4))
        file.write(_DICTIONARY.pack(n_words, n_words, 0, n_tokens, -1))
        for token, count in zip(vectors.tokens, vectors.counts.tolist(), strict=True):
            file.write(token.encode() + b"\0" + _ENTRY.pack(count, _WORD))
        file.write(b"\0" + _SHAPE.pack(n_words + bucket, size))  # not quantized
        for block in own_rows(vectors):
            file.write(block.astype("<f4").tobytes())
        if ngrams is not None:
            for block in _bucket_rows(ngrams):
                file.write(block.tobytes())
        file.write(b"\0" + _SHAPE.pack(n_words, size))
        _write_zeros(file, 4 * n_words * size)


def own_rows(vectors: ExportedVectors) -> Iterator[NDArray[np.float32]]:
    """Each word's own row, such that the mean of all its rows is its vector; in blocks."""
    ngrams = vectors.ngrams
    for rows, block in vectors.blocks():
        if ngrams is None:
            yield block
            continue
        n_rows, sums = _ngram_sums(vectors.tokens[rows], ngrams)
        yield (block * n_rows[:, np.newaxis] - sums).astype(np.float32)


def _ngram_sums(
    words: Sequence[str], ngrams: Ngrams
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The number of rows of each word, including its own, and the sum of its n-grams' rows."""
    buckets = [ngram_buckets(word, ngrams.min_n, ngrams.max_n, ngrams.bucket) for word in words]
    wanted = np.fromiter(chain.from_iterable(buckets), np.int64)
    n_known = len(ngrams.buckets)
    sums = np.zeros((len(words), ngrams.vectors.shape[1]))
    ends = np.cumsum([0, *map(len, buckets)])
    if n_known:
        places = np.minimum(np.searchsorted(ngrams.buckets, wanted), n_known - 1)
        is_there = ngrams.buckets[places] == wanted
        for word, (start, stop) in enumerate(pairwise(ends.tolist())):
            found = places[start:stop][is_there[start:stop]]
            sums[word] = ngrams.vectors[found].sum(axis=0, dtype=np.float64)
    return np.diff(ends) + 1, sums


def _bucket_rows(ngrams: Ngrams) -> Iterator[NDArray[np.float32]]:
    size = ngrams.vectors.shape[1]
    for start in range(0, ngrams.bucket, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, ngrams.bucket)
        block = np.zeros((stop - start, size), "<f4")
        first, last = np.searchsorted(ngrams.buckets, (start, stop))
        block[ngrams.buckets[first:last] - start] = ngrams.vectors[first:last]
        yield block


def _write_zeros(file: IO[bytes], n_bytes: int) -> None:
    zeros = bytes(1 << 20)
    while n_bytes > 0:
        n_bytes -= file.write(zeros[:n_bytes])


def read_fasttext(path: Path, limit: int | None = None) -> ReadVectors:
    """Read words, their vectors, and the non-zero rows of n-grams.

    Memory: the vectors; the file's matrix is memory-mapped. Raises InputError for a truncated file,
    a quantized model, and a classifier without words.
    """
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = _unpack(path, file, _HEAD)
        if head[:2] != (_MAGIC, _VERSION):
            raise InputError(
                f"{path}: is no fastText model of format version {_VERSION}; train it again with "
                f"a current fastText, or use its .vec file"
            )
        size, bucket, min_n, max_n = head[2], head[10], head[11], head[12]
        words, counts, faults = _read_dictionary(path, file)
        is_quantized = file.read(1) != b"\0"
        if is_quantized:
            raise InputError(f"{path}: is quantized and holds no plain vectors; use the .bin file")
        n_rows, width = _unpack(path, file, _SHAPE)
        start = file.tell()
    # The rows of labels are between those of words and n-grams.
    n_matrix = 4 * n_rows * width
    if not (
        0 < width == size and 0 <= bucket <= n_rows - len(words) and start + n_matrix <= n_bytes
    ):
        raise InputError(
            f"{path}: the matrix of {n_rows} x {width} values does not fit what is declared or "
            f"does not fit into the file of {n_bytes} bytes; it was cut: fetch it again"
        )
    matrix = np.memmap(path, "<f4", "r", start, (n_rows, width))
    is_word = np.array([count >= 0 for count in counts], np.bool_)
    ngrams = None
    if bucket and 0 < min_n <= max_n:
        ngrams = _read_ngrams(matrix, min_n, max_n, bucket, n_rows - bucket)
    rows = np.flatnonzero(is_word)[:limit]
    tokens = [words[row] for row in rows.tolist()]
    vectors = np.asarray(matrix[rows], np.float32)
    if ngrams is not None:
        vectors = _means(tokens, vectors, ngrams)
    return ReadVectors(tokens, vectors, np.array(counts, np.int64)[rows], ngrams, faults)


def _unpack(path: Path, file: IO[bytes], form: struct.Struct) -> tuple[int, ...]:
    data = file.read(form.size)
    if len(data) < form.size:
        raise InputError(f"{path}: ends within its header; it was cut: fetch it again")
    return form.unpack(data)


def _read_dictionary(path: Path, file: IO[bytes]) -> tuple[list[str], list[int], Counter[str]]:
    """Words and labels in order; the count of a label is -1."""
    n_entries, n_words, n_labels, _, n_pruned = _unpack(path, file, _DICTIONARY)
    if n_pruned > 0 or n_words < 1 or n_labels < 0 or n_entries != n_words + n_labels:
        raise InputError(
            f"{path}: its dictionary of {n_entries} entries has {n_words} words, {n_labels} labels "
            f"and {n_pruned} pruned n-grams; only plain models with words can be read"
        )
    faults: Counter[str] = Counter()
    words, counts = [], []
    for _ in range(n_entries):
        word = _read_word(path, file)
        count, kind = _unpack(path, file, _ENTRY)
        words.append(decoded(word, faults))
        counts.append(count if kind == _WORD else -1)
    return words, counts, faults


def _read_word(path: Path, file: IO[bytes]) -> bytes:
    start = file.tell()
    data = file.read(64)
    while b"\0" not in data and len(data) < _MAX_WORD_BYTES:
        more = file.read(1024)
        if not more:
            break
        data += more
    word, end, _ = data.partition(b"\0")
    if not end:
        raise InputError(
            f"{path}: has no word at byte {start}; it was cut or damaged: fetch it again"
        )
    file.seek(start + len(word) + 1)
    return word


def _read_ngrams(
    matrix: NDArray[np.float32], min_n: int, max_n: int, bucket: int, first: int
) -> Ngrams:
    """Copies of the rows that are not zero."""
    used = np.concatenate(
        [
            start + np.flatnonzero(matrix[first + start : first + start + BLOCK_ROWS].any(axis=1))
            for start in range(0, bucket, BLOCK_ROWS)
        ]
    ).astype(np.int32)
    return Ngrams(min_n, max_n, bucket, used, np.asarray(matrix[first + used], np.float32))


def _means(tokens: list[str], own: NDArray[np.float32], ngrams: Ngrams) -> NDArray[np.float32]:
    for start in range(0, len(tokens), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        n_rows, sums = _ngram_sums(tokens[rows], ngrams)
        own[rows] = (own[rows] + sums) / n_rows[:, np.newaxis]
    return own
