"""What is needed and why, from the records of all pipelines and each stage's retention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from nightjar.config import KeepConfig
from nightjar.core import Keep, Night, Stage
from nightjar.core.nights import StepOutcome
from nightjar.errors import ArtifactDamaged, InputError
from nightjar.pipeline.retention.pipelines import RecordedPipeline, age_days
from nightjar.promotion import AcceptedNight, ModelStanding, Standing, VersionRef
from nightjar.store import Manifest, Store
from nightjar.wording import counted

Key = tuple[str, str]
"""Stage and version of an artifact."""

_AT_REST = (Keep.MODEL, Keep.RECORD, Keep.COMPARED)
"""Deleted even while a night of another pipeline is under way."""
_IS_THERE = (StepOutcome.REUSED, StepOutcome.PUBLISHED)
_DAMAGED = "its manifest cannot be read: 'nightjar verify' says what to do"
PIECES = "pieces"
"""Key in a manifest's report: the versions, by stage, from which the artifact was assembled."""


@dataclass
class Needs:
    """What is needed, each with the first reason found."""

    artifacts: dict[Key, str] = field(default_factory=dict)
    planned: set[Key] = field(default_factory=set)
    """What kept nights planned, whether or not it was made."""
    own_planned: set[Key] = field(default_factory=set)
    """The same for this pipeline only."""
    made: set[Key] = field(default_factory=set)
    """Those of ``artifacts`` that were made, according to what needs them."""
    own_numbers: dict[str, dict[int, str]] = field(default_factory=dict)
    """By model: the numbers of the registered versions that are needed, with reasons."""
    own_nights: set[int] = field(default_factory=set)
    """Nights whose records are needed for what is kept."""

    def add(self, key: Key, reason: str, *, was_made: bool = True) -> None:
        """Add something that is needed."""
        self.artifacts.setdefault(key, reason)
        if was_made:
            self.made.add(key)


class Survey:
    """Finds out what is needed, and which published artifacts are not.

    ``stages`` are the declared ones; artifacts of other stages are kept while their parents are.
    Raises StoreError, including LedgerDamaged, when a record or a kept artifact's manifest
    cannot be read.
    """

    def __init__(
        self,
        store: Store,
        pipelines: Sequence[RecordedPipeline],
        stages: Sequence[type[Stage]],
        now: datetime,
    ) -> None:
        self._store = store
        self._pipelines = pipelines
        self._declared = {stage.name: stage for stage in reversed(stages)}
        """Of several classes of one name the first: they are kept alike."""
        self._order = list(dict.fromkeys(stage.name for stage in stages))
        self._in_pieces = {stage.name for stage in stages if stage.pieces}
        self._pieces = {piece for stage in stages for piece in stage.pieces}
        self._now = now
        self._manifests: dict[Key, Manifest] = {}
        self.needs = Needs()
        for pipeline in pipelines:
            self._add_pipeline(pipeline)
        self.others_run = any(pipeline.running is not None for pipeline in pipelines)
        self._published = [
            (stage, ref.version) for stage in store.stages() for ref in store.versions(stage)
        ]
        self._add_scores()
        self._add_by_hand()
        self._add_comparisons()
        self._add_undeclared()
        self._add_pieces()
        self._add_sources()

    def doomed(self) -> Iterator[Key]:
        """The published artifacts that are not needed, downstream stages first.

        While a night of another pipeline is under way, only vectors and scores: the night may
        build on anything else that it finds.
        """
        order = {name: place for place, name in enumerate(self._order)}
        for key in sorted(self._published, key=lambda key: (-order.get(key[0], -1), key)):
            if key in self.needs.artifacts:
                continue
            stage = self._declared.get(key[0])
            is_at_rest = stage is not None and stage.keep in _AT_REST
            if not self.others_run or is_at_rest:
                yield key

    def kept(self) -> Iterator[tuple[Key, str]]:
        """The published artifacts that are needed, with the reason."""
        for key in self._published:
            if key in self.needs.artifacts:
                yield key, self.needs.artifacts[key]

    def missing(self) -> Iterator[tuple[Key, str]]:
        """What is needed and was made, but is not published, with the reason."""
        for key in sorted(self.needs.made - set(self._published)):
            if key[1]:  # "" for a version that Nightjar did not register
                yield key, self.needs.artifacts[key]

    def own_vectors(self) -> Iterator[Key]:
        """The published vectors that kept nights of this pipeline planned."""
        for key in sorted(self.needs.own_planned):
            stage = self._declared.get(key[0])
            if stage is not None and stage.keep is Keep.MODEL and self._store.is_published(*key):
                yield key

    def manifest(self, key: Key) -> Manifest:
        """The manifest of a published artifact. Raises ArtifactDamaged."""
        if key not in self._manifests:
            self._manifests[key] = Manifest.read(Path(self._store.ref(*key).path))
        return self._manifests[key]

    def find_manifest(self, key: Key) -> Manifest | None:
        """The manifest of a published artifact; None when it cannot be read."""
        try:
            return self.manifest(key)
        except ArtifactDamaged:
            return None

    # -- the records of a pipeline -------------------------------------------------------------

    def _add_pipeline(self, pipeline: RecordedPipeline) -> None:
        where = "" if pipeline.is_own else f" of pipeline {pipeline.name}"
        for night, what in (
            (pipeline.running, "under way"),
            (pipeline.newest, "the newest"),
            *((trial, "a trial") for trial in pipeline.trials),
        ):
            if night is not None:
                self._add_night(night, f"night {night.number}{where}, {what}", pipeline.is_own)
        for standing in pipeline.standings:
            self._add_standing(pipeline, standing, where)

    def _add_standing(self, pipeline: RecordedPipeline, standing: Standing, where: str) -> None:
        for model, found in standing.models.items():
            for version in found.roots(pipeline.keep.rollback_versions):
                role = _role(version, found)
                reason = f"{role} of {model}{where}, v{version.number}"
                self._add_version(pipeline, model, version, reason)
        for entry, served in standing.serving.items():
            if pipeline.entries is None or entry in pipeline.entries:
                versions = {**asdict(served), "model": None}
                for stage, name in versions.items():
                    if name:
                        self.needs.add((stage, name), f"{entry}{where} is searched")
        for corpus in standing.corpora:
            if pipeline.corpora is None or corpus in pipeline.corpora:
                for accepted in standing.corpora[corpus][: pipeline.keep.accepted_nights]:
                    self._add_accepted(pipeline, corpus, accepted, where)

    def _add_night(self, night: Night, reason: str, is_own: bool) -> None:
        if is_own:
            self.needs.own_nights.add(night.number)
        for step in night.steps:
            key = (step.stage, step.version)
            stage = self._declared.get(step.stage)
            if stage is not None and stage.keep is Keep.COMPARED:
                continue
            self.needs.add(key, reason, was_made=step.outcome in _IS_THERE)
            self.needs.planned.add(key)
            if is_own:
                self.needs.own_planned.add(key)

    def _add_version(
        self, pipeline: RecordedPipeline, model: str, version: VersionRef, reason: str
    ) -> None:
        for stage in self._declared.values():
            if stage.keep is Keep.MODEL:
                self.needs.add((stage.name, version.embeddings), reason)
        if pipeline.is_own:
            self.needs.own_numbers.setdefault(model, {}).setdefault(version.number, reason)

    def _add_accepted(
        self, pipeline: RecordedPipeline, corpus: str, accepted: AcceptedNight, where: str
    ) -> None:
        """Add the accepted artifacts, and what the night made of them that is kept as long."""
        number = "" if accepted.night is None else f" {accepted.night}"
        reason = f"night{number}{where} is accepted for {corpus}"
        keys = {(stage, found.version) for stage, found in accepted.artifacts.items()}
        if accepted.night is not None:
            if pipeline.is_own:
                self.needs.own_nights.add(accepted.night)
            keys |= self._made_with(pipeline, accepted.night, keys)
        for key in keys:
            self.needs.add(key, reason)

    def _made_with(self, pipeline: RecordedPipeline, number: int, accepted: set[Key]) -> set[Key]:
        try:
            night = pipeline.nights.get(number)
        except InputError:
            return set()  # its record was deleted by age
        found: set[Key] = set()
        for step in night.steps:  # upstream first
            key = (step.stage, step.version)
            stage = self._declared.get(step.stage)
            if stage is None or stage.keep is not Keep.CORPUS or key in accepted:
                continue
            if self._store.is_published(*key) and accepted & set(
                self.manifest(key).parents.items()
            ):
                found.add(key)
        return found

    # -- what follows from what is kept ----------------------------------------------------------

    def _add_scores(self) -> None:
        """Add scores: as long as any pipeline keeps its records, and those of kept vectors."""
        days = _longest(pipeline.keep for pipeline in self._pipelines)
        for key in self._unneeded(Keep.RECORD):
            if days is None:
                self.needs.add(key, "scores are kept forever")
                continue
            manifest = self.find_manifest(key)
            if manifest is None:
                self.needs.add(key, _DAMAGED)
            elif age_days(manifest.created_at, self._now) <= days:
                self.needs.add(key, f"scores are kept for {counted(days, 'day')}")
            elif manifest.parents and self._all_needed(manifest):
                self.needs.add(key, "the scores of kept vectors")

    def _add_by_hand(self) -> None:
        for key in self._unneeded(Keep.MODEL):
            manifest = self.find_manifest(key)
            if manifest is None:
                self.needs.add(key, _DAMAGED)
            elif manifest.is_by_hand:
                self.needs.add(key, "published by hand")

    def _add_comparisons(self) -> None:
        """Add comparisons of what is kept: they name its words, which a purge may have erased."""
        for key in self._unneeded(Keep.COMPARED):
            manifest = self.find_manifest(key)
            if manifest is None:
                self.needs.add(key, _DAMAGED)
            elif all(
                one in self.needs.artifacts for one in self._declared[key[0]].compared(manifest)
            ):
                self.needs.add(key, "all that it compares is kept")

    def _add_undeclared(self) -> None:
        """Add artifacts of undeclared stages whose parents are all kept."""
        others = [
            key
            for key in self._published
            if key[0] not in self._declared and key[0] not in self._pieces
        ]
        manifests = {key: self.find_manifest(key) for key in others}
        while True:
            found = [
                key
                for key, manifest in manifests.items()
                if key not in self.needs.artifacts
                and (manifest is None or self._all_needed(manifest))
            ]
            for key in found:
                is_damaged = manifests[key] is None
                self.needs.add(key, _DAMAGED if is_damaged else "what it is made of is kept")
            if not found:
                return

    def _add_pieces(self) -> None:
        """Add the pieces from which kept artifacts were assembled."""
        for key in list(self.needs.artifacts):
            if key[0] not in self._in_pieces or not self._store.is_published(*key):
                continue
            for piece, versions in self.manifest(key).report.get(PIECES, {}).items():
                for version in versions:
                    self.needs.add((piece, version), f"a piece of {key[0]}/{key[1]}")

    def _add_sources(self) -> None:
        """Add the raw vectors from which kept ones were made: the same plan would make them."""
        for key in self._published:
            of = self._declared.get(key[0])
            if of is None or of.keep is not Keep.MODEL or key not in self.needs.artifacts:
                continue
            manifest = self.find_manifest(key)
            for parent in {} if manifest is None else manifest.parents.items():
                stage = self._declared.get(parent[0])
                if stage is not None and stage.keep is Keep.SOURCE:
                    self.needs.add(parent, f"{key[0]}/{key[1]} is made from it")

    def _unneeded(self, keep: Keep) -> list[Key]:
        return [
            key
            for key in self._published
            if key not in self.needs.artifacts
            and (stage := self._declared.get(key[0])) is not None
            and stage.keep is keep
        ]

    def _all_needed(self, manifest: Manifest) -> bool:
        return all(parent in self.needs.artifacts for parent in manifest.parents.items())


def _role(version: VersionRef, standing: ModelStanding) -> str:
    """Why a version is one of the roots (:meth:`ModelStanding.roots`)."""
    waiting = None if standing.waiting is None else standing.waiting.new
    roles = {
        "champion": (standing.champion,),
        "reference": (standing.reference,),
        "anchor of the space": standing.anchor_versions,
        "pinned version": standing.pins,
        "version to go back to": standing.previous,
        "version that waits": (waiting,),
    }
    found = (role for role, versions in roles.items() if version in versions)
    return next(found, "version that was decided on last")


def _longest(rules: Iterator[KeepConfig]) -> int | None:
    """The most days for which any rule keeps records; None for forever."""
    longest = 0
    for keep in rules:
        if keep.records_days is None:
            return None
        longest = max(longest, keep.records_days)
    return longest


def by_stage(keys: Iterable[Key]) -> dict[str, set[str]]:
    """Versions by stage."""
    found: dict[str, set[str]] = {}
    for stage, version in keys:
        found.setdefault(stage, set()).add(version)
    return found
