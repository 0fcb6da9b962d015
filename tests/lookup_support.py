"""Small models to query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightjar.formats.model_files import model_content
from nightjar.model.lookup import ModelContent, NgramRows, Rows, VectorModel, write_model
from nightjar.model.tokenization import Settings
from nightjar.store import Artifact

SETTINGS = Settings("unicode", None, "forms", True, True, 1, 40)


def random_matrix(n_rows: int, vector_size: int = 8, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n_rows, vector_size), dtype=np.float32)


def write(
    directory: Path,
    words: Sequence[str],
    matrix: NDArray[np.float32],
    stretch: int = 3,
    *,
    has_ngrams: bool = False,
    counts: Sequence[int] | None = None,
) -> Path:
    """A model's files, written a few rows at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    parts = [slice(first, first + stretch) for first in range(0, len(words), stretch)]
    known = np.arange(len(words), 0, -1) if counts is None else np.array(counts)
    rows = [Rows(words[part], known[part], matrix[part]) for part in parts]
    ngrams = None
    if has_ngrams:
        buckets = np.arange(0, 100, 2, dtype=np.int32)
        stretches = [(buckets, random_matrix(len(buckets), matrix.shape[1]))]
        ngrams = NgramRows(3, 6, 100, len(buckets), stretches)
    content = ModelContent("small", SETTINGS, len(words), matrix.shape[1], rows, ngrams)
    write_model(directory, content)
    return directory


def lookup_model(
    directory: Path,
    words: Sequence[str],
    matrix: NDArray[np.float32] | None = None,
    counts: Sequence[int] | None = None,
) -> VectorModel:
    matrix = random_matrix(len(words)) if matrix is None else matrix
    return VectorModel.open(write(directory, words, matrix, counts=counts))


def model_of_artifact(embeddings: Artifact, name: str = "m") -> VectorModel:
    """The model of an embeddings artifact; its files stay, below the artifact store."""
    root = embeddings.directory.parents[1]
    directory = root / "files" / embeddings.ref.version
    if not directory.exists():
        directory.mkdir(parents=True)
        write_model(directory, model_content(name, embeddings))
    return VectorModel.open(directory)
