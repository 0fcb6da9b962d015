"""GloVe (Pennington et al. 2014, doi:10.3115/v1/D14-1162): AdaGrad on co-occurrence counts.

Follows the authors' C program, version 1.0 (kernels/adagrad.py), with these differences: matrices
are float32 and losses are summed in float64; a one-sided window gives X[i, j] the words j on the
left of i as in the paper, while the program stores the transpose; a model that reaches NaN or
infinity is stopped, while the program skips the step; entries are shuffled within neighbourhoods of
the matrix, anew in each epoch, while the program shuffles all of them once, and the two entries of
a pair of words are processed one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.models import GloVeConfig
from nightjar.errors import ArtifactDamaged, VocabularyError
from nightjar.formats.embeddings import blocks, matrix_of, stretches, vector_array, write_vectors
from nightjar.kernels.adagrad import (
    AdaGradKernel,
    Cells,
    Weighting,
    adagrad_kernel,
    draw_order,
    untrained_losses,
)
from nightjar.kernels.adagrad_rows import (
    CONTEXT_BIAS,
    CONTEXT_ONE,
    N_EXTRA,
    WORD_BIAS,
    WORD_ONE,
)
from nightjar.kernels.vector_code import LANES
from nightjar.stages.train.epochs import SpanResult, fit
from nightjar.stages.train.model_corpus import Vocabulary
from nightjar.stages.train.starting_point import base_places, start_words
from nightjar.stages.train.trainer import TrainingJob
from nightjar.store import Artifact, RowGroups, Staging, schemas

COLUMNS = ["row", "column", "count"]
_BIAS_LANES = {"word": (WORD_BIAS, WORD_ONE), "context": (CONTEXT_BIAS, CONTEXT_ONE)}
_CACHE_LINE = 64


def train_glove(job: TrainingJob[GloVeConfig]) -> None:
    """Train GloVe on the job's co-occurrences; write ``vectors``, ``parameters``, ``losses``.

    Memory: four matrices, and one row group of co-occurrences per worker. With one worker the seed
    determines the order, the initial values and so every bit of the result; with more, threads
    update the matrices without locks.
    """
    model, vocabulary = job.model, job.corpus.vocabulary
    with ExitStack() as open_files:
        learner = GloVeLearner(job, cooccurrences_of(job), open_files)
        if job.base is not None:
            start_layers(job.base, vocabulary, Layers(learner.parameters, model.vector_size))
        job.staging.counts["cooccurrences"] = learner.n_units
        fit(job, learner)
    layers = Layers(learner.parameters, model.vector_size)
    _write_parameters(job.staging, vocabulary, layers)
    if model.combine == "sum":
        layers.vectors("word")[:] += layers.vectors("context")
    vectors = stretches(layers.vectors("word"))
    write_vectors(job.staging, vocabulary.words, vocabulary.counts, model.vector_size, vectors)


def cooccurrences_of(job: TrainingJob[GloVeConfig]) -> Artifact:
    """The job's co-occurrences. Callers must supply them."""
    if job.cooccurrences is None:
        raise ValueError("GloVe learns from a co-occurrences artifact: none was given")
    return job.cooccurrences


class Layers:
    """Views of the rows of all words (kernels/adagrad_rows.py), by ``kind``: word or context."""

    def __init__(self, parameters: NDArray[np.float32], vector_size: int) -> None:
        self._parts = parameters.reshape(len(parameters), 4, -1)
        self.vector_size = vector_size

    def vectors(self, kind: str) -> NDArray[np.float32]:
        """(n_words, vector_size)."""
        return self._parts[:, self._part(kind), : self.vector_size]

    def squares(self, kind: str) -> NDArray[np.float32]:
        """Sums of squared gradients of the vectors."""
        return self._parts[:, self._part(kind) + 1, : self.vector_size]

    def biases(self, kind: str) -> NDArray[np.float32]:
        """(n_words,)."""
        return self._last_chunk(self._part(kind))[:, _BIAS_LANES[kind][0]]

    def bias_squares(self, kind: str) -> NDArray[np.float32]:
        """Sums of squared gradients of the biases."""
        return self._last_chunk(self._part(kind) + 1)[:, _BIAS_LANES[kind][0]]

    def ones(self, kind: str) -> NDArray[np.float32]:
        """The values that the other layer's biases are multiplied by."""
        return self._last_chunk(self._part(kind))[:, _BIAS_LANES[kind][1]]

    def _last_chunk(self, part: int) -> NDArray[np.float32]:
        return self._parts[:, part, -LANES:]

    @staticmethod
    def _part(kind: str) -> int:
        return 2 * list(_BIAS_LANES).index(kind)


def n_chunks(vector_size: int) -> int:
    """Chunks of 16 values for a vector with its bias and one."""
    return -(-(vector_size + N_EXTRA) // LANES)


def initial_parameters(n_words: int, vector_size: int, seed: int) -> NDArray[np.float32]:
    """Values uniform within +-0.5 / (vector_size + 1), accumulators 1, as in glove.c.

    Rows are aligned to cache lines.
    """
    width = 4 * n_chunks(vector_size) * LANES
    room = np.empty(n_words * width + _CACHE_LINE // 4, np.float32)
    start = -room.ctypes.data % _CACHE_LINE // 4
    parameters = room[start : start + n_words * width].reshape(n_words, width)
    parts = parameters.reshape(n_words, 4, -1)
    parts[:, 0::2] = 0.0
    parts[:, 1::2] = 1.0
    layers = Layers(parameters, vector_size)
    generator = np.random.default_rng(seed)
    for kind in _BIAS_LANES:
        layers.ones(kind)[:] = 1.0
        for rows in blocks(n_words):
            drawn = generator.random((rows.stop - rows.start, vector_size + 1), np.float32)
            drawn = (drawn - np.float32(0.5)) / np.float32(vector_size + 1)
            layers.vectors(kind)[rows] = drawn[:, :-1]
            layers.biases(kind)[rows] = drawn[:, -1]
    return parameters


@lru_cache(maxsize=8)
def _kernel(chunks: int) -> AdaGradKernel:
    return adagrad_kernel(chunks)


class GloVeLearner:
    """GloVe in training (:class:`.epochs.Learner`); a span is a row group."""

    unit = "co-occurrences"

    def __init__(
        self, job: TrainingJob[GloVeConfig], cooccurrences: Artifact, open_files: ExitStack
    ) -> None:
        model = job.model
        self._job = job
        self._ref = cooccurrences.ref
        self._readers: list[RowGroups] = [
            open_files.enter_context(cooccurrences.row_groups("cooccurrences", COLUMNS))
            for _ in range(job.n_workers)
        ]
        self._weighting = Weighting(np.float32(math.log(model.x_max)), np.float32(model.alpha))
        self._kernel = _kernel(n_chunks(model.vector_size))
        self._n_words = len(job.corpus.vocabulary)
        self.n_units, self.untrained_loss = self._measure()
        self.advice = f"lower eta (now {model.eta:g})"
        self.parameters = initial_parameters(self._n_words, model.vector_size, job.seed)

    def spans(self, epoch: int, n_done: int) -> Iterator[int]:
        """The row groups in random order."""
        generator = np.random.default_rng([self._job.seed, epoch])
        groups = generator.permutation(len(self._readers[0]))
        return islice(map(int, groups), n_done, None)

    def learn(self, span: int, epoch: int, worker: int) -> SpanResult:
        """Let the kernel step the cells of the row group in random order."""
        cells = self._cells(span, worker)
        seed = np.random.SeedSequence([self._job.seed, epoch, span])
        order = draw_order(cells.rows, cells.columns, seed.generate_state(1, np.uint64)[0])
        eta = np.float32(self._job.model.eta)
        loss_sum = self._kernel(cells, order, self.parameters, self._weighting, eta)
        n_entries = _n_entries(cells)
        return SpanResult(n_entries, n_entries, loss_sum)

    def learning_rate(self, epoch: int, n_units_done: int) -> float:
        """The initial rate of AdaGrad, which divides it by each value's accumulated gradient."""
        del epoch, n_units_done
        return self._job.model.eta

    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """All rows: both layers with biases and accumulators."""
        return {"parameters": self.parameters}

    def _cells(self, group: int, worker: int) -> Cells:
        table = self._readers[worker].read(group)
        rows, columns, counts = (table.column(name).to_numpy() for name in COLUMNS)
        return Cells(rows, columns, counts, self._job.model.symmetric)

    def _measure(self) -> tuple[int, float]:
        """Number of entries of the matrix, and their mean loss before the first step.

        Exact except for the small initial values. Also validates the cells, which the kernels do
        not.
        """
        n_workers = self._job.n_workers

        def measure(worker: int) -> tuple[int, float]:
            n_entries, loss_sum = 0, 0.0
            for group in range(worker, len(self._readers[0]), n_workers):
                cells = self._cells(group, worker)
                self._check(cells)
                n_in_group, loss = untrained_losses(cells, self._weighting)
                n_entries += n_in_group
                loss_sum += loss
            return n_entries, loss_sum

        # waits: for computing in threads of our own, one pass over the counts
        with ThreadPoolExecutor(n_workers) as threads:
            # waits: for computing in threads of our own, one pass over the counts
            measured = list(threads.map(measure, range(n_workers)))
        n_entries = sum(n for n, _ in measured)
        if n_entries == 0:
            raise VocabularyError(f"{self._ref} has no co-occurrences to learn from")
        return n_entries, sum(loss for _, loss in measured) / n_entries

    def _check(self, cells: Cells) -> None:
        is_known = (
            min(cells.rows.min(), cells.columns.min()) >= 0
            and max(cells.rows.max(), cells.columns.max()) < self._n_words
        )
        if not (is_known and cells.counts.min() > 0 and np.isfinite(cells.counts).all()):
            raise ArtifactDamaged(
                f"{self._ref} has a cell without a count or of a word that the vocabulary "
                f"lacks; remove {self._ref.path} and run again: it is rebuilt from its parents"
            )


def _n_entries(cells: Cells) -> int:
    """Number of entries of the full matrix that the cells represent."""
    if not cells.is_symmetric:
        return len(cells.rows)
    return 2 * len(cells.rows) - int(np.count_nonzero(cells.rows == cells.columns))


def start_layers(base: Artifact, vocabulary: Vocabulary, layers: Layers) -> None:
    """Initialize the words of ``base`` from its parameters if it is a GloVe model too.

    That includes accumulators. For another base, word and context vector each start as half of its
    vector, so that they add up to it.
    """
    if not base.has_table("parameters"):
        start_words(base, vocabulary, layers.vectors("word"))
        start_words(base, vocabulary, layers.vectors("context"))
        for kind in _BIAS_LANES:
            places = base_places(base, vocabulary)
            layers.vectors(kind)[places[places >= 0]] *= np.float32(0.5)
        return
    row_of = {word: row for row, word in enumerate(vocabulary.words)}
    for batch in base.batches("parameters"):
        tokens = batch.column("token").to_pylist()
        rows = np.array([row_of.get(token, -1) for token in tokens], np.int64)
        kinds = np.array(batch.column("kind").to_pylist())
        for kind in _BIAS_LANES:
            found = (kinds == kind) & (rows >= 0)
            layers.vectors(kind)[rows[found]] = matrix_of(batch, "vector")[found]
            layers.squares(kind)[rows[found]] = matrix_of(batch, "squared_gradient")[found]
            layers.biases(kind)[rows[found]] = batch.column("bias").to_numpy()[found]
            squares = batch.column("bias_squared_gradient").to_numpy()
            layers.bias_squares(kind)[rows[found]] = squares[found]


def _write_parameters(staging: Staging, vocabulary: Vocabulary, layers: Layers) -> None:
    schema = schemas.glove_parameters_schema(layers.vector_size)
    with staging.writer("parameters", schema) as writer:
        for kind in _BIAS_LANES:
            for rows in blocks(len(vocabulary)):
                columns = [
                    pa.array([kind] * (rows.stop - rows.start), pa.string()),
                    pa.array(vocabulary.words[rows], pa.string()),
                    vector_array(layers.vectors(kind)[rows]),
                    pa.array(np.ascontiguousarray(layers.biases(kind)[rows])),
                    vector_array(layers.squares(kind)[rows]),
                    pa.array(np.ascontiguousarray(layers.bias_squares(kind)[rows])),
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
