"""The phrase table: what was found in one pass or in all of them, as a Parquet table too."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.store import schemas


@dataclass(frozen=True, eq=False)
class PhraseTable:
    """The phrases of one pass, by score descending, then spelling, then tokens.

    ``phrases[i]`` is ``tokens[i]`` joined; tokens of a later pass may be phrases themselves.
    ``counts[i]`` is how often it occurred as a candidate, before any joining: what its score
    ``scores[i]`` was computed of.
    """

    phrases: list[str]
    tokens: list[tuple[str, ...]]
    counts: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def empty(cls) -> PhraseTable:
        """No phrase."""
        return cls([], [], np.zeros(0, np.int64), np.zeros(0))

    def __len__(self) -> int:
        return len(self.phrases)


def to_arrow(passes: Sequence[PhraseTable]) -> pa.Table:
    """The phrases of all passes, first pass first, with schema PHRASES_SCHEMA."""
    number = [np.full(len(table), at, np.int32) for at, table in enumerate(passes, start=1)]
    return pa.table(
        [
            pa.array([phrase for table in passes for phrase in table.phrases], pa.string()),
            pa.array(
                [list(tokens) for table in passes for tokens in table.tokens],
                schemas.PHRASES_SCHEMA.field("tokens").type,
            ),
            pa.array(np.concatenate([np.zeros(0, np.int64), *(t.counts for t in passes)])),
            pa.array(np.concatenate([np.zeros(0), *(t.scores for t in passes)])),
            pa.array(np.concatenate([np.zeros(0, np.int32), *number])),
        ],
        schema=schemas.PHRASES_SCHEMA,
    )


def from_arrow(table: pa.Table) -> list[PhraseTable]:
    """The phrases of each pass, back from :func:`to_arrow`.

    A last pass without phrases is not there.
    """
    numbers = table.column("pass").to_numpy()
    return [
        _from_rows(table.filter(pa.array(numbers == at)))
        for at in range(1, int(numbers.max(initial=0)) + 1)
    ]


def _from_rows(rows: pa.Table) -> PhraseTable:
    return PhraseTable(
        phrases=rows.column("phrase").to_pylist(),
        tokens=[tuple(tokens) for tokens in rows.column("tokens").to_pylist()],
        counts=rows.column("count").to_numpy(),
        scores=rows.column("score").to_numpy(),
    )


def new_words(table: PhraseTable, known: Container[str]) -> list[str]:
    """The phrases that are no known words, each once, in the order of the table.

    In a vocabulary their ids follow those of the known words.
    """
    return [phrase for phrase in dict.fromkeys(table.phrases) if phrase not in known]
