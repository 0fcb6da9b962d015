"""What all kinds of benchmarks share: items that a model answers.

A kind is a class of items (:class:`BenchmarkItems`) in a module of its own, a section of the
configuration, and a line in :mod:`.kinds`. Its answers are two numbers for each item, of which
:mod:`nightjar.scoring.metrics` makes scores, intervals and the gate's paired differences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nightjar.model.lookup import VectorModel
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.word_table import WordTable


@dataclass(frozen=True)
class Examinee:
    """The model that is asked."""

    model: VectorModel
    words: WordTable
    seed: int
    advance: Callable[[int], None] = field(default=lambda n_items: None)  # noqa: ARG005
    """Is called with the number of items done."""


@dataclass(frozen=True)
class Answered:
    """Answers, and the words that the model does not know."""

    answers: Answers
    missing: Sequence[str]
    """Without repetition, in the benchmark's order."""


class BenchmarkItems(ABC):
    """The items of a benchmark of some kind."""

    metrics: ClassVar[tuple[str, ...]]
    """Every metric that is reported."""
    has_texts: ClassVar[bool] = False
    """Whether the items are texts, which the model has to split into words."""

    @classmethod
    @abstractmethod
    def read(cls, path: Path, config: Any) -> Self:
        """Every item. Raises BenchmarkError with the line or row that is malformed."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of items."""

    @property
    @abstractmethod
    def item_names(self) -> Sequence[str]:
        """What people call each item."""

    @property
    def item_categories(self) -> Sequence[str]:
        """The category of each item; empty when scores are not split."""
        return ()

    @abstractmethod
    def answer(self, asked: Examinee) -> Answered:
        """Answer every item."""


def distinct(words: Iterable[str]) -> list[str]:
    """Words without repetition, in their order."""
    return list(dict.fromkeys(words))


def unknown_words(words: Sequence[str], units: NDArray[np.float32]) -> list[str]:
    """The words whose row of ``units`` is NaN, without repetition."""
    is_unknown = np.isnan(units[:, 0]).tolist()
    return distinct(word for word, unknown in zip(words, is_unknown, strict=True) if unknown)
