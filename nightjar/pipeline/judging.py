"""Asking the gate: candidate, champion and reference, all scored tonight on the same items."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nightjar.config import LoadedConfig, SifConfig, UsifConfig
from nightjar.core import Action, Parent, Plan, Planner, Provenance
from nightjar.errors import ArtifactMissing, StandingChanged, StoreError
from nightjar.pipeline.serving import run_directly
from nightjar.progress import SILENT, Progress
from nightjar.promotion import (
    BaseUse,
    BenchmarkScore,
    Contender,
    Decision,
    Facts,
    Noise,
    Promoter,
    Question,
    VersionRef,
    benchmark_scores,
    chosen_scores,
    decided_scores,
    facts_of,
    find_noise,
    find_vectors,
    is_of,
)
from nightjar.registry import RegisteredVersion, RegistryPlace, registered_name
from nightjar.scoring.resampling import Resampling
from nightjar.stages import Evaluate
from nightjar.store import Artifact, Store, schemas

logger = logging.getLogger(__name__)

_TRIES = 3
_MIN_RESAMPLES = 200
"""A variance of fewer is too uncertain to decide by, whatever suffices for intervals to look at."""


@dataclass(frozen=True)
class Judging:
    """Makes the gate's questions about the models of a config."""

    loaded: LoadedConfig
    promoter: Promoter
    run: Callable[[Plan], bool]
    """Runs the due steps of a plan; returns whether all its artifacts then exist."""
    tonight: Mapping[Parent, str] = field(default_factory=dict)
    """Tonight's versions of graphs and events, which items are held out of; without any those of
    the last accepted night."""

    @property
    def _store(self) -> Store:
        return Store(self.loaded.artifacts_dir)

    def judge(
        self,
        model: str,
        candidate: VersionRef,
        evaluation: Artifact | None = None,
        veto: str = "",
    ) -> tuple[Question, Decision]:
        """Ask the gate, again if a command changes the standing meanwhile.

        Raises StandingChanged when that happens too often.
        """
        for _ in range(_TRIES):
            question = self.question(model, candidate, evaluation, veto)
            try:
                return question, self.promoter.judge(question)
            except StandingChanged as error:
                changed = error
                logger.info("%s; judging it again", error)
        raise changed

    def question(
        self,
        model: str,
        candidate: VersionRef,
        evaluation: Artifact | None = None,
        veto: str = "",
    ) -> Question:
        """Whether ``candidate`` may become champion; ``evaluation`` is tonight's, if there is one.

        ``veto`` says why no score can make it champion.
        """
        standing = self.promoter.standing().model(model)
        config = self.loaded.config
        settings = config.evaluation
        gate = config.registry_of(model).gate
        if evaluation is None:
            evaluation = self._evaluation(model, candidate)
        scores: dict[str, Mapping[str, BenchmarkScore]] = {}
        is_champion = standing.champion is not None and standing.champion.number == candidate.number
        if evaluation is not None:
            # A champion is not compared with itself.
            names = [] if is_champion else list(gate.weights)
            scores[candidate.digest] = benchmark_scores(evaluation, names)
        embeddings = self._embeddings(candidate)
        is_trained = config.seeded_model(model) is not None
        events = self.promoter.ledger.events()

        def contender(version: VersionRef) -> Contender:
            if version.digest not in scores:
                scores[version.digest] = self._scores(model, version)
            found = scores[version.digest]
            noise = self._noise(model, version, found) if is_trained else None
            recorded = chosen_scores(events, model, version)
            return Contender(version, found, noise, is_trained, recorded)

        champion, reference = standing.champion, standing.reference
        return Question(
            model=model,
            candidate=contender(candidate),
            champion=None if champion is None else contender(champion),
            reference=None if reference is None else contender(reference),
            gate=gate,
            base=self._base(model, embeddings),
            veto=veto,
            facts=Facts(unknown="its vectors are gone, so most rules cannot be checked")
            if embeddings is None or evaluation is None
            else facts_of(self._store, embeddings, evaluation, _others(champion, reference)),
            consumers=config.consumers_of(model),
            resampling=Resampling(
                max(settings.bootstrap_samples, _MIN_RESAMPLES), settings.confidence, settings.seed
            ),
        )

    def _base(self, model: str, embeddings: Artifact | None) -> BaseUse | None:
        """What a derived model was made from; None for others."""
        config = self.loaded.config.models[model]
        if embeddings is None or not isinstance(config, SifConfig | UsifConfig):
            return None
        made_from = embeddings.manifest.parents[schemas.EMBEDDINGS]
        of_base = self._store.open(self._store.ref(schemas.EMBEDDINGS, made_from))
        return BaseUse(config.model, made_from, of_base.manifest.digest)

    def _scores(self, model: str, version: VersionRef) -> dict[str, BenchmarkScore]:
        """The scores of an earlier version on tonight's benchmarks, computed if necessary.

        A version whose vectors are gone or damaged, or were made again with other bytes, keeps
        the scores from its registration.
        """
        evaluation = self._evaluation(model, version)
        if evaluation is not None:
            return benchmark_scores(evaluation, self._deciding(model))
        return self._scores_when_registered(model, version)

    def _evaluation(self, model: str, version: VersionRef) -> Artifact | None:
        """Tonight's evaluation of a version, computed if necessary; None if it cannot be."""
        held_out = self._held_out(model)
        if held_out is None:
            return None
        given = {Parent(schemas.EMBEDDINGS, model): version.embeddings, **held_out}
        planner = Planner(self.loaded, SILENT, is_offline=True, before={}, given=given)
        planner.add(Evaluate(self.loaded, model, may_cover_nothing=True), ())
        step = planner.plan.steps[0]
        if step.action is Action.RUN:
            found = self._embeddings(version)
            if found is None:
                logger.warning(
                    "%s version %d is not rescored: its vectors are not there as they were",
                    *(model, version.number),
                )
                return None
            if not self.run(planner.plan):
                return None
        evaluation = self._store.open(step.ref)
        return evaluation if is_of(evaluation, version) else None

    def _held_out(self, model: str) -> dict[Parent, str] | None:
        """Versions of what items of the model's benchmarks are held out of; None if one is gone."""
        found: dict[Parent, str] = {}
        for parent in Evaluate(self.loaded, model).parents():
            if parent.stage == schemas.EMBEDDINGS:
                continue
            version = self.tonight.get(parent)
            if version is None:
                accepted = self.promoter.standing().corpora.get(parent.subject, ())
                digest = accepted[0].artifacts.get(parent.stage) if accepted else None
                version = None if digest is None else digest.version
            if version is None or not self._store.is_published(parent.stage, version):
                logger.warning("%s is not rescored: there is no %s", model, parent.stage)
                return None
            found[parent] = version
        return found

    def _embeddings(self, version: VersionRef) -> Artifact | None:
        return find_vectors(self._store, version)

    def _noise(
        self, model: str, version: VersionRef, scores: Mapping[str, BenchmarkScore]
    ) -> Noise | None:
        """The measured noise of a version's training, as far as its vectors are still there."""
        embeddings = self._embeddings(version)
        if embeddings is None:
            return None
        max_growth = self.loaded.config.registry.gate.max_growth
        return find_noise(self._store, model, embeddings, scores, max_growth)

    def _deciding(self, model: str) -> list[str]:
        return list(self.loaded.config.registry_of(model).gate.weights)

    def _scores_when_registered(self, model: str, version: VersionRef) -> dict[str, BenchmarkScore]:
        """The scores that a version was registered or decided with; none if they are gone."""
        name = registered_name(self.loaded.config.pipeline.name, model)
        place = RegistryPlace.of(self.loaded.config.registry, self.loaded.artifacts_dir)
        found = place.reader().version(name, version.number)
        evaluation = "" if found is None else found.tags.get("nightjar.evaluation_version", "")
        try:
            artifact = self._store.open(self._store.ref(schemas.EVALUATION, evaluation))
        except (ArtifactMissing, StoreError):
            artifact = None
        if artifact is not None and is_of(artifact, version):
            return benchmark_scores(artifact, self._deciding(model))
        return decided_scores(self.promoter.ledger.events(), model, version)


def _others(champion: VersionRef | None, reference: VersionRef | None) -> dict[str, VersionRef]:
    """By role; one version in both roles counts once."""
    found = {"champion": champion, "reference": None if reference == champion else reference}
    return {role: version for role, version in found.items() if version is not None}


def judge_again(
    loaded: LoadedConfig,
    provenance: Provenance,
    model: str,
    version: RegisteredVersion,
    progress: Callable[[str], Progress] = lambda label: SILENT,  # noqa: ARG005
) -> Decision | None:
    """For commands: judge a registered version against the champion of this moment.

    None for a model that is not in the config: no gate is declared for it.
    """
    if model not in loaded.config.models:
        return None
    promoter = Promoter(loaded, provenance.actor)
    judging = Judging(loaded, promoter, run_directly(loaded, provenance, progress))
    _, decision = judging.judge(model, VersionRef.of(version))
    return decision
