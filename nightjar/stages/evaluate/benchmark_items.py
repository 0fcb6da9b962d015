"""What all kinds of benchmarks share: items that a model answers.

A kind is a class of items in a module of its own, a section of the configuration, and a line in
:mod:`.kinds`. Items are in a file (:class:`FileItems`) or held out of the corpus that the model
learns from (:class:`CorpusItems`). Their answers are two numbers for each item, of which
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
from nightjar.store import Artifact


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


class FileItems(BenchmarkItems):
    """The items of a benchmark that is a file."""

    @classmethod
    @abstractmethod
    def read(cls, path: Path, config: Any) -> Self:
        """Every item. Raises BenchmarkError with the line or row that is malformed."""


class CorpusItems(BenchmarkItems):
    """The items of a benchmark that is held out of the corpus of the model."""

    stage: ClassVar[str]
    """The stage of the corpus that holds them out: ``graph`` or ``events``."""

    @classmethod
    @abstractmethod
    def held_out(cls, corpus: Artifact, config: Any, seed: int) -> Self:
        """Every item, or a sample drawn by ``seed`` (``evaluation.seed``), from tonight's artifact.

        Raises BenchmarkError when it holds nothing out, with the key that changes that.
        """


def distinct(words: Iterable[str]) -> list[str]:
    """Words without repetition, in their order."""
    return list(dict.fromkeys(words))


def unknown_words(words: Sequence[str], units: NDArray[np.float32]) -> list[str]:
    """The words whose row of ``units`` is NaN, without repetition."""
    is_unknown = np.isnan(units[:, 0]).tolist()
    return distinct(word for word, unknown in zip(words, is_unknown, strict=True) if unknown)
