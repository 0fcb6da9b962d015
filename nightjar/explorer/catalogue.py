"""The versions to look at: registered ones, and unregistered embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from nightjar.errors import InputError, NightjarError, RegistryUnavailable, StoreError
from nightjar.pipeline.answerers import Answerers
from nightjar.promotion import ModelStanding, Standing, VersionRef, read_events, standing_of
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
            what = CHAMPION if self.is_champion else "not registered"
            return f"{self.model} {self.embeddings}, {what}"
        return " ".join((f"{self.model} v{self.registered.version}", *self.aliases))

    def is_of(self, ref: VersionRef) -> bool:
        """Whether the ledger means this version."""
        if self.registered is None:
            return self.embeddings == ref.embeddings
        return self.registered.version == ref.number

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
    entries: tuple[str, ...] = ()
    """Entries of ``document_vectors``, in the order of the config."""

    def find(self, key: str) -> Version:
        """The version that ``key`` names. Raises InputError."""
        for version in self.versions:
            if version.answers_to(key):
                return version
        raise InputError(
            f"there is no version {key[:80]!r}: it was never made, or it is no longer kept; "
            f"choose one from the list"
        )

    def sides(self, left: str, right: str) -> tuple[Version, Version]:
        """The versions that the keys name, side by side; "" stands for the usual one.

        Beside a named version that is the champion of its model, and to the left of a champion
        the one before. Raises InputError.
        """
        if left and right:
            return self.find(left), self.find(right)
        if right:
            named = self.find(right)
            before, champion = self._champions(named)
            return (before if named == champion else champion), named
        if left:
            named = self.find(left)
            return named, self._champions(named)[1]
        return self.pair()

    def _champions(self, named: Version) -> tuple[Version, Version]:
        """The last champion and the champion of a model; without one, the version itself."""
        pairs = (pair for pair in self.pairs if pair[1].model == named.model)
        return next(pairs, (named, named))

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
    standing = Standing()
    try:
        standing = answerers.standing
        for model in dict.fromkeys((*answerers.models, *(names[v] for v in published))):
            found += _registered(answerers, model)
    except RegistryUnavailable as error:
        # The ledger knows the champions' vectors, which are in the store.
        problems.append(str(error))
        found = []
        standing = standing_of(read_events(answerers.loaded))
    except StoreError as error:
        problems.append(str(error))
    is_registered = {version.embeddings for version in found}
    for version in published:
        if version not in is_registered:
            champion = standing.model(names[version]).champion
            is_champion = champion is not None and champion.embeddings == version
            found.append(Version(names[version], version, is_champion=is_champion))
    models = list(dict.fromkeys(version.model for version in found))
    ordered = sorted(
        found, key=lambda version: (models.index(version.model), version.registered is None)
    )
    pairs = [
        pair
        for model in models
        for pair in _champion_and_before(
            standing.model(model), [version for version in found if version.model == model]
        )
    ]
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
    standing: ModelStanding, versions: list[Version]
) -> list[tuple[Version, Version]]:
    """The newest earlier champion that still exists, and the champion of a model."""
    champion = next((version for version in versions if version.is_champion), None)
    if champion is None:
        return []
    earlier = (version for ref in standing.previous for version in versions if version.is_of(ref))
    return [(next(earlier, champion), champion)]


TROUBLE = (NightjarError, OSError, ValueError, RuntimeError)
"""What reading a version may raise: our own errors, QueryError (ValueError) and TableDamaged
(RuntimeError) of the lookup package, and the errors of files cut or removed while being read."""
