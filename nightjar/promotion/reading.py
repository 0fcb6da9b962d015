"""Reading how things stand, for whoever asks and changes nothing."""

from __future__ import annotations

from nightjar.config import LoadedConfig
from nightjar.promotion.applying import Aliases, AliasState
from nightjar.promotion.events import Event
from nightjar.promotion.ledger import Ledger, ledger_directory
from nightjar.promotion.standing import Standing, standing_of
from nightjar.registry import RegistryPlace, registered_name


def read_events(loaded: LoadedConfig) -> tuple[Event, ...]:
    """Every event of a pipeline, oldest first. Raises LedgerDamaged."""
    return Ledger(ledger_directory(loaded)).events()


def read_standing(loaded: LoadedConfig) -> Standing:
    """How things stand for whoever asks questions: what is promoted, accepted and searched.

    An event whose alias has not been moved yet does not count: whoever died between the two
    left it to the next run. Where an alias was moved by hand, the ledger is what counts, so that
    models and indexes fit together. Raises LedgerDamaged, RegistryUnavailable.
    """
    events = read_events(loaded)
    standing = standing_of(events)
    if not standing.models:
        return standing
    reader = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir).reader()
    pending: set[int] = set()
    for model, found in standing.models.items():
        move = found.last_move
        if move is None:
            continue
        name = registered_name(loaded.config.pipeline.name, model)
        aliases = Aliases.of(reader.aliases(name), reader.model_tags(name))
        if aliases.state(move) is AliasState.BEHIND:
            pending.add(move.number)
    return standing_of(event for event in events if event.number not in pending)
