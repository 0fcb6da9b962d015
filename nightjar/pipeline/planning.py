"""Tonight's plan: the declared stages under a config, and what readers will be served."""

from __future__ import annotations

<<<<<<< HEAD
from collections.abc import Sequence
=======
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
>>>>>>> promotion

from nightjar import schemas
from nightjar.config import LoadedConfig
from nightjar.core import Nights, Parent, Plan, Planner, Stage
from nightjar.core import make_plan as plan_stages
from nightjar.pipeline.acceptance import judge_corpus
from nightjar.progress import SILENT, Progress
<<<<<<< HEAD
from nightjar.promotion import Standing, read_standing
from nightjar.stages import STAGES
=======
from nightjar.search import search_index_identity
from nightjar.store import Artifact, ArtifactRef, Identity, Manifest, Store
from nightjar.text import tokens_identity
from nightjar.training import Parents, cooccurrences_identity, embeddings_identity

_VERBS = {
    schemas.DOCUMENTS: "ingest",
    schemas.TOKENS: "tokenize",
    schemas.CORPUS_REPORT: "report",
    schemas.COOCCURRENCES: "count",
    schemas.EMBEDDINGS: "train",
    schemas.EVALUATION: "evaluate",
    schemas.DOCUMENT_VECTORS: "embed",
    schemas.SEARCH_INDEX: "index",
}
_MODEL_VERBS = {"import": "import", "sif": "weigh", "usif": "weigh"}
"""By trainer, of those that do not train."""
_MAX_REASONS = 3


class Action(StrEnum):
    """What happens to a step."""

    REUSE = "reuse"
    RUN = "run"


@dataclass(frozen=True)
class Step:
    """One artifact of the night: what it is made of, whether it is due, and why."""

    identity: Identity
    ref: ArtifactRef
    action: Action
    reason: str
    first_model: str = ""
    """The first of the models that share it, where only some do."""
    verb: str = ""
    """What is done, where it is not what its stage is called for."""

    @property
    def stage(self) -> str:
        """The stage that publishes it."""
        return self.identity.stage

    @property
    def model(self) -> str:
        """The model it is of, or "" for a stage that serves every model."""
        return self.identity.name

    @property
    def label(self) -> str:
        """Readable name: "ingest", "count glove", "train glove"."""
        return f"{self.verb or _VERBS[self.stage]} {self.model or self.first_model}".strip()

    @property
    def parents(self) -> frozenset[tuple[str, str]]:
        """Stage and version of each artifact it is made of directly."""
        return frozenset(self.identity.parents.items())


@dataclass(frozen=True)
class Plan:
    """Every step of a night, upstream first."""

    steps: tuple[Step, ...]

    @property
    def due(self) -> tuple[Step, ...]:
        """The steps that would run."""
        return tuple(step for step in self.steps if step.action is Action.RUN)

    @property
    def models(self) -> tuple[str, ...]:
        """The configured models, in the config's order but for those made from later ones."""
        return tuple(step.model for step in self.steps if step.stage == schemas.EMBEDDINGS)

    def step(self, stage: str, model: str = "") -> Step:
        """The step of ``stage`` for ``model``."""
        return next(step for step in self.steps if (step.stage, step.model) == (stage, model))
>>>>>>> promotion


def make_plan(
    loaded: LoadedConfig,
    progress: Progress = SILENT,
    *,
    is_offline: bool = False,
    stages: Sequence[type[Stage]] = STAGES,
) -> Plan:
    """Every step of tonight: what is made of tonight's corpora, and what readers are served.

    See :func:`nightjar.core.make_plan`. Raises RegistryUnavailable when MLflow cannot be asked who
    is champion.
    """
    made = plan_made(loaded, progress, is_offline=is_offline, stages=stages)
    return made.extended(plan_served(loaded, made, read_standing(loaded), stages))


def plan_made(
    loaded: LoadedConfig,
    progress: Progress = SILENT,
    *,
    is_offline: bool = False,
    stages: Sequence[type[Stage]] = STAGES,
) -> Plan:
    """The steps that are made of tonight's corpora; no champion plays a part in them."""
    last = Nights(loaded.pipeline_dir).last()
    return plan_stages(
        loaded,
        [stage for stage in stages if not stage.is_served],
        progress,
        is_offline=is_offline,
        before={} if last is None else last.versions,
    )


def plan_served(
    loaded: LoadedConfig, made: Plan, standing: Standing, stages: Sequence[type[Stage]] = STAGES
) -> Plan:
    """The steps behind what readers ask, as far as it is known who will be champion.

    With tonight's documents unless they are known not to be accepted, and with each model's
    champion; before a model's first decision with tonight's candidate.
    """
    config = loaded.config
<<<<<<< HEAD
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


def plan_entries(
    loaded: LoadedConfig,
    entries: Sequence[str],
    given: dict[Parent, str],
    stages: Sequence[type[Stage]] = STAGES,
) -> Plan:
    """The served steps of some entries of ``document_vectors``, made of ``given`` versions."""
    last = Nights(loaded.pipeline_dir).last()
    before = {} if last is None else last.versions
    planner = Planner(loaded, SILENT, is_offline=True, before=before, given=given)
    served = [stage for stage in stages if stage.is_served]
    for entry in entries:
        for stage in served:
            if entry in stage.subjects(loaded.config):
                planner.add(stage(loaded, entry), served)
    return planner.plan
=======
    planner = _Planner(Store(loaded.artifacts_dir))
    fetching = Fetching(loaded.artifacts_dir / FETCHED_DIR, progress, is_offline)
    documents = planner.step(documents_identity(config.ingest, loaded.base_dir, fetching))
    tokens = planner.step(tokens_identity(config.tokenize, documents.ref.version, loaded.base_dir))
    steps = [documents, tokens, planner.report(documents.ref.version, tokens.ref.version)]
    counted: set[str] = set()
    versions: dict[str, str] = {}
    for name in _bases_first(config.models):
        model = config.models[name]
        cooccurrences = cooccurrences_identity(model, tokens.ref.version)
        if cooccurrences is not None and cooccurrences.version not in counted:
            counted.add(cooccurrences.version)
            steps.append(planner.step(cooccurrences, first_model=name))
        base = base_of(model)
        parents = Parents(tokens.ref.version, None if base is None else versions[base])
        embeddings = planner.step(
            embeddings_identity(name, config, loaded.base_dir, parents),
            verb=_MODEL_VERBS.get(model.trainer, ""),
        )
        versions[name] = embeddings.ref.version
        evaluation = planner.step(
            evaluation_identity(name, config.evaluation, loaded.base_dir, embeddings.ref.version)
        )
        steps += [embeddings, evaluation]
    steps += _document_vectors(loaded, planner, Plan(tuple(steps)))
    return Plan(tuple(steps))


def _bases_first(models: Mapping[str, ModelConfig]) -> tuple[str, ...]:
    """The models' names, each behind the one it is made from; the config refuses circles."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        base = base_of(models[name])
        if base is not None:
            add(base)
        ordered.setdefault(name)

    for name in models:
        add(name)
    return tuple(ordered)


def _document_vectors(loaded: LoadedConfig, planner: _Planner, plan: Plan) -> Iterator[Step]:
    """What is made of the documents and of the models of ``plan``; last, so it delays no model."""
    documents = plan.step(schemas.DOCUMENTS).ref.version
    for name, entry in loaded.config.document_vectors.items():
        embeddings = plan.step(schemas.EMBEDDINGS, entry.model).ref.version if entry.model else None
        vectors = planner.step(
            document_vectors_identity(name, entry, loaded.base_dir, documents, embeddings)
        )
        yield vectors
        yield planner.step(search_index_identity(name, vectors.ref.version))


class _Planner:
    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, identity: Identity, first_model: str = "", verb: str = "") -> Step:
        ref = self._store.ref(identity.stage, identity.version)
        if self._published(ref) is None:
            return Step(identity, ref, Action.RUN, self._why(identity), first_model, verb)
        return Step(identity, ref, Action.REUSE, "published, unchanged", first_model, verb)

    def report(self, documents: str, tokens: str) -> Step:
        """The report of these tokens, beside the latest others that are published."""
        others = [
            ref.version for ref in self._store.versions(schemas.TOKENS) if ref.version != tokens
        ]
        return self.step(corpus_report_identity(documents, tokens, others[-1] if others else None))

    def _published(self, ref: ArtifactRef) -> Artifact | None:
        if not self._store.is_published(ref.stage, ref.version):
            return None
        return self._store.open(ref)

    def _why(self, identity: Identity) -> str:
        latest = self._latest(identity.stage, identity.name)
        if latest is None:
            return "never published"
        changes = list(_differences(latest.identity, identity.as_json()))
        shown = ", ".join(changes[:_MAX_REASONS])
        rest = len(changes) - _MAX_REASONS
        return shown + (f" and {rest} more" if rest > 0 else "")

    def _latest(self, stage: str, name: str) -> Manifest | None:
        """The newest readable manifest of ``stage`` for ``name``."""
        for ref in reversed(self._store.versions(stage)):
            try:
                manifest = Manifest.read(Path(ref.path))
            except ArtifactDamaged:
                continue  # it explains nothing; 'nightjar verify' reports it
            if manifest.name == name:
                return manifest
        return None


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What changed between two identities, in words."""
    yield from (
        f"{stage} changed"
        for stage, version in new["parents"].items()
        if old["parents"].get(stage) != version
    )
    yield from _input_differences(old["inputs"], new["inputs"])
    old_values = dict(_flat(old["config"])) | dict(_flat(old["code"]))
    new_values = dict(_flat(new["config"])) | dict(_flat(new["code"]))
    for key in sorted(old_values.keys() | new_values.keys()):
        before, after = old_values.get(key), new_values.get(key)
        if before != after:
            yield f"{key}: {_shown(before)} -> {_shown(after)}"


def _input_differences(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    before = {entry["name"]: entry["sha256"] for entry in old}
    after = {entry["name"]: entry["sha256"] for entry in new}
    yield from (f"{name} is new" for name in sorted(after.keys() - before.keys()))
    yield from (f"{name} is gone" for name in sorted(before.keys() - after.keys()))
    common = sorted(after.keys() & before.keys())
    yield from (f"{name} changed" for name in common if before[name] != after[name])


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _shown(value: Any) -> str:
    text = "(unset)" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
>>>>>>> promotion
