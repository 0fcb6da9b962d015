"""Read-only access to the current standing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core import Nights
from nightjar.errors import PromotionRefused
from nightjar.promotion.applying import Aliases, AliasState, alias_alarm
from nightjar.promotion.events import DECISIONS, Event, VersionRef
from nightjar.promotion.ledger import Ledger, ledger_directory
from nightjar.promotion.standing import Standing, standing_of
from nightjar.registry import RegistryPlace, registered_name


def read_events(loaded: LoadedConfig) -> tuple[Event, ...]:
    """Every event of a pipeline, oldest first. Raises LedgerDamaged."""
    return Ledger(ledger_directory(loaded)).events()


def read_standing(loaded: LoadedConfig) -> Standing:
    """Read the standing that readers follow: what is promoted, accepted and searched.

    Ignores an event whose alias has not been moved yet: a process died in between, and the next
    run completes it. Where an alias was moved by hand, the ledger counts, so that models and
    indexes fit together; ``moved`` says so. Raises LedgerDamaged, RegistryUnavailable.
    """
    events = read_events(loaded)
    standing = standing_of(events)
    if not standing.models:
        return standing
    reader = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir).reader()
    pending: set[int] = set()
    moved: dict[str, str] = {}
    for model, found in standing.models.items():
        move = found.last_move
        if move is None:
            continue
        name = registered_name(loaded.config.pipeline.name, model)
        aliases = Aliases.of(reader.aliases(name), reader.model_tags(name))
        state = aliases.state(move)
        if state is AliasState.BEHIND:
            pending.add(move.number)
        if state is AliasState.MOVED or found.is_in_conflict:
            moved[model] = alias_alarm(
                *(model, name, move, aliases, state), is_noticed=found.is_in_conflict
            )
    known = standing_of(event for event in events if event.number not in pending)
    return replace(known, moved=moved)


@dataclass(frozen=True)
class NightsDecision:
    """What a night decided, by its record: the ledger has no second event of the same answer."""

    night: int
    outcome: str
    reason: str
    note: str
    """That the model is held, or why nothing was recorded."""
    numbers: Mapping[str, int | None]
    """The versions' numbers in that night, by role: candidate, champion, reference."""
    repeats: int | None
    """The earlier night whose decision it repeats; None when it repeats none."""


@dataclass(frozen=True)
class Explanation:
    """Why a version has its current role."""

    model: str
    version: VersionRef
    decision: Event | None
    """The gate's last recorded decision on it; None when there is none."""
    events: tuple[Event, ...]
    """Everything that happened to it, oldest first."""
    last: NightsDecision | None = None
    """What the last night decided, if that wrote no event and no version was asked for."""


def explain(loaded: LoadedConfig, model: str, number: int | None = None) -> Explanation:
    """Explain what was decided on a version and why; by default on the last one judged.

    Raises PromotionRefused when the ledger does not mention the version.
    """
    events = [event for event in read_events(loaded) if event.subject == model]
    decided = [event for event in events if event.kind in DECISIONS]
    last: Mapping[str, Any] | None = None
    night = 0
    if number is None:
        night, last = _last_night(loaded, model, decided[-1]) if decided else (0, None)
        version = decided[-1].new if decided else None
        if last is not None:
            candidate = last["candidate"]
            version = VersionRef(candidate["version"], candidate["embeddings"], candidate["digest"])
        if version is None:
            raise PromotionRefused(f"{model}: no night has judged a version of it yet")
    else:
        version = _spoken_of(loaded, model, number, events)
    about = tuple(event for event in events if _is_about(event, version))
    judged = [event for event in about if event.kind in DECISIONS]
    if last is None:
        return Explanation(model, version, judged[-1] if judged else None, about)
    same = [event for event in judged if event.decision_key == last["key"]]
    shown = next(reversed(same or judged), None)
    roles = ("candidate", "champion", "reference")
    return Explanation(
        model,
        version,
        shown,
        about,
        NightsDecision(
            night=night,
            outcome=last["outcome"],
            reason=last["reason"],
            note=last["note"],
            numbers={role: (last[role] or {}).get("version") for role in roles},
            repeats=same[-1].night if same else None,
        ),
    )


def _last_night(
    loaded: LoadedConfig, model: str, recorded: Event
) -> tuple[int, Mapping[str, Any] | None]:
    """The last night that decided on a model, and what, if that wrote no event.

    ``recorded`` is the last event of a decision; earlier nights are not read.
    """
    nights = Nights(loaded.pipeline_dir)
    for number in reversed(nights.numbers()):
        if recorded.night is not None and number <= recorded.night:
            break
        night = nights.get(number)
        found = [entry for entry in night.decisions if entry["model"] == model]
        if found and not night.is_trial:
            return number, found[-1] if found[-1]["event"] is None else None
    return 0, None


def _spoken_of(loaded: LoadedConfig, model: str, number: int, events: list[Event]) -> VersionRef:
    """Find the version with that number in the ledger or the registry."""
    for event in reversed(events):
        if event.new is not None and event.new.number == number:
            return event.new
    name = registered_name(loaded.config.pipeline.name, model)
    place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
    found = place.reader().version(name, number)
    version = None if found is None else VersionRef.of(found)
    if version is not None and any(_is_about(event, version) for event in events):
        return version
    known = ", ".join(
        str(each) for each in sorted({event.new.number for event in events if event.new})
    )
    raise PromotionRefused(
        f"{model} version {number}: no night has judged it and no command named it; the ledger "
        f"knows {known or 'no version'}"
    )


def _is_about(event: Event, version: VersionRef) -> bool:
    """Whether an event is about those bytes, under whichever version number."""
    return event.new is not None and event.new.digest == version.digest
