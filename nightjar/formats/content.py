"""The content of a vector file, as written and as read."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from nightjar.errors import InputError, ModelTooLarge
from nightjar.model.tokenization import TokenizerSettings
from nightjar.wording import counted

_WORD2VEC_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?\s*(\d+)[ \t]+(\d+)[ \t\r]*\n")
_MAX_DIGITS = 18
MAX_VECTOR_SIZE = 65_536
"""More values than any vector has: a file that claims more is not one of vectors."""
_MAX_BUCKETS = (1 << 31) - 1
_TOKEN_BYTES = 64
"""About as much memory a word takes."""
BLOCK_ROWS = 8_192
"""Rows that are written at once."""


@dataclass(frozen=True)
class Word2VecHeader:
    """The first line of word2vec's formats."""

    n_tokens: int
    vector_size: int
    n_bytes: int
    """Its length, with a byte order mark and the line break."""


def word2vec_header(path: Path, content: bytes) -> Word2VecHeader | None:
    """The header that ``content`` starts with; None without one.

    Raises InputError for numbers that no file can mean.
    """
    found = _WORD2VEC_HEADER.match(content)
    if found is None:
        return None
    longest = max(map(len, found.groups()))
    if longest > _MAX_DIGITS:
        raise InputError(
            f"{path}: its header has a number of {counted(longest, 'digit')}, where the number of "
            f"words and of values should be; is it a file of vectors?"
        )
    return Word2VecHeader(int(found[1]), int(found[2]), found.end())


def check_vector_size(path: Path, size: int) -> None:
    """Raise InputError for more values than a vector has."""
    if size > MAX_VECTOR_SIZE:
        raise InputError(
            f"{path}: has vectors of {counted(size, 'value')}, more than {MAX_VECTOR_SIZE:,}; is "
            f"it a file of vectors, with a row for each word?"
        )


def new_matrix(path: Path, n_rows: int, size: int) -> NDArray[np.float32]:
    """An empty matrix for ``n_rows`` vectors, which a small file may declare or share.

    Raises ModelTooLarge if they do not fit into the memory that is available.
    """
    check_vector_size(path, size)
    n_bytes = n_rows * (4 * size + _TOKEN_BYTES)
    if n_bytes > psutil.virtual_memory().available:
        raise ModelTooLarge(
            f"{path}: {counted(n_rows, 'word')} of {counted(size, 'value')} take "
            f"{counted(n_bytes, 'byte')}, more memory than is available; read its first words "
            f"alone, with max_vocabulary"
        )
    return np.empty((n_rows, size), np.float32)


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """``values`` as float32; those that are too large become infinite, which is refused later."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Ngrams:
    """FastText's n-grams: ``vectors[i]`` (float32) is the row of bucket ``buckets[i]`` (int32).

    Buckets ascend; a missing one is a row of zeros.
    """

    min_n: int
    max_n: int
    bucket: int
    buckets: NDArray[np.int32]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ExportedVectors:
    """A model to be written to a file.

    ``matrix[i]`` is the vector of ``tokens[i]``, which occurs ``counts[i]`` (int64) times; most
    frequent first. ``matrix`` is float32 of shape (n_tokens, vector_size) and may be memory-mapped.
    """

    tokens: Sequence[str]
    counts: NDArray[np.int64]
    matrix: NDArray[np.float32]
    tokenizer: TokenizerSettings
    ngrams: Ngrams | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    """Its origin: model, versions, git commit."""
    has_phrases: bool = False
    """Whether words of a text are joined to phrases."""

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return int(self.matrix.shape[1])

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Copies of consecutive rows, so that a memory map is read in order."""
        for start in range(0, len(self.tokens), BLOCK_ROWS):
            rows = slice(start, min(start + BLOCK_ROWS, len(self.tokens)))
            yield rows, np.ascontiguousarray(self.matrix[rows])

    def without(self, left_out: Callable[[str], bool]) -> ExportedVectors:
        """Without the tokens that ``left_out`` matches; itself if there are none."""
        kept = [row for row, token in enumerate(self.tokens) if not left_out(token)]
        if len(kept) == len(self.tokens):
            return self
        return replace(
            self,
            tokens=[self.tokens[row] for row in kept],
            counts=self.counts[kept],
            matrix=self.matrix[kept],
        )

    def first(self, n_tokens: int | None) -> ExportedVectors:
        """Its ``n_tokens`` most frequent tokens."""
        if n_tokens is None or n_tokens >= len(self.tokens):
            return self
        rows = slice(0, n_tokens)
        return replace(
            self, tokens=self.tokens[rows], counts=self.counts[rows], matrix=self.matrix[rows]
        )


@dataclass(frozen=True, eq=False)
class ReadVectors:
    """The content of a file: finite vectors of distinct tokens, in the file's order."""

    tokens: list[str]
    matrix: NDArray[np.float32]
    """float32 (n_tokens, vector_size)"""
    counts: NDArray[np.int64] | None = None
    """None when the format has none."""
    ngrams: Ngrams | None = None
    faults: Counter[str] = field(default_factory=Counter)
    """Number of repairs, by kind."""


def whole_counts(place: Path | str, counts: Any) -> NDArray[np.int64]:
    """``counts`` as int64. Raises InputError for one that is no whole number."""
    found = np.asarray(counts)
    if found.dtype.kind not in "iuf" or not np.array_equal(found, np.floor(found)):
        raise InputError(f"{place}: its counts are no whole numbers; set them again")
    if len(found) and not np.abs(found.astype(np.float64)).max() < 2.0**63:
        raise InputError(f"{place}: its largest count, {found.max()}, is no count; set it again")
    return found.astype(np.int64)


def first_not_finite(matrix: NDArray[Any]) -> int | None:
    """The first row with a NaN or infinite value; checks a block of rows at a time."""
    for start in range(0, len(matrix), BLOCK_ROWS):
        is_bad = ~np.isfinite(matrix[start : start + BLOCK_ROWS]).all(axis=1)
        if is_bad.any():
            return start + int(np.argmax(is_bad))
    return None


def first_repeated(tokens: Iterable[str]) -> str | None:
    """The first token that repeats an earlier one."""
    seen: set[str] = set()
    for token in tokens:
        if token in seen:
            return token
        seen.add(token)
    return None


def checked(path: Path, found: ReadVectors) -> ReadVectors:
    """``found`` without empty and repeated words; the first of each stays.

    Raises InputError for a file without vectors, for values that are not finite, and when words,
    vectors, counts and n-grams do not fit each other.
    """
    _check_fit(path, found)
    faults = Counter(found.faults)
    matrix, counts = found.matrix, found.counts
    tokens = [_valid(token, faults) for token in found.tokens]
    first_rows: dict[str, int] = {}
    for row, token in enumerate(tokens):
        first_rows.setdefault(token, row)
    n_distinct = len(first_rows)
    faults["duplicate_token"] += len(tokens) - n_distinct
    if first_rows.pop("", None) is not None:
        faults["empty_token"] += 1
    if len(first_rows) < len(tokens):
        rows = list(first_rows.values())
        tokens, matrix = list(first_rows), matrix[rows]
        counts = None if counts is None else counts[rows]
    if not tokens or matrix.shape[1] == 0:
        raise InputError(f"{path}: there is no vector in it; is it the right file?")
    bad = first_not_finite(matrix)
    if bad is not None:
        raise InputError(
            f"{path}: the vector of {tokens[bad]!r} has values that are NaN or infinite; fetch the "
            f"file again, or take the word out"
        )
    if counts is not None:
        _check_counts(path, tokens, counts)
    if found.ngrams is not None:
        _check_ngrams(path, found.ngrams, matrix.shape[1])
    return ReadVectors(tokens, matrix, counts, found.ngrams, +faults)


def _check_fit(path: Path, found: ReadVectors) -> None:
    if found.matrix.ndim != 2 or len(found.tokens) != len(found.matrix):
        raise InputError(
            f"{path}: has {counted(len(found.tokens), 'word')} and vectors of shape "
            f"{found.matrix.shape}; each word needs one row: write it again"
        )
    if found.counts is not None and found.counts.shape != (len(found.tokens),):
        raise InputError(
            f"{path}: has {counted(len(found.tokens), 'word')} and counts of shape "
            f"{found.counts.shape}; each word needs one: write it again"
        )
    check_vector_size(path, found.matrix.shape[1])


_SURROGATE = re.compile("[\ud800-\udfff]")


def _valid(token: str, faults: Counter[str]) -> str:
    """``token`` with lone surrogates, which are no text, replaced and counted."""
    if token.isascii() or not _SURROGATE.search(token):
        return token
    faults["token_not_utf8"] += 1
    return _SURROGATE.sub("\ufffd", token)


def _check_counts(path: Path, tokens: Sequence[str], counts: NDArray[np.int64]) -> None:
    least = int(np.argmin(counts))
    if counts[least] < 0:
        raise InputError(
            f"{path}: the count of {tokens[least]!r} is {counts[least]}; a count is 0 or more: "
            f"correct it, or take the counts out"
        )
    if counts.sum(dtype=np.float64) >= 2.0**63:
        raise InputError(
            f"{path}: its counts add up to more than 2**63, the largest is "
            f"{counts.max()}; correct them, or take them out"
        )


def _check_ngrams(path: Path, ngrams: Ngrams, vector_size: int) -> None:
    buckets, vectors = ngrams.buckets, ngrams.vectors
    lengths = f"{ngrams.min_n} to {counted(ngrams.max_n, 'character')}"
    sizes = f"n-grams of {lengths} in {counted(ngrams.bucket, 'bucket')}"
    problem = ""
    if not (1 <= ngrams.min_n <= ngrams.max_n and 1 <= ngrams.bucket <= _MAX_BUCKETS):
        problem = f"it declares {sizes}"
    elif buckets.ndim != 1 or vectors.shape != (len(buckets), vector_size):
        problem = (
            f"{counted(len(buckets), 'n-gram')} have vectors of shape {vectors.shape}, and those "
            f"of words have {counted(vector_size, 'value')}"
        )
    elif len(buckets) and (buckets[0] < 0 or buckets[-1] >= ngrams.bucket):
        problem = f"it declares {sizes}, and has buckets {buckets[0]} to {buckets[-1]}"
    elif not (np.diff(buckets) > 0).all():
        problem = "the buckets of its n-grams do not ascend"
    elif (bad := first_not_finite(vectors)) is not None:
        problem = f"the n-gram of bucket {buckets[bad]} has values that are NaN or infinite"
    if problem:
        raise InputError(f"{path}: {problem}; write it again, or take the n-grams out")


def decoded(word: bytes, faults: Counter[str]) -> str:
    """``word`` decoded as UTF-8; invalid bytes are replaced and counted."""
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        faults["token_not_utf8"] += 1
        return word.decode("utf-8", "replace")


def extra_module(name: str, library: str | None = None) -> ModuleType:
    """Import a library of the extra ``formats``. Raises InputError if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"this format needs {library or name.partition('.')[0]}: pip install "
            f"'nightjar[formats]'"
        ) from error
