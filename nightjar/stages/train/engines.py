"""The code that trains a model: an explicit mapping (trainer, engine) -> engine.

This module imports no engine: planning only needs an engine's version.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from nightjar.config.models import TrainedConfig
from nightjar.kernels.code_digest import code_digest, shaping_modules
from nightjar.stages.train.trainer import Trainer
from nightjar.store import library_versions

NOT_SHAPING = ("nightjar.stages.train.checkpoints",)
"""Imported by trainers without shaping the vectors: a resumed training has the same result."""


@dataclass(frozen=True)
class Engine:
    """An implementation of a trainer, and what its results depend on."""

    module: str
    """The trainer's module; with everything that it imports it shapes the vectors."""
    function: str
    libraries: tuple[str, ...]
    """Distributions whose versions shape the vectors."""

    def load(self) -> Trainer[Any]:
        """Import the implementation."""
        return cast("Trainer[Any]", getattr(importlib.import_module(self.module), self.function))

    def code(self) -> dict[str, Any]:
        """The part of the identity for the code."""
        return {
            "libraries": library_versions(*self.libraries),
            "code": code_digest(self.module, without=NOT_SHAPING),
        }

    def modules(self) -> tuple[str, ...]:
        """The names of the modules that shape the vectors."""
        return shaping_modules(self.module, without=NOT_SHAPING)


_GENSIM = ("gensim", "numpy")
_NATIVE = ("numba", "numpy")

ENGINES: Mapping[tuple[str, str], Engine] = {
    ("word2vec", "gensim"): Engine(
        "nightjar.stages.train.gensim_engine", "train_word2vec", _GENSIM
    ),
    ("word2vec", "native"): Engine("nightjar.stages.train.word2vec", "train_word2vec", _NATIVE),
    ("fasttext", "gensim"): Engine(
        "nightjar.stages.train.gensim_engine", "train_fasttext", _GENSIM
    ),
    ("fasttext", "native"): Engine("nightjar.stages.train.fasttext", "train_fasttext", _NATIVE),
    ("glove", "native"): Engine("nightjar.stages.train.glove", "train_glove", _NATIVE),
}
"""The engine for each (trainer, engine) that the configuration can name."""


def engine_of(model: TrainedConfig) -> Engine:
    """The engine that ``model`` names."""
    return ENGINES[model.trainer, model.engine]
