"""What would run tonight, and why: computed from the declarations, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core.stage import Anchor, Of, Parent, Planning, Stage
from nightjar.errors import ArtifactDamaged, ArtifactMissing, NightjarError
from nightjar.progress import SILENT, Progress
from nightjar.store import ArtifactRef, Identity, Manifest, Store
from nightjar.wording import counted

_MAX_REASONS = 3


class Action(StrEnum):
    """What happens to a step."""

    REUSE = "reuse"
    RUN = "run"


@dataclass(frozen=True)
class Step:
    """One artifact of the night: its inputs, whether it is due, and why."""

    work: Stage
    """The stage, for the first subject that needs this artifact."""
    identity: Identity
    ref: ArtifactRef
    action: Action
    reason: str

    @property
    def stage(self) -> str:
        """The stage that publishes it."""
        return self.work.name

    @property
    def subject(self) -> str:
        """The corpus, model or entry that it belongs to."""
        return self.work.subject

    @property
    def label(self) -> str:
        """Readable name: "ingest", "count glove", "train glove"."""
        return self.work.label

    @property
    def parents(self) -> frozenset[tuple[str, str]]:
        """Stage and version of each direct parent."""
        return frozenset(self.identity.parents.items())


@dataclass(frozen=True)
class Plan:
    """Every step of a night, upstream first."""

    steps: tuple[Step, ...]
    shared: Mapping[Parent, Step]
    """The step of every stage and subject; several may share one."""

    @property
    def due(self) -> tuple[Step, ...]:
        """The steps that would run."""
        return tuple(step for step in self.steps if step.action is Action.RUN)

    def step(self, stage: str, subject: str = "") -> Step:
        """The step of ``stage`` for ``subject``, or for its only one. Raises KeyError."""
        if subject:
            return self.shared[Parent(stage, subject)]
        found = {step.ref: step for key, step in self.shared.items() if key.stage == stage}
        if len(found) != 1:
            raise KeyError(f"{counted(len(found), 'step')} of {stage}: name the subject")
        return next(iter(found.values()))

    def extended(self, other: Plan) -> Plan:
        """Both plans combined."""
        known = {step.ref for step in self.steps}
        added = tuple(step for step in other.steps if step.ref not in known)
        return Plan((*self.steps, *added), {**other.shared, **self.shared})


def make_plan(
    loaded: LoadedConfig,
    stages: Sequence[type[Stage]],
    progress: Progress = SILENT,
    *,
    is_offline: bool = False,
    before: Mapping[Parent, str] | None = None,
    given: Mapping[Parent, str] | None = None,
    anchors: Mapping[str, Sequence[Anchor]] | None = None,
) -> Plan:
    """Compute every version of ``stages``, and look up which are published and intact.

    Reads input files (for their hashes) and manifests. Writes only missing files of remote sources.
    ``before`` has the versions of the last night, to compare with for the reasons; ``given`` has
    versions of parents that are not steps of this plan; ``anchors`` has the versions that a model's
    vectors keep to. Raises the error that the run would meet: a missing source, a damaged artifact.
    """
    planner = Planner(loaded, progress, is_offline, before or {}, given or {}, anchors)
    for stage in _in_order(loaded, stages):
        planner.add(stage, stages)
    return planner.plan


def _in_order(loaded: LoadedConfig, stages: Sequence[type[Stage]]) -> Iterator[Stage]:
    """The stages of every subject: corpora first, then one model after the other."""
    for kind in Of:
        of_kind = {
            stage: set(stage.subjects(loaded.config)) for stage in stages if stage.of is kind
        }
        for subject in getattr(loaded.config, kind.value):
            for stage, subjects in of_kind.items():
                if subject in subjects:
                    yield stage(loaded, subject)


class Planner:
    """Adds steps one by one, each after its parents."""

    def __init__(
        self,
        loaded: LoadedConfig,
        progress: Progress,
        is_offline: bool,
        before: Mapping[Parent, str],
        given: Mapping[Parent, str],
        anchors: Mapping[str, Sequence[Anchor]] | None = None,
    ) -> None:
        self._loaded = loaded
        self._store = Store(loaded.artifacts_dir)
        self._progress = progress
        self._is_offline = is_offline
        self._before = before
        self._given = given
        self._anchors = anchors or {}
        self._steps: dict[ArtifactRef, Step] = {}
        self._shared: dict[Parent, Step] = {}

    @property
    def plan(self) -> Plan:
        """The steps added so far."""
        return Plan(tuple(self._steps.values()), self._shared)

    def add(self, stage: Stage, stages: Sequence[type[Stage]]) -> str:
        """Add the step of ``stage`` and, before it, those of its parents; returns its version."""
        key = Parent(stage.name, stage.subject)
        if key in self._shared:
            return self._shared[key].ref.version
        parents = {parent.stage: self._version(parent, stages) for parent in stage.parents()}
        try:
            identity = stage.identity(self._planning(stage, parents))
        except NightjarError as error:
            raise stage.named(error) from error
        ref = self._store.ref(stage.name, identity.version)
        if ref not in self._steps:
            self._steps[ref] = self._step(stage, identity, ref)
        self._shared[key] = self._steps[ref]
        return ref.version

    def _planning(self, stage: Stage, parents: Mapping[str, str]) -> Planning:
        anchors = self._anchors.get(stage.subject, ()) if stage.of is Of.MODEL else ()
        return Planning(parents, self._progress, self._is_offline, anchors)

    def _version(self, parent: Parent, stages: Sequence[type[Stage]]) -> str:
        if parent in self._given:
            return self._given[parent]
        for stage in stages:
            if stage.name == parent.stage and parent.subject in stage.subjects(self._loaded.config):
                return self.add(stage(self._loaded, parent.subject), stages)
        raise LookupError(f"no stage publishes {parent.stage} of {parent.subject}")

    def _step(self, stage: Stage, identity: Identity, ref: ArtifactRef) -> Step:
        if self._store.is_published(ref.stage, ref.version):
            with suppress(ArtifactMissing):  # just deleted
                other = self._store.replaced_parent(self._store.open(ref).manifest)
                if other:
                    return Step(stage, identity, ref, Action.RUN, made_again(other))
                return Step(stage, identity, ref, Action.REUSE, "published, unchanged")
        return Step(stage, identity, ref, Action.RUN, self._why(stage, identity))

    def _why(self, stage: Stage, identity: Identity) -> str:
        version = self._before.get(Parent(stage.name, stage.subject))
        if version is None:
            return "never published"
        if version == identity.version:
            return "no longer there"
        try:
            latest = Manifest.read(Path(self._store.ref(stage.name, version).path))
        except ArtifactDamaged:  # or deleted; it gives no reason, 'nightjar verify' reports it
            return "changed since the last night"
        changes = list(differences(latest.identity, identity.as_json()))
        shown = ", ".join(changes[:_MAX_REASONS])
        rest = len(changes) - _MAX_REASONS
        return shown + (f" and {rest} more" if rest > 0 else "")


def made_again(parent: str) -> str:
    """Why a step is due whose version is published: its parent is not the same any more."""
    return f"{parent} were made again and differ"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The differences between two identities, in words."""
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
    old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]
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
