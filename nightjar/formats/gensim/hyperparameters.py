"""Hyper-parameters: from a manifest to gensim's arguments, and from a gensim model to ours.

They are not validated like a pipeline's config: gensim allows values that the config does not (a
final learning rate of 0), and a model was trained with whatever it was trained with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

import numpy as np
from gensim.models import FastText, Word2Vec

from nightjar.errors import ArtifactDamaged, InputError
from nightjar.store import Artifact

WORD2VEC = "word2vec"
FASTTEXT = "fasttext"
_GOLDEN = (3 + math.sqrt(5)) / 2
"""gensim's factor between a ``sample`` of 1 or more and the count that it means."""


@dataclass(frozen=True)
class NgramHyperparameters:
    """How FastText splits a word into n-grams."""

    min_n: int
    max_n: int
    bucket: int

    @property
    def are_on(self) -> bool:
        """Whether any n-gram length is possible."""
        return self.max_n >= self.min_n


@dataclass(frozen=True)
class Hyperparameters:
    """The settings of a Word2Vec or FastText model, under the names of our config."""

    trainer: str
    vector_size: int
    window: int
    min_count: int
    max_vocabulary: int | None
    epochs: int
    seed: int | None
    architecture: str
    negative: int
    hs: bool
    ns_exponent: float
    sample: float
    alpha: float
    min_alpha: float
    cbow_mean: bool
    shrink_windows: bool

    def gensim_arguments(self) -> dict[str, Any]:
        """Constructor arguments; the caller sets those that trim the vocabulary afterwards."""
        return {
            "vector_size": self.vector_size,
            "window": self.window,
            "epochs": self.epochs,
            "seed": self.seed,
            "sg": int(self.architecture == "skipgram"),
            "negative": self.negative,
            "hs": int(self.hs),
            "ns_exponent": self.ns_exponent,
            # gensim reads values from 1 up as a count; with the formula they keep every word.
            "sample": self.sample if self.sample < 1 else 0.0,
            "alpha": self.alpha,
            "min_alpha": self.min_alpha,
            "cbow_mean": int(self.cbow_mean),
            "shrink_windows": self.shrink_windows,
        }

    def as_config(self) -> dict[str, Any]:
        """As in the identity of a trained artifact, for that of an imported one."""
        return {**asdict(self), "engine": "gensim"}


S = TypeVar("S", Hyperparameters, NgramHyperparameters)


def trained_with(artifact: Artifact) -> Mapping[str, Any]:
    """The model's part of the config in the manifest's identity."""
    config = artifact.manifest.identity.get("config")
    model = config.get("model") if isinstance(config, Mapping) else None
    return model if isinstance(model, Mapping) else {}


def read_settings(artifact: Artifact) -> Hyperparameters:
    """The settings in a manifest. Raises ArtifactDamaged when one is missing."""
    return _from_mapping(artifact, Hyperparameters)


def read_ngrams(artifact: Artifact) -> NgramHyperparameters:
    """The n-gram settings in a manifest. Raises ArtifactDamaged when one is missing."""
    return _from_mapping(artifact, NgramHyperparameters)


def _from_mapping(artifact: Artifact, kind: type[S]) -> S:
    model = trained_with(artifact)
    names = [field.name for field in fields(kind)]
    missing = [name for name in names if name not in model]
    if missing:
        raise ArtifactDamaged(
            f"{artifact.ref}: the config in its manifest lacks {', '.join(missing)}; train or "
            f"import the model again"
        )
    return kind(**{name: model[name] for name in names})


def settings_of(model: Word2Vec, counts: np.ndarray[Any, np.dtype[np.int64]]) -> Hyperparameters:
    """The settings of a gensim model whose words have these counts.

    Raises InputError when one of them is NaN or infinite.
    """
    settings = Hyperparameters(
        trainer=FASTTEXT if isinstance(model, FastText) else WORD2VEC,
        vector_size=int(model.vector_size),
        window=int(model.window),
        min_count=int(model.min_count),
        max_vocabulary=None if model.max_final_vocab is None else int(model.max_final_vocab),
        epochs=int(model.epochs),
        seed=None if model.seed is None else int(model.seed),
        architecture="skipgram" if model.sg else "cbow",
        negative=int(model.negative),
        hs=bool(model.hs),
        ns_exponent=float(model.ns_exponent),
        sample=_sample_as_fraction(float(model.sample or 0.0), int(counts.sum())),
        alpha=float(model.alpha),
        min_alpha=float(model.min_alpha),
        cbow_mean=bool(model.cbow_mean),
        shrink_windows=bool(model.shrink_windows),
    )
    for name, value in asdict(settings).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"the gensim model's {name} is {value}; set model.{name} to a number")
    return settings


def ngrams_of(wv: Any) -> NgramHyperparameters:
    """The n-gram settings of a FastTextKeyedVectors.

    An n-gram has at least one character: gensim treats a ``min_n`` of 0 as 1.
    """
    return NgramHyperparameters(max(1, int(wv.min_n)), max(0, int(wv.max_n)), int(wv.bucket))


def _sample_as_fraction(sample: float, n_tokens: int) -> float:
    """Convert gensim's ``sample``, a word count from 1 up, to ours, a share of all words."""
    if sample < 1 or not math.isfinite(sample):
        return sample
    return min(1.0, int(sample * _GOLDEN) / max(1, n_tokens))
