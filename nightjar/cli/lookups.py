"""What ``nightjar versions``, ``show`` and ``verify`` find.

Nothing here needs Prefect; MLflow is needed only where the registry is a server.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from nightjar.cli.options import CorpusOption, EntryOption, NightOption
from nightjar.config import LoadedConfig
from nightjar.core import Of
from nightjar.errors import ArtifactMissing, InputError, StoreError
from nightjar.pipeline.answerers import Answerers
from nightjar.pipeline.retention import find_missing
from nightjar.promotion import Event, EventKind, VersionRef, read_events
from nightjar.registry import CHALLENGER, CHAMPION, RegisteredVersion, check_files_whole
from nightjar.scoring.scores import read_scores
from nightjar.stages import STAGES
from nightjar.store import Artifact, ArtifactRef, Manifest, Store, schemas, set_aside

_KNOWN_STAGES = tuple(
    dict.fromkeys(name for stage in STAGES for name in (stage.name, *stage.pieces))
)


@dataclass(frozen=True)
class ListedArtifact:
    """One line of ``nightjar versions``."""

    stage: str
    version: str
    model: str
    created_at: str
    bytes: int
    seconds: float
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """Published artifacts and registered versions, oldest first."""

    artifacts: tuple[ListedArtifact, ...]
    registered: tuple[RegisteredVersion, ...]
    damaged: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "artifacts": [asdict(artifact) for artifact in self.artifacts],
            "registered": [
                {
                    "name": version.name,
                    "version": version.version,
                    "aliases": list(version.aliases),
                    "embeddings_version": version.tags.get("nightjar.embeddings_version"),
                    "run_id": version.run_id,
                }
                for version in self.registered
            ],
            "damaged": list(self.damaged),
        }


@dataclass(frozen=True)
class Verification:
    """What ``nightjar verify`` found."""

    n_artifacts: int
    n_registered: int
    """Number of registered versions, whose files are checked when no artifact is named."""
    problems: tuple[str, ...]
    moved: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def list_versions(loaded: LoadedConfig, stage: str | None) -> Listing:
    """List everything published, or only that of ``stage``, and everything registered."""
    store = Store(loaded.artifacts_dir)
    if stage is not None and stage not in (*_KNOWN_STAGES, *store.stages()):
        raise InputError(
            f"{stage}: there is no such stage; the stages are {', '.join(_KNOWN_STAGES)}"
        )
    artifacts, damaged = [], []
    for name in [stage] if stage else _shown_stages(store):
        for ref in store.versions(name):
            try:
                artifacts.append(_listed(ref, store.open(ref).manifest))
            except StoreError as error:
                damaged.append(str(error))
    registered: list[RegisteredVersion] = []
    if stage in (None, schemas.EMBEDDINGS):
        answerers = Answerers(loaded)
        for model in answerers.models:
            registered += answerers.registry.versions(answerers.registered_name(model))
    return Listing(tuple(artifacts), tuple(registered), tuple(damaged))


def _shown_stages(store: Store) -> list[str]:
    """The stages with published artifacts, upstream first, without their pieces."""
    pieces = {piece for stage in STAGES for piece in stage.pieces}
    known = list(dict.fromkeys(stage.name for stage in STAGES))
    found = [name for name in store.stages() if name not in pieces]
    return sorted(found, key=lambda name: known.index(name) if name in known else len(known))


def _listed(ref: ArtifactRef, manifest: Manifest) -> ListedArtifact:
    return ListedArtifact(
        stage=ref.stage,
        version=ref.version,
        model=manifest.name,
        created_at=manifest.created_at,
        bytes=sum(entry.bytes for entry in manifest.files),
        seconds=manifest.seconds,
        parents=tuple(f"{stage}/{version}" for stage, version in manifest.parents.items()),
    )


@dataclass(frozen=True)
class ShowRequest:
    """What ``nightjar show`` should show, and of which model, corpus or entry."""

    what: Annotated[
        str,
        typer.Argument(
            help="A model (glove, glove@3), a stage (tokens), an entry of document_vectors, or an "
            "artifact's version (tokens/1a2b)."
        ),
    ]
    corpus: CorpusOption = None
    entry: EntryOption = None
    night: NightOption = None


def describe(loaded: LoadedConfig, request: ShowRequest) -> dict[str, Any]:
    """Describe a model, an artifact that readers use, or an artifact by its version.

    ``what`` is tried, in this order, as a model (with a version or alias), a stage, an entry of
    ``document_vectors``, the name of embeddings published by hand, ``STAGE/VERSION``, and the
    first digits of a version.
    """
    answerers = Answerers(loaded)
    name = answerers.model_name(request.what)
    if name is not None:
        return describe_model(answerers, request.what, request.night)
    return describe_artifact(answerers, request)


def describe_artifact(answerers: Answerers, request: ShowRequest) -> dict[str, Any]:
    """Describe an artifact by its manifest and path.

    Raises InputError when several artifacts fit and one must be chosen; ArtifactMissing.
    """
    artifact = _found(answerers, request)
    return {
        "artifact": str(artifact.ref),
        "path": artifact.ref.path,
        **asdict(artifact.manifest),
    }


def _found(answerers: Answerers, request: ShowRequest) -> Artifact:
    what, store = request.what, answerers.store
    declared = {stage.name: stage for stage in STAGES}
    if what in declared and declared[what].of is Of.CORPUS:
        asked = answerers.corpus(request.corpus, request.night)
        return answerers.corpus_stage(asked, what)
    if what in declared and declared[what].of is Of.MODEL:
        return _of_only_model(answerers, what, request.night)
    entries = answerers.loaded.config.document_vectors
    if (what in declared and declared[what].of is Of.VECTORS) or what in entries:
        is_entry = what not in declared
        entry = answerers.entry(what if is_entry else request.entry)
        served = answerers.served(entry, request.night)
        is_index = what == schemas.SEARCH_INDEX
        version = served.search_index if is_index else served.document_vectors
        stage = schemas.SEARCH_INDEX if is_index else schemas.DOCUMENT_VECTORS
        return store.open(store.ref(stage, version))
    by_hand = None if "/" in what else answerers.published_by_hand(what)
    return store.open(
        store.find(what) if by_hand is None else store.ref(schemas.EMBEDDINGS, by_hand)
    )


def _of_only_model(answerers: Answerers, stage: str, night: int | None) -> Artifact:
    """The artifact of ``stage`` behind the champion of the only model."""
    models = answerers.loaded.config.models
    if len(models) > 1:
        raise InputError(
            f"{stage}: every model ({', '.join(models)}) has its own; 'nightjar show MODEL' names "
            f"its champion's, 'nightjar versions {stage}' lists all"
        )
    asked = answerers.model(next(iter(models)), night)
    tags = {} if asked.registered is None else asked.registered.tags
    version = tags.get(f"nightjar.{stage}_version")
    if version is None:
        raise ArtifactMissing(f"{asked} has no {stage}; 'nightjar versions {stage}' lists them")
    store = answerers.store
    return store.open(store.ref(stage, version))


def describe_model(answerers: Answerers, what: str, night: int | None = None) -> dict[str, Any]:
    """Describe a model: its standing, its events, and the champion's scores and lineage.

    With a version, an alias or a night, scores and lineage are that version's.
    """
    name = what.partition("@")[0]
    model = answerers.model_name(name) or name
    standing = answerers.standing.model(model)
    registered_name = answerers.registered_name(model)
    has_champion = standing.champion is not None
    asked = None
    if has_champion or "@" in what or night is not None:
        asked = answerers.model(what, night).registered
    waiting = standing.waiting
    return {
        "model": model,
        "registered_model": registered_name,
        "load": f"models:/{registered_name}@{CHAMPION if has_champion else CHALLENGER}",
        "champion": _number(standing.champion),
        "reference": _number(standing.reference),
        "anchors": [version.number for version in standing.anchor_versions],
        "previous": [version.number for version in standing.previous],
        "pins": [version.number for version in standing.pins],
        "held": standing.hold_reason if standing.is_held else None,
        "waiting": None
        if waiting is None
        else {"version": _number(waiting.new), "reason": waiting.reason},
        "is_retired": standing.is_retired,
        "is_configured": model in answerers.loaded.config.models,
        "shown": None if asked is None else asked.version,
        "events": [
            _event(event) for event in read_events(answerers.loaded) if _is_of(event, model)
        ],
        "lineage": {} if asked is None else _lineage(asked),
        "scores": [] if asked is None else _scores(answerers.store, asked),
    }


def _is_of(event: Event, model: str) -> bool:
    return event.subject == model and event.kind is not EventKind.ACCEPTED


def _event(event: Event) -> dict[str, Any]:
    """An event as a short row; ``nightjar history`` shows all of it."""
    decision = event.evidence.get("decision", {})
    return {
        "event": event.number,
        "time": f"{event.time:%Y-%m-%d %H:%M:%S}",
        "kind": event.kind.value,
        "version": _number(event.new),
        "before": _number(event.old),
        "night": event.night,
        "actor": event.actor,
        "score": decision.get("score"),
        "champion_score": decision.get("champion_score"),
        "reference_score": decision.get("reference_score"),
        "reason": event.reason,
    }


def _number(version: VersionRef | None) -> int | None:
    return None if version is None else version.number


def _lineage(registered: RegisteredVersion) -> dict[str, str]:
    return {
        key: value for key, value in sorted(registered.tags.items()) if key.startswith("nightjar.")
    }


def _scores(store: Store, registered: RegisteredVersion) -> list[dict[str, Any]]:
    version = registered.tags.get("nightjar.evaluation_version", "")
    if not store.is_published(schemas.EVALUATION, version):
        return []
    evaluation = store.open(store.ref(schemas.EVALUATION, version))
    return [asdict(score) for score in read_scores(evaluation)]


def verify(loaded: LoadedConfig, what: str | None, is_set_aside: bool) -> Verification:
    """Check artifacts byte by byte; with ``is_set_aside`` move damaged ones away.

    Without ``what`` it also checks the files of registered versions, which answer questions, and
    names what is needed but gone.
    """
    store = Store(loaded.artifacts_dir)
    refs = [store.find(what)] if what else _all_refs(store)
    problems: list[str] = []
    moved: list[str] = []
    for ref in refs:
        found = store.verify(ref)
        problems += found
        if found and is_set_aside:
            moved.append(f"{ref} -> {set_aside(ref)}")
    n_registered = 0
    if what is None:
        answerers = Answerers(loaded)
        for model in answerers.models:
            for version in answerers.registry.versions(answerers.registered_name(model)):
                problems += check_files_whole(answerers.place, version)
                n_registered += 1
        try:
            problems += map(str, find_missing(loaded))
        except StoreError as error:
            problems.append(f"what is needed but gone cannot be told: {error}")
    return Verification(len(refs), n_registered, tuple(problems), tuple(moved))


def _all_refs(store: Store) -> list[ArtifactRef]:
    return [ref for stage in store.stages() for ref in store.versions(stage)]
