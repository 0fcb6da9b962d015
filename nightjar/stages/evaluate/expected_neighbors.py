"""Expected neighbours: the words that a team wants to find near its own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from nightjar.config import NeighborsBenchmark
from nightjar.errors import BenchmarkError
from nightjar.model.lookup.nearest import nearest_rows
from nightjar.scoring.metrics import SHARE
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_files import read_table
from nightjar.stages.evaluate.benchmark_items import Answered, Examinee, FileItems, distinct

_TOPN = 10


@dataclass(frozen=True)
class ExpectedNeighbors(FileItems):
    """Among the ``topn`` words nearest to ``words[i]`` there should be all of ``neighbors[i]``."""

    metrics = (SHARE,)
    words: tuple[str, ...]
    neighbors: tuple[tuple[str, ...], ...]
    topn: int = _TOPN

    def __len__(self) -> int:
        return len(self.words)

    @property
    def item_names(self) -> Sequence[str]:
        """Each word."""
        return self.words

    @classmethod
    def read(cls, path: Path, config: NeighborsBenchmark | None = None) -> Self:
        """Read ``word`` and ``neighbors``, tab-separated below a header in UTF-8, or as Parquet.

        Neighbours are separated by spaces (lists in Parquet). A word's second line adds to its
        first.
        """
        table = read_table(
            path, texts=("word",), lists=("neighbors",), of="word with its neighbours"
        )
        expected: dict[str, dict[str, None]] = {}
        for number, (word, others) in enumerate(
            zip(table.texts("word"), table.lists("neighbors"), strict=True), start=1
        ):
            if word in others:
                raise BenchmarkError(
                    f"{path}, {table.place(number)}: the word {word!r} is one of its own expected "
                    f"neighbours, which no word is; take it out of them"
                )
            expected.setdefault(word, {}).update(dict.fromkeys(others))
        return cls(
            tuple(expected),
            tuple(tuple(others) for others in expected.values()),
            _TOPN if config is None else config.topn,
        )

    def answer(self, asked: Examinee) -> Answered:
        """How many of each word's expected neighbours are among its nearest ones.

        At most ``topn`` can be. A word is covered when it has a vector; an expected neighbour that
        the model does not know is not found. Case variants of the word are no neighbours of it.
        """
        table = asked.words
        units = table.units(self.words)
        own = table.find(self.words)
        is_known = ~np.isnan(units[:, 0])
        covered = np.flatnonzero(is_known)
        found = np.full(len(self), np.nan)
        variants: dict[int, list[int]] = {}
        repeated = np.flatnonzero(table.word_of != np.arange(len(table.word_of)))
        for row in repeated.tolist():
            variants.setdefault(int(table.word_of[row]), []).append(row)
        excluded = [
            [] if row < 0 else [row, *variants.get(row, [])] for row in own[covered].tolist()
        ]
        lengths = np.ones(len(table.unit_matrix), np.float32)
        nearest = nearest_rows(table.unit_matrix, lengths, units[covered], self.topn, excluded)
        for item, near in zip(covered.tolist(), nearest, strict=True):
            rows = set(table.find(self.neighbors[item]).tolist()) - {-1}
            found[item] = len(rows & set(table.word_of[near.rows].tolist()))
        gold = np.array([min(self.topn, len(others)) for others in self.neighbors], np.float64)
        asked.advance(len(self))
        names = distinct(
            word
            for word, others in zip(self.words, self.neighbors, strict=True)
            for word in (word, *others)
        )
        is_missing = np.isnan(table.units(names)[:, 0]).tolist()
        missing = [word for word, out in zip(names, is_missing, strict=True) if out]
        return Answered(Answers(found, gold, own_units(len(self))), missing)
