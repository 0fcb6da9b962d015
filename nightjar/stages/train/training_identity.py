"""The identities of the artifacts of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nightjar.config import space_of_model
from nightjar.config.models import (
    EventsCorpusConfig,
    GloVeConfig,
    ImportConfig,
    ModelConfig,
    NightjarConfig,
    ProneConfig,
    SifConfig,
    TextCorpusConfig,
    TokenizeConfig,
    TrainedConfig,
    TrainingConfig,
    UsifConfig,
)
from nightjar.config.tokenize import VERBATIM
from nightjar.core import Anchor
from nightjar.errors import SourceError
from nightjar.files.paths import SPECIAL, resolve_pattern, special_file
from nightjar.kernels.code_digest import code_digest
from nightjar.stages.train.engines import engine_of
from nightjar.store import Identity, file_identity, library_versions
from nightjar.store.schemas import (
    COOCCURRENCES,
    EMBEDDINGS,
    EVENTS,
    GRAPH,
    RAW_EMBEDDINGS,
    TOKENS,
)

TRAINING_REVISION = 3
"""Raise it when a change that the hash of the engine's code misses changes the vectors."""
COUNTING_REVISION = 1
"""Raise it when a change that the hash of the code misses changes the counts."""
IMPORT_REVISION = 3
"""Raise it when a change of our own code changes what is read from a file."""
ENCODER_REVISION = 4
"""Raise it when a change of our own code changes the rows of SIF and uSIF."""
FACTORIZING_REVISION = 2
"""Raise it when a change that the hash of the code misses changes the vectors of ProNE."""
ALIGNING_REVISION = 1
"""Raise it when a change of our own code changes how vectors are turned."""
RECOMMENDER_REVISION = 1
"""Raise it when a change that the hash of the code misses changes what recommends items."""
ANCHOR = "anchor"
"""Key in the config of an identity: the version whose coordinates the vectors keep to."""
_NOT_SHAPING = {"corpus", "gate_benchmarks", "init_from", "model", "space"}
"""Keys of a model that do not shape its vectors; versions of parents replace two of them, and the
anchor stands for the space."""


@dataclass(frozen=True)
class Parents:
    """Versions of the possible parents of embeddings."""

    tokens: str
    base: str | None = None
    cooccurrences: str | None = None
    """For GloVe; None means those counted from ``tokens`` of a corpus without a name."""
    events: str | None = None
    """For models that recommend items."""
    graph: str | None = None
    """For ProNE."""


def model_seed(model: TrainedConfig | ProneConfig, training: TrainingConfig) -> int:
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
    name: str,
    config: NightjarConfig,
    base_dir: Path,
    parents: Parents,
    anchors: Sequence[Anchor] = (),
) -> Identity:
    """The identity of the embeddings of the configured model ``name``.

    ``anchors`` are those that its vectors can keep to, for a model with another ``space`` than
    ``own``. Hashes the files of an imported model. Raises SourceError when they are missing.
    """
    model = config.models[name]
    mode = space_of_model(model)
    if mode == "own":
        return own_identity(name, config, base_dir, parents)
    if mode == "aligned":
        raw = raw_identity(name, config, base_dir, parents)
        return kept_to(anchors, lambda anchor: _aligned_identity(raw, anchor))
    own = own_identity(name, config, base_dir, parents)
    return kept_to(anchors, lambda anchor: _anchored_identity(own, mode, anchor))


def kept_to(
    anchors: Sequence[Anchor], identity_of: Callable[[Anchor | None], Identity]
) -> Identity:
    """The identity that keeps to the last of ``anchors``; without any, ``identity_of(None)``.

    A training that made an anchor itself keeps that one's identity, whichever came later. So the
    version that founds a space is not due again once it has founded it.
    """
    for place in reversed(range(len(anchors))):
        found = identity_of(anchors[place - 1] if place else None)
        if found.version == anchors[place].embeddings:
            return found
    return identity_of(anchors[-1] if anchors else None)


def own_identity(name: str, config: NightjarConfig, base_dir: Path, parents: Parents) -> Identity:
    """The identity of embeddings in coordinates of their own."""
    model = config.models[name]
    if isinstance(model, ImportConfig):
        corpus = config.corpora[config.corpus_of(name)]
        tokenize = corpus.tokenize if isinstance(corpus, TextCorpusConfig) else VERBATIM
        return _imported_identity(name, model, tokenize, base_dir)
    if isinstance(model, SifConfig | UsifConfig):
        return _encoder_identity(name, model, parents)
    if isinstance(model, ProneConfig):
        return _factorized_identity(name, model, config.training, parents)
    own = trained_identity(name, model, config.training, parents)
    return own if parents.events is None else _recommending(own, parents.events)


def learns_items(name: str, config: NightjarConfig) -> bool:
    """Whether the model ``name`` learns from events, and so recommends items."""
    corpus = config.corpora[config.corpus_of(name)]
    return isinstance(corpus, EventsCorpusConfig) and isinstance(config.models[name], TrainedConfig)


def _recommending(own: Identity, events: str) -> Identity:
    """A training that also fits what recommends items, on what the events hold out."""
    return replace(
        own,
        parents={**own.parents, EVENTS: events},
        code={
            **own.code,
            "recommending": {
                "revision": RECOMMENDER_REVISION,
                "libraries": library_versions("numpy", "scipy"),
                "code": code_digest("nightjar.stages.train.recommender_fitting"),
            },
        },
    )


def raw_identity(name: str, config: NightjarConfig, base_dir: Path, parents: Parents) -> Identity:
    """The identity of what an ``aligned`` model learns, before it is turned."""
    return replace(own_identity(name, config, base_dir, parents), stage=RAW_EMBEDDINGS)


def _aligned_identity(raw: Identity, anchor: Anchor | None) -> Identity:
    """``raw``, turned onto ``anchor``; it keeps the lineage of the training."""
    return replace(
        raw,
        stage=EMBEDDINGS,
        config={**raw.config, ANCHOR: _as_config(anchor)},
        parents={**raw.parents, RAW_EMBEDDINGS: raw.version},
        code={"revision": ALIGNING_REVISION, "libraries": library_versions("numpy")},
    )


def _anchored_identity(own: Identity, mode: str, anchor: Anchor | None) -> Identity:
    """A training that starts from ``anchor``, or keeps its output layer; ``own`` without one."""
    if anchor is None:
        return own
    return replace(
        own,
        config={
            **own.config,
            "model": {**own.config["model"], "space": mode},
            ANCHOR: _as_config(anchor),
        },
        parents={**own.parents, EMBEDDINGS: anchor.embeddings},
    )


def _as_config(anchor: Anchor | None) -> dict[str, str] | None:
    return None if anchor is None else {EMBEDDINGS: anchor.embeddings, "digest": anchor.digest}


def anchor_of(identity: Identity) -> Anchor | None:
    """The anchor that an identity names."""
    found = identity.config.get(ANCHOR)
    return None if found is None else Anchor(found[EMBEDDINGS], found["digest"])


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


def _factorized_identity(
    name: str, model: ProneConfig, training: TrainingConfig, parents: Parents
) -> Identity:
    """The graph, and the tokens, whose vocabulary orders the nodes."""
    if parents.graph is None:
        raise ValueError(f"{name} factorizes a graph: its version is needed")
    return Identity(
        stage=EMBEDDINGS,
        name=name,
        config={"name": name, "model": {**_shaping(model), "seed": model_seed(model, training)}},
        parents={TOKENS: parents.tokens, GRAPH: parents.graph},
        code={
            "revision": FACTORIZING_REVISION,
            "libraries": library_versions("numba", "numpy", "scipy"),
            "code": code_digest("nightjar.stages.train.prone"),
        },
    )


def _shaping(model: ModelConfig) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude=_NOT_SHAPING)
