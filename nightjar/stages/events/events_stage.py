"""Read and sessionize: from tables of events to what is kept of them, and from those to tokens."""

from __future__ import annotations

from collections.abc import Iterable

from nightjar.config import EventsCorpusConfig, NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.stage import StageContext
from nightjar.sources.purge_list import Purged, PurgeList
from nightjar.sources.selection import Fetching
from nightjar.sources.tables import read_row_shards, rows_code, rows_config, table_inputs
from nightjar.stages.events.erasing_users import (
    erase_from_events,
    erase_from_row_shard,
    erase_from_session_tokens,
)
from nightjar.stages.events.events_artifact import build_events
from nightjar.stages.events.session_tokens import write_sessions
from nightjar.store import Identity, schemas

EVENTS_REVISION = 2
"""Raise it when the same sources give other events than before."""
SESSIONS_REVISION = 1
"""Raise it when the same events give other tokens than before."""

_SHAPING = ("sessions", "bots", "min_item_events", "held_out")


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
        "quarantine": schemas.QUARANTINE_SCHEMA,
    }
    pieces = {
        schemas.ROW_SHARDS: {
            schemas.ROWS: schemas.EVENT_ROWS_SCHEMA,
            schemas.ITEMS: schemas.ITEM_ROWS_SCHEMA,
            "quarantine": schemas.QUARANTINE_SCHEMA,
        }
    }
    erasers = {
        schemas.EVENTS: erase_from_events,
        schemas.ROW_SHARDS: erase_from_row_shard,
    }
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every corpus of kind events."""
        return config.corpora_of(EventsCorpusConfig)

    def parents(self) -> Iterable[Parent]:
        """None: events come from outside."""
        return ()

    def identity(self, planning: Planning) -> Identity:
        """The sources' content, and how events become sessions; fetches remote files."""
        config = self.config.events_corpus(self.subject)
        fetching = Fetching.of(self.loaded.artifacts_dir, planning)
        purged = self.purged
        return Identity(
            stage=schemas.EVENTS,
            name=self.subject,
            config={
                **config.model_dump(mode="json", include=set(_SHAPING)),
                "rows": rows_config(config),
                **({"purged": purged.digest} if purged.users else {}),
            },
            inputs=table_inputs(config, self.loaded.base_dir, fetching),
            code={"revision": EVENTS_REVISION, **rows_code(config)},
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.read_row_shards` and :func:`.build_events`."""
        config, staging = self.config.events_corpus(self.subject), context.staging
        rows = read_row_shards(config, context, self.purged)
        items = (batch for shard in rows.of_items() for batch in shard.batches())
        build_events(config, rows.batches(), items, staging, context.progress)
        rows.note_in(staging)

    @property
    def purged(self) -> Purged:
        """The users that were purged from the corpus."""
        return PurgeList.read(self.loaded.pipeline_dir, self.subject).purged


class Sessionize(Stage):
    """The stage that makes tokens of sessions: a session is a sentence, an item a token."""

    name = schemas.TOKENS
    verb = "sessionize"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = "of events: sessions as sentences of items, and the items by rank"
    tables = {"sentences": schemas.SENTENCES_SCHEMA, "vocabulary": schemas.VOCABULARY_SCHEMA}
    erasers = {schemas.TOKENS: erase_from_session_tokens}
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
