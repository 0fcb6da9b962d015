"""Benchmark files: pairs of words or of texts with human scores, and analogies by category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightjar.config import AnalogyBenchmark, BenchmarkConfig, StsBenchmark
from nightjar.errors import BenchmarkError
from nightjar.files.numbers import number_in
from nightjar.files.paths import resolve_pattern, why_no_file
from nightjar.store.scores import ALL
from nightjar.wording import counted

SEMANTIC = "semantic"
SYNTACTIC = "syntactic"
RESERVED_CATEGORIES = (ALL, SEMANTIC, SYNTACTIC)
"""Names of the summary rows; a file may not use them as categories."""
_STS_COLUMNS = ("score", "sentence1", "sentence2")
_CATEGORIES = ("genre", "category")
_STS_NAMES = frozenset((*_STS_COLUMNS, *_CATEGORIES))
_NO_SCORE = frozenset(("nan", "na", "n/a", "inf", "infinity", "none", "null", "nil", "nd"))
"""Words in the place of a score that is missing: none is the name of a column."""


@dataclass(frozen=True, eq=False)
class SimilaritySet:
    """Pair i is ``left[i]`` and ``right[i]``; ``gold[i]`` (float64) is its human score."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    gold: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.left)


@dataclass(frozen=True)
class AnalogySet:
    """Question i reads "a is to b as c is to d" and has the category ``categories[i]``."""

    questions: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.questions)


@dataclass(frozen=True, eq=False)
class StsSet:
    """Pair i is the texts ``left[i]`` and ``right[i]``, ``gold[i]`` (float64) its human score."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    gold: NDArray[np.float64]
    categories: tuple[str, ...]
    """The genre of each pair; empty when the file has no such column."""

    def __len__(self) -> int:
        return len(self.left)


BenchmarkItems = SimilaritySet | AnalogySet | StsSet


def benchmark_path(name: str, config: BenchmarkConfig, base_dir: Path) -> Path:
    """The file of a benchmark. Raises BenchmarkError when there is none."""
    path = resolve_pattern(config.path, base_dir)
    if not path.is_file():
        if problem := why_no_file(path):
            raise BenchmarkError(f"evaluation.benchmarks.{name}: {path}: {problem}")
        raise BenchmarkError(
            f"evaluation.benchmarks.{name}: there is no file {path}; correct its path or take "
            f"the benchmark out"
        )
    return path


def read_benchmark(name: str, config: BenchmarkConfig, base_dir: Path) -> BenchmarkItems:
    """Every item of a benchmark. Raises BenchmarkError with the line that is malformed."""
    path = benchmark_path(name, config, base_dir)
    if isinstance(config, AnalogyBenchmark):
        return read_analogies(path)
    if isinstance(config, StsBenchmark):
        return read_sts(path)
    return read_similarity(path)


def read_similarity(path: Path) -> SimilaritySet:
    """Read word, word and score, tab-separated; UTF-8.

    Skips empty lines, lines that start with ``#``, and a header: a first line whose third field is
    the name of a column. Strips white space and quotes around fields.
    """
    left, right, gold = [], [], []
    is_first = True
    for number, line in _lines(path, comments=("#",)):
        fields = [_unquoted(field.strip()).strip() for field in line.split("\t")]
        score = number_in(fields[2]) if len(fields) == 3 else None
        if score is not None and fields[0] and fields[1]:
            left.append(fields[0])
            right.append(fields[1])
            gold.append(score)
        elif not (is_first and len(fields) == 3 and _is_name(fields[2])):
            raise _malformed(path, number, "two words and a number, separated by tabs", line)
        is_first = False
    if not gold:
        raise BenchmarkError(f"{path}: there is no word pair in it; correct the path")
    return SimilaritySet(tuple(left), tuple(right), np.array(gold))


def _is_name(field: str) -> bool:
    """Whether ``field`` may be the name of a column, and is no score that cannot be read."""
    return field[:1].isalpha() and field.lower() not in _NO_SCORE


def read_analogies(path: Path) -> AnalogySet:
    """Read Google's format: ``: category`` lines, each followed by questions of four words; UTF-8.

    Skips empty lines and lines that start with ``//`` or ``#``. A repeated category is continued.
    """
    questions, categories = [], []
    category = None
    for number, line in _lines(path, comments=("//", "#")):
        if line.startswith(":"):
            category = line[1:].strip()
            if not category:
                raise _malformed(path, number, "a category's name behind the colon", line)
            _check_category(path, number, category)
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


def read_sts(path: Path) -> StsSet:
    """Read pairs of texts with a score, tab-separated, below a header with column names; UTF-8.

    The columns are ``score``, ``sentence1`` and ``sentence2``, and optionally ``genre`` or
    ``category``. A text may be quoted, with quotes inside it doubled. Empty lines are skipped.
    """
    lines = _lines(path, comments=())
    number, header = next(lines, (1, ""))
    names = [_unquoted(name.strip()).strip().lower() for name in header.split("\t")]
    missing = [name for name in _STS_COLUMNS if name not in names]
    if missing:
        raise BenchmarkError(
            f"{path}, line {number}: the header has no column {', '.join(missing)}; it names "
            f"score, sentence1, sentence2 and, if there is one, genre, separated by tabs"
        )
    repeated = [name for name, n in Counter(names).items() if n > 1 and name in _STS_NAMES]
    if repeated:
        raise BenchmarkError(
            f"{path}, line {number}: the header names {', '.join(repeated)} several times; give "
            f"each column its own name"
        )
    places = [names.index(name) for name in _STS_COLUMNS]
    of_category = next((names.index(name) for name in _CATEGORIES if name in names), None)
    left, right, gold, categories = [], [], [], []
    for number, line in lines:
        fields = line.split("\t")
        is_whole = len(fields) == len(names)
        score = number_in(_unquoted(fields[places[0]].strip())) if is_whole else None
        if score is None:
            raise _malformed(
                path, number, f"{counted(len(names), 'column')} with a number as score", line
            )
        gold.append(score)
        left.append(_unquoted(fields[places[1]]))
        right.append(_unquoted(fields[places[2]]))
        if of_category is not None:
            category = _unquoted(fields[of_category].strip())
            _check_category(path, number, category)
            categories.append(category)
    if not gold:
        raise BenchmarkError(f"{path}: there is no pair of texts in it; correct the path")
    return StsSet(tuple(left), tuple(right), np.array(gold), tuple(categories))


def _unquoted(field: str) -> str:
    inside = field[1:-1]
    is_quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return inside.replace('""', '"') if is_quoted and '"' not in inside.replace('""', "") else field


def _check_category(path: Path, number: int, category: str) -> None:
    if category in RESERVED_CATEGORIES:
        raise BenchmarkError(
            f"{path}, line {number}: the category name {category!r} is taken by the rows that "
            f"sum up ({', '.join(RESERVED_CATEGORIES)}); rename it"
        )


def _lines(path: Path, comments: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Numbers (from 1) and text of the lines that are neither empty nor comments."""
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


def _malformed(path: Path, number: int, expected: str, line: str) -> BenchmarkError:
    shown = line if len(line) <= 60 else f"{line[:60]}..."
    return BenchmarkError(
        f"{path}, line {number}: expected {expected}, found {shown!r}; correct or delete the line"
    )
