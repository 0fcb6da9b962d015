"""fastText's ``.bin`` (versions 11 and 12 of its format): words, their own rows, rows of n-grams.

A word's vector is the mean of its own row and its n-grams' rows (Bojanowski et al. 2017); that of
the end of a sentence, ``</s>``, is its own row alone. The output layer that fastText's program
expects is written as zeros: the file answers queries, but cannot be trained further.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.content import BLOCK_ROWS, ExportedVectors, Ngrams, ReadVectors, decoded
from nightjar.model.lookup.vector_table import ngram_buckets
from nightjar.wording import counted

_MAGIC, _VERSION, _OLD_VERSION = 793_712_314, 12, 11
_HEAD = struct.Struct("<2i12id")
_OLD_OPTIONS = struct.Struct("<12i")
_DICTIONARY = struct.Struct("<3i2q")
_ENTRY = struct.Struct("<qb")
_SHAPE = struct.Struct("<2q")
_NEGATIVE_SAMPLING, _SKIPGRAM, _SUPERVISED = 2, 2, 3
_WORD, _LABEL = 0, 1
_MAX_WORD_BYTES = 1 << 16
_NGRAMS_AT_ONCE = 1 << 18
_ROWS_AT_ONCE = 1 << 12
_MAX_NGRAMS = 1_000_000
"""No word has as many, not even one of a thousand characters with n-grams of any length."""
_UNLIMITED = (1 << 31) - 1
END_OF_SENTENCE = "</s>"
"""The word that fastText makes of a line's end; it has no n-grams."""


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


def own_rows(
    vectors: ExportedVectors, special: str | None = END_OF_SENTENCE
) -> Iterator[NDArray[np.float32]]:
    """Each word's own row, such that the mean of all its rows is its vector; in blocks.

    ``special`` has no n-grams.
    """
    ngrams = vectors.ngrams
    for rows, block in vectors.blocks():
        if ngrams is None:
            yield block
            continue
        _refuse_endless("the model", vectors.tokens[rows], ngrams, rows.start)
        words = [None if word == special else word for word in vectors.tokens[rows]]
        n_rows, sums = _ngram_sums(words, ngrams)
        yield (block * n_rows[:, np.newaxis] - sums).astype(np.float32)


def _ngram_sums(
    words: Sequence[str | bytes | None], ngrams: Ngrams
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The number of rows of each word, including its own, and the sum of its n-grams' rows.

    None is a word without n-grams; bytes are a word that is not UTF-8.
    """
    n_rows = np.empty(len(words), np.int64)
    sums = np.zeros((len(words), ngrams.vectors.shape[1]))
    done = 0
    for buckets in _bounded(_buckets(word, ngrams) for word in words):
        some = slice(done, done + len(buckets))
        n_rows[some] = [len(of_word) + 1 for of_word in buckets]
        if len(ngrams.buckets):
            _add_rows(sums[some], buckets, ngrams)
        done = some.stop
    return n_rows, sums


def _bounded(buckets: Iterable[list[int]]) -> Iterator[list[list[int]]]:
    """The same lists, as many at once as hold _NGRAMS_AT_ONCE n-grams, and one at least."""
    some: list[list[int]] = []
    n_ngrams = 0
    for of_word in buckets:
        some.append(of_word)
        n_ngrams += len(of_word)
        if n_ngrams >= _NGRAMS_AT_ONCE:
            yield some
            some, n_ngrams = [], 0
    if some:
        yield some


def _add_rows(sums: NDArray[np.float64], buckets: list[list[int]], ngrams: Ngrams) -> None:
    """Add to ``sums[i]`` the rows of ``buckets[i]``."""
    wanted = np.fromiter(chain.from_iterable(buckets), np.int64)
    places = np.minimum(np.searchsorted(ngrams.buckets, wanted), len(ngrams.buckets) - 1)
    is_there = ngrams.buckets[places] == wanted
    ends = np.cumsum([0, *map(len, buckets)])
    for word, (start, stop) in enumerate(pairwise(ends.tolist())):
        found = places[start:stop][is_there[start:stop]]
        for first in range(0, len(found), _ROWS_AT_ONCE):
            rows = ngrams.vectors[found[first : first + _ROWS_AT_ONCE]]
            sums[word] += rows.sum(axis=0, dtype=np.float64)


def _refuse_endless(
    place: Path | str, words: Sequence[str | bytes], ngrams: Ngrams, first_row: int
) -> None:
    """Raise InputError for a word whose n-grams, as many as its length squared, take too long."""
    for row, word in enumerate(words, start=first_row + 1):
        n_chars = len(word) + 2
        longest = min(ngrams.max_n, n_chars)
        if longest * n_chars - longest * (longest - 1) // 2 > _MAX_NGRAMS:
            raise InputError(
                f"{place}: word {row:,} ({word[:30]!r}...) is of {counted(len(word), 'character')} "
                f"and has n-grams of up to {counted(longest, 'character')}, which are more than "
                f"{_MAX_NGRAMS:,}; leave it out, or train again with a smaller -maxn"
            )


def _buckets(word: str | bytes | None, ngrams: Ngrams) -> list[int]:
    if word is None:
        return []
    if isinstance(word, bytes):
        return _buckets_of_bytes(word, ngrams)
    return ngram_buckets(word, ngrams.min_n, ngrams.max_n, ngrams.bucket)


def _buckets_of_bytes(word: bytes, ngrams: Ngrams) -> list[int]:
    """As fastText does: a character is a byte and the UTF-8 continuation bytes behind it."""
    found = []
    bracketed = b"<" + word + b">"
    starts = [place for place, byte in enumerate(bracketed) if byte & 0xC0 != 0x80]
    bounds = [*starts, len(bracketed)]
    for first in range(len(starts)):
        for n in range(ngrams.min_n, min(ngrams.max_n, len(starts) - first) + 1):
            if n == 1 and first in (0, len(starts) - 1):
                continue
            value = 2_166_136_261
            for byte in bracketed[bounds[first] : bounds[first + n]]:
                signed = byte | 0xFFFFFF00 if byte > 127 else byte
                value = ((value ^ signed) * 16_777_619) & 0xFFFFFFFF
            found.append(value % ngrams.bucket)
    return found


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


def looks_like_fasttext(head: bytes) -> bool:
    """Whether ``head`` starts with fastText's magic number or, as before May 2017, its options."""
    if head.startswith(_MAGIC.to_bytes(4, "little")):
        return True
    if len(head) < _OLD_OPTIONS.size:
        return False
    size, window, epochs, min_count, _, _, loss, model, bucket, *_ = _OLD_OPTIONS.unpack_from(head)
    are_counts = all(0 < number < 1 << 16 for number in (size, window, epochs, min_count))
    return are_counts and {loss, model} <= {1, 2, 3} and bucket >= 0


@dataclass
class _Dictionary:
    """The words in the order of their rows, which come first in the matrix."""

    words: list[str | bytes] = field(default_factory=list)
    """Bytes for a word that is not UTF-8."""
    counts: list[int] = field(default_factory=list)
    has_pruned_all: bool = False
    """No n-gram has a row."""
    faults: Counter[str] = field(default_factory=Counter)


def read_fasttext(path: Path, limit: int | None = None) -> ReadVectors:
    """Read words, their vectors as fastText's program gives them, and the n-grams' non-zero rows.

    Labels have no rows and are left out and counted. Memory: the vectors; the file's matrix is
    memory-mapped. Raises InputError for a truncated file, a quantized model, and one without words.
    """
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = _unpack(path, file, _HEAD)
        version = head[1]
        if head[0] != _MAGIC or version not in (_OLD_VERSION, _VERSION):
            raise InputError(
                f"{path}: is no fastText model of format version {_OLD_VERSION} or {_VERSION}; "
                f"train it again with a current fastText, or use its .vec file; one from before "
                f"May 2017 is opened by gensim's load_facebook_vectors: save what it returns, and "
                f"set format: gensim"
            )
        size, model, bucket = head[2], head[9], head[10]
        min_n, max_n = _ngram_lengths(head[11], head[12])
        dictionary = _read_dictionary(path, file)
        is_quantized = file.read(1) != b"\0"
        if is_quantized:
            raise InputError(f"{path}: is quantized and holds no plain vectors; use the .bin file")
        n_rows, width = _unpack(path, file, _SHAPE)
        start = file.tell()
        n_words = len(dictionary.words)
        if not (0 < width == size and bucket >= 0 and n_rows == n_words + bucket):
            raise InputError(
                f"{path}: its matrix of {n_rows} x {counted(width, 'value')} does not fit what is "
                f"declared, {counted(n_words, 'word')} and {counted(bucket, 'n-gram')} of "
                f"{counted(size, 'value')}; it was cut or damaged: fetch it again"
            )
        end = start + 4 * n_rows * width
        if end > n_bytes:
            raise InputError(
                f"{path}: its matrix of {n_rows} x {counted(width, 'value')} does not fit into the "
                f"file of {counted(n_bytes, 'byte')}; it was cut: fetch it again"
            )
        file.seek(end)
        dictionary.faults["cut_output_layer"] += _is_output_cut(file, n_bytes)
    matrix = np.memmap(path, "<f4", "r", start, (n_rows, width))
    # Classifiers of version 11 have no character n-grams, whatever max_n says.
    has_ngrams = not dictionary.has_pruned_all and not (
        version == _OLD_VERSION and model == _SUPERVISED
    )
    ngrams = None
    if has_ngrams and bucket and min_n <= max_n:
        ngrams = _read_ngrams(matrix, min_n, max_n, bucket, n_words)
    words = dictionary.words[:limit]
    vectors = np.array(matrix[: len(words)], np.float32)
    if ngrams is not None:
        _refuse_endless(path, words, ngrams, 0)
        vectors = _means(words, vectors, ngrams)
    tokens = [word if isinstance(word, str) else decoded(word, dictionary.faults) for word in words]
    counts = np.array(dictionary.counts[:limit], np.int64)
    return ReadVectors(tokens, vectors, counts, ngrams, +dictionary.faults)


def _ngram_lengths(min_n: int, max_n: int) -> tuple[int, int]:
    """The shortest and the longest n-gram; 1 and 0 if there is none.

    fastText compares both with an unsigned number: as one, a negative is larger than any length.
    """
    if min_n < 0:
        return 1, 0
    return max(1, min_n), _UNLIMITED if max_n < 0 else max_n


def _is_output_cut(file: IO[bytes], n_bytes: int) -> bool:
    """Whether the output layer, which is not needed, ends early."""
    flag, shape = file.read(1), file.read(_SHAPE.size)
    if len(shape) < _SHAPE.size:
        return True
    n_rows, width = _SHAPE.unpack(shape)
    return flag == b"\0" and file.tell() + 4 * n_rows * width > n_bytes


def _unpack(path: Path, file: IO[bytes], form: struct.Struct) -> tuple[int, ...]:
    data = file.read(form.size)
    if len(data) < form.size:
        raise InputError(f"{path}: ends within its header; it was cut: fetch it again")
    return form.unpack(data)


def _read_dictionary(path: Path, file: IO[bytes]) -> _Dictionary:
    n_entries, n_words, n_labels, _, n_pruned = _unpack(path, file, _DICTIONARY)
    if n_pruned > 0 or n_words < 1 or n_labels < 0 or n_entries != n_words + n_labels:
        raise InputError(
            f"{path}: its dictionary of {counted(n_entries, 'entry')} has "
            f"{counted(n_words, 'word')}, {counted(n_labels, 'label')} and "
            f"{counted(n_pruned, 'pruned n-gram')}; only plain models with words can be read"
        )
    found = _Dictionary(has_pruned_all=n_pruned == 0)
    for number in range(n_entries):
        word = _read_word(path, file)
        count, kind = _unpack(path, file, _ENTRY)
        if kind != (_WORD if number < n_words else _LABEL):
            raise InputError(
                f"{path}: entry {number} of its dictionary is of kind {kind}, and it declares "
                f"{counted(n_words, 'word')} (0) before {counted(n_labels, 'label')} (1); it was "
                f"cut or damaged: fetch it again"
            )
        if kind == _LABEL:
            found.faults["label_left_out"] += 1
            continue
        try:
            found.words.append(word.decode("utf-8"))
        except UnicodeDecodeError:
            found.words.append(word)
        found.counts.append(count)
    return found


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


def _means(
    words: Sequence[str | bytes], own: NDArray[np.float32], ngrams: Ngrams
) -> NDArray[np.float32]:
    for start in range(0, len(words), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        some = [None if word == END_OF_SENTENCE else word for word in words[rows]]
        n_rows, sums = _ngram_sums(some, ngrams)
        own[rows] = (own[rows] + sums) / n_rows[:, np.newaxis]
    return own
