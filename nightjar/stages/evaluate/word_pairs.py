"""Word similarity: pairs of words with human scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nightjar.config import SimilarityBenchmark
from nightjar.errors import BenchmarkError
from nightjar.files.numbers import number_in
from nightjar.scoring.metrics import PEARSON, SPEARMAN
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_files import (
    is_parquet,
    malformed_line,
    numbered_lines,
    read_parquet,
    unquoted,
)
from nightjar.stages.evaluate.benchmark_items import (
    Answered,
    Examinee,
    FileItems,
    distinct,
    unknown_words,
)

_NO_SCORE = frozenset(("nan", "na", "n/a", "inf", "infinity", "none", "null", "nil", "nd"))
"""Words in the place of a score that is missing: none is the name of a column."""


@dataclass(frozen=True, eq=False)
class WordPairs(FileItems):
    """Pair i is ``left[i]`` and ``right[i]``; ``gold[i]`` (float64) is its human score."""

    metrics = (SPEARMAN, PEARSON)
    left: tuple[str, ...]
    right: tuple[str, ...]
    gold: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.left)

    @property
    def item_names(self) -> Sequence[str]:
        """Both words of each pair."""
        return [" / ".join(pair) for pair in zip(self.left, self.right, strict=True)]

    @classmethod
    def read(cls, path: Path, config: SimilarityBenchmark | None = None) -> Self:
        """Read word, word and score, tab-separated in UTF-8, or as Parquet.

        Skips empty lines, lines that start with ``#``, and a header: a first line whose third field
        is the name of a column. Strips white space and quotes around fields.
        """
        del config
        if is_parquet(path):
            table = read_parquet(path, texts=("word1", "word2"), numbers=("score",))
            return cls(table.texts("word1"), table.texts("word2"), table.numbers("score"))
        left, right, gold = [], [], []
        is_first = True
        for number, line in numbered_lines(path, comments=("#",)):
            fields = [unquoted(field.strip()).strip() for field in line.split("\t")]
            score = number_in(fields[2]) if len(fields) == 3 else None
            if score is not None and fields[0] and fields[1]:
                left.append(fields[0])
                right.append(fields[1])
                gold.append(score)
            elif not (is_first and len(fields) == 3 and _is_name(fields[2])):
                expected = "two words and a number, separated by tabs"
                raise malformed_line(path, number, expected, line)
            is_first = False
        if not gold:
            raise BenchmarkError(f"{path}: there is no word pair in it; correct the path")
        return cls(tuple(left), tuple(right), np.array(gold))

    def answer(self, asked: Examinee) -> Answered:
        """The cosine similarity of each pair (:meth:`cosines`)."""
        names = distinct([*self.left, *self.right])
        units = asked.words.units(names)
        found = Answers(self.cosines(names, units), self.gold, own_units(len(self)))
        asked.advance(len(self))
        return Answered(found, unknown_words(names, units))

    def cosines(self, words: Sequence[str], units: NDArray[np.float32]) -> NDArray[np.float64]:
        """The cosine similarity of each pair, NaN where a word has no vector.

        ``units`` (n_words, size) are the unit vectors of all distinct ``words``.

        Defined as gensim's ``evaluate_word_pairs`` with ``dummy4unknown=False``: pairs with an
        unknown word are left out, a repeated pair counts each time, and a zero vector has
        similarity 0 to everything. We compute cosines in float64 and gensim in float32, which
        matters from the seventh digit on, or where it makes or breaks a tie.
        """
        row_of = {word: row for row, word in enumerate(words)}
        left, right = (
            units[[row_of[word] for word in side]].astype(np.float64)
            for side in (self.left, self.right)
        )
        cosines: NDArray[np.float64] = (left * right).sum(axis=1)
        return cosines


def _is_name(field: str) -> bool:
    """Whether ``field`` may be the name of a column, and is no score that cannot be read."""
    return field[:1].isalpha() and field.lower() not in _NO_SCORE
