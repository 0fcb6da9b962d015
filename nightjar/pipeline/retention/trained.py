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

    documents: str | None
    """"" when it was learned from documents that are no longer known."""
    events: str | None
    """Likewise."""
    base: str | None


def trained_with(
    loaded: LoadedConfig, wanted: frozenset[bytes], *, is_of_users: bool = False
) -> tuple[TrainedVectors, ...]:
    """Find the registered versions and other embeddings that were learned from ``wanted``.

    Those are digests of texts, or of users. Call it after they were erased: artifacts of documents
    and of events record what was erased from them. Raises RegistryUnavailable.
    """
    store = Store(loaded.artifacts_dir)
    versions = list(_registered(loaded))
    lineages = _lineages(store, versions)
    digests = {digest.hex() for digest in wanted}
    stage, key = (EVENTS, ERASED_USERS) if is_of_users else (DOCUMENTS, ERASED)

    @cache
    def of_corpus(version: str) -> Certainty:
        if not store.is_published(stage, version):
            return Certainty.POSSIBLE
        erased = Manifest.read(Path(store.ref(stage, version).path)).report.get(key, ())
        return Certainty.YES if digests & set(erased) else Certainty.NO

    def of_embeddings(version: str, seen: frozenset[str] = frozenset()) -> Certainty:
        lineage = lineages.get(version)
        if lineage is None or version in seen:
            return Certainty.NO if lineage else Certainty.POSSIBLE
        found = [Certainty.NO]
        learned = lineage.events if is_of_users else lineage.documents
        if learned is not None:
            found.append(of_corpus(learned))
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
        documents, events = _origins(store, parents)
        found[ref.version] = _Lineage(documents, events, parents.get(EMBEDDINGS))
    for version in versions:
        tags = version.tags
        documents, events, base = (
            tags.get(f"nightjar.{stage}_version") for stage in (DOCUMENTS, EVENTS, BASE)
        )
        found[version.embeddings_version] = _Lineage(documents, events, base)
    return found


def _origins(store: Store, parents: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The documents and the events that embeddings with ``parents`` were learned from."""
    if EVENTS in parents or GRAPH in parents:
        return None, parents.get(EVENTS)
    if TOKENS not in parents:
        return None, None
    if not store.is_published(TOKENS, parents[TOKENS]):
        return "", ""
    tokens = Manifest.read(Path(store.ref(TOKENS, parents[TOKENS]).path)).parents
    if {GRAPH, EVENTS} & set(tokens):
        return None, tokens.get(EVENTS)
    return tokens.get(DOCUMENTS, ""), None
