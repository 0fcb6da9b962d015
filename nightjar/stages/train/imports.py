"""Pre-trained vectors: a file of any known format becomes an embeddings artifact."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.models import ImportConfig
from nightjar.formats import Ngrams, read_vectors
from nightjar.formats.embeddings import NGRAMS, NgramSizes
from nightjar.progress import Progress
from nightjar.stages.train.trainer import blocks, vector_array
from nightjar.stages.train.training_identity import import_path
from nightjar.store import Staging, schemas

logger = logging.getLogger(__name__)


def import_vectors(
    name: str, model: ImportConfig, base_dir: Path, staging: Staging, progress: Progress
) -> None:
    """Read ``model.path`` and write ``vectors`` and, where it has them, ``ngrams``.

    Words come by their counts, else in the file's order, which is by frequency by custom: then
    the first of n words gets the count n and the last 1, as in gensim. What was mended is
    counted. In memory: all vectors. Raises SourceError without a file, InputError for a
    broken one.
    """
    path = import_path(name, model, base_dir)
    progress.start(f"import {name}", 1, "files")
    kind, found = read_vectors(path, model.format, model.max_vocabulary)
    counts, order = _ranked(found.tokens, found.counts)
    _write_vectors(found.tokens, counts, found.matrix, order, staging)
    if found.ngrams is not None:
        _write_ngrams(found.ngrams, staging)
    staging.counts.update(found.faults)
    staging.counts["vocabulary_kept"] = len(found.tokens)
    staging.report.update(trainer=model.trainer, format=kind, counts_are_ranks=found.counts is None)
    for fault, times in sorted(found.faults.items()):
        logger.warning("models.%s: %s: %s (%d)", name, path.name, fault.replace("_", " "), times)
    progress.advance(1, f"{len(found.tokens)} words")


def _ranked(
    tokens: list[str], counts: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts, and the order of the vocabulary: by count descending, then by token."""
    if counts is None:
        return np.arange(len(tokens), 0, -1, dtype=np.int64), np.arange(len(tokens))
    ranks = sorted(range(len(tokens)), key=lambda row: (-int(counts[row]), tokens[row]))
    order = np.array(ranks, np.int64)
    return counts[order], order


def _write_vectors(
    tokens: list[str],
    counts: NDArray[np.int64],
    matrix: NDArray[np.float32],
    order: NDArray[np.int64],
    staging: Staging,
) -> None:
    schema = schemas.vectors_schema(matrix.shape[1])
    with staging.writer("vectors", schema) as writer:
        for rows in blocks(len(tokens)):
            columns = [
                pa.array([tokens[row] for row in order[rows].tolist()], pa.string()),
                pa.array(counts[rows]),
                vector_array(matrix[order[rows]]),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _write_ngrams(ngrams: Ngrams, staging: Staging) -> None:
    schema = schemas.ngrams_schema(ngrams.vectors.shape[1])
    with staging.writer(NGRAMS, schema) as writer:
        for rows in blocks(len(ngrams.buckets)):
            columns = [pa.array(ngrams.buckets[rows]), vector_array(ngrams.vectors[rows])]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    staging.report[NGRAMS] = asdict(NgramSizes(ngrams.min_n, ngrams.max_n, ngrams.bucket))
