"""GloVe (Pennington et al. 2014, doi:10.3115/v1/D14-1162): counts, then AdaGrad.

Follows the authors' C program, version 1.0 (kernels/adagrad.py), with these differences:
matrices are float32 with losses summed in float64; a one-sided window gives X[i, j] the
words j on the left of i as in the paper, where the program stores the transpose; a model
that reaches NaN or infinity is stopped, where the program skips the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar import schemas
from nightjar.config.models import GloVeConfig
from nightjar.store import Staging
from nightjar.training.cooccurrence import count_cooccurrences
from nightjar.training.kernels.adagrad import adagrad_pass
from nightjar.training.tables import (
    blocks,
    check_finite,
    diverged,
    vector_array,
    write_losses,
    write_vectors,
)
from nightjar.training.trainer import TrainingJob
from nightjar.training.vocabulary import Vocabulary

SPAN_ENTRIES = 1 << 20
"""Entries a thread takes at a time: about a tenth of a second."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The vectors of the words, or of the contexts, with their AdaGrad accumulators.

    All float32; ``vectors`` and ``squares`` of shape (n_words, vector_size), ``biases`` and
    ``bias_squares`` of shape (n_words,).
    """

    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    squares: NDArray[np.float32]
    bias_squares: NDArray[np.float32]

    @classmethod
    def initial(cls, n_words: int, vector_size: int, generator: np.random.Generator) -> Self:
        """Values uniform within +-0.5 / (vector_size + 1), accumulators 1, as in glove.c."""

        def uniform(shape: tuple[int, ...]) -> NDArray[np.float32]:
            values = generator.random(shape, dtype=np.float32)
            values -= 0.5
            values /= vector_size + 1
            return values

        return cls(
            vectors=uniform((n_words, vector_size)),
            biases=uniform((n_words,)),
            squares=np.ones((n_words, vector_size), np.float32),
            bias_squares=np.ones(n_words, np.float32),
        )


def train_glove(job: TrainingJob[GloVeConfig]) -> None:
    """Train GloVe and write ``vectors``, ``parameters`` and ``losses``.

    In memory: 32 bytes per co-occurrence while they are weighed, then 16, and four matrices.
    With one worker the seed fixes order, start values and so every bit of the result; with
    more, threads step through the same shuffled entries without locks.
    """
    model, n_words = job.model, len(job.corpus.vocabulary)
    generator = np.random.Generator(np.random.PCG64(job.seed))
    entries = _shuffled_entries(job, generator)
    words = Layer.initial(n_words, model.vector_size, generator)
    contexts = Layer.initial(n_words, model.vector_size, generator)
    _fit(job, entries, words, contexts)
    vectors = words.vectors + contexts.vectors if model.combine == "sum" else words.vectors
    write_vectors(job.staging, job.corpus.vocabulary, vectors)
    _write_parameters(job.staging, job.corpus.vocabulary, {"word": words, "context": contexts})


def _shuffled_entries(
    job: TrainingJob[GloVeConfig], generator: np.random.Generator
) -> NDArray[np.void]:
    """The weighted co-occurrences in random order; every epoch takes the same, as glove.c."""
    started_at = time.monotonic()
    counted = count_cooccurrences(job.corpus, job.size, job.model, job.progress)
    entries = counted.entries(job.model.x_max, job.model.alpha)
    generator.shuffle(entries)
    job.staging.counts["cooccurrences"] = len(entries)
    job.staging.report["count_seconds"] = round(time.monotonic() - started_at, 3)
    return entries


def _fit(
    job: TrainingJob[GloVeConfig], entries: NDArray[np.void], words: Layer, contexts: Layer
) -> None:
    """Train in place; report the mean loss of each epoch and stop when it is not finite."""
    n_epochs, advice = job.model.epochs, f"lower eta (now {job.model.eta:g})"
    mean_losses: list[float] = []
    epoch_seconds: list[float] = []
    job.progress.start("train", len(entries) * n_epochs, "co-occurrences")
    with ThreadPoolExecutor(job.n_workers, thread_name_prefix="glove") as executor:
        for epoch in range(1, n_epochs + 1):
            started_at = time.monotonic()
            note = f"epoch {epoch}/{n_epochs}"
            if mean_losses:
                note += f", loss {mean_losses[-1]:.5f}"
            loss_sum = 0.0
            for loss in _span_losses(job, executor, entries, words, contexts, note):
                if not math.isfinite(loss):
                    raise diverged(f"the loss is {loss}", epoch, advice)
                loss_sum += loss
            mean_losses.append(loss_sum / len(entries))
            epoch_seconds.append(round(time.monotonic() - started_at, 3))
    for layer in (words, contexts):
        check_finite({"vectors": layer.vectors, "accumulators": layer.squares}, n_epochs, advice)
        check_finite({"biases": layer.biases}, n_epochs, advice)
    write_losses(job.staging, mean_losses)
    job.staging.report.update(
        epoch_seconds=epoch_seconds,
        first_mean_loss=mean_losses[0],
        last_mean_loss=mean_losses[-1],
    )


def _span_losses(
    job: TrainingJob[GloVeConfig],
    executor: ThreadPoolExecutor,
    entries: NDArray[np.void],
    words: Layer,
    contexts: Layer,
    note: str,
) -> Iterator[float]:
    """Pass over the entries once; the summed loss of each span, in order."""

    def train_span(span: NDArray[np.void]) -> float:
        return adagrad_pass(
            span,
            words.vectors,
            contexts.vectors,
            words.biases,
            contexts.biases,
            words.squares,
            contexts.squares,
            words.bias_squares,
            contexts.bias_squares,
            np.float32(job.model.eta),
        )

    span_entries = min(SPAN_ENTRIES, -(-len(entries) // job.n_workers))
    starts = range(0, len(entries), span_entries)
    spans = [entries[start : start + span_entries] for start in starts]
    for span, loss in zip(spans, executor.map(train_span, spans), strict=True):
        job.progress.advance(len(span), note)
        yield loss


def _write_parameters(staging: Staging, vocabulary: Vocabulary, layers: dict[str, Layer]) -> None:
    schema = schemas.glove_parameters_schema(layers["word"].vectors.shape[1])
    with staging.writer("parameters", schema) as writer:
        for kind, layer in layers.items():
            for rows in blocks(len(vocabulary)):
                columns = [
                    pa.array([kind] * (rows.stop - rows.start), pa.string()),
                    pa.array(vocabulary.words[rows], pa.string()),
                    vector_array(layer.vectors[rows]),
                    pa.array(layer.biases[rows]),
                    vector_array(layer.squares[rows]),
                    pa.array(layer.bias_squares[rows]),
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
