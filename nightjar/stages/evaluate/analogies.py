"""Analogies: which word is to c as b is to a."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nightjar.config import AnalogyBenchmark
from nightjar.errors import BenchmarkError
from nightjar.scoring.metrics import ACCURACY
from nightjar.scoring.resampling import Units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_files import (
    check_category,
    is_parquet,
    malformed_line,
    numbered_lines,
    read_parquet,
)
from nightjar.stages.evaluate.benchmark_items import (
    Answered,
    Examinee,
    FileItems,
    unknown_words,
)
from nightjar.stages.evaluate.word_table import WordTable

PRODUCT = "3cosmul"
EPSILON = np.float32(0.001)
"""Keeps the quotient of 3CosMul finite (Levy and Goldberg 2014, equation 5)."""
_BLOCK_BYTES = 2 << 20
"""Of the similarities that are in memory at once: (different input words, block of words)."""
_MIN_BLOCK, _MAX_BLOCK = 256, 16_384


@dataclass(frozen=True)
class Analogies(FileItems):
    """Question i reads "a is to b as c is to d" and has the category ``categories[i]``."""

    metrics = (ACCURACY,)
    questions: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...]
    method: str = "3cosadd"

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def item_names(self) -> Sequence[str]:
        """Each question in words."""
        return [f"{a} is to {b} as {c} to {d}" for a, b, c, d in self.questions]

    @property
    def item_categories(self) -> Sequence[str]:
        """The categories of the file."""
        return self.categories

    @classmethod
    def read(cls, path: Path, config: AnalogyBenchmark | None = None) -> Self:
        """Read Google's format: ``: category``, then questions of four words, a line each; UTF-8.

        Skips empty lines and lines that start with ``//`` or ``#``. A repeated category is
        continued. Parquet has the columns ``a``, ``b``, ``c``, ``d``, and perhaps ``category``.
        """
        method = "3cosadd" if config is None else config.method
        if is_parquet(path):
            table = read_parquet(path, texts=tuple("abcd"), optional=("category",))
            questions = tuple(zip(*(table.texts(name) for name in "abcd"), strict=True))
            categories = table.texts("category") if table.has("category") else ()
            for number, category in enumerate(categories, start=1):
                check_category(path, f"row {number}", category)
            return cls(questions, categories, method)
        questions, categories = _of_lines(path)
        return cls(questions, categories, method)

    def answer(self, asked: Examinee) -> Answered:
        """Answer every question whose four words are known: see :func:`answer_questions`."""
        words = asked.words
        flat = [word for question in self.questions for word in question]
        names = list(dict.fromkeys(flat))
        units = words.units(names)
        number_of = {word: number for number, word in enumerate(names)}
        inputs = np.array([number_of[word] for word in flat], np.int64).reshape(-1, 4)
        expected = words.find(names)
        is_known = ~np.isnan(units[:, 0])
        is_covered = is_known[inputs[:, :3]].all(axis=1) & (expected[inputs[:, 3]] >= 0)
        asked.advance(len(self) - int(is_covered.sum()))
        values = np.full(len(self), np.nan)
        chosen = np.flatnonzero(is_covered)
        if len(chosen):
            answers = answer_questions(
                inputs[chosen, :3], units, expected, words, self.method, advance=asked.advance
            )
            is_right = (answers >= 0) & (words.word_of[answers] == expected[inputs[chosen, 3]])
            values[chosen] = is_right
        found = Answers(values, np.ones(len(self)), self.pairs(), self.categories)
        in_table = units.copy()
        is_answer = np.zeros(len(names), np.bool_)
        is_answer[inputs[:, 3]] = True
        in_table[is_answer & (expected < 0)] = np.nan  # it can be asked, but it is no answer
        return Answered(found, unknown_words(names, in_table))

    def pairs(self) -> Units:
        """The two pairs of words (a, b) and (c, d) of each question, as numbers."""
        numbers: dict[tuple[str, ...], int] = {}
        flat = [pair for question in self.questions for pair in (question[:2], question[2:])]
        found = [numbers.setdefault(pair, len(numbers)) for pair in flat]
        return np.array(found, np.int64).reshape(-1, 2)


def _of_lines(path: Path) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    questions, categories = [], []
    category = None
    for number, line in numbered_lines(path, comments=("//", "#")):
        if line.startswith(":"):
            category = line[1:].strip()
            if not category:
                raise malformed_line(path, number, "a category's name behind the colon", line)
            check_category(path, f"line {number}", category)
            continue
        if category is None:
            raise malformed_line(path, number, "a line ': category' before the questions", line)
        words = tuple(line.split())
        if len(words) != 4:
            raise malformed_line(path, number, "four words", line)
        questions.append(words)
        categories.append(category)
    if not questions:
        raise BenchmarkError(f"{path}: there is no question in it; correct the path")
    return tuple(questions), tuple(categories)


def answer_questions(
    questions: NDArray[np.int64],
    units: NDArray[np.float32],
    rows: NDArray[np.int64],
    words: WordTable,
    method: str = "3cosadd",
    block_bytes: int = _BLOCK_BYTES,
    advance: Callable[[int], None] = lambda n_items: None,  # noqa: ARG005
) -> NDArray[np.int64]:
    """The row in ``words`` of the best answer to each question; -1 if no word is left.

    ``questions`` (n, 3) numbers a, b and c among the input words, whose unit vectors are ``units``
    and whose rows in ``words`` are ``rows`` (-1 for composed ones). The answer is the token with
    the largest cosine similarity to b - a + c, computed with unit vectors in float32, excluding a,
    b, c and their case variants; with ``3cosmul`` the largest product of the similarities to b and
    c, divided by that to a. The more frequent token wins a tie.

    Defined as gensim's ``evaluate_word_analogies``, with two exceptions: gensim gives up when the
    five best tokens are all case variants of a, b and c, and a zero vector has similarity NaN in
    gensim but 0 here. Where two similarities differ only by rounding, either token may be the
    answer. Memory: up to five times ``block_bytes``. ``advance`` is told of the questions as if
    they were answered one after the other, although all are answered block by block of the words.
    """
    from nightjar.kernels.analogy_answers import best_by_sum  # noqa: PLC0415  # imports numba

    used, numbers = np.unique(questions, return_inverse=True)
    inputs = units[used]
    asked = numbers.reshape(questions.shape).astype(np.int32)
    excluded = rows[questions].astype(np.int32)
    answers = np.full(len(questions), -1, np.int64)
    best = np.full(len(questions), -np.inf, np.float32)
    n_words = len(words.unit_matrix)
    block = block_bytes // (4 * max(1, len(inputs)))
    block = min(max(block, _MIN_BLOCK), _MAX_BLOCK)
    buffer = np.empty(len(inputs) * min(block, n_words), np.float32)
    is_product = method == PRODUCT
    n_told = 0
    for first in range(0, n_words, block):
        matrix = words.unit_matrix[first : first + block]
        similarities = buffer[: len(inputs) * len(matrix)].reshape(len(inputs), len(matrix))
        np.matmul(inputs, matrix.T, out=similarities)
        added = removed = similarities
        if is_product:
            added, removed = _logarithms(similarities)
        best_by_sum(added, removed, asked, excluded, words.word_of, first, best, answers)
        done = len(questions) * (first + len(matrix)) // n_words
        advance(done - n_told)
        n_told = done
    return answers


def _logarithms(
    similarities: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What 3CosMul adds and removes: a quotient is largest where its logarithm is.

    Levy and Goldberg 2014, equation 5: b c / (a + epsilon), with similarities from 0 to 1.
    """
    shifted = np.maximum((similarities + np.float32(1)) / np.float32(2), np.float32(0))
    with np.errstate(divide="ignore"):  # what is opposite gets minus infinity
        return np.log(shifted), np.log(shifted + EPSILON)
