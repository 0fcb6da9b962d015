"""What the reading commands find: versions, descriptions, damage.

Nothing here needs Prefect; MLflow is needed only where the registry is a server.
"""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nightjar import schemas
from nightjar.config import LoadedConfig
from nightjar.corpus import Comparison, compare
from nightjar.errors import ArtifactMissing, ConfigError, InputError, StoreError
from nightjar.promotion import read_events
from nightjar.registry import RegisteredVersion, open_reader, registered_name, tracking_uri
from nightjar.scores import read_scores
from nightjar.stages import STAGES
from nightjar.store import ArtifactRef, Manifest, Store, set_aside

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
    problems: tuple[str, ...]
    moved: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def list_versions(loaded: LoadedConfig, stage: str | None) -> Listing:
    """Everything published (of one ``stage``) and everything registered."""
    store = Store(loaded.artifacts_dir)
    if stage is not None and stage not in (*_KNOWN_STAGES, *store.stages()):
        raise InputError(f"{stage}: there is no such stage; stages are {', '.join(_KNOWN_STAGES)}")
    artifacts, damaged = [], []
    for name in [stage] if stage else _shown_stages(store):
        for ref in store.versions(name):
            try:
                artifacts.append(_listed(ref, store.open(ref).manifest))
            except StoreError as error:
                damaged.append(str(error))
    registered: list[RegisteredVersion] = []
    if stage in (None, schemas.EMBEDDINGS):
        reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
        for model in loaded.config.models:
            registered += reader.versions(registered_name(loaded.config.pipeline.name, model))
    return Listing(tuple(artifacts), tuple(registered), tuple(damaged))


def _shown_stages(store: Store) -> list[str]:
    """The stages that something is published of, upstream first, without their pieces."""
    pieces = {piece for stage in STAGES for piece in stage.pieces}
    known = [stage.name for stage in STAGES]
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


def describe_artifact(loaded: LoadedConfig, what: str) -> dict[str, Any]:
    """The manifest of an artifact: ``stage/version``, first digits, or the newest.

    The newest of a stage, or of an entry of ``document_vectors``.
    """
    store = Store(loaded.artifacts_dir)
    published = store.versions(what) if what in store.stages() else []
    if what in loaded.config.document_vectors:
        every = store.versions(schemas.DOCUMENT_VECTORS)
        published = [ref for ref in every if store.open(ref).manifest.name == what]
        if not published:
            raise ArtifactMissing(f"{what}: no document vectors are published; 'nightjar run' does")
    ref = published[-1] if published else store.find(what)
    return {"artifact": str(ref), "path": ref.path, **asdict(store.open(ref).manifest)}


def describe_model(loaded: LoadedConfig, model: str) -> dict[str, Any]:
    """A model: what is champion, every decision, the champion's scores and lineage."""
    store = Store(loaded.artifacts_dir)
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    name = registered_name(loaded.config.pipeline.name, model)
    champion = reader.alias(name, "champion")
    description: dict[str, Any] = {
        "model": model,
        "registered_model": name,
        "load": f"models:/{name}@{'challenger' if champion is None else 'champion'}",
        "champion": None if champion is None else champion.version,
        "versions": [event.as_json() for event in read_events(loaded) if event.subject == model],
    }
    if champion is not None:
        version = champion.tags.get("nightjar.evaluation_version", "")
        description["lineage"] = {
            key: value
            for key, value in sorted(champion.tags.items())
            if key.startswith("nightjar.")
        }
        if store.is_published(schemas.EVALUATION, version):
            evaluation = store.open(store.ref(schemas.EVALUATION, version))
            description["scores"] = [asdict(score) for score in read_scores(evaluation)]
    return description


def verify(loaded: LoadedConfig, what: str | None, is_set_aside: bool) -> Verification:
    """Check artifacts byte by byte; with ``is_set_aside`` move the damaged ones away."""
    store = Store(loaded.artifacts_dir)
    refs = [store.find(what)] if what else _all_refs(store)
    problems: list[str] = []
    moved: list[str] = []
    for ref in refs:
        found = store.verify(ref)
        problems += found
        if found and is_set_aside:
            moved.append(f"{ref} -> {set_aside(ref)}")
    return Verification(len(refs), tuple(problems), tuple(moved))


def _all_refs(store: Store) -> list[ArtifactRef]:
    return [ref for stage in store.stages() for ref in store.versions(stage)]


def compare_documents(loaded: LoadedConfig, old: str | None, new: str | None) -> Comparison:
    """What changed between two documents artifacts; default: the last two that were published."""
    store = Store(loaded.artifacts_dir)
    published = store.versions(schemas.DOCUMENTS)
    if old is None and len(published) < 2:
        raise InputError(
            f"{loaded.artifacts_dir}: {len(published)} documents artifacts are published, there is "
            f"nothing to compare; 'nightjar run' publishes one whenever the sources change"
        )
    refs = [
        store.find(what if "/" in what else f"{schemas.DOCUMENTS}/{what}") if what else default
        for what, default in ((old, published[-2:][0]), (new, published[-1]))
    ]
    for ref in refs:
        if ref.stage != schemas.DOCUMENTS:
            raise InputError(f"{ref}: is no documents artifact; 'nightjar versions documents'")
    return compare(*(store.open(ref) for ref in refs))


class NoChampionError(InputError):
    """A model has no champion yet."""


def known_model(loaded: LoadedConfig, model: str) -> str:
    """``model`` if the config has it. Raises ConfigError that names the closest one."""
    if model in loaded.config.models:
        return model
    close = difflib.get_close_matches(model, loaded.config.models, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"have {', '.join(loaded.config.models)}"
    raise ConfigError(f"{model}: {Path(loaded.path).name} has no such model; {hint}")


def model_ref(loaded: LoadedConfig, what: str) -> tuple[str, ArtifactRef]:
    """The model ``what`` names, and its embeddings.

    ``what`` is a model of the config or its registered name, with an alias or the number of
    a registered version behind ``@`` (default: champion); or the name of published embeddings
    that the config does not have, of which the newest are taken. Raises ConfigError for an
    unknown name, InputError for an unknown alias or version.
    """
    name, _, alias = what.partition("@")
    short = name.removeprefix(f"{loaded.config.pipeline.name}-")
    if name not in loaded.config.models and short in loaded.config.models:
        name = short
    if name not in loaded.config.models and not alias:
        published = _newest_embeddings(loaded, name)
        if published is not None:
            return name, published
    name = known_model(loaded, name)
    if alias in ("", "champion"):
        return name, champion_ref(loaded, name)
    registered = registered_name(loaded.config.pipeline.name, name)
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    is_number = alias.isdigit()
    found = reader.version(registered, int(alias)) if is_number else reader.alias(registered, alias)
    if found is None:
        raise InputError(
            f"{registered} has no version or alias {alias!r}; 'nightjar show {name}' lists them"
        )
    version = found.tags.get("nightjar.embeddings_version", "")
    return name, Store(loaded.artifacts_dir).ref(schemas.EMBEDDINGS, version)


def _newest_embeddings(loaded: LoadedConfig, name: str) -> ArtifactRef | None:
    store = Store(loaded.artifacts_dir)
    for ref in reversed(store.versions(schemas.EMBEDDINGS)):
        try:
            if store.open(ref).manifest.name == name:
                return ref
        except StoreError:
            continue  # 'nightjar verify' reports it
    return None


def champion_ref(loaded: LoadedConfig, model: str) -> ArtifactRef:
    """The embeddings of the champion of ``model``. Raises InputError when there is none."""
    name = registered_name(loaded.config.pipeline.name, known_model(loaded, model))
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    champion = reader.alias(name, "champion")
    if champion is None:
        raise NoChampionError(
            f"{name} has no champion yet: 'nightjar run' makes one unless the gate refuses; "
            f"'nightjar show {model}' says what it decided"
        )
    version = champion.tags["nightjar.embeddings_version"]
    return Store(loaded.artifacts_dir).ref(schemas.EMBEDDINGS, version)
