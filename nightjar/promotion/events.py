"""The events of the ledger: what happened to a model or a corpus, by whom, when and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from nightjar.registry import FIT_TAG, RegisteredVersion
from nightjar.store.corpus_kinds import AMOUNTS

SERVING = "serving"
REFERENCE = "reference"
DECISION = "decision"
JUDGED_AGAIN = "judged_again"
ARTIFACTS = "artifacts"
CONFLICT = "conflict"
REPAIR = "repair"
SPACE = "space"
ANCHOR = "anchor"
"""Keys of an event's evidence."""


def amounts_in(record: Mapping[str, Any], prefix: str = "") -> dict[str, int]:
    """The amounts of a corpus in a record, which names them with ``prefix``."""
    return {name: record[key] for name in AMOUNTS if (key := f"{prefix}{name}") in record}


class EventKind(StrEnum):
    """What an event says. All kinds but ``ACCEPTED`` are about a model."""

    PROMOTED = "promoted"
    """The gate made a version champion."""
    BLOCKED = "blocked"
    """The gate refused a version."""
    WAITING = "waiting"
    """A version waits for a person to approve it."""
    SUPERSEDED = "superseded"
    """A version no longer waits, because a newer one replaced it."""
    ROLLED_BACK = "rolled_back"
    """A person brought an earlier champion back; the model is held."""
    PINNED = "pinned"
    """A person wants a version kept."""
    UNPINNED = "unpinned"
    HELD = "held"
    """Nights judge, but promote nothing: a person said so, or the alias was moved by hand."""
    RESUMED = "resumed"
    """Nights promote again."""
    APPROVED = "approved"
    """A person made a version champion that waited, or was champion before."""
    FORCED = "forced"
    """A person made a version champion that the gate had not let through."""
    ADOPTED = "adopted"
    """A person said that the alias, moved by hand, is right."""
    REBASED = "rebased"
    """A person chose the version that small losses are measured against."""
    RETIRED = "retired"
    """A person said that the model is no longer used."""
    ACCEPTED = "accepted"
    """A night's corpus is good enough to be searched and compared with."""


DECISIONS = frozenset((EventKind.PROMOTED, EventKind.BLOCKED, EventKind.WAITING))
"""What the gate decides."""

CROWNINGS = frozenset((EventKind.PROMOTED, EventKind.APPROVED, EventKind.FORCED))
"""What makes a new version champion and the old champion a rollback target."""


@dataclass(frozen=True)
class VersionRef:
    """A registered version of a model, and the embeddings that it is made from."""

    number: int
    """MLflow's version number."""
    embeddings: str
    """Version of the embeddings artifact; "" for a version that Nightjar did not register."""
    digest: str
    """Digest of the artifact's manifest: two trainings of one version may differ in bytes."""

    @classmethod
    def of(cls, registered: RegisteredVersion) -> VersionRef:
        """The reference of a version found in the registry."""
        return cls(registered.version, registered.embeddings_version, registered.embeddings_digest)


@dataclass(frozen=True)
class SpaceKept:
    """How a model keeps its coordinates, and what fits the version concerned."""

    mode: str
    """The model's ``space`` in the config: own, aligned, warm or compass."""
    fit: str
    """A :class:`nightjar.formats.spaces.Fit` as text; "" where it was not recorded."""


@dataclass(frozen=True)
class ServedIndex:
    """The versions of artifacts with which an entry of ``document_vectors`` is searched."""

    documents: str
    document_vectors: str
    search_index: str
    model: str | None = None
    """The model whose vectors they are; None for a pre-trained encoder."""
    embeddings: str | None = None
    """Version of the model's embeddings."""


Serving = Mapping[str, ServedIndex]
"""What is searched, by entry of ``document_vectors``."""


@dataclass(frozen=True)
class Event:
    """A row of the ledger."""

    number: int
    """From 1, without gaps."""
    time: datetime
    """UTC."""
    kind: EventKind
    subject: str
    """Name of the model, or of the corpus when the kind is ``ACCEPTED``."""
    old: VersionRef | None
    """The champion before; for events that move the alias, where it pointed before."""
    new: VersionRef | None
    """The version concerned; for events that move the alias, the champion from now on."""
    night: int | None
    """The night that wrote it; None for a command."""
    actor: str
    reason: str
    decision_key: str | None = None
    """Digest of everything that a decision depends on; None for other events."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """The numbers, in JSON types."""

    @property
    def moves_alias(self) -> bool:
        """Whether the alias ``champion`` must point to :attr:`new` (None: be deleted)."""
        return moves_alias(self.kind, self.evidence)

    @property
    def serving(self) -> Serving:
        """What is searched from this event on, for the entries that it changes."""
        found: Mapping[str, Mapping[str, Any]] = self.evidence.get(SERVING, {})
        return {entry: ServedIndex(**versions) for entry, versions in found.items()}

    @property
    def space(self) -> SpaceKept | None:
        """How the model kept its coordinates when this was written; None in older events."""
        found: Mapping[str, str] | None = self.evidence.get(SPACE)
        return None if found is None else SpaceKept(**found)

    @property
    def anchor(self) -> SpaceKept | None:
        """How :attr:`new` was made, if a person wants the vectors to keep to it from now on."""
        found: Mapping[str, str] | None = self.evidence.get(ANCHOR)
        return None if found is None else SpaceKept(**found)

    @property
    def reference(self) -> VersionRef | None:
        """The reference from this event on; None when the event does not change it."""
        found: Mapping[str, Any] | None = self.evidence.get(REFERENCE)
        return None if found is None else VersionRef(**found)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types; the time is ISO 8601."""
        return {**asdict(self), "time": self.time.isoformat(timespec="seconds")}


def moves_alias(kind: EventKind, evidence: Mapping[str, Any]) -> bool:
    """Whether an event of that kind and evidence moves the alias ``champion``."""
    always = kind in CROWNINGS | {EventKind.ROLLED_BACK, EventKind.ADOPTED, EventKind.RETIRED}
    return always or (kind is EventKind.RESUMED and REPAIR in evidence)


def serving_evidence(serving: Serving | None) -> dict[str, Any]:
    """The part of an event's evidence that says what is searched; empty for nothing."""
    if not serving:
        return {}
    return {SERVING: {entry: asdict(versions) for entry, versions in sorted(serving.items())}}


def reference_evidence(reference: VersionRef | None) -> dict[str, Any]:
    """The part of an event's evidence that says what the reference is from now on."""
    return {} if reference is None else {REFERENCE: asdict(reference)}


def space_evidence(mode: str, registered: RegisteredVersion | None) -> dict[str, Any]:
    """The part of an event's evidence that says how the model keeps its coordinates."""
    fit = "" if registered is None else registered.tags.get(FIT_TAG, "")
    return {SPACE: asdict(SpaceKept(mode, fit))}


def anchor_evidence(mode: str, registered: RegisteredVersion) -> dict[str, Any]:
    """The part of an event's evidence that makes its version the anchor of the model's space."""
    return {ANCHOR: asdict(SpaceKept(mode, registered.tags.get(FIT_TAG, "")))}
