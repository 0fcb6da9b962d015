"""Read and sessionize: from tables of events to what is kept of them, and from those to tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nightjar.config import EventsCorpusConfig, NightjarConfig
from nightjar.config.sources import NOT_SHAPING
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.stage import StageContext
from nightjar.sources.provisional_tables import check_event, check_item, gather, table_inputs
from nightjar.stages.events.provisional_events import build_events, write_sessions
from nightjar.store import FileIdentity, Identity, schemas

EVENTS_REVISION = 1
"""Raise it when the same sources give other events than before."""
SESSIONS_REVISION = 1
"""Raise it when the same events give other tokens than before."""

_SHAPING = (
    *("sources", "items", "time_zone", "sessions", "bots", "min_item_events", "held_out"),
    *("on_error", "max_lost", "max_expanded_bytes", "max_expansion"),
)
_NO_PLACES: Any = {
    "sources": {"__all__": set(NOT_SHAPING)},
    "items": {"__all__": set(NOT_SHAPING)},
}


class ReadEvents(Stage):
    """The stage that makes the events of a corpus of kind ``events``."""

    name = schemas.EVENTS
    verb = "read events"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = (
        "events by session and time, the last ones of some sessions held out, and facts about "
        "items; quarantines rows that are no event, with a reason"
    )
    tables = {
        schemas.EVENTS: schemas.EVENTS_SCHEMA,
        schemas.HELD_OUT: schemas.HELD_OUT_EVENTS_SCHEMA,
        schemas.ITEMS: schemas.ITEMS_SCHEMA,
        "quarantine": schemas.ROWS_QUARANTINE_SCHEMA,
    }

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every corpus of kind events."""
        return config.corpora_of(EventsCorpusConfig)

    def parents(self) -> Iterable[Parent]:
        """None: events come from outside."""
        return ()

    def identity(self, planning: Planning) -> Identity:
        """The sources' content, and how events become sessions."""
        del planning
        config = self.config.events_corpus(self.subject)
        return Identity(
            stage=schemas.EVENTS,
            name=self.subject,
            config=config.model_dump(mode="json", include=set(_SHAPING), exclude=_NO_PLACES),
            inputs=self._inputs(),
            code={"revision": EVENTS_REVISION},
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.build_events`."""
        config, staging = self.config.events_corpus(self.subject), context.staging
        rows = gather(config.sources, context.base_dir, check_event)
        items = gather(config.items, context.base_dir, check_item)
        build_events(config, rows.tables.values(), items.tables.values(), staging, context.progress)
        staging.write("quarantine", rows.quarantined)
        staging.report["sources"] = rows.report
        staging.counts["quarantined"] = len(rows.quarantine)

    def changed_input(self, planned: Identity) -> str:
        """What changed since the plan, as text; empty if nothing did."""
        is_same = tuple(self._inputs()) == tuple(planned.inputs)
        return "" if is_same else f"a file of {self.label}"

    def _inputs(self) -> list[FileIdentity]:
        config = self.config.events_corpus(self.subject)
        place = self.loaded.base_dir
        return [*table_inputs(config.sources, place), *table_inputs(config.items, place)]


class Sessionize(Stage):
    """The stage that makes tokens of sessions: a session is a sentence, an item a token."""

    name = schemas.TOKENS
    verb = "sessionize"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = "of events: sessions as sentences of items, and the items by rank"
    tables = {"sentences": schemas.SENTENCES_SCHEMA, "vocabulary": schemas.VOCABULARY_SCHEMA}
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every corpus of kind events."""
        return config.corpora_of(EventsCorpusConfig)

    def parents(self) -> Iterable[Parent]:
        """The events."""
        return (Parent(schemas.EVENTS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """The events alone: how they are cut into sessions shapes those."""
        return Identity(
            stage=schemas.TOKENS,
            name=self.subject,
            config={},
            parents={schemas.EVENTS: planning.parents[schemas.EVENTS]},
            code={"revision": SESSIONS_REVISION},
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.write_sessions`."""
        config = self.config.events_corpus(self.subject)
        write_sessions(config, context.parent(schemas.EVENTS), context)
