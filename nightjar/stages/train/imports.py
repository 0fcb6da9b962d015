"""Pre-trained vectors: a file in any known format becomes an embeddings artifact."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import ImportConfig
from nightjar.formats import read_vectors
from nightjar.formats.embeddings import NGRAMS, NgramSizes, stretches, write_ngrams, write_vectors
from nightjar.progress import Progress
from nightjar.stages.train.training_identity import import_path
from nightjar.store import Staging
from nightjar.wording import counted

logger = logging.getLogger(__name__)


def import_vectors(
    name: str, model: ImportConfig, base_dir: Path, staging: Staging, progress: Progress
) -> None:
    """Read ``model.path`` and write ``vectors`` and, if it has them, ``ngrams``.

    Words are ordered by their counts or, without counts, as in the file, which is by frequency by
    convention: then the first of n words gets the count n and the last 1, as in gensim. Repairs are
    counted. Memory: all vectors. Raises SourceError when the file is missing, InputError when it is
    malformed.
    """
    path = import_path(name, model, base_dir)
    progress.start(f"import {name}", 1, "files")
    kind, found = read_vectors(path, model.format, model.max_vocabulary)
    counts, order = _ranked(found.tokens, found.counts)
    words = [found.tokens[row] for row in order.tolist()]
    size = found.matrix.shape[1]
    write_vectors(staging, words, counts, size, stretches(found.matrix, order))
    if (ngrams := found.ngrams) is not None:
        write_ngrams(staging, ngrams.buckets, size, stretches(ngrams.vectors))
        staging.report[NGRAMS] = asdict(NgramSizes(ngrams.min_n, ngrams.max_n, ngrams.bucket))
    staging.counts.update(found.faults)
    staging.counts["vocabulary_kept"] = len(found.tokens)
    staging.report.update(trainer=model.trainer, format=kind, counts_are_ranks=found.counts is None)
    for fault, times in sorted(found.faults.items()):
        logger.warning("models.%s: %s: %s (%d)", name, path.name, fault.replace("_", " "), times)
    progress.advance(1, f"{counted(len(found.tokens), 'word')}")


def _ranked(
    tokens: list[str], counts: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts, and the order of the vocabulary: by count descending, then by token."""
    if counts is None:
        return np.arange(len(tokens), 0, -1, dtype=np.int64), np.arange(len(tokens))
    ranks = sorted(range(len(tokens)), key=lambda row: (-int(counts[row]), tokens[row]))
    order = np.array(ranks, np.int64)
    return counts[order], order
