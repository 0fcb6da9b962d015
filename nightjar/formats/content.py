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
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.model.tokenization import TokenizerSettings

WORD2VEC_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?\s*(\d+)[ \t]+(\d+)[ \t\r]*\n")
"""Number of words, and dimensions of their vectors."""
BLOCK_ROWS = 8_192
"""Rows that are written at once."""


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
    """``found`` without repeated words; the first of each stays.

    Raises InputError for a file without vectors, and for values that are not finite.
    """
    first_rows: dict[str, int] = {}
    for row, token in enumerate(found.tokens):
        first_rows.setdefault(token, row)
    faults = Counter(found.faults)
    matrix, counts, tokens = found.matrix, found.counts, found.tokens
    empty = first_rows.pop("", None)
    if empty is not None:
        faults["empty_token"] += 1
    n_again = len(tokens) - len(first_rows) - (empty is not None)
    if n_again:
        faults["duplicate_token"] += n_again
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
    return ReadVectors(tokens, matrix, counts, found.ngrams, faults)


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
