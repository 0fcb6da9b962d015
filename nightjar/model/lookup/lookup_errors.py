"""Errors in a query, or in the files that should answer it."""

from __future__ import annotations

from collections.abc import Sequence


class QueryError(ValueError):
    """The query is wrong; the message says which part, and what would be right."""


class UnknownWords(QueryError):
    """Words without a vector.

    ``words`` has all of them, in the order of the query, without repetition.
    """

    def __init__(self, message: str, words: Sequence[str]) -> None:
        super().__init__(message)
        self.words = tuple(words)


class TableDamaged(RuntimeError):
    """A file of the table is missing, truncated or from another table."""


def counted(n: int, noun: str) -> str:
    """``1 word``, ``2 words``: ``nightjar.wording`` does not travel with a model."""
    return f"{n:,} {noun if n == 1 else f'{noun}s'}"
