"""Read-only access to the current standing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nightjar.config import LoadedConfig
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
class Explanation:
    """Why a version has its current role."""

    model: str
    version: VersionRef
    decision: Event | None
    """The gate's last decision on it; None when no night has judged it."""
    events: tuple[Event, ...]
    """Everything that happened to it, oldest first."""


def explain(loaded: LoadedConfig, model: str, number: int | None = None) -> Explanation:
    """Explain what was decided on a version and why; by default on the last one judged.

    Raises PromotionRefused when the ledger does not mention the version.
    """
    events = [event for event in read_events(loaded) if event.subject == model]
    decided = [event for event in events if event.kind in DECISIONS]
    if number is None:
        version = decided[-1].new if decided else None
        if version is None:
            raise PromotionRefused(f"{model}: no night has judged a version of it yet")
    else:
        version = _spoken_of(loaded, model, number, events)
    about = tuple(event for event in events if _is_about(event, version))
    last = [event for event in about if event.kind in DECISIONS]
    return Explanation(model, version, last[-1] if last else None, about)


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
