"""The versions to look at: registered ones, and unregistered embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from nightjar.errors import InputError, NightjarError, RegistryUnavailable, StoreError
from nightjar.pipeline.answerers import Answerers
from nightjar.registry import CHAMPION, RegisteredVersion
from nightjar.store import schemas


@dataclass(frozen=True)
class Version:
    """A version to open: a registered one, or an unregistered embeddings artifact."""

    model: str
    embeddings: str
    """Version of the embeddings artifact."""
    registered: RegisteredVersion | None = None
    is_champion: bool = False
    """According to the ledger, since the alias may be wrong."""

    @property
    def key(self) -> str:
        """Its name in addresses: ``MODEL@NUMBER``, or the artifact."""
        if self.registered is None:
            return f"{schemas.EMBEDDINGS}/{self.embeddings}"
        return f"{self.model}@{self.registered.version}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """The registry's aliases, except ``champion``, which follows the ledger."""
        found = () if self.registered is None else self.registered.aliases
        others = tuple(alias for alias in found if alias != CHAMPION)
        return (CHAMPION, *others) if self.is_champion else others

    @property
    def label(self) -> str:
        """Its name on pages."""
        if self.registered is None:
            return f"{self.model} {self.embeddings}, not registered"
        return " ".join((f"{self.model} v{self.registered.version}", *self.aliases))

    def answers_to(self, key: str) -> bool:
        """Whether ``key`` names it: its own key, MODEL@ALIAS, or its artifact."""
        return key in {
            self.key,
            f"{schemas.EMBEDDINGS}/{self.embeddings}",
            *(f"{self.model}@{alias}" for alias in self.aliases),
        }


@dataclass(frozen=True)
class Catalogue:
    """Every version by model, oldest first; ``problems`` lists what could not be read."""

    versions: tuple[Version, ...]
    problems: tuple[str, ...]
    pairs: tuple[tuple[Version, Version], ...] = ()
    """For each model with a champion: the previous champion (or the same one) and the current."""

    def find(self, key: str) -> Version:
        """The version that ``key`` names. Raises InputError."""
        for version in self.versions:
            if version.answers_to(key):
                return version
        raise InputError(
            f"there is no version {key[:80]!r}: it was never made, or it is no longer kept; "
            f"choose one from the list"
        )

    def pair(self) -> tuple[Version, Version]:
        """What to compare by default: a champion and its predecessor, else two champions.

        Without a champion, any versions. Raises InputError when there are none.
        """
        for before, champion in self.pairs:
            if before != champion:
                return before, champion
        some = [champion for _, champion in self.pairs] or list(self.versions)
        if not some:
            raise InputError(
                "there is no trained model yet: 'nightjar run' trains and registers those in the "
                "configuration; then reload this page"
            )
        return some[0], some[-1 if len(some) < 2 else 1]


def read_catalogue(answerers: Answerers, names: dict[str, str]) -> Catalogue:
    """Read the current registered versions and unregistered artifacts.

    ``names`` caches the model of each embeddings version, which never changes.
    """
    store = answerers.store
    problems: list[str] = []
    published = []
    for ref in store.versions(schemas.EMBEDDINGS):
        if ref.version not in names:
            try:
                names[ref.version] = store.open(ref).manifest.name
            except StoreError as error:
                problems.append(str(error))
                continue
        published.append(ref.version)
    found: list[Version] = []
    pairs: list[tuple[Version, Version]] = []
    try:
        for model in dict.fromkeys((*answerers.models, *(names[v] for v in published))):
            registered = _registered(answerers, model)
            found += registered
            pairs += _champion_and_before(answerers, registered)
    except (RegistryUnavailable, StoreError) as error:
        problems.append(str(error))
    is_registered = {version.embeddings for version in found}
    found += [
        Version(names[version], version) for version in published if version not in is_registered
    ]
    place = {name: number for number, name in enumerate(dict.fromkeys(v.model for v in found))}
    ordered = sorted(found, key=lambda version: (place[version.model], version.registered is None))
    return Catalogue(tuple(ordered), tuple(problems), tuple(pairs))


def _registered(answerers: Answerers, model: str) -> list[Version]:
    champion = answerers.standing.model(model).champion
    return [
        Version(
            model,
            version.embeddings_version,
            version,
            champion is not None and version.version == champion.number,
        )
        for version in answerers.registry.versions(answerers.registered_name(model))
    ]


def _champion_and_before(
    answerers: Answerers, versions: list[Version]
) -> list[tuple[Version, Version]]:
    """The newest earlier champion that still exists, and the champion of a model."""
    champion = next((version for version in versions if version.is_champion), None)
    if champion is None:
        return []
    by_number = {v.registered.version: v for v in versions if v.registered is not None}
    previous = answerers.standing.model(champion.model).previous
    before = (by_number[v.number] for v in previous if v.number in by_number)
    return [(next(before, champion), champion)]


TROUBLE = (NightjarError, OSError, ValueError, RuntimeError)
"""What reading a version may raise: our own errors, QueryError (ValueError) and TableDamaged
(RuntimeError) of the lookup package, and the errors of files cut or removed while being read."""
