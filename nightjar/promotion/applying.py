"""Keeping MLflow's alias where the ledger says: writing events, applying and completing them.

An event that moves the alias ``champion`` is written first, then the alias is moved, then the
registered model is marked with the event's number. So the next process can tell an event that
was not applied (no mark, the alias where it was before) from an alias that somebody moved by
hand (any other place). It completes the event; it holds the model with a moved alias until a
person says which side is right.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cached_property
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.errors import LedgerDamaged
from nightjar.formats.spaces import mode_of
from nightjar.promotion.events import (
    CONFLICT,
    Event,
    EventKind,
    VersionRef,
    moves_alias,
    space_evidence,
)
from nightjar.promotion.ledger import Ledger, NewEvent, Writer, ledger_directory
from nightjar.promotion.standing import ModelStanding, Standing, standing_of
from nightjar.registry import (
    CHALLENGER,
    CHAMPION,
    LEDGER_TAG,
    RegistryPlace,
    RegistryReader,
    RegistryWriter,
    applied_event,
    check_owner,
    open_writer,
    registered_name,
)

logger = logging.getLogger(__name__)

_NO_LEDGER = "none yet"


class AliasState(Enum):
    """Where the alias ``champion`` is, compared with the ledger."""

    RIGHT = auto()
    UNMARKED = auto()
    """It is right, but the mark is missing: the process ended between the two writes."""
    BEHIND = auto()
    """It has not been moved yet."""
    MOVED = auto()
    """Somebody moved or deleted it by hand."""


@dataclass(frozen=True)
class Aliases:
    """What the registry says about a model."""

    champion: int | None
    challenger: int | None
    applied: int
    """Number of the last event whose alias was moved."""
    is_owned: bool
    """Whether the registered model names its ledger, as every model that Nightjar made does."""

    @classmethod
    def of(cls, aliases: Mapping[str, int], tags: Mapping[str, str]) -> Aliases:
        """Build it from the aliases and tags of a registered model."""
        return cls(
            aliases.get(CHAMPION), aliases.get(CHALLENGER), applied_event(tags), LEDGER_TAG in tags
        )

    def state(self, move: Event | None) -> AliasState:
        """Where the alias is, given the last event that moves it."""
        expected = number_of(None if move is None else move.new)
        if move is None:
            return AliasState.RIGHT if self.champion is None else AliasState.MOVED
        if self.champion == expected:
            is_marked = self.applied >= move.number or not self.is_owned
            return AliasState.RIGHT if is_marked else AliasState.UNMARKED
        is_where_it_was = self.champion == number_of(move.old)
        if self.applied < move.number and is_where_it_was and self.is_owned:
            return AliasState.BEHIND
        return AliasState.MOVED


def number_of(version: VersionRef | None) -> int | None:
    """MLflow's number of a version."""
    return None if version is None else version.number


class Desk:
    """Writes and applies events, on behalf of a night or of a person."""

    def __init__(self, loaded: LoadedConfig, writer: Writer) -> None:
        config = loaded.config
        self.ledger = Ledger(ledger_directory(loaded))
        self.place = RegistryPlace.of(config.registry, loaded.artifacts_dir)
        self.configured = tuple(config.models)
        self.writer = writer
        self._config = config
        self._pipeline = config.pipeline.name

    @cached_property
    def reader(self) -> RegistryReader:
        """Read access to the registry."""
        return self.place.reader()

    @cached_property
    def registry(self) -> RegistryWriter:
        """Write access to aliases and tags; imports MLflow unless it is a SQLite file."""
        return open_writer(self.place)

    def registered_name(self, model: str) -> str:
        """Name of the model in the registry."""
        return registered_name(self._pipeline, model)

    def standing(self) -> Standing:
        """The current standing, by the ledger."""
        return standing_of(self.ledger.events())

    def aliases(self, model: str) -> Aliases:
        """Read a model's aliases. Raises ForeignModel when another ledger owns the model."""
        name = self.registered_name(model)
        tags = self.reader.model_tags(name)
        check_owner(self.place, name, tags, self.ledger.id or _NO_LEDGER)
        return Aliases.of(self.reader.aliases(name), tags)

    @contextmanager
    def writing(self, models: Iterable[str] = ()) -> Iterator[list[str]]:
        """Hold the ledger's lock, after completing what earlier writers left of ``models``.

        Yields the alarms of :meth:`complete`.
        """
        with self.ledger.writing(self.writer.actor):
            yield self.complete(models)

    def record(self, event: NewEvent) -> Event:
        """Write an event and apply it if it moves the alias. Call within :meth:`writing`."""
        if event.new is not None and moves_alias(event.kind, event.evidence or {}):
            kept = self._space(event.subject, event.new)
            event = replace(event, evidence={**(event.evidence or {}), **kept})
        row = self.ledger.append(event, self.writer)
        if row.moves_alias:
            self.apply(row)
        return row

    def apply(self, event: Event) -> None:
        """Move the alias where the event says, and mark the registered model."""
        name = self.registered_name(event.subject)
        target = number_of(event.new)
        current = self.reader.aliases(name).get(CHAMPION)
        if target is None and not self.reader.model_tags(name):
            return  # nothing is registered under that name
        self.registry.own(name, self.ledger.make_id())
        if current != target:
            self.registry.point(name, CHAMPION, target)
        self.registry.mark(name, event.number)

    def keep_challenger(self, model: str, candidate: int | None) -> None:
        """Point the alias ``challenger`` to the candidate, unless that is champion.

        Without a candidate, or if the candidate is champion, the alias stays where it is, but is
        deleted if it points to the champion.
        """
        name = self.registered_name(model)
        aliases = self.reader.aliases(name)
        champion, current = aliases.get(CHAMPION), aliases.get(CHALLENGER)
        if candidate is not None and candidate != champion:
            wanted: int | None = candidate
        else:
            wanted = None if current == champion else current
        if wanted != current:
            self.registry.point(name, CHALLENGER, wanted)

    def complete(self, models: Iterable[str]) -> list[str]:
        """Complete unapplied events and hold models whose alias was moved by hand.

        Call within :meth:`writing`. Returns an alarm for each model whose alias is not where the
        ledger says. Raises ForeignModel; LedgerDamaged when the registry knows of events that
        the ledger has lost.
        """
        events = self.ledger.events()
        standing = standing_of(events)
        alarms: list[str] = []
        for model in models:
            aliases = self.aliases(model)
            if aliases.applied > len(events):
                raise LedgerDamaged(
                    f"{self.ledger.directory}: the ledger ends with event {len(events)}, but "
                    f"{self.registered_name(model)} was moved by event {aliases.applied}: restore "
                    f"the ledger from a backup. Nothing is promoted until it is whole"
                )
            alarms += self._complete(model, standing.model(model), aliases)
        return alarms

    def _complete(self, model: str, standing: ModelStanding, aliases: Aliases) -> list[str]:
        move = standing.last_move
        state = aliases.state(move)
        if standing.conflict is not None:
            return [self._alarm(model, move, aliases, state)]
        if move is not None and state in {AliasState.BEHIND, AliasState.UNMARKED}:
            is_there = move.new is None or self.is_registered(model, move.new)
            if is_there or state is AliasState.UNMARKED:
                logger.warning("completing event %d: %s %s", move.number, move.kind, model)
                self.apply(move)
                return []
            state = AliasState.MOVED
        if state is not AliasState.MOVED:
            return []
        alarm = self._alarm(model, move, aliases, state)
        self.record(
            NewEvent(
                kind=EventKind.HELD,
                subject=model,
                old=standing.champion,
                new=standing.champion,
                reason=alarm,
                evidence={
                    CONFLICT: {
                        "alias": aliases.champion,
                        "ledger": number_of(standing.champion),
                    }
                },
            )
        )
        return [alarm]

    def _space(self, model: str, version: VersionRef) -> dict[str, Any]:
        """The evidence of how ``model`` keeps its coordinates now, and of what fits ``version``."""
        found = self.reader.version(self.registered_name(model), version.number)
        return space_evidence(mode_of(self._config, model), found)

    def is_registered(self, model: str, version: VersionRef) -> bool:
        """Whether the registry has that version, with those bytes."""
        found = self.reader.version(self.registered_name(model), version.number)
        return found is not None and found.embeddings_digest == version.digest

    def _alarm(self, model: str, move: Event | None, aliases: Aliases, state: AliasState) -> str:
        return alias_alarm(model, self.registered_name(model), move, aliases, state)


def alias_alarm(
    model: str,
    name: str,
    move: Event | None,
    aliases: Aliases,
    state: AliasState,
    *,
    is_noticed: bool = True,
) -> str:
    """What to tell of an alias that was moved by hand; ``is_noticed``: by a night or an order."""
    ledger = number_of(None if move is None else move.new)
    by_ledger = _place(ledger) + ("" if move is None else f" (event {move.number})")
    if state is AliasState.MOVED:
        said = f"points {_place(aliases.champion)}, but the ledger says {by_ledger}"
    else:
        said = f"points {by_ledger} again"
    held = "The model is held" if is_noticed else "The next night holds the model"
    return (
        f"{name}: the alias {CHAMPION} was moved by hand: it {said}. {held} until 'nightjar adopt "
        f"{model}' (the alias is right) or 'nightjar repair {model}' (the ledger is)"
    )


def _place(number: int | None) -> str:
    return "nowhere" if number is None else f"to version {number}"
