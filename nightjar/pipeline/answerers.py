"""What answers a query: which version of a model, which night of a corpus, which index.

The ledger decides: a model's champion and a corpus' last accepted night answer queries; another
version (``MODEL@VERSION``) or night (``--night ID``) answers only if it is named. "Newest" only
matters among embeddings that no night made. Nothing is written to the artifacts: unregistered
embeddings are unpacked into the system's temporary directory while in use.

MLflow is imported only where the registry is not a SQLite file; Prefect never.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from nightjar.config import LoadedConfig
from nightjar.core import Night, Nights, Of
from nightjar.core.nights import StepOutcome
from nightjar.errors import (
    ArtifactMissing,
    ConfigError,
    InputError,
    ModelFilesDamaged,
    StoreError,
    UnknownTokenError,
)
from nightjar.formats.model_files import temporary_model
from nightjar.model.lookup import QueryError, TableDamaged, UnknownWords, VectorModel
from nightjar.promotion import AcceptedNight, ServedIndex, Standing, VersionRef, read_standing
from nightjar.registry import (
    CHAMPION,
    RegisteredVersion,
    RegistryPlace,
    RegistryReader,
    model_files,
    registered_name,
)
from nightjar.registry.readers import EMBEDDINGS_TAG
from nightjar.stages import STAGES
from nightjar.store import Artifact, Store, schemas
from nightjar.wording import counted

_IS_THERE = (StepOutcome.REUSED, StepOutcome.PUBLISHED)
_CORPUS_STAGES = tuple(dict.fromkeys(stage.name for stage in STAGES if stage.of is Of.CORPUS))
_MAX_DIGITS = 10
_EXAMPLE = """document_vectors:
  documents:
    model: {model}"""


class NobodyAnswersError(InputError):
    """A model has no champion yet, or the named night did not make it."""


@dataclass(frozen=True)
class AskedVersion:
    """The version of a model that answers."""

    model: str
    embeddings: str
    """Version of the embeddings artifact."""
    registered: RegisteredVersion | None = None
    """None for embeddings published by hand, or by a night that did not get to registering them."""

    def __str__(self) -> str:
        if self.registered is None:
            return f"{self.model} ({schemas.EMBEDDINGS}/{self.embeddings})"
        return f"{self.model} version {self.registered.version}"


@dataclass(frozen=True)
class AskedCorpus:
    """The night of a corpus that answers."""

    corpus: str
    night: int | None
    artifacts: Mapping[str, str]
    """Version of each artifact by stage."""
    event: int | None = None
    """Number of the event that accepted it; None for a night named by its number."""

    @property
    def label(self) -> str:
        """A readable name."""
        night = "a night" if self.night is None else f"night {self.night}"
        return f"{night} of {self.corpus}"


class Answerers:
    """Finds what answers, for one command or page; caches what it has read."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self.loaded = loaded
        self.store = Store(loaded.artifacts_dir)
        self.place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
        self.nights = Nights(loaded.pipeline_dir)

    @cached_property
    def standing(self) -> Standing:
        """What is promoted, accepted and searched."""
        return read_standing(self.loaded)

    @cached_property
    def registry(self) -> RegistryReader:
        """The model registry, for reading."""
        return self.place.reader()

    # -- models -------------------------------------------------------------------------

    @property
    def models(self) -> tuple[str, ...]:
        """The models of the config, and former ones that the ledger still knows."""
        return tuple(dict.fromkeys((*self.loaded.config.models, *self.standing.models)))

    def registered_name(self, model: str) -> str:
        """The name of a model in the registry."""
        return registered_name(self.loaded.config.pipeline.name, model)

    def model(self, what: str, night: int | None = None) -> AskedVersion:
        """The version that ``what`` names: by default the champion.

        ``what`` is a model or its registered name, optionally with ``@`` and a version's number
        or an alias; or the name of embeddings published by hand, the newest of which answer.
        With ``night`` it is that night's candidate. Raises ConfigError for an unknown name,
        NobodyAnswersError, InputError for an unknown version, alias or night.
        """
        name, _, which = what.partition("@")
        if which and night is not None:
            raise InputError(f"{what}: name a version or a night, not both")
        if (known := self.model_name(what)) is not None:
            name = known
        else:
            by_hand = None if which or night is not None else self.published_by_hand(name)
            if by_hand is not None:
                return AskedVersion(name, by_hand)
            problem = f"{self.loaded.path.name} has no such model"
            raise ConfigError(_unknown(name, self.models, problem))
        if night is not None:
            return self._candidate(name, self.nights.get(night))
        if which in ("", CHAMPION):
            return self._champion(name)
        return self._named(name, which)

    def model_name(self, what: str) -> str | None:
        """The model named by ``what`` (see :meth:`model`); None for an unknown one."""
        name = what.partition("@")[0]
        short = name.removeprefix(f"{self.loaded.config.pipeline.name}-")
        return next((found for found in (name, short) if found in self.models), None)

    def published_by_hand(self, name: str) -> str | None:
        """The newest embeddings published under a name that no model has; None when missing."""
        found: list[tuple[str, str]] = []
        for ref in self.store.versions(schemas.EMBEDDINGS):
            try:
                manifest = self.store.open(ref).manifest
            except StoreError:
                continue  # 'nightjar verify' reports it
            if manifest.name == name:
                found.append((manifest.created_at, ref.version))
        return max(found)[1] if found else None

    def _champion(self, model: str) -> AskedVersion:
        standing = self.standing.model(model)
        champion = standing.champion
        if champion is None and standing.is_retired:
            raise NobodyAnswersError(
                f"{model} is retired; name one of its versions, as in {model}@3: 'nightjar "
                f"versions' lists those that are kept"
            )
        if champion is None:
            raise NobodyAnswersError(
                f"{self.registered_name(model)} has no champion yet: 'nightjar run' makes one "
                f"unless the gate refuses; 'nightjar show {model}' says what it decided"
            )
        return self._of_ref(model, champion)

    def _of_ref(self, model: str, version: VersionRef) -> AskedVersion:
        name = self.registered_name(model)
        found = self.registry.version(name, version.number)
        if found is None:
            raise ModelFilesDamaged(
                f"{name} version {version.number} is no longer in the registry; "
                f"'nightjar history {model}' lists versions to roll back to"
            )
        return AskedVersion(model, found.embeddings_version, found)

    def _named(self, model: str, which: str) -> AskedVersion:
        name = self.registered_name(model)
        found = (
            self.registry.version(name, int(which))
            if which.isdecimal() and which.isascii() and len(which) < _MAX_DIGITS
            else self.registry.alias(name, which)
        )
        if found is None:
            raise InputError(
                f"{name} has no version or alias {which!r}; 'nightjar show {model}' lists them"
            )
        return AskedVersion(model, found.embeddings_version, found)

    def _candidate(self, model: str, night: Night) -> AskedVersion:
        """The version that a night judged; else the embeddings that it trained."""
        decision = next((found for found in night.decisions if found["model"] == model), None)
        if decision is not None:
            number = decision["candidate"]["version"]
            found = self.registry.version(self.registered_name(model), number)
            if found is not None:
                return AskedVersion(model, found.embeddings_version, found)
            raise NobodyAnswersError(
                f"{model} version {number}, the candidate of night {night.number}, is no longer "
                f"kept; 'nightjar show {model}' lists the versions that are"
            )
        embeddings = version_at_end(night, schemas.EMBEDDINGS, model)
        if embeddings is None:
            raise NobodyAnswersError(
                f"night {night.number} made no {model}: 'nightjar nights show {night.number}' "
                f"says what it did"
            )
        return AskedVersion(model, embeddings)

    def embeddings(self, asked: AskedVersion) -> Artifact:
        """The embeddings artifact behind a version.

        Raises ArtifactMissing when it is gone or holds another training than the registered
        one; ArtifactDamaged.
        """
        artifact = self.store.open(self.store.ref(schemas.EMBEDDINGS, asked.embeddings))
        registered = asked.registered
        if registered is not None and artifact.manifest.digest != registered.embeddings_digest:
            raise ArtifactMissing(
                f"{artifact.ref} was trained again after {asked} was registered, with different "
                f"vectors, since threads are not deterministic. Only the registered files still "
                f"have those of {asked}: 'nightjar export {asked.model}@{registered.version}'"
            )
        return artifact

    def digest(self, asked: AskedVersion) -> str:
        """The digest of a version's bytes. Raises as :meth:`embeddings` does."""
        if asked.registered is not None:
            return asked.registered.embeddings_digest
        return self.embeddings(asked).manifest.digest

    @contextmanager
    def opened(self, asked: AskedVersion) -> Iterator[VectorModel]:
        """Open the files of a version for the block.

        Opens the registered files, or temporary ones for an unregistered version. Raises
        ModelFilesDamaged, StoreError, RegistryUnavailable.
        """
        if asked.registered is not None:
            yield open_registered(self.place, asked.registered)
            return
        with temporary_model(asked.model, self.embeddings(asked)) as model:
            yield model

    # -- corpora ------------------------------------------------------------------------

    def corpus(self, name: str | None = None, night: int | None = None) -> AskedCorpus:
        """The last accepted night of the corpus ``name`` (None: the only corpus), or ``night``.

        Raises InputError for an unknown corpus or night, without ``name`` when there are several
        corpora, and before any night is accepted.
        """
        name = self._corpus_name(name)
        if night is not None:
            return self._night_of_corpus(name, self.nights.get(night))
        accepted = self.standing.corpora.get(name, ())
        if not accepted:
            raise InputError(
                f"no night is accepted for the corpus {name} yet: 'nightjar run' makes one; "
                f"'nightjar nights' lists earlier nights and their outcome"
            )
        return _accepted_night(name, accepted[0])

    def corpus_before(self, asked: AskedCorpus) -> AskedCorpus | None:
        """The last accepted night before ``asked`` that had other artifacts."""
        for accepted in self.standing.corpora.get(asked.corpus, ()):
            found = _accepted_night(asked.corpus, accepted)
            is_same = all(asked.artifacts.get(s) == v for s, v in found.artifacts.items())
            if not is_same and _is_before(found, asked):
                return found
        return None

    def corpus_stage(self, asked: AskedCorpus, stage: str) -> Artifact:
        """A night's artifact of ``stage`` for its corpus.

        The ledger names the accepted artifacts; others, such as the report, are found in the
        record of a night that had the same ones.
        """
        version = asked.artifacts.get(stage)
        if version is None:
            version = self._beside(asked, stage)
        ref = self.store.ref(stage, version)
        try:
            return self.store.open(ref)
        except ArtifactMissing as error:
            n_kept = self.loaded.config.keep.accepted_nights
            raise ArtifactMissing(
                f"{asked.label} had {ref}, which is gone: only the last "
                f"{counted(n_kept, 'accepted night')} are kept (keep.accepted_nights); if it is "
                f"the last one, 'nightjar run' makes it "
                f"again"
            ) from error

    def _beside(self, asked: AskedCorpus, stage: str) -> str:
        for night in self.nights.newest_first():
            found = _corpus_artifacts(night, asked.corpus)
            if stage in found and found.items() >= dict(asked.artifacts).items():
                return found[stage]
        raise ArtifactMissing(
            f"{asked.label} has no {stage}: no recorded night made one; 'nightjar nights' lists "
            f"the nights"
        )

    def _corpus_name(self, name: str | None) -> str:
        configured = list(self.loaded.config.corpora)
        known = list(dict.fromkeys((*configured, *self.standing.corpora)))
        if name is None:
            if len(configured) > 1:
                raise InputError(f"choose the corpus with --corpus: {', '.join(configured)}")
            return configured[0]
        if name in known:
            return name
        raise ConfigError(_unknown(name, known, f"{self.loaded.path.name} has no such corpus"))

    def _night_of_corpus(self, corpus: str, night: Night) -> AskedCorpus:
        artifacts = _corpus_artifacts(night, corpus)
        if not artifacts:
            raise InputError(
                f"night {night.number} made nothing of the corpus {corpus}: "
                f"'nightjar nights show {night.number}' says what it did"
            )
        return AskedCorpus(corpus, night.number, artifacts)

    # -- indexes ------------------------------------------------------------------------

    def entry(self, name: str | None) -> str:
        """The entry of ``document_vectors`` to search; None stands for the only one."""
        configured = list(self.loaded.config.document_vectors)
        config = self.loaded.path.name
        if not configured:
            texts = self.loaded.config.text_corpora
            of_texts = [
                model
                for model in self.loaded.config.models
                if self.loaded.config.corpus_of(model) in texts
            ]
            if not of_texts:
                raise ConfigError(
                    f"{config} has no model of a corpus of kind text, so there are no documents "
                    f"to search; 'nightjar neighbors' finds what is near a node or an item"
                )
            example = _EXAMPLE.format(model=of_texts[0])
            raise ConfigError(
                f"{config} embeds no documents, so there is nothing to search. Add, for example,"
                f"\n\n{example}\n\nand run 'nightjar run'"
            )
        if name is None:
            if len(configured) > 1:
                raise InputError(f"choose what to search with --in: {', '.join(configured)}")
            return configured[0]
        if name in configured:
            return name
        raise ConfigError(_unknown(name, configured, f"{config} has no such document_vectors"))

    def served(self, entry: str, night: int | None = None) -> ServedIndex:
        """The index with which ``entry`` is searched now, or was at the end of ``night``.

        Raises InputError when there is none.
        """
        if night is not None:
            return self._served_by(entry, self.nights.get(night))
        served = self.standing.serving.get(entry)
        if served is not None:
            return served
        model = self.loaded.config.document_vectors[entry].model
        corpus = self.loaded.config.corpus_of_vectors(entry)
        if not self.standing.corpora.get(corpus):
            why = f"no night is accepted for its corpus {corpus} yet"
        elif model is not None and self.standing.model(model).champion is None:
            why = f"its model {model} has no champion yet"
        else:
            why = "no night has indexed its documents yet"
        raise InputError(f"{entry} cannot be searched: {why}; run 'nightjar run'")

    def _served_by(self, entry: str, night: Night) -> ServedIndex:
        version = version_at_end(night, schemas.SEARCH_INDEX, entry)
        corpus = self.loaded.config.corpus_of_vectors(entry)
        is_spoilt = not night.accepted.get(corpus, {"is_accepted": True})["is_accepted"]
        if version is None or is_spoilt:
            why = f"its {corpus} was not accepted" if is_spoilt else "it did not get that far"
            raise InputError(
                f"night {night.number} has no index of {entry}: {why}; 'nightjar nights show "
                f"{night.number}' says more"
            )
        ref = self.store.ref(schemas.SEARCH_INDEX, version)
        try:
            vectors = self.store.open(ref).manifest.parents[schemas.DOCUMENT_VECTORS]
            made = self.store.open(self.store.ref(schemas.DOCUMENT_VECTORS, vectors)).manifest
        except ArtifactMissing as error:
            raise ArtifactMissing(
                f"night {night.number} had {ref}, which is no longer kept: an index is kept while "
                f"it is in use, and for the last night"
            ) from error
        return ServedIndex(
            documents=made.parents[schemas.DOCUMENTS],
            document_vectors=vectors,
            search_index=version,
            model=made.identity["config"].get("model"),
            embeddings=made.parents.get(schemas.EMBEDDINGS),
        )

    def encoding_model(self, served: ServedIndex) -> AskedVersion | None:
        """The version whose vectors an index holds; None for a pre-trained encoder's.

        Usually the champion; else another registered version of those embeddings, or the
        unregistered embeddings.
        """
        if served.model is None or served.embeddings is None:
            return None
        champion = self.standing.model(served.model).champion
        if champion is not None and champion.embeddings == served.embeddings:
            return self._of_ref(served.model, champion)
        name = self.registered_name(served.model)
        found = self.registry.tagged(name, EMBEDDINGS_TAG, served.embeddings)
        if found:
            return AskedVersion(served.model, served.embeddings, found[-1])
        return AskedVersion(served.model, served.embeddings)


@contextmanager
def named_model_errors() -> Iterator[None]:
    """Convert the errors of a model, which knows nothing of Nightjar, to Nightjar's."""
    try:
        yield
    except UnknownWords as error:
        raise UnknownTokenError(str(error)) from error
    except TableDamaged as error:
        raise ModelFilesDamaged(str(error)) from error
    except QueryError as error:
        raise InputError(str(error)) from error


def open_registered(place: RegistryPlace, version: RegisteredVersion) -> VectorModel:
    """Open the files of a registered version. Raises ModelFilesDamaged, RegistryUnavailable."""
    try:
        return VectorModel.open(model_files(place, version))
    except TableDamaged as error:
        raise ModelFilesDamaged(
            f"{version.name} version {version.version}: its files are not whole ({error}). "
            f"'nightjar rollback' restores the previous champion; 'nightjar history' lists others"
        ) from error


def version_at_end(night: Night, stage: str, subject: str) -> str | None:
    """The version of ``stage`` that ``subject`` had when the night ended.

    The last one if there were several: an index is made again when a model is promoted.
    """
    for step in reversed(night.steps):
        if step.stage == stage and subject in step.subjects and step.outcome in _IS_THERE:
            return step.version
    return None


def _corpus_artifacts(night: Night, corpus: str) -> dict[str, str]:
    found = {stage: version_at_end(night, stage, corpus) for stage in _CORPUS_STAGES}
    return {stage: version for stage, version in found.items() if version is not None}


def _accepted_night(corpus: str, accepted: AcceptedNight) -> AskedCorpus:
    artifacts = {stage: found.version for stage, found in accepted.artifacts.items()}
    return AskedCorpus(corpus, accepted.night, artifacts, accepted.event)


def _is_before(accepted: AskedCorpus, asked: AskedCorpus) -> bool:
    if asked.event is not None and accepted.event is not None:
        return accepted.event < asked.event
    return accepted.night is not None and asked.night is not None and accepted.night < asked.night


def _unknown(name: str, known: Iterable[str], problem: str) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"have {', '.join(names)}"
    return f"{name}: {problem}; {hint}"
