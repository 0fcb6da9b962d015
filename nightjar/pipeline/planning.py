"""Tonight's plan: the declared stages of a config, and what readers will be served."""

from __future__ import annotations

from collections.abc import Sequence

from nightjar.config import LoadedConfig
from nightjar.core import Anchor, Nights, Parent, Plan, Planner, Stage
from nightjar.core import make_plan as plan_stages
from nightjar.errors import StoreError
from nightjar.formats.spaces import Fit, fit_of, fit_of_model, mode_of
from nightjar.pipeline.acceptance import judge_corpus
from nightjar.progress import SILENT, Progress
from nightjar.promotion import (
    AnchorVersion,
    Standing,
    VersionRef,
    read_events,
    read_standing,
    standing_of,
)
from nightjar.registry import RegistryPlace
from nightjar.stages import STAGES
from nightjar.store import Store, schemas


def make_plan(
    loaded: LoadedConfig,
    progress: Progress = SILENT,
    *,
    is_offline: bool = False,
    stages: Sequence[type[Stage]] = STAGES,
) -> Plan:
    """Plan every step of tonight: those from tonight's corpora, and those for readers.

    See :func:`nightjar.core.make_plan`. Raises RegistryUnavailable when MLflow does not answer.
    """
    RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir).reader()
    made = plan_made(loaded, progress, is_offline=is_offline, stages=stages)
    return made.extended(plan_served(loaded, made, read_standing(loaded), stages))


def plan_made(
    loaded: LoadedConfig,
    progress: Progress = SILENT,
    *,
    is_offline: bool = False,
    stages: Sequence[type[Stage]] = STAGES,
) -> Plan:
    """Plan the steps from tonight's corpora, which do not depend on any champion.

    A model that keeps a space depends on the version that founded it (:func:`anchors_of`), which no
    change of the champion moves. Raises LedgerDamaged.
    """
    last = Nights(loaded.pipeline_dir).last()
    return plan_stages(
        loaded,
        [stage for stage in stages if not stage.is_served],
        progress,
        is_offline=is_offline,
        before={} if last is None else last.versions,
        anchors=anchors_of(loaded),
    )


def anchors_of(loaded: LoadedConfig) -> dict[str, tuple[Anchor, ...]]:
    """By model that keeps a space: the versions that its vectors can keep to, by the ledger.

    The last one holds; none for a model whose next champion founds a space. Asks no registry.
    """
    keeping = [name for name in loaded.config.models if mode_of(loaded.config, name) != "own"]
    if not keeping:
        return {}
    standing, store = standing_of(read_events(loaded)), Store(loaded.artifacts_dir)
    found: dict[str, tuple[Anchor, ...]] = {}
    for name in keeping:
        model, mode = standing.model(name), mode_of(loaded.config, name)
        wanted = fit_of_model(loaded.config, name)
        fitting = [one for one in model.anchors if _suits(store, one, wanted, mode)]
        if not fitting and model.own is not None and _suits(store, model.own, wanted, mode):
            fitting = [model.own]
        found[name] = tuple(Anchor(one.version.embeddings, one.version.digest) for one in fitting)
    return found


def _suits(store: Store, anchor: AnchorVersion, wanted: Fit, mode: str) -> bool:
    """Whether a model with the fit ``wanted`` can keep to ``anchor``.

    What a ledger of before does not say, the manifest does, while the vectors are kept.
    """
    fit = Fit.of_text(anchor.fit)
    if fit is None:
        try:
            ref = store.ref(schemas.EMBEDDINGS, anchor.version.embeddings)
            fit = fit_of(store.open(ref))
        except StoreError:
            return False
    return fit.suits(wanted, mode)


def plan_served(
    loaded: LoadedConfig, made: Plan, standing: Standing, stages: Sequence[type[Stage]] = STAGES
) -> Plan:
    """Plan the steps behind what readers are served, as far as the champions are known.

    Uses tonight's documents unless they are known not to be accepted, and each model's champion,
    or tonight's candidate before the model's first decision.
    """
    config = loaded.config
    given: dict[Parent, str] = {}
    for corpus in config.corpora:
        documents = made.shared.get(Parent(schemas.DOCUMENTS, corpus))
        if documents is not None:
            accepted = standing.corpora.get(corpus, ())
            verdict = judge_corpus(loaded, made, corpus, accepted[0] if accepted else None)
            is_spoilt = verdict is not None and not verdict.is_accepted
            version = accepted[0].documents.version if is_spoilt else documents.ref.version
            given[Parent(schemas.DOCUMENTS, corpus)] = version
    for model in config.models:
        found = standing.model(model)
        if found.champion is not None:
            if is_made_again(loaded, found.champion):
                continue
            given[Parent(schemas.EMBEDDINGS, model)] = found.champion.embeddings
        elif found.last_decision is None:
            candidate = made.step(schemas.EMBEDDINGS, model)
            given[Parent(schemas.EMBEDDINGS, model)] = candidate.ref.version
    entries = [
        entry
        for entry, wanted in config.document_vectors.items()
        if wanted.model is None or Parent(schemas.EMBEDDINGS, wanted.model) in given
    ]
    return plan_entries(loaded, entries, given, stages)


def is_made_again(loaded: LoadedConfig, version: VersionRef) -> bool:
    """Whether the store has other vectors under a registered version's embeddings version."""
    store = Store(loaded.artifacts_dir)
    try:
        found = store.open(store.ref(schemas.EMBEDDINGS, version.embeddings)).manifest.digest
    except StoreError:  # gone or damaged; whoever needs them says so
        return False
    return found != version.digest


def plan_entries(
    loaded: LoadedConfig,
    entries: Sequence[str],
    given: dict[Parent, str],
    stages: Sequence[type[Stage]] = STAGES,
) -> Plan:
    """Plan the served steps of some entries of ``document_vectors`` from ``given`` versions."""
    last = Nights(loaded.pipeline_dir).last()
    before = {} if last is None else last.versions
    planner = Planner(loaded, SILENT, is_offline=True, before=before, given=given)
    served = [stage for stage in stages if stage.is_served]
    for entry in entries:
        for stage in served:
            if entry in stage.subjects(loaded.config):
                planner.add(stage(loaded, entry), served)
    return planner.plan
