"""Writing a model's files, and the code that opens them where Nightjar is not installed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..tokenization import Settings
from .lookup_files import Rows, write_description, write_matrix, write_table
from .model import DEFINITION, NGRAM_BUCKETS, NGRAM_ROWS, PHRASES, SETTINGS
from .recommending import RecommenderContent, write_recommender

PACKAGES = (Path(__file__).parent, Path(__file__).parents[1] / "tokenization")
"""The code to copy: everything that :class:`.VectorModel` imports besides numpy and pyarrow."""


@dataclass(frozen=True, eq=False)
class NgramRows:
    """FastText's n-grams: ``rows[i]`` is the vector of bucket ``buckets[i]``, ascending."""

    min_n: int
    max_n: int
    bucket: int
    n_rows: int
    stretches: Iterable[tuple[NDArray[np.int32], NDArray[np.float32]]]


@dataclass(frozen=True, eq=False)
class ModelContent:
    """The content of a model's files."""

    name: str
    tokenizer: Settings
    n_tokens: int
    vector_size: int
    rows: Iterable[Rows]
    ngrams: NgramRows | None = None
    definition: str | None = None
    """The tokenizer's definition, if its settings are not enough."""
    space: str | None = None
    """The id of the space of its vectors; None when nobody knows it."""
    phrases: str | None = None
    """The phrases, from :func:`~..tokenization.phrases_to_json`; None without phrases."""
    recommender: RecommenderContent | None = None
    """For a model of items."""


def write_model(directory: Path, content: ModelContent) -> None:
    """Write the files that :meth:`.VectorModel.open` opens into the existing ``directory``.

    Raises QueryError for a value that is not finite and for a repeated token.
    """
    write_table(directory, content.rows, content.n_tokens, content.vector_size)
    ngrams = content.ngrams
    if ngrams is not None:
        _write_ngrams(directory, ngrams, content.vector_size)
    if content.definition is not None:
        (directory / DEFINITION).write_text(content.definition, encoding="utf-8")
    if content.phrases is not None:
        (directory / PHRASES).write_text(content.phrases, encoding="utf-8")
    if content.recommender is not None:
        write_recommender(directory, content.recommender)
    settings = {
        "model": content.name,
        "space": content.space,
        "has_phrases": content.phrases is not None,
        "tokenizer": asdict(content.tokenizer),
        "subwords": None
        if ngrams is None
        else {"min_n": ngrams.min_n, "max_n": ngrams.max_n, "bucket": ngrams.bucket},
    }
    text = json.dumps(settings, indent=1, ensure_ascii=True) + "\n"
    (directory / SETTINGS).write_text(text, encoding="utf-8")
    write_description(directory, content.n_tokens, content.vector_size)


def _write_ngrams(directory: Path, ngrams: NgramRows, vector_size: int) -> None:
    buckets = np.zeros(ngrams.n_rows, np.int32)
    first = 0
    with write_matrix(directory / NGRAM_ROWS, ngrams.n_rows, vector_size) as write:
        for some_buckets, some_rows in ngrams.stretches:
            part = slice(first, first + len(some_buckets))
            buckets[part] = some_buckets
            write(some_rows)
            first = part.stop
    np.save(directory / NGRAM_BUCKETS, buckets, allow_pickle=False)


def copy_code(directory: Path) -> None:
    """Copy the code for a registered model into ``directory``."""
    for package in PACKAGES:
        shutil.copytree(
            package, directory / package.name, ignore=shutil.ignore_patterns("__pycache__")
        )
