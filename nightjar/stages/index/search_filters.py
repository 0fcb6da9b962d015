"""Which documents may answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.store import Artifact

_READ_ROWS = 2_048
_MAX_SHOWN = 10


@dataclass(frozen=True)
class Filters:
    """Conditions that a document must meet, all of them; empty ones hold for all."""

    sources: tuple[str, ...] = ()
    """Any of these."""
    languages: tuple[str, ...] = ()
    contains: str | None = None
    """A regular expression (RE2), found anywhere in the text whatever the case."""
    min_chars: int | None = None
    max_chars: int | None = None

    @property
    def are_empty(self) -> bool:
        """Whether every document passes."""
        return self == Filters()


def matching(documents: Artifact, filters: Filters) -> NDArray[np.bool_]:
    """Whether each document meets the conditions; reads only the columns they are about.

    One batch is in memory. Raises InputError for a source or language that no document has,
    and for what is no regular expression.
    """
    columns = {
        "source": bool(filters.sources),
        "language": bool(filters.languages),
        "n_chars": filters.min_chars is not None or filters.max_chars is not None,
        "text": filters.contains is not None,
    }
    wanted = [name for name, is_wanted in columns.items() if is_wanted] or ["n_chars"]
    seen: dict[str, set[str]] = {"source": set(), "language": set()}
    masks = []
    for batch in documents.batches("documents", wanted, _READ_ROWS):
        for name in seen.keys() & set(wanted):
            seen[name].update(batch.column(name).unique().drop_null().to_pylist())
        masks.append(_matches(batch, filters))
    for name, given in (("source", filters.sources), ("language", filters.languages)):
        _check_known(name, given, seen[name])
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def _matches(batch: pa.RecordBatch, filters: Filters) -> NDArray[np.bool_]:
    found = np.ones(len(batch), dtype=bool)
    if filters.sources:
        found &= _flags(pc.is_in(batch.column("source"), pa.array(filters.sources)))
    if filters.languages:
        found &= _flags(pc.is_in(batch.column("language"), pa.array(filters.languages)))
    if filters.min_chars is not None:
        found &= _flags(pc.greater_equal(batch.column("n_chars"), filters.min_chars))
    if filters.max_chars is not None:
        found &= _flags(pc.less_equal(batch.column("n_chars"), filters.max_chars))
    if filters.contains is not None and found.any():
        try:
            is_there = pc.match_substring_regex(
                batch.column("text"), filters.contains, ignore_case=True
            )
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{filters.contains!r} is not a regular expression: {error}; put a backslash "
                f"before a sign that stands for itself"
            ) from error
        found &= _flags(is_there)
    return found


def _flags(column: pa.BooleanArray) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return flags


def _check_known(name: str, given: Iterable[str], seen: set[str]) -> None:
    for value in given:
        if value not in seen:
            have = sorted(seen)
            rest = f" and {len(have) - _MAX_SHOWN} more" if len(have) > _MAX_SHOWN else ""
            shown = ", ".join(have[:_MAX_SHOWN]) or "none"
            raise InputError(f"no document has the {name} {value!r}; there are {shown}{rest}")
