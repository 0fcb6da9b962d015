"""The current standing: a ledger's events, folded. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from nightjar.formats.spaces import Fit
from nightjar.promotion.events import (
    ARTIFACTS,
    CONFLICT,
    CROWNINGS,
    DECISIONS,
    Event,
    EventKind,
    Serving,
    SpaceKept,
    VersionRef,
    amounts_in,
)


@dataclass(frozen=True)
class AnchorVersion:
    """A version whose coordinates a model's vectors can keep to."""

    version: VersionRef
    fit: str
    """A :class:`nightjar.formats.spaces.Fit` as text; "" where the ledger does not know it."""

    def may_suit(self, fit: Fit | None, mode: str) -> bool:
        """Whether vectors with that fit can keep to it, as far as both are known."""
        own = Fit.of_text(self.fit)
        return own is None or fit is None or own.suits(fit, mode)


@dataclass(frozen=True)
class ModelStanding:
    """The standing of a model."""

    champion: VersionRef | None = None
    reference: VersionRef | None = None
    """The version that small losses are measured against."""
    previous: tuple[VersionRef, ...] = ()
    """Earlier champions, newest first, each once: the rollback targets."""
    pins: tuple[VersionRef, ...] = ()
    waiting: Event | None = None
    """The event whose ``new`` version waits for a person."""
    hold: Event | None = None
    """A person's order that keeps nights from promoting."""
    conflict: Event | None = None
    """Set while the alias is not where the ledger says, until ``adopt`` or ``repair``."""
    is_retired: bool = False
    last_decision: Event | None = None
    last_move: Event | None = None
    """The event that the alias ``champion`` follows."""
    blocked_keys: frozenset[str] = frozenset()
    """Keys of all decisions that blocked a version."""
    anchors: tuple[AnchorVersion, ...] = ()
    """The versions that founded the model's spaces; of those that fit, the last one holds."""
    own: AnchorVersion | None = None
    """The last champion of the time when the model kept no space: it founds the next one."""

    @property
    def is_held(self) -> bool:
        """Whether nights judge but promote nothing."""
        return self.hold is not None or self.conflict is not None

    @property
    def is_in_conflict(self) -> bool:
        """Whether the alias was moved by hand and no person has settled it yet."""
        return self.conflict is not None

    @property
    def hold_reason(self) -> str:
        """Why the model is held; "" when it is not."""
        found = self.conflict or self.hold
        return "" if found is None else found.reason

    @property
    def challenger(self) -> VersionRef | None:
        """The version judged last, unless it is the champion."""
        judged = None if self.last_decision is None else self.last_decision.new
        return judged if judged != self.champion else None

    @property
    def anchor_versions(self) -> tuple[VersionRef, ...]:
        """The anchors that later versions can still be turned onto: the last one of each fit."""
        last = {anchor.fit: anchor.version for anchor in self.anchors}
        return tuple(last.values())

    def roots(self, n_previous: int) -> tuple[VersionRef, ...]:
        """The versions whose files are needed, each once, the champion first.

        Champion, reference, anchors, ``n_previous`` rollback targets, pins, the waiting version and
        the one judged last.
        """
        waiting = None if self.waiting is None else self.waiting.new
        wanted = (
            self.champion,
            self.reference,
            *self.anchor_versions,
            *self.previous[:n_previous],
            *self.pins,
            waiting,
            self.challenger,
        )
        return tuple(dict.fromkeys(version for version in wanted if version is not None))


@dataclass(frozen=True)
class ArtifactDigest:
    """An artifact by its version and by its bytes."""

    version: str
    digest: str


@dataclass(frozen=True)
class AcceptedNight:
    """A night whose corpus was accepted."""

    night: int | None
    artifacts: Mapping[str, ArtifactDigest]
    """By stage."""
    amounts: Mapping[str, int]
    """By what is counted, as documents (:data:`nightjar.store.corpus_kinds.AMOUNTS`)."""
    event: int
    """Number of the event."""

    @property
    def documents(self) -> ArtifactDigest:
        """The documents artifact. Raises KeyError for a corpus of another kind than text."""
        return self.artifacts["documents"]

    @property
    def tokens(self) -> ArtifactDigest:
        """The tokens artifact."""
        return self.artifacts["tokens"]


@dataclass(frozen=True)
class Standing:
    """The standing of everything in a ledger."""

    models: Mapping[str, ModelStanding] = field(default_factory=dict)
    corpora: Mapping[str, tuple[AcceptedNight, ...]] = field(default_factory=dict)
    """Accepted nights of each corpus, newest first; neighbours differ in their artifacts.

    What was accepted is recorded again when only its indexes change: that is no other night.
    """
    serving: Serving = field(default_factory=dict)
    """The index with which each entry of ``document_vectors`` is searched."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """By model: what to tell a person of an alias that was moved by hand."""

    def model(self, name: str) -> ModelStanding:
        """The standing of a model; empty for a model without events."""
        return self.models.get(name, ModelStanding())

    def gone(self, configured: Iterable[str]) -> tuple[str, ...]:
        """Models with a champion that are neither ``configured`` nor retired, sorted."""
        known = set(configured)
        return tuple(
            sorted(
                name
                for name, found in self.models.items()
                if name not in known and not found.is_retired and found.champion is not None
            )
        )


def standing_of(events: Iterable[Event]) -> Standing:
    """Fold the events of a ledger, oldest first."""
    models: dict[str, ModelStanding] = {}
    corpora: dict[str, list[AcceptedNight]] = {}
    serving: Serving = {}
    for event in events:
        serving = {**serving, **event.serving}
        if event.kind is EventKind.ACCEPTED:
            nights = corpora.setdefault(event.subject, [])
            found = _accepted(event)
            if not nights or nights[-1].artifacts != found.artifacts:
                nights.append(found)
        else:
            models[event.subject] = _after(models.get(event.subject, ModelStanding()), event)
    newest_first = {name: tuple(reversed(nights)) for name, nights in corpora.items()}
    return Standing(models, newest_first, serving)


def _accepted(event: Event) -> AcceptedNight:
    artifacts = event.evidence[ARTIFACTS]
    return AcceptedNight(
        night=event.night,
        artifacts={stage: ArtifactDigest(**found) for stage, found in artifacts.items()},
        amounts=amounts_in(event.evidence, "n_"),
        event=event.number,
    )


def _after(before: ModelStanding, event: Event) -> ModelStanding:
    """The standing of a model after one more event."""
    if event.kind is EventKind.RETIRED:  # a fresh start in case the model comes back
        return ModelStanding(is_retired=True, last_move=event)
    after = replace(before, reference=event.reference or before.reference)
    if event.moves_alias:
        after = replace(_with_champion(after, event), last_move=event)
        after = _with_space(after, event)
    if event.anchor is not None and event.new is not None:
        others = tuple(anchor for anchor in after.anchors if anchor.version != event.new)
        after = replace(after, anchors=(*others, AnchorVersion(event.new, event.anchor.fit)))
    if event.kind in DECISIONS:
        after = replace(after, last_decision=event)
    if event.kind is EventKind.BLOCKED and event.decision_key is not None:
        after = replace(after, blocked_keys=after.blocked_keys | {event.decision_key})
    return replace(
        after,
        waiting=_waiting(before, event),
        pins=_pins(before, event),
        hold=_hold(before, event),
        conflict=_conflict(before, event),
        is_retired=before.is_retired and not _is_back(event),
    )


def _with_champion(before: ModelStanding, event: Event) -> ModelStanding:
    """The standing with the new champion and its rollback targets."""
    new, left = event.new, before.champion
    if event.kind is EventKind.ROLLED_BACK and new in before.previous:
        previous = before.previous[before.previous.index(new) + 1 :]
    else:
        previous = before.previous if left is None else (left, *before.previous)
    distinct = dict.fromkeys(version for version in previous if version != new)
    return replace(before, champion=new, previous=tuple(distinct))


def _with_space(before: ModelStanding, event: Event) -> ModelStanding:
    """The standing with the founder of a space, if the new champion founds one.

    The first champion that fits founds it; no later one moves it. Where the model kept no space
    until then, that is the last champion of that time, which consumers know.
    """
    if event.new is None:
        return before
    kept = event.space or SpaceKept("own", "")
    founder = AnchorVersion(event.new, kept.fit)
    if kept.mode == "own":
        return replace(before, own=founder)
    fit = Fit.of_text(kept.fit)
    if any(anchor.may_suit(fit, kept.mode) for anchor in before.anchors):
        return before
    if before.own is not None and before.own.may_suit(fit, kept.mode):
        founder = before.own
    return replace(before, anchors=(*before.anchors, founder))


def _waiting(before: ModelStanding, event: Event) -> Event | None:
    if event.kind is EventKind.WAITING:
        return event
    waiting = before.waiting
    if waiting is None or event.kind is EventKind.SUPERSEDED:
        return None
    is_decided = event.kind in DECISIONS | CROWNINGS and event.new == waiting.new
    return None if is_decided else waiting


def _pins(before: ModelStanding, event: Event) -> tuple[VersionRef, ...]:
    others = tuple(pin for pin in before.pins if pin != event.new)
    if event.kind is EventKind.PINNED and event.new is not None:
        return (*others, event.new)
    return others if event.kind is EventKind.UNPINNED else before.pins


def _hold(before: ModelStanding, event: Event) -> Event | None:
    is_order = event.kind is EventKind.HELD and CONFLICT not in event.evidence
    if is_order or event.kind is EventKind.ROLLED_BACK:
        return event
    is_over = event.kind is EventKind.RESUMED and not event.moves_alias
    return None if is_over else before.hold


def _conflict(before: ModelStanding, event: Event) -> Event | None:
    if event.kind is EventKind.HELD and CONFLICT in event.evidence:
        return event
    return None if event.moves_alias else before.conflict


def _is_back(event: Event) -> bool:
    """Whether a retired model is used again: a night decided on it, or a person moved it."""
    return event.kind in DECISIONS or event.moves_alias
