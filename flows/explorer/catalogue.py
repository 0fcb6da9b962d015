"""Which versions there are to look at: registered ones, and embeddings that are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nightjar import schemas
from nightjar.config import LoadedConfig
from nightjar.errors import InputError, NightjarError, RegistryUnavailable, StoreError
from nightjar.registry import (
    CHAMPION,
    RegisteredVersion,
    open_reader,
    registered_name,
    tracking_uri,
)
from nightjar.store import Store


@dataclass(frozen=True)
class Version:
    """Something to open: an embeddings artifact, registered or not."""

    model: str
    embeddings: str
    """Version of the embeddings artifact."""
    registered: RegisteredVersion | None = None

    @property
    def key(self) -> str:
        """How addresses name it: ``MODEL@NUMBER``, or the artifact."""
        if self.registered is None:
            return f"{schemas.EMBEDDINGS}/{self.embeddings}"
        return f"{self.model}@{self.registered.version}"

    @property
    def label(self) -> str:
        """How pages name it."""
        if self.registered is None:
            return f"{self.model} {self.embeddings}, not registered"
        aliases = " ".join(self.registered.aliases)
        return f"{self.model} v{self.registered.version}{f' {aliases}' if aliases else ''}"

    def answers_to(self, key: str) -> bool:
        """Whether ``key`` names it: its own key, MODEL@ALIAS, or its artifact."""
        names = {self.key, f"{schemas.EMBEDDINGS}/{self.embeddings}"}
        if self.registered is not None:
            names |= {f"{self.model}@{alias}" for alias in self.registered.aliases}
        return key in names


@dataclass(frozen=True)
class Catalogue:
    """Every version, by model and then oldest first; ``problems`` is what could not be read."""

    versions: tuple[Version, ...]
    problems: tuple[str, ...]

    def find(self, key: str) -> Version:
        """The version that ``key`` names. Raises InputError."""
        for version in self.versions:
            if version.answers_to(key):
                return version
        raise InputError(
            f"there is no version {key[:80]!r}: it was never made, or its artifact is gone; "
            f"choose one of the list"
        )

    def pair(self) -> tuple[Version, Version]:
        """What to compare at first: a champion with an older version of it, else two champions.

        Raises InputError when there is nothing at all.
        """
        if not self.versions:
            raise InputError(
                "there is no trained model yet: 'nightjar run' trains and registers what the "
                "configuration names; then reload this page"
            )
        champions = [
            version
            for version in self.versions
            if version.registered and CHAMPION in version.registered.aliases
        ]
        for champion in champions:
            others = [
                version
                for version in self.versions
                if version.model == champion.model and version.embeddings != champion.embeddings
            ]
            if others:
                return others[-1], champion
        some = champions or list(self.versions)
        return some[0], some[-1 if len(some) < 2 else 1]


def read_catalogue(loaded: LoadedConfig, names: dict[str, str]) -> Catalogue:
    """Registered versions and unregistered artifacts, as they are now.

    ``names`` remembers the model of each embeddings version, which never changes.
    """
    store = Store(loaded.artifacts_dir)
    problems: list[str] = []
    for ref in store.versions(schemas.EMBEDDINGS):
        if ref.version not in names:
            try:
                names[ref.version] = store.open(ref).manifest.name
            except StoreError as error:
                problems.append(str(error))
    published = [ref.version for ref in store.versions(schemas.EMBEDDINGS) if ref.version in names]
    models = dict.fromkeys([*loaded.config.models, *(names[version] for version in published)])
    try:
        registered = _registered(loaded, list(models))
    except RegistryUnavailable as error:
        registered = []
        problems.append(str(error))
    found = [version for version in registered if version.embeddings in published]
    problems += [
        f"{version.label}: its artifact embeddings/{version.embeddings} is not in "
        f"{loaded.artifacts_dir}"
        for version in registered
        if version.embeddings not in published and version.embeddings not in _damaged(problems)
    ]
    is_registered = {version.embeddings for version in found}
    found += [
        Version(names[version], version) for version in published if version not in is_registered
    ]
    place = {name: number for number, name in enumerate(models)}
    ordered = sorted(found, key=lambda version: (place[version.model], version.registered is None))
    return Catalogue(tuple(ordered), tuple(problems))


def _damaged(problems: Sequence[str]) -> str:
    """All that is said already, so that one damage is named once."""
    return " ".join(problems)


def _registered(loaded: LoadedConfig, models: Sequence[str]) -> list[Version]:
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    found = []
    for model in models:
        for version in reader.versions(registered_name(loaded.config.pipeline.name, model)):
            embeddings = version.tags.get("nightjar.embeddings_version", "")
            found.append(Version(model, embeddings, version))
    return found


TROUBLE = (NightjarError, OSError, ValueError, RuntimeError)
"""What reading a version may raise: ours, QueryError (ValueError) and TableDamaged (RuntimeError)
of the lookup package, and what a file raises that is cut or removed while it is read."""
