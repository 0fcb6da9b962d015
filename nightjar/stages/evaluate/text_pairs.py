"""Semantic textual similarity: pairs of texts with human scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nightjar.config import StsBenchmark
from nightjar.model.lookup.nearest import unit_rows
from nightjar.scoring.metrics import PEARSON, SPEARMAN
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_files import check_category, read_table
from nightjar.stages.evaluate.benchmark_items import Answered, Examinee, FileItems, distinct

_CATEGORIES = ("genre", "category")


@dataclass(frozen=True, eq=False)
class TextPairs(FileItems):
    """Pair i is the texts ``left[i]`` and ``right[i]``, ``gold[i]`` (float64) its human score."""

    metrics = (SPEARMAN, PEARSON)
    has_texts = True
    left: tuple[str, ...]
    right: tuple[str, ...]
    gold: NDArray[np.float64]
    categories: tuple[str, ...]
    """The genre of each pair; empty when the file has no such column."""

    def __len__(self) -> int:
        return len(self.left)

    @property
    def item_names(self) -> Sequence[str]:
        """Both texts of each pair."""
        return [" / ".join(pair) for pair in zip(self.left, self.right, strict=True)]

    @property
    def item_categories(self) -> Sequence[str]:
        """The genres."""
        return self.categories

    @classmethod
    def read(cls, path: Path, config: StsBenchmark | None = None) -> Self:
        """Read pairs of texts with a score, tab-separated below a header, or as Parquet; UTF-8.

        The columns are ``score``, ``sentence1`` and ``sentence2``, and optionally ``genre`` or
        ``category``. A text may be quoted, with quotes inside it doubled. Empty lines are skipped.
        """
        del config
        table = read_table(
            path,
            texts=("sentence1", "sentence2"),
            numbers=("score",),
            optional=_CATEGORIES,
            of="pair of texts",
        )
        column = next((name for name in _CATEGORIES if table.has(name)), None)
        categories = () if column is None else table.texts(column)
        for number, category in enumerate(categories, start=1):
            check_category(path, table.place(number), category)
        return cls(
            table.texts("sentence1"), table.texts("sentence2"), table.numbers("score"), categories
        )

    def similarities(
        self, encode: Callable[[Sequence[str]], NDArray[np.float32]]
    ) -> NDArray[np.float64]:
        """Cosine similarity of the texts of each pair, float64 of shape (n_items,).

        ``encode`` gives the vector of each text, a row of NaN for one that it cannot encode; then
        the similarity is NaN. A zero vector has similarity 0 to everything. Memory: the vectors of
        all distinct texts.
        """
        texts = distinct([*self.left, *self.right])
        vectors = unit_rows(encode(texts).astype(np.float64))
        row_of = {text: row for row, text in enumerate(texts)}
        left, right = (vectors[[row_of[text] for text in side]] for side in (self.left, self.right))
        cosines: NDArray[np.float64] = np.einsum("ij,ij->i", left, right)
        return cosines

    def answer(self, asked: Examinee) -> Answered:
        """Cosine similarity of the texts of each pair; one without a known word is not covered."""
        cosines = self.similarities(lambda texts: asked.model.encode(texts, unknown="nan"))
        asked.advance(len(self))
        is_missing = np.isnan(cosines).tolist()
        pairs = zip(self.left, self.right, is_missing, strict=True)
        missing = [f"{left} | {right}" for left, right, is_out in pairs if is_out]
        found = Answers(cosines, self.gold, own_units(len(self)), self.categories)
        return Answered(found, missing)
