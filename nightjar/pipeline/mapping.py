"""Maps between the spaces of two versions of a model, for vectors that a consumer has kept."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.drift import Pairs, align
from nightjar.errors import ArtifactMissing, ConfigError, InputError, StoreError
from nightjar.formats.mapped_files import Turn
from nightjar.formats.spaces import ID_LENGTH
from nightjar.model.lookup import VectorModel
from nightjar.pipeline.answerers import Answerers, AskedVersion
from nightjar.stages.train.aligning import rotation_of
from nightjar.store import Artifact, schemas
from nightjar.wording import counted


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """The way from the space of one version to that of another."""

    turn: Turn
    residual: float | None
    """Weighted mean cosine distance that remains over the shared words; None for an exact map."""
    n_words: int
    """How many words it was estimated from; 0 for an exact map."""


def named_version(answerers: Answerers, what: str) -> AskedVersion:
    """The version of a model that ``what`` names: MODEL[@VERSION], or an embeddings artifact.

    An artifact is named by ``embeddings/VERSION`` or the first digits of its version. Raises
    InputError, ConfigError.
    """
    try:
        return answerers.model(what.replace("/", "@") if _is_numbered(what) else what)
    except ConfigError:
        if "@" in what or not set(what.rpartition("/")[2]) <= set("0123456789abcdef"):
            raise
    name = what if "/" in what else f"{schemas.EMBEDDINGS}/{what}"
    try:
        ref = answerers.store.find(name)
    except ArtifactMissing as error:
        raise InputError(str(error)) from error
    if ref.stage != schemas.EMBEDDINGS:
        raise InputError(f"{what} is {ref}; name embeddings, whose vectors are served")
    return AskedVersion(answerers.store.open(ref).manifest.name, ref.version)


def _is_numbered(what: str) -> bool:
    """Whether it is MODEL/3, as MLflow names version 3 of a model."""
    name, slash, number = what.partition("/")
    return bool(slash and number.isdecimal() and name != schemas.EMBEDDINGS)


def map_between(answerers: Answerers, left: AskedVersion, right: AskedVersion) -> SpaceMap:
    """The orthogonal map from the space of ``left`` to that of ``right``.

    The identity within one space; exact where both were turned from the same training; else
    estimated from the words that both have. Raises InputError for vectors of two sizes, and when
    too few words are shared.
    """
    with ExitStack() as opened:
        ours, theirs = (
            opened.enter_context(answerers.opened(version)) for version in (left, right)
        )
        spaces = [
            model.space or answerers.digest(version)[:ID_LENGTH]
            for model, version in ((ours, left), (theirs, right))
        ]
        size, other = ours.table.vector_size, theirs.table.vector_size
        if size != other:
            raise InputError(
                f"the vectors of {left} have {counted(size, 'value')}, those of {right} {other}: "
                f"no map turns one into the other"
            )
        if spaces[0] == spaces[1]:
            return SpaceMap(Turn(np.eye(size), *spaces), None, 0)
        exact = _by_rotations(answerers, left, right)
        if exact is not None:
            return SpaceMap(Turn(exact, *spaces), None, 0)
        pairs, counts = _shared(ours, theirs)
        if len(pairs) < size:
            raise InputError(
                f"{left} and {right} share {counted(len(pairs), 'word')}; {size}, as many as a "
                f"vector has values, are needed to know the map"
            )
        found = align(pairs, counts, as_used=True)
    return SpaceMap(Turn(found.rotation, *spaces), found.residual, found.n_words)


def _shared(ours: VectorModel, theirs: VectorModel) -> tuple[Pairs, NDArray[np.int64]]:
    rows = np.flatnonzero(ours.table.norms > 0)
    others = theirs.table.rows(ours.table.tokens_of(rows))
    is_shared = others >= 0
    rows, others = rows[is_shared], others[is_shared]
    pairs = Pairs(ours.table.vectors, theirs.table.vectors, rows, others)
    return pairs, np.minimum(ours.table.counts[rows], theirs.table.counts[others])


def _by_rotations(
    answerers: Answerers, left: AskedVersion, right: AskedVersion
) -> NDArray[np.float64] | None:
    """The exact map between two versions that were turned from one training; None for others."""
    try:
        ours, theirs = (answerers.embeddings(version) for version in (left, right))
    except StoreError:  # the registered files alone are left
        return None
    if _learned(ours) is None or _learned(ours) != _learned(theirs):
        return None
    found: NDArray[np.float64] = rotation_of(ours).T @ rotation_of(theirs)
    return found


def _learned(artifact: Artifact) -> tuple[str, str | None] | None:
    """The raw embeddings that it was turned from, by version and digest."""
    version = artifact.manifest.parents.get(schemas.RAW_EMBEDDINGS)
    if version is None:
        return None
    return version, artifact.manifest.parent_digests.get(schemas.RAW_EMBEDDINGS)
