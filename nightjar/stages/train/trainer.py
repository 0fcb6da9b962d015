"""The trainer protocol: what a trainer gets, and what it has to do.

A trainer is a function of a :class:`TrainingJob`: it reads the job's corpus, writes its
tables, counts and report into the job's staging and tells the job's progress. It raises
TrainingError when the model diverges. To add one, write such a function and name it in
:data:`.engines.ENGINES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from nightjar.config.models import TrainedConfig
from nightjar.progress import Progress
from nightjar.stages.train.checkpoints import Checkpoints
from nightjar.stages.train.id_stream import Corpus, CorpusSize
from nightjar.store import Artifact, Staging

M = TypeVar("M", bound=TrainedConfig)


@dataclass(frozen=True)
class TrainingJob(Generic[M]):
    """All that a trainer gets."""

    model: M
    seed: int
    n_workers: int
    """Threads to use; one makes the result a function of corpus, model and seed."""
    corpus: Corpus
    size: CorpusSize
    staging: Staging
    progress: Progress
    checkpoints: Checkpoints | None = None
    """Where a native trainer saves its state and goes on from; None: nowhere."""
    cooccurrences: Artifact | None = None
    """What GloVe learns from; other trainers read the corpus."""
    base: Artifact | None = None
    """The embeddings that a fine-tuned model starts from (:mod:`.starting_point`)."""


class Trainer(Protocol[M]):
    """Trains one kind of model."""

    def __call__(self, job: TrainingJob[M]) -> None:
        """Train ``job.model`` and write its tables into ``job.staging``."""
