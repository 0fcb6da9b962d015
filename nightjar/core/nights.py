"""Nights: the record of each run, written while it runs; the source for the "last" night.

``nights/000017/`` below the pipeline's directory has ``begin.json`` first, then a file for each
event, and at the end ``night.json`` with everything. A night without ``night.json`` is running or
died: the next one marks it as ended early, with what its events say. Files are created exclusively
and never renamed or changed, so the record survives ``kill -9`` and works on any storage.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nightjar.core.plan import Action, Plan, Step
from nightjar.core.stage import Parent
from nightjar.core.step_running import memory_peak
from nightjar.errors import ArtifactDamaged, InputError, StoreError
from nightjar.store import Manifest, environment, put_new
from nightjar.store.fingerprint import canonical_json
from nightjar.store.local_disk import names

_BEGIN, _END = "begin.json", "night.json"
_EVENT = re.compile(r"[0-9]{6,}\.json")


class NightStatus(StrEnum):
    """How a night ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    NOTHING_TO_DO = "nothing to do"
    FAILED = "failed"
    ENDED_EARLY = "ended early"


class StepOutcome(StrEnum):
    """The outcome of a step."""

    PLANNED = "planned"
    REUSED = "reused"
    PUBLISHED = "published"
    FAILED = "failed"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class StepRecord:
    """A step of a night: why it was due, and its outcome."""

    stage: str
    subjects: tuple[str, ...]
    label: str
    version: str
    reason: str
    outcome: StepOutcome = StepOutcome.PLANNED
    digest: str | None = None
    """Hash of the manifest, once it is published."""
    seconds: float = 0.0
    memory_bytes: int = 0
    """The process's peak resident size during the step; 0 if unknown."""
    error: str = ""

    @property
    def was_run(self) -> bool:
        """Whether it was due and its artifact was published."""
        return self.outcome is StepOutcome.PUBLISHED


@dataclass(frozen=True)
class Night:
    """One run of a pipeline."""

    number: int
    pipeline: str
    started_at: str
    """ISO 8601, UTC."""
    owner: str
    """Who ran it, and in what role."""
    config: Mapping[str, Any]
    config_hash: str
    overrides: tuple[str, ...]
    is_trial: bool
    """Whether it could not promote or accept anything, because of its overrides."""
    code: Mapping[str, str]
    """Versions of the code and its libraries, and the commit of the project."""
    status: NightStatus = NightStatus.RUNNING
    ended_at: str | None = None
    seconds: float | None = None
    steps: tuple[StepRecord, ...] = ()
    decisions: tuple[Mapping[str, Any], ...] = ()
    alarms: tuple[str, ...] = ()
    accepted: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By corpus: whether the night was accepted, why, and the versions concerned."""

    @property
    def versions(self) -> dict[Parent, str]:
        """The version of each stage and subject that the night planned."""
        return {
            Parent(step.stage, subject): step.version
            for step in self.steps
            for subject in step.subjects
        }

    def version(self, stage: str, subject: str) -> str | None:
        """The version of ``stage`` for ``subject`` that existed at the end of the night."""
        for step in self.steps:
            is_there = step.outcome in (StepOutcome.REUSED, StepOutcome.PUBLISHED)
            if step.stage == stage and subject in step.subjects and is_there:
                return step.version
        return None

    @property
    def ended_well(self) -> bool:
        """Whether it did all that was due."""
        return self.status in (NightStatus.COMPLETED, NightStatus.NOTHING_TO_DO)

    def ended_early(self) -> Night:
        """The same night, marked as having died."""
        return replace(self, status=NightStatus.ENDED_EARLY)

    def as_known(self, is_running: bool) -> Night:
        """The night as it is, since one without an end has died unless a night ``is_running``."""
        is_dead = self.status is NightStatus.RUNNING and not is_running
        return self.ended_early() if is_dead else self

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        found: dict[str, Any] = json.loads(_adapter().dump_json(self))
        return found


@cache
def _adapter() -> TypeAdapter[Night]:
    return TypeAdapter(Night)


def config_hash(config: Mapping[str, Any]) -> str:
    """12 hex digits that depend on the recorded config alone."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()[:12]


class Nights:
    """Reads the nights of one pipeline; :meth:`begin` starts one."""

    def __init__(self, pipeline_dir: Path) -> None:
        self.directory = pipeline_dir / "nights"

    def numbers(self) -> list[int]:
        """Every night's number, ascending.

        A directory without a record is no night: it was made, and then the process was killed or
        the disk was full. The next night takes its number.
        """
        found = [int(name) for name in names(self.directory) if name.isdecimal()]
        return [number for number in found if self._is_begun(number)]

    def all(self) -> list[Night]:
        """Every night, oldest first."""
        return [self.get(number) for number in self.numbers()]

    def get(self, number: int) -> Night:
        """A night. Raises InputError when it does not exist, StoreError when it cannot be read."""
        directory = self._of(number)
        whole = _read(directory / _END)
        if whole is not None:
            return _night(directory, whole)
        begun = _read(directory / _BEGIN)
        if begun is None:
            raise InputError(f"there is no night {number}; 'nightjar nights' lists them")
        night = _night(directory, begun)
        for name in names(directory):
            if _EVENT.fullmatch(name):
                night = _with_event(night, _read(directory / name) or {})
        return night

    def newest_first(self) -> Iterator[Night]:
        """Every night, read lazily."""
        for number in reversed(self.numbers()):
            yield self.get(number)

    def last(self) -> Night | None:
        """The newest night that is not a trial and got as far as its plan."""
        return next(
            (night for night in self.newest_first() if night.steps and not night.is_trial), None
        )

    def newest_trials(self, n_trials: int) -> Iterator[Night]:
        """At most ``n_trials`` runs with overrides, newest first; reads little of other nights."""
        for number in reversed(self.numbers()):
            if n_trials == 0:
                return
            begun = _read(self._of(number) / _BEGIN)
            if begun is not None and begun.get("is_trial"):
                n_trials -= 1
                yield self.get(number)

    def repeated_files(self) -> list[Path]:
        """The event files of ended nights, which their records repeat.

        In each night, the last events come first, so as long as any file is left, the first one is.
        Searches from the newest night back to the first without such files.
        """
        found: list[Path] = []
        for number in reversed(self.numbers()):
            directory = self._of(number)
            if (directory / _END).exists():
                events = [name for name in names(directory) if _EVENT.fullmatch(name)]
                if not events:
                    break
                found += [directory / name for name in reversed(events)]
        return found

    def path(self, number: int) -> Path:
        """The directory of a night's record."""
        return self._of(number)

    def started_at(self, number: int) -> str:
        """When a night began, read from little data. Raises StoreError without such a record."""
        begun = _read(self._of(number) / _BEGIN)
        if begun is None:
            raise StoreError(f"{self._of(number)}: this night's record has no {_BEGIN}")
        return str(begun["started_at"])

    def begin(
        self,
        pipeline: str,
        owner: str,
        config: Mapping[str, Any],
        overrides: tuple[str, ...],
        is_trial: bool,
        git_commit: str | None,
    ) -> NightRecorder:
        """Start a record; the caller holds the pipeline's lease.

        Earlier nights without an end died, and are marked so. Raises StoreNotWritable.
        """
        for number in reversed(self.numbers()):
            directory = self._of(number)
            if (directory / _END).exists():
                break
            died = self.get(number).ended_early()
            put_new(directory / _END, _adapter().dump_json(died, indent=1))
        night = Night(
            number=0,
            pipeline=pipeline,
            started_at=_now(),
            owner=owner,
            config=config,
            config_hash=config_hash(config),
            overrides=overrides,
            is_trial=is_trial,
            code={**environment(), "commit": git_commit or ""},
        )
        number = max(self.numbers(), default=0) + 1
        while True:
            night = replace(night, number=number)
            if put_new(self._of(number) / _BEGIN, _adapter().dump_json(night, indent=1)):
                return NightRecorder(self._of(number), night)
            number += 1

    def _of(self, number: int) -> Path:
        return self.directory / f"{number:06d}"

    def _is_begun(self, number: int) -> bool:
        return any((self._of(number) / name).exists() for name in (_BEGIN, _END))


class NightRecorder:
    """The record of the current night. Every call returns once its event is on disk."""

    def __init__(self, directory: Path, night: Night) -> None:
        self._directory = directory
        self._n_events = 0
        self._started = time.monotonic()
        self.night = night

    def planned(self, plan: Plan) -> None:
        """Record the plan with its reasons; reused artifacts are known to exist."""
        subjects: dict[tuple[str, str], list[str]] = {}
        for key, step in plan.shared.items():
            subjects.setdefault((step.stage, step.ref.version), []).append(key.subject)
        known = {(step.stage, step.version) for step in self.night.steps}
        new = [
            StepRecord(
                stage=step.stage,
                subjects=tuple(subjects[step.stage, step.ref.version]),
                label=step.label,
                version=step.ref.version,
                reason=step.reason,
                outcome=StepOutcome.REUSED if is_reused else StepOutcome.PLANNED,
                digest=_digest(step) if is_reused else None,
            )
            for step in plan.steps
            if (step.stage, step.ref.version) not in known
            for is_reused in (step.action is Action.REUSE,)
        ]
        if new:
            self._tell({"steps": [asdict(step) for step in new]})

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Wrap a running step: records seconds, memory and the outcome."""
        started = time.monotonic()
        found: dict[str, Any] = {"outcome": StepOutcome.FAILED}
        try:
            with memory_peak() as peak:
                yield
            found = {
                "outcome": StepOutcome.PUBLISHED,
                "digest": Manifest.read(Path(step.ref.path)).digest,
            }
        except BaseException as error:
            found["error"] = str(error) or type(error).__name__
            raise
        finally:
            found["seconds"] = round(time.monotonic() - started, 3)
            found["memory_bytes"] = peak.bytes
            self._tell({"step": [step.stage, step.ref.version], "became": found})

    def left_out(self, step: Step, why: str) -> None:
        """Record that a due step does not run, because its inputs are missing."""
        found = {"outcome": StepOutcome.LEFT_OUT, "error": why}
        self._tell({"step": [step.stage, step.ref.version], "became": found})

    def decision(self, decision: Mapping[str, Any]) -> None:
        """Record what was decided about a model."""
        self._tell({"decision": dict(decision)})

    def accepted(self, corpus: str, acceptance: Mapping[str, Any]) -> None:
        """Record whether the night is accepted for a corpus, and why."""
        self._tell({"corpus": corpus, "acceptance": dict(acceptance)})

    def alarm(self, message: str) -> None:
        """Record something that a person should look at."""
        self._tell({"alarm": message})

    def ended(self, status: NightStatus) -> Night:
        """The night as it would be recorded if it ended now."""
        return replace(
            self.night,
            status=status,
            ended_at=_now(),
            seconds=round(time.monotonic() - self._started, 3),
        )

    def end(self, status: NightStatus) -> Night:
        """Close the record."""
        self.night = self.ended(status)
        put_new(self._directory / _END, _adapter().dump_json(self.night, indent=1))
        return self.night

    def _tell(self, event: Mapping[str, Any]) -> None:
        self._n_events += 1
        data = json.dumps(event, allow_nan=False).encode()
        put_new(self._directory / f"{self._n_events:06d}.json", data)
        self.night = _with_event(self.night, json.loads(data))


def _digest(step: Step) -> str | None:
    """Hash of the manifest; None when the artifact was just deleted, or cannot be read."""
    try:
        return Manifest.read(Path(step.ref.path)).digest
    except ArtifactDamaged:
        return None


def _with_event(night: Night, event: Mapping[str, Any]) -> Night:
    """``night`` with one more event applied."""
    if "steps" in event:
        steps = TypeAdapter(tuple[StepRecord, ...]).validate_python(event["steps"])
        return replace(night, steps=(*night.steps, *steps))
    if "step" in event:
        became = {**event["became"], "outcome": StepOutcome(event["became"]["outcome"])}
        return replace(
            night,
            steps=tuple(
                replace(step, **became) if [step.stage, step.version] == event["step"] else step
                for step in night.steps
            ),
        )
    if "decision" in event:
        return replace(night, decisions=(*night.decisions, event["decision"]))
    if "alarm" in event:
        return replace(night, alarms=(*night.alarms, event["alarm"]))
    if "corpus" in event:
        accepted = {**night.accepted, event["corpus"]: event["acceptance"]}
        return replace(night, accepted=accepted)
    return night


def _night(directory: Path, content: Any) -> Night:
    try:
        return _adapter().validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"{directory}: the record of this night cannot be read ({where}: {first['msg']}); it "
            f"was changed, or written by another release of Nightjar: move it away"
        ) from error


def _read(path: Path) -> Any:
    """The JSON in a file; None if it does not exist."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(
            f"{path}: this part of a night's record is damaged ({error}); move the directory away"
        ) from error


def moment(text: str) -> datetime:
    """The ISO 8601 time of a record; one without a zone is in UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
