"""The trainer protocol and the mapping that chooses one.

A trainer is a function of a :class:`TrainingJob`: it reads the job's corpus, writes its
tables, counts and report into the job's staging and tells the job's progress. It raises
TrainingError when the model diverges. To add an engine, write such a function and name it in
:data:`ENGINES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from nightjar.config.models import TrainedConfig
from nightjar.progress import Progress
from nightjar.store import Artifact, Staging, library_versions
from nightjar.training.checkpoints import Checkpoints
from nightjar.training.corpus import Corpus, CorpusSize
from nightjar.training.kernels import sources_sha256

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


@dataclass(frozen=True)
class Engine:
    """An implementation of a trainer and what its results depend on."""

    load: Callable[[], Trainer[Any]]
    """Imports the implementation: called when training starts, not when it is planned."""
    revision: int
    """Raised whenever a change of our own code changes the vectors."""
    libraries: tuple[str, ...]
    """Distributions whose version shapes the vectors."""
    is_compiled: bool = False
    """Whether the kernels take part."""

    def code(self) -> dict[str, Any]:
        """The part of the identity that stands for the code."""
        kernels = {"kernels": sources_sha256()} if self.is_compiled else {}
        return {
            "revision": self.revision,
            "libraries": library_versions(*self.libraries),
            **kernels,
        }


def _gensim_word2vec() -> Trainer[Any]:
    from nightjar.training.gensim_engine import train_word2vec  # noqa: PLC0415

    return train_word2vec


def _native_word2vec() -> Trainer[Any]:
    from nightjar.training.word2vec import train_word2vec  # noqa: PLC0415

    return train_word2vec


def _gensim_fasttext() -> Trainer[Any]:
    from nightjar.training.gensim_engine import train_fasttext  # noqa: PLC0415

    return train_fasttext


def _native_fasttext() -> Trainer[Any]:
    from nightjar.training.fasttext import train_fasttext  # noqa: PLC0415

    return train_fasttext


def _native_glove() -> Trainer[Any]:
    from nightjar.training.glove import train_glove  # noqa: PLC0415

    return train_glove


ENGINES: Mapping[tuple[str, str], Engine] = {
    ("word2vec", "gensim"): Engine(_gensim_word2vec, 1, ("gensim", "numpy")),
    ("word2vec", "native"): Engine(_native_word2vec, 1, ("numba", "numpy"), is_compiled=True),
    ("fasttext", "gensim"): Engine(_gensim_fasttext, 1, ("gensim", "numpy")),
    ("fasttext", "native"): Engine(_native_fasttext, 1, ("numba", "numpy"), is_compiled=True),
    ("glove", "native"): Engine(_native_glove, 2, ("numba", "numpy"), is_compiled=True),
}
"""The engine of each (trainer, engine) that the configuration can name."""


def engine_of(model: TrainedConfig) -> Engine:
    """The engine that ``model`` names."""
    return ENGINES[model.trainer, model.engine]
