"""What readers are served: indexes of accepted documents, made with champions and encoders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nightjar.config import LoadedConfig
from nightjar.core import Action, Nights, Parent, Plan, Provenance, Stage, run_step
from nightjar.core.using import at_work
from nightjar.errors import InputError
from nightjar.pipeline.planning import is_made_again, plan_entries
from nightjar.progress import SILENT, Progress
from nightjar.promotion import (
    Acceptance,
    ArtifactDigest,
    Promoter,
    ServedIndex,
    Serving,
    VersionRef,
    amounts_in,
    read_standing,
)
from nightjar.registry import RegisteredVersion
from nightjar.stages import STAGES
from nightjar.store import Store, schemas

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServingBuilder:
    """Makes the vectors and indexes for readers before an event names them."""

    loaded: LoadedConfig
    run: Callable[[Plan], bool]
    """Runs the due steps of a plan; returns whether all its artifacts then exist."""
    documents: Mapping[str, str]
    """By corpus: the documents that readers search."""
    champions: Mapping[str, VersionRef]
    """By model: the version that readers use."""
    stages: Sequence[type[Stage]] = STAGES
    tell: Callable[[str], None] = logger.warning
    """Is called with what a person should know of an entry that could not be made."""

    def of_model(self, model: str) -> Serving | None:
        """Make every entry that ``model`` embeds; None if one could not be made.

        A champion and all its indexes change together or not at all.
        """
        found: dict[str, ServedIndex] = {}
        for name, entry in self.loaded.config.document_vectors.items():
            if entry.model == model and not self._make(name, found):
                return None
        return found

    def of_corpus(self, corpus: str) -> Serving:
        """Make every entry that embeds ``corpus``; leaves out those that could not be made.

        Those stay as they were: a failing encoder does not keep new documents out of other indexes.
        """
        config = self.loaded.config
        found: dict[str, ServedIndex] = {}
        for name in config.document_vectors:
            if config.corpus_of_vectors(name) == corpus:
                self._make(name, found)
        return found

    def _make(self, entry: str, found: dict[str, ServedIndex]) -> bool:
        """Make an entry and put it into ``found``; return False if it could not be made.

        Skips an entry without documents or a champion: readers cannot use it yet.
        """
        model = self.loaded.config.document_vectors[entry].model
        corpus = self.loaded.config.corpus_of_vectors(entry)
        documents = self.documents.get(corpus)
        champion = None if model is None else self.champions.get(model)
        if documents is None or (model is not None and champion is None):
            return True
        given = {Parent(schemas.DOCUMENTS, corpus): documents}
        if model is not None and champion is not None:
            if is_made_again(self.loaded, champion):
                self.tell(
                    f"{entry}: the vectors of {model} version {champion.number} were made again "
                    f"and differ, so it gets no new documents until another version is champion"
                )
                return False
            given[Parent(schemas.EMBEDDINGS, model)] = champion.embeddings
        plan = plan_entries(self.loaded, [entry], given, self.stages)
        if champion is not None and plan.due and self._has_lost(champion):
            self.tell(
                f"{entry}: the vectors of {model} version {champion.number} are lost "
                f"({schemas.EMBEDDINGS}/{champion.embeddings}), so it gets no new documents: "
                f"restore them from a backup, or make another version champion ('nightjar "
                f"promote', 'nightjar rollback')"
            )
            return False
        if not self.run(plan):
            return False
        found[entry] = ServedIndex(
            documents=documents,
            document_vectors=plan.step(schemas.DOCUMENT_VECTORS, entry).ref.version,
            search_index=plan.step(schemas.SEARCH_INDEX, entry).ref.version,
            model=model,
            embeddings=None if champion is None else champion.embeddings,
        )
        return True

    def _has_lost(self, champion: VersionRef) -> bool:
        store = Store(self.loaded.artifacts_dir)
        return not store.is_published(schemas.EMBEDDINGS, champion.embeddings)


def run_directly(
    loaded: LoadedConfig, provenance: Provenance, progress: Callable[[str], Progress]
) -> Callable[[Plan], bool]:
    """Run steps in this process, for commands. Errors propagate."""

    def run(plan: Plan) -> bool:
        for step in plan.steps:
            if step.action is Action.RUN:
                run_step(loaded, step, progress(step.label), provenance)
        return True

    return run


def served_documents(loaded: LoadedConfig) -> dict[str, str]:
    """By corpus: the documents of the last accepted night."""
    corpora = read_standing(loaded).corpora
    return {
        corpus: accepted[0].documents.version
        for corpus, accepted in corpora.items()
        if accepted and schemas.DOCUMENTS in accepted[0].artifacts
    }


def champions(loaded: LoadedConfig) -> dict[str, VersionRef]:
    """By model: its champion."""
    return {
        model: standing.champion
        for model, standing in read_standing(loaded).models.items()
        if standing.champion is not None
    }


def prepare_serving(
    loaded: LoadedConfig,
    provenance: Provenance,
    model: str,
    version: RegisteredVersion,
    progress: Callable[[str], Progress] = lambda label: SILENT,  # noqa: ARG005
) -> Serving:
    """For commands: make what readers need once ``version`` is champion of ``model``.

    Raises InputError when the version's vectors are not in the store any more.
    """
    after = {**champions(loaded), model: VersionRef.of(version)}
    run = run_directly(loaded, provenance, progress)
    serving = ServingBuilder(loaded, run, served_documents(loaded), after).of_model(model)
    if serving is None:
        raise InputError(
            f"{version.name} version {version.version} cannot be champion: documents are searched "
            f"with {model}, and its vectors are lost, or were made again and differ; choose "
            f"another version ('nightjar history {model}' lists them)"
        )
    return serving


def accept_last_night(
    loaded: LoadedConfig,
    provenance: Provenance,
    corpus: str,
    reason: str,
    progress: Callable[[str], Progress] = lambda label: SILENT,  # noqa: ARG005
) -> int:
    """Accept the last night for ``corpus`` on a person's order; return its number.

    Raises InputError when no night has the corpus, or the last one is already accepted.
    """
    with at_work(loaded.pipeline_dir, f"accepting {corpus}"):
        night = Nights(loaded.pipeline_dir).last()
        verdict = None if night is None else night.accepted.get(corpus)
        if night is None or verdict is None:
            raise InputError(f"no night has made the corpus {corpus}; 'nightjar nights' lists them")
        store = Store(loaded.artifacts_dir)
        artifacts = {
            stage: ArtifactDigest(version, store.open(store.ref(stage, version)).manifest.digest)
            for stage, version in verdict["versions"].items()
        }
        last = read_standing(loaded).corpora.get(corpus, ())
        if last and last[0].artifacts == artifacts:
            raise InputError(f"night {night.number} is accepted for {corpus} already")
        documents = served_documents(loaded)
        if schemas.DOCUMENTS in artifacts:
            documents[corpus] = artifacts[schemas.DOCUMENTS].version
        run = run_directly(loaded, provenance, progress)
        builder = ServingBuilder(loaded, run, documents, champions(loaded))
        Promoter(loaded, provenance.actor, night.number).accept(
            Acceptance(corpus, artifacts, amounts_in(verdict), reason),
            builder.of_corpus(corpus),
        )
        return night.number
