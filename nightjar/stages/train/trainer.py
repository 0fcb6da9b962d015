"""The interface of trainers.

A trainer is a function of a :class:`TrainingJob`: it reads the job's corpus, writes its tables,
counts and report into the job's staging, and reports progress. It raises TrainingError when the
model diverges. To add one, write such a function and name it in :data:`.engines.ENGINES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.models import TrainedConfig
from nightjar.errors import TrainingError
from nightjar.formats.embeddings import blocks
from nightjar.progress import Progress
from nightjar.stages.train.checkpoints import Checkpoints
from nightjar.stages.train.model_corpus import CorpusSize, ModelCorpus
from nightjar.store import Artifact, Staging, schemas

M = TypeVar("M", bound=TrainedConfig)


@dataclass(frozen=True)
class TrainingJob(Generic[M]):
    """Everything that a trainer needs."""

    model: M
    seed: int
    n_workers: int
    """Threads to use; with one, the result is determined by corpus, model and seed."""
    corpus: ModelCorpus
    size: CorpusSize
    staging: Staging
    progress: Progress
    checkpoints: Checkpoints | None = None
    """Where a native trainer saves its state and resumes; None for no checkpoints."""
    cooccurrences: Artifact | None = None
    """For GloVe; other trainers read the corpus."""
    base: Artifact | None = None
    """The embeddings that a fine-tuned model starts from (:mod:`.starting_point`)."""
    compass: Artifact | None = None
    """The embeddings whose output rows are used and stay as they are."""


class Trainer(Protocol[M]):
    """Trains one kind of model."""

    def __call__(self, job: TrainingJob[M]) -> None:
        """Train ``job.model`` and write its tables into ``job.staging``."""


def write_losses(staging: Staging, mean_losses: list[float]) -> None:
    """Write ``losses``: the mean loss of each epoch; epochs count from 1."""
    epochs = np.arange(1, len(mean_losses) + 1, dtype=np.int32)
    columns = [pa.array(epochs), pa.array(mean_losses, pa.float64())]
    staging.write("losses", pa.table(columns, schema=schemas.LOSSES_SCHEMA))


def check_finite(matrices: Mapping[str, NDArray[np.float32]], epoch: int, advice: str) -> None:
    """Raise TrainingError when any value is NaN or infinite, naming epoch and ``advice``."""
    for name, matrix in matrices.items():
        for rows in blocks(len(matrix)):
            if not np.isfinite(matrix[rows]).all():
                raise diverged(f"the {name} hold NaN or infinite values", epoch, advice)


def diverged(finding: str, epoch: int, advice: str) -> TrainingError:
    """The error for a model that diverged in ``epoch`` (from 1)."""
    return TrainingError(
        f"training diverged in epoch {epoch}: {finding}. The learning rate is the likely "
        f"cause: {advice}. Nothing was published"
    )
