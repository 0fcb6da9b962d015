"""Count: the co-occurrences of a corpus, for GloVe (Pennington et al. 2014, section 3).

A pair of words d apart in a sentence counts 1/d, rounded to a multiple of 2**-30, so sums are
exact: they do not depend on the order, the number of workers or the memory limit. The rounding
changes a count by a relative 5e-7 at most (at window 1000; 5e-9 at window 10, which float32 does
not show).
"""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.models import GloVeConfig, TrainingConfig
from nightjar.core.executors import Advance, Executor
from nightjar.kernels.cooccurrence_counts import TILE_CELLS, split_cells
from nightjar.progress import Progress
from nightjar.stages.train.model_corpus import ModelCorpus, Vocabulary, select_vocabulary
from nightjar.stages.train.pair_counting import UNIT, PairCounter, n_tiles
from nightjar.stages.train.sorted_runs import Run, SpilledRun, merged
from nightjar.store import Artifact, FileEntry, Staging, schemas

logger = logging.getLogger(__name__)

GROUP_CELLS = 1 << 18
"""Most cells in a row group."""


def count_cooccurrences(
    model: GloVeConfig,
    training: TrainingConfig,
    tokens: Artifact,
    staging: Staging,
    progress: Progress,
    n_workers: int,
    name: str = "NAME",
    cluster: Executor | None = None,
) -> None:
    """Count for ``model`` and write ``cooccurrences``, counts and report into ``staging``.

    ``name`` is the model's name in messages.

    If symmetric, X[i, j] counts j on both sides of i, and only cells with i <= j are written; on
    the diagonal, each pair counts once. Otherwise X[i, j] counts j on the left of i. The bytes
    depend neither on ``n_workers`` nor on ``training.max_memory``.

    ``training.max_memory`` bounds the sums and keys held by ``n_workers`` threads; the rest is
    spilled to disk beside the staging files. Further memory: the vocabulary and, per worker, one
    row group of tokens. On a ``cluster`` each worker holds as much for one part of the tokens, and
    writes the part's counts to disk; this process then merges them. Raises VocabularyError before
    counting when there is nothing to count, or when 64 bits are too few for a key or a sum.
    """
    vocabulary = select_vocabulary(tokens, model, name)
    corpus = ModelCorpus(tokens, vocabulary)
    size = corpus.measure(progress, name)
    staging.counts.update(vocabulary.dropped)
    staging.counts.update(vocabulary_kept=len(vocabulary), tokens_kept=size.n_tokens_kept)
    started_at = time.monotonic()
    n_workers = 1 if training.deterministic else n_workers
    spill_dir = staging.directory / "spilled"
    progress.start("count co-occurrences", size.n_tokens_kept, "tokens")
    counting = _Counting(model, training, tokens, spill_dir, name)
    try:
        # waits: for computing in threads of our own, whose progress is shown
        with ThreadPoolExecutor(n_workers, thread_name_prefix="count") as threads:
            if cluster is None:
                counter = counting.counter(vocabulary, n_workers)
                counter.count(corpus.batches(), threads, progress)
                runs, n_spilled = counter.merged(threads), counter.spilled.n_written
            else:
                spill_dir.mkdir()
                sources = counting.parts(cluster, progress)
                runs, n_spilled = merged(sources, threads, n_ahead=2 * n_workers), len(sources)
            counted_at = time.monotonic()
            _write(groups(runs), len(vocabulary), model.symmetric, staging)
    finally:
        shutil.rmtree(spill_dir, ignore_errors=True)
    staging.report.update(
        n_workers=n_workers if cluster is None else cluster.n_workers,
        runs_spilled=n_spilled,
        count_seconds=round(counted_at - started_at, 3),
        order_seconds=round(time.monotonic() - counted_at, 3),
    )


@dataclass(frozen=True)
class _Counting:
    """What to count, and where to put runs."""

    model: GloVeConfig
    training: TrainingConfig
    tokens: Artifact
    spill_dir: Path
    name: str

    def counter(self, vocabulary: Vocabulary, n_workers: int, below: str = "") -> PairCounter:
        """An empty counter that puts its runs ``below`` the directory."""
        directory = self.spill_dir / below if below else self.spill_dir
        return PairCounter(self.model, vocabulary, self.training.max_memory, n_workers, directory)

    def parts(self, cluster: Executor, progress: Progress) -> list[SpilledRun]:
        """The counts of each part of the tokens, by the workers of the cluster."""
        pieces = [
            _PartCounting(self, part, number)
            for number, part in enumerate(self.tokens.parts("sentences"))
        ]
        paths = cluster.map(_count_part, pieces, progress.advance)
        return [SpilledRun(Path(path), level=0) for path in paths]


@dataclass(frozen=True)
class _PartCounting:
    """A part of the tokens to count by itself."""

    counting: _Counting
    part: FileEntry
    number: int


def _count_part(piece: _PartCounting, advance: Advance) -> str:
    """Write the part's counts as one run; returns its path."""
    counting = piece.counting
    vocabulary = select_vocabulary(counting.tokens, counting.model, counting.name)
    corpus = ModelCorpus(counting.tokens, vocabulary, piece.part)
    # Names that are unique to this attempt: a worker that was given up may still be writing.
    attempt = f"{piece.number}-{uuid.uuid4().hex}"
    counter = counting.counter(vocabulary, 1, below=f"runs-{attempt}")
    path = counting.spill_dir / f"{attempt}.parquet"
    # waits: for computing in threads of our own, whose progress is shown
    with ThreadPoolExecutor(1) as thread:
        counter.count(corpus.batches(), thread, _Told(advance))
        SpilledRun(path, level=0).write(counter.merged(thread))
    shutil.rmtree(counting.spill_dir / f"runs-{attempt}", ignore_errors=True)
    return str(path)


@dataclass(frozen=True)
class _Told:
    """Forwards progress to a callback."""

    advance: Advance

    def start(self, label: str, total: float | None, unit: str) -> None:
        del label, total, unit


def groups(runs: Iterator[Run]) -> Iterator[Run]:
    """The cells of ``runs`` in row groups of at most GROUP_CELLS, in complete tiles if possible.

    A group ends with the last tile that ends in its second half, or when it is full. How ``runs``
    were cut makes no difference. Memory: a group and a run.
    """
    waiting = Run(np.zeros(0, np.int64), np.zeros(0, np.int64))
    for run in runs:
        waiting = Run(
            np.concatenate([waiting.cells, run.cells]), np.concatenate([waiting.sums, run.sums])
        )
        while len(waiting) > GROUP_CELLS:
            end = _group_end(waiting.cells)
            yield Run(waiting.cells[:end], waiting.sums[:end])
            waiting = Run(waiting.cells[end:], waiting.sums[end:])
    if len(waiting):
        yield waiting


def _group_end(cells: NDArray[np.int64]) -> int:
    """How many of more than GROUP_CELLS cells go into a group."""
    tile_start = cells[GROUP_CELLS] // TILE_CELLS * TILE_CELLS
    end = int(np.searchsorted(cells, tile_start))
    return end if end >= GROUP_CELLS // 2 else GROUP_CELLS


def _write(cell_groups: Iterator[Run], n_words: int, is_symmetric: bool, staging: Staging) -> None:
    """Write ``cooccurrences``; count its cells and the entries of the full matrix."""
    schema = schemas.COOCCURRENCES_SCHEMA
    n_cells = n_diagonal = 0
    with staging.writer("cooccurrences", schema) as writer:
        for group in cell_groups:
            rows, columns = np.empty(len(group), np.int32), np.empty(len(group), np.int32)
            counts = np.empty(len(group), np.float64)
            n_diagonal += split_cells(
                group.cells, group.sums, n_tiles(n_words), 1 / UNIT, rows, columns, counts
            )
            n_cells += len(group)
            arrays = [pa.array(rows), pa.array(columns), pa.array(counts)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    staging.counts["cells"] = n_cells
    staging.counts["cooccurrences"] = 2 * n_cells - n_diagonal if is_symmetric else n_cells
    logger.info("%d co-occurrences in %d cells", staging.counts["cooccurrences"], n_cells)
