"""Benchmark files: word pairs with human scores, and analogies by category."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightjar.config import AnalogyBenchmark, BenchmarkConfig
from nightjar.errors import BenchmarkError
from nightjar.paths import resolve_pattern
from nightjar.scores import ALL

SEMANTIC = "semantic"
SYNTACTIC = "syntactic"
RESERVED_CATEGORIES = (ALL, SEMANTIC, SYNTACTIC)
"""Names of rows that sum up categories; a file may not use them."""


@dataclass(frozen=True, eq=False)
class SimilaritySet:
    """Pair i is ``left[i]`` and ``right[i]``, ``gold[i]`` (float64) their human score."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    gold: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.left)


@dataclass(frozen=True)
class AnalogySet:
    """Question i is "a is to b as c is to d" of the category ``categories[i]``."""

    questions: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.questions)


def benchmark_path(name: str, config: BenchmarkConfig, base_dir: Path) -> Path:
    """The file of a benchmark. Raises BenchmarkError when there is none."""
    path = resolve_pattern(config.path, base_dir)
    if not path.is_file():
        raise BenchmarkError(
            f"evaluation.benchmarks.{name}: there is no file {path}; correct its path or take "
            f"the benchmark out"
        )
    return path


def read_benchmark(
    name: str, config: BenchmarkConfig, base_dir: Path
) -> SimilaritySet | AnalogySet:
    """Every item of a benchmark. Raises BenchmarkError naming the line that is no item."""
    path = benchmark_path(name, config, base_dir)
    if isinstance(config, AnalogyBenchmark):
        return read_analogies(path)
    return read_similarity(path)


def read_similarity(path: Path) -> SimilaritySet:
    """Word, word and score, tab-separated; UTF-8.

    Empty lines and lines that start with ``#`` are skipped, and so is a header: a first
    line whose third field is no number. White space around a field is not part of it.
    """
    left, right, gold = [], [], []
    is_first = True
    for number, line in _lines(path, comments=("#",)):
        fields = [field.strip() for field in line.split("\t")]
        score = _number(fields[2]) if len(fields) == 3 else None
        if score is not None and fields[0] and fields[1]:
            left.append(fields[0])
            right.append(fields[1])
            gold.append(score)
        elif not (is_first and len(fields) == 3):
            raise _malformed(path, number, "two words and a number, separated by tabs", line)
        is_first = False
    if not gold:
        raise BenchmarkError(f"{path}: there is no word pair in it; correct the path")
    return SimilaritySet(tuple(left), tuple(right), np.array(gold))


def read_analogies(path: Path) -> AnalogySet:
    """Google's format: ``: category`` lines, below each its questions of four words; UTF-8.

    Empty lines and lines that start with ``//`` or ``#`` are skipped. A category that comes
    twice is one.
    """
    questions, categories = [], []
    category = None
    for number, line in _lines(path, comments=("//", "#")):
        if line.startswith(":"):
            category = line[1:].strip()
            if not category:
                raise _malformed(path, number, "a category's name behind the colon", line)
            if category in RESERVED_CATEGORIES:
                raise BenchmarkError(
                    f"{path}, line {number}: the category name {category!r} is taken by the "
                    f"rows that sum up ({', '.join(RESERVED_CATEGORIES)}); rename it"
                )
            continue
        if category is None:
            raise _malformed(path, number, "a line ': category' before the questions", line)
        words = tuple(line.split())
        if len(words) != 4:
            raise _malformed(path, number, "four words", line)
        questions.append(words)
        categories.append(category)
    if not questions:
        raise BenchmarkError(f"{path}: there is no question in it; correct the path")
    return AnalogySet(tuple(questions), tuple(categories))


def _lines(path: Path, comments: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines, without empty lines and comments."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise BenchmarkError(
                f"{path}, line {number}: not UTF-8 text; convert the file to UTF-8"
            ) from error
        if line.strip() and not line.startswith(comments):
            yield number, line


def _number(field: str) -> float | None:
    try:
        value = float(field)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _malformed(path: Path, number: int, expected: str, line: str) -> BenchmarkError:
    shown = line if len(line) <= 60 else f"{line[:60]}..."
    return BenchmarkError(
        f"{path}, line {number}: expected {expected}, found {shown!r}; correct or delete the line"
    )
