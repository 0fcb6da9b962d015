"""Which vectors were learned from erased documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

from nightjar.config import LoadedConfig
from nightjar.errors import ArtifactDamaged
from nightjar.pipeline.retention.pipelines import LEDGER, read_pipelines
from nightjar.promotion import Ledger, read_standing
from nightjar.registry import BASE, LEDGER_TAG, RegisteredVersion, RegistryPlace
from nightjar.stages.events.erasing_users import ERASED_USERS
from nightjar.stages.graph.erasing_nodes import ERASED_NODES
from nightjar.stages.ingest.erasing_documents import ERASED
from nightjar.store import Manifest, Store
from nightjar.store.schemas import (
    DOCUMENTS,
    EMBEDDINGS,
    EVENTS,
    GRAPH,
    RAW_EMBEDDINGS,
    TOKENS,
)

_ERASED = {DOCUMENTS: ERASED, EVENTS: ERASED_USERS, GRAPH: ERASED_NODES}
"""By stage: the key in the report of its artifacts with what was erased from them."""
_VECTORS = (RAW_EMBEDDINGS, EMBEDDINGS)
"""The stages whose artifacts are learned from documents."""


class Certainty(IntEnum):
    """Whether vectors were learned from a document."""

    NO = 0
    POSSIBLE = 1
    """The documents that they were learned from are no longer kept."""
    YES = 2


@dataclass(frozen=True)
class TrainedVectors:
    """Vectors that were learned from the documents."""

    name: str
    """A registered version, or an artifact that is not registered."""
    embeddings: str
    is_certain: bool
    """False when their training documents are no longer kept, so that nobody knows."""


@dataclass(frozen=True)
class _Lineage:
    """The versions that vectors were learned from; None if there was no such artifact."""

    learned: Mapping[str, str]
    """By stage (documents, events, graph); "" when it was learned from one no longer known."""
    base: str | None


def trained_with(
    loaded: LoadedConfig, wanted: frozenset[bytes], stage: str = DOCUMENTS
) -> tuple[TrainedVectors, ...]:
    """Find the registered versions and other embeddings that were learned from ``wanted``.

    Those are digests of texts, of users (``stage`` is events) or of nodes (graph). Call it after
    they were erased: artifacts of the stage record what was. Raises RegistryUnavailable.
    """
    store = Store(loaded.artifacts_dir)
    versions = list(_registered(loaded))
    lineages = _lineages(store, versions)
    digests = {digest.hex() for digest in wanted}

    @cache
    def of_corpus(version: str) -> Certainty:
        if not store.is_published(stage, version):
            return Certainty.POSSIBLE
        erased = Manifest.read(Path(store.ref(stage, version).path)).report.get(_ERASED[stage], ())
        return Certainty.YES if digests & set(erased) else Certainty.NO

    def of_embeddings(version: str, seen: frozenset[str] = frozenset()) -> Certainty:
        lineage = lineages.get(version)
        if lineage is None or version in seen:
            return Certainty.NO if lineage else Certainty.POSSIBLE
        found = [Certainty.NO]
        if stage in lineage.learned:
            found.append(of_corpus(lineage.learned[stage]))
        if lineage.base is not None:
            found.append(of_embeddings(lineage.base, seen | {version}))
        return max(found)

    registered = {version.embeddings_version for version in versions}
    candidates = [(f"{v.name} v{v.version}", v.embeddings_version) for v in versions]
    candidates += [
        (str(ref), ref.version)
        for stage in _VECTORS
        for ref in store.versions(stage)
        if ref.version not in registered
    ]
    return tuple(
        TrainedVectors(name, embeddings, certainty is Certainty.YES)
        for name, embeddings in candidates
        if (certainty := of_embeddings(embeddings)) is not Certainty.NO
    )


def models_to_retrain(loaded: LoadedConfig, trained: tuple[TrainedVectors, ...]) -> tuple[str, ...]:
    """The models of the config whose champion is among ``trained``."""
    standing = read_standing(loaded)
    embeddings = {found.embeddings for found in trained}
    return tuple(
        model
        for model in loaded.config.models
        if (champion := standing.model(model).champion) is not None
        and champion.embeddings in embeddings
    )


def advice(loaded: LoadedConfig, trained: tuple[TrainedVectors, ...]) -> Iterator[str]:
    """What keeps such vectors despite later promotions, and what a person can do about it."""
    standing = read_standing(loaded)
    embeddings = {found.embeddings for found in trained}
    for model, found in standing.models.items():
        if found.reference is not None and found.reference.embeddings in embeddings:
            yield (
                f"version {found.reference.number} is the reference of {model}: once another is "
                f"champion, 'nightjar rebase {model}' releases it"
            )
        for version in found.anchor_versions:
            if version.embeddings in embeddings and version != found.champion:
                yield (
                    f"the vectors of {model} keep to the coordinates of version {version.number}, "
                    f"so it is kept: 'nightjar rebase {model} --space' takes the champion instead"
                )
        for pin in found.pins:
            if pin.embeddings in embeddings and pin != found.reference:
                yield (
                    f"version {pin.number} of {model} is pinned: 'nightjar unpin {model} "
                    f"{pin.number}' releases it"
                )


def _registered(loaded: LoadedConfig) -> Iterator[RegisteredVersion]:
    """Every version that a pipeline of the directory registered."""
    reader = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir).reader()
    for pipeline in read_pipelines(loaded):
        ledger_id = Ledger(pipeline.directory / LEDGER).id
        for name in () if ledger_id is None else reader.models_tagged(LEDGER_TAG, ledger_id):
            yield from (found for found in reader.versions(name) if found.embeddings_version)


def _lineages(store: Store, versions: list[RegisteredVersion]) -> Mapping[str, _Lineage]:
    """Lineages by embeddings, from the tags of registered versions, else from manifests."""
    found: dict[str, _Lineage] = {}
    for ref in (ref for stage in _VECTORS for ref in store.versions(stage)):
        try:
            parents = Manifest.read(Path(ref.path)).parents
        except ArtifactDamaged:
            continue
        found[ref.version] = _Lineage(_origins(store, parents), parents.get(EMBEDDINGS))
    for version in versions:
        tags = version.tags
        learned = {stage: tags.get(f"nightjar.{stage}_version") for stage in _ERASED}
        found[version.embeddings_version] = _Lineage(
            {stage: known for stage, known in learned.items() if known is not None},
            tags.get(f"nightjar.{BASE}_version"),
        )
    return found


def _origins(store: Store, parents: Mapping[str, str]) -> dict[str, str]:
    """By stage, what embeddings with ``parents`` were learned from."""
    of_tables = {stage: parents[stage] for stage in (EVENTS, GRAPH) if stage in parents}
    if of_tables or TOKENS not in parents:
        return of_tables
    if not store.is_published(TOKENS, parents[TOKENS]):
        return dict.fromkeys(_ERASED, "")
    tokens = Manifest.read(Path(store.ref(TOKENS, parents[TOKENS]).path)).parents
    of_tables = {stage: tokens[stage] for stage in (EVENTS, GRAPH) if stage in tokens}
    return of_tables or {DOCUMENTS: tokens.get(DOCUMENTS, "")}
