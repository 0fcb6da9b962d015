"""The identities of the artifacts of training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nightjar.config.models import (
    GloVeConfig,
    ImportConfig,
    ModelConfig,
    NightjarConfig,
    SifConfig,
    TokenizeConfig,
    TrainedConfig,
    TrainingConfig,
    UsifConfig,
)
from nightjar.errors import SourceError
from nightjar.files.paths import SPECIAL, resolve_pattern, special_file
from nightjar.kernels.code_digest import code_digest
from nightjar.stages.train.engines import engine_of
from nightjar.store import Identity, file_identity, library_versions
from nightjar.store.schemas import COOCCURRENCES, EMBEDDINGS, TOKENS

TRAINING_REVISION = 3
"""Raise it when a change that the hash of the engine's code misses changes the vectors."""
COUNTING_REVISION = 1
"""Raise it when a change that the hash of the code misses changes the counts."""
IMPORT_REVISION = 3
"""Raise it when a change of our own code changes what is read from a file."""
ENCODER_REVISION = 4
"""Raise it when a change of our own code changes the rows of SIF and uSIF."""
_NOT_SHAPING = {"corpus", "gate_benchmarks", "init_from", "model"}
"""Keys of a model that do not shape its vectors; versions of parents replace two of them."""


@dataclass(frozen=True)
class Parents:
    """Versions of the possible parents of embeddings."""

    tokens: str
    base: str | None = None
    cooccurrences: str | None = None
    """For GloVe; None means those counted from ``tokens`` of a corpus without a name."""


def model_seed(model: TrainedConfig, training: TrainingConfig) -> int:
    """The model's own seed, or the common one."""
    return training.seed if model.seed is None else model.seed


def cooccurrences_identity(
    model: ModelConfig, tokens_version: str, corpus: str = ""
) -> Identity | None:
    """The identity of the co-occurrences that ``model`` learns from; None if it uses none.

    It has only the settings that shape the counts: models that differ in anything else share them.
    """
    if not isinstance(model, GloVeConfig):
        return None
    config = model.model_dump(
        mode="json",
        include={"min_count", "max_vocabulary", "window", "symmetric", "distance_weighting"},
    )
    return Identity(
        stage=COOCCURRENCES,
        name=corpus,
        config=config,
        parents={TOKENS: tokens_version},
        code={
            "revision": COUNTING_REVISION,
            "libraries": library_versions("numba", "numpy"),
            "code": code_digest("nightjar.stages.train.cooccurrence"),
        },
    )


def embeddings_identity(
    name: str, config: NightjarConfig, base_dir: Path, parents: Parents
) -> Identity:
    """The identity of the embeddings of the configured model ``name``.

    Hashes the files of an imported model. Raises SourceError when they are missing.
    """
    model = config.models[name]
    if isinstance(model, ImportConfig):
        tokenize = config.corpora[config.corpus_of(name)].tokenize
        return _imported_identity(name, model, tokenize, base_dir)
    if isinstance(model, SifConfig | UsifConfig):
        return _encoder_identity(name, model, parents)
    return trained_identity(name, model, config.training, parents)


def trained_identity(
    name: str, model: TrainedConfig, training: TrainingConfig, parents: Parents
) -> Identity:
    """The identity of the embeddings that ``model`` learns from the tokens.

    The number of workers is left out: it changes the result only as much as another run would, and
    not at all with ``training.deterministic``.
    """
    seed = model_seed(model, training)
    versions = {TOKENS: parents.tokens}
    cooccurrences = cooccurrences_identity(model, parents.tokens)
    if cooccurrences is not None:
        versions[COOCCURRENCES] = parents.cooccurrences or cooccurrences.version
    if parents.base is not None:
        versions[EMBEDDINGS] = parents.base
    return Identity(
        stage=EMBEDDINGS,
        name=name,
        config={
            "name": name,
            "model": {**_shaping(model), "seed": seed},
            "deterministic": training.deterministic,
        },
        parents=versions,
        code={"revision": TRAINING_REVISION, **engine_of(model).code()},
    )


def _imported_identity(
    name: str, model: ImportConfig, tokenize: TokenizeConfig, base_dir: Path
) -> Identity:
    """The content of the files, and the tokenizer that is packaged with the model."""
    shaping = _shaping(model)
    del shaping["path"]
    return Identity(
        stage=EMBEDDINGS,
        name=name,
        config={"name": name, "model": shaping, "tokenize": tokenize.shaping_words()},
        inputs=[
            replace(file_identity(file), name=label)
            for label, file in sorted(_files(name, model, base_dir).items())
        ],
        code={"revision": IMPORT_REVISION},
    )


def import_path(name: str, model: ImportConfig, base_dir: Path) -> Path:
    """The file or folder of an imported model. Raises SourceError when there is none."""
    path = resolve_pattern(model.path, base_dir)
    if not path.exists():
        raise SourceError(f"models.{name}.path: there is no file or folder {path}; correct it")
    if (special := special_file(path)) is not None:
        raise SourceError(f"models.{name}.path: {special} is {SPECIAL}; name a file or folder")
    return path


def _files(name: str, model: ImportConfig, base_dir: Path) -> dict[str, Path]:
    """The files by name, relative to the folder if it is one."""
    path = import_path(name, model, base_dir)
    if path.is_file():
        return {path.name: path}
    return {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}


def _encoder_identity(name: str, model: SifConfig | UsifConfig, parents: Parents) -> Identity:
    if parents.base is None:
        raise ValueError(f"{name} is made of {model.model}: its version is needed")
    return Identity(
        stage=EMBEDDINGS,
        name=name,
        config={"name": name, "model": _shaping(model)},
        parents={TOKENS: parents.tokens, EMBEDDINGS: parents.base},
        code={"revision": ENCODER_REVISION, "libraries": library_versions("numpy")},
    )


def _shaping(model: ModelConfig) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude=_NOT_SHAPING)
