"""The JSON that the processes of the trainers' benchmark exchange.

It only uses the standard library: on Linux, child processes inherit the peak memory of their
parent, so the process that starts the trainings must stay smaller than any of them.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SKIPGRAM, CBOW, FASTTEXT, GLOVE = "skipgram", "cbow", "fasttext", "glove"
MODELS = (SKIPGRAM, GLOVE, CBOW, FASTTEXT)
"""In the order of training: GloVe beside skip-gram, because gensim's skip-gram is its peer."""
NATIVE, GENSIM = "native", "gensim"
MAIN, MEMORY, SCALING = "main", "memory", "scaling"
"""The purpose of a training: speed and quality; peak memory; threads and vector size.

The others first train on a few sentences, so that kernels are loaded before timing, which leaves
about 20 MB behind. For memory nothing runs before the training.
"""
MB = 1e6
BEFORE_MODELS = ("documents", "tokens")
"""Stages whose artifacts all trainings share."""


ALPHA = {SKIPGRAM: 0.025, CBOW: 0.05, FASTTEXT: 0.05}
"""The defaults of word2vec.c and of fastText's program: gensim's own is 0.025 for all."""


@dataclass(frozen=True)
class Settings:
    """Settings shared by all trainings of one benchmark; figures with other settings do not mix."""

    data: str
    """The absolute directory of the reviews and the word pairs."""
    n_files: int
    models: list[str]
    epochs: int
    repeats: int
    workers: int
    vector_size: int = 100
    window: int = 5
    glove_window: int = 10
    negative: int = 5
    sample: float = 1e-3
    min_count: int = 5
    x_max: float = 10.0
    min_n: int = 3
    max_n: int = 6
    bucket: int = 2_000_000
    alpha: dict[str, float] = field(default_factory=lambda: dict(ALPHA))
    """Initial learning rate by model, the same for both engines."""

    def model(self, name: str, engine: str, vector_size: int, epochs: int) -> dict[str, Any]:
        """The model's section of a configuration file."""
        common = {
            "engine": engine,
            "vector_size": vector_size,
            "min_count": self.min_count,
            "epochs": epochs,
        }
        if name == GLOVE:
            return {
                "trainer": "glove",
                **common,
                "window": self.glove_window,
                "x_max": self.x_max,
            }
        words = {
            **common,
            "architecture": CBOW if name == CBOW else SKIPGRAM,
            "window": self.window,
            "negative": self.negative,
            "sample": self.sample,
            "alpha": self.alpha[name],
        }
        if name == FASTTEXT:
            ngrams = {"min_n": self.min_n, "max_n": self.max_n, "bucket": self.bucket}
            return {"trainer": "fasttext", **words, **ngrams}
        return {"trainer": "word2vec", **words}


@dataclass(frozen=True)
class Training:
    """One training, in a separate process."""

    model: str
    engine: str
    seed: int
    workers: int
    vector_size: int
    epochs: int
    part: str = MAIN


@dataclass(frozen=True)
class Run:
    """A finished training. Seconds are wall-clock; memory is the peak of its process."""

    training: Training
    n_words: int
    """Words with a vector."""
    words_per_second: float
    """Words of the corpus times epochs, over the seconds of the epochs."""
    epoch_seconds: list[float]
    count_seconds: float | None = None
    """GloVe: counting the co-occurrences and putting them in order."""
    n_entries: int | None = None
    """GloVe: co-occurrences per epoch."""
    quality: float | None = None
    peak_rss_mb: float = 0.0
    count_peak_rss_mb: float | None = None
    """GloVe: peak of the counting, if that is a separate process."""
    matrices_mb: float = 0.0
    """All learned float32 values, and GloVe's accumulators."""
    first_mean_loss: float | None = None
    last_mean_loss: float | None = None
    seconds: float = 0.0
    """From start to end of the process or processes, including everything besides epochs."""
    compile_seconds: float = 0.0
    """Compile time while it was timed; a training with any is repeated."""
    load_average: float = 0.0
    """Load of the machine before it started."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Run:
        """The reverse of :func:`dataclasses.asdict`."""
        return cls(**{**content, "training": Training(**content["training"])})


@dataclass(frozen=True)
class CorpusFacts:
    """Facts about the corpus, and what follows for the arithmetic of an epoch."""

    n_sentences: int
    n_corpus_words: int
    """Words kept by min_count, in sentences with at least two of them; one epoch."""
    n_vocabulary: int
    n_centres: int
    """Words that remain after one draw of subsampling."""
    n_predictions: float
    """Expected pairs of a centre and a word of its shrinking window, after that draw."""
    n_subword_rows: int
    """Rows of words and their n-grams, over all centres."""
    kernels: str
    """Start of the hash of the kernels."""


@dataclass(frozen=True)
class Record:
    """All measurements: the input of the report, and of a resumed benchmark."""

    settings: Settings
    facts: CorpusFacts
    machine: dict[str, Any]
    start_up: dict[str, Any]
    peaks: dict[str, Any]
    runs: list[Run] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Why a model has no training by an engine."""

    def to_json(self) -> dict[str, Any]:
        """As for :func:`json.dump`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Record:
        """The reverse of :meth:`to_json`."""
        return cls(
            **{
                **content,
                "settings": Settings(**content["settings"]),
                "facts": CorpusFacts(**content["facts"]),
                "runs": [Run.from_json(run) for run in content["runs"]],
            }
        )


def clear(artifacts_dir: Path, kept_stages: tuple[str, ...]) -> None:
    """Remove the artifacts of all other stages, so that their steps are due again."""
    for directory in artifacts_dir.iterdir():
        if directory.is_dir() and directory.name not in kept_stages:
            shutil.rmtree(directory)
