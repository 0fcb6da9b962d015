"""Classification: how well the vectors of labelled texts separate the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nightjar.config import ClassificationBenchmark
from nightjar.errors import BenchmarkError
from nightjar.scoring.metrics import ACCURACY, MACRO_F1
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_files import read_table
from nightjar.stages.evaluate.benchmark_items import Answered, Examinee, FileItems
from nightjar.wording import counted

_SAMPLING_SEED = 1
"""Of the texts of a large file: they are the same for every model and in every night."""
_MAX_ROUNDS = 1_000


@dataclass(frozen=True)
class LabelledTexts(FileItems):
    """Text i has the label ``labels[i]``."""

    metrics = (ACCURACY, MACRO_F1)
    has_texts = True
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    folds: int = 5

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def item_names(self) -> Sequence[str]:
        """Each text."""
        return self.texts

    @classmethod
    def read(cls, path: Path, config: ClassificationBenchmark) -> Self:
        """Read texts and labels, tab-separated below a header in UTF-8, or as Parquet.

        Of more than ``max_texts`` a sample is kept, with the labels in the same proportions. Raises
        BenchmarkError for a single label, or one with fewer texts than there are folds.
        """
        columns = (config.text_column, config.label_column)
        table = read_table(path, texts=columns, of="text with its label")
        texts, labels = (table.texts(name) for name in columns)
        names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if len(names) < 2:
            raise BenchmarkError(
                f"{path}: all texts have the label {labels[0]!r}, so there is nothing to tell apart"
            )
        kept = _sample(codes, config.max_texts)
        fewest = np.bincount(codes[kept], minlength=len(names))
        if fewest.min() < config.folds:
            place = int(fewest.argmin())
            raise BenchmarkError(
                f"{path}: the label {str(names[place])!r} has "
                f"{counted(int(counts[place]), 'text')}, fewer than there are folds "
                f"({config.folds}); lower folds, raise max_texts, or take the label out"
            )
        chosen = kept.tolist()
        return cls(
            tuple(texts[row] for row in chosen), tuple(labels[row] for row in chosen), config.folds
        )

    def answer(self, asked: Examinee) -> Answered:
        """The predicted label of each text, as a number.

        A logistic regression (L2, C = 1) on the texts' vectors, each value scaled to mean 0 and
        variance 1 over the training part. Each of ``folds`` parts, with the labels in the same
        proportions, is predicted from the others. A text without a known word is not covered.
        """
        vectors = asked.model.encode(self.texts, unknown="nan").astype(np.float64)
        is_known = ~np.isnan(vectors[:, 0])
        _, gold = np.unique(self.labels, return_inverse=True)
        predicted = np.full(len(self), np.nan)
        rows = np.flatnonzero(is_known)
        if np.bincount(gold[rows]).astype(bool).sum() > 1:
            parts = _parts(gold, self.folds, asked.seed)
            for part in range(self.folds):
                inside, outside = rows[parts[rows] == part], rows[parts[rows] != part]
                if len(inside):
                    predicted[inside] = _predict(vectors[outside], gold[outside], vectors[inside])
        asked.advance(len(self))
        missing = [text for text, known in zip(self.texts, is_known, strict=True) if not known]
        return Answered(Answers(predicted, gold.astype(np.float64), own_units(len(self))), missing)


def _sample(codes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most about ``most`` rows, in order, the same share of each code."""
    if len(codes) <= most:
        return np.arange(len(codes))
    generator = np.random.default_rng(_SAMPLING_SEED)
    order = np.lexsort((generator.permutation(len(codes)), codes))
    # Every k-th row of the rows sorted by code takes the same share of each.
    return np.sort(order[np.linspace(0, len(codes) - 1, most).astype(np.int64)])


def _parts(codes: NDArray[np.int64], n_parts: int, seed: int) -> NDArray[np.int64]:
    """The part of each row, from 0; each code is spread evenly over the parts."""
    order = np.lexsort((np.random.default_rng(seed).permutation(len(codes)), codes))
    parts = np.empty(len(codes), np.int64)
    parts[order] = np.arange(len(codes)) % n_parts
    return parts


def _predict(
    known: NDArray[np.float64], labels: NDArray[np.int64], asked: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The label of each row of ``asked``, learned from ``known`` rows."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # takes a second

    if len(np.unique(labels)) < 2:
        return np.full(len(asked), labels[0], np.float64)
    mean, spread = known.mean(axis=0), known.std(axis=0)
    spread[spread == 0] = 1
    learned = LogisticRegression(C=1.0, max_iter=_MAX_ROUNDS).fit((known - mean) / spread, labels)
    found: NDArray[np.float64] = learned.predict((asked - mean) / spread).astype(np.float64)
    return found
