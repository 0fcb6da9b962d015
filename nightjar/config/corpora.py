"""The section ``corpora``: one class for each kind of corpus.

Every kind ends in tokens, which models learn from: sentences of a text, walks over a graph,
sessions of events. A kind is a section here and the stages that make its artifacts.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from nightjar.config.sections import Name, Section, Seed, Text
from nightjar.config.sources import IngestConfig, ReadingConfig
from nightjar.config.table_sources import EdgeSource, EventSource, ItemSource
from nightjar.config.tokenize import TokenizeConfig


class AcceptConfig(Section):
    """When a night's corpus is good enough to search, to compare with and to promote from."""

    max_documents_lost: float = Field(
        0.2, ge=0, le=1, description="share of the documents of the last accepted night"
    )
    max_tokens_lost: float = Field(
        0.2, ge=0, le=1, description="share of the tokens of the last accepted night"
    )


class TextCorpusConfig(IngestConfig):
    """Documents of text, cut into sentences of tokens."""

    kind: Literal["text"]
    tokenize: TokenizeConfig = TokenizeConfig()
    accept: AcceptConfig = AcceptConfig()

    @property
    def ingest(self) -> IngestConfig:
        """The settings that shape the documents: all except tokenization and acceptance."""
        values = {name: getattr(self, name) for name in IngestConfig.model_fields}
        return IngestConfig.model_construct(**values)


class AcceptGraphConfig(Section):
    """When a night's graph is good enough to compare with and to promote from."""

    max_nodes_lost: float = Field(
        0.2, ge=0, le=1, description="share of the nodes of the last accepted night"
    )
    max_edges_lost: float = Field(
        0.2, ge=0, le=1, description="share of the edges of the last accepted night"
    )


class WalksConfig(Section):
    """Random walks, which models read as sentences.

    With p = q = 1 those of DeepWalk (Perozzi et al. 2014, arXiv:1403.6652), otherwise those of
    node2vec (Grover and Leskovec 2016, arXiv:1607.00653, section 3.2).
    """

    per_node: int = Field(80, ge=1, le=10_000, description="walks that start at each node")
    length: int = Field(40, ge=2, le=10_000, description="nodes of a walk")
    p: float = Field(1.0, gt=0, le=1e6, description="return: small values stay near")
    q: float = Field(1.0, gt=0, le=1e6, description="in-out: small values move away")
    seed: Seed = 1


class GraphCorpusConfig(ReadingConfig):
    """Nodes and edges, walked into sentences of nodes."""

    kind: Literal["graph"]
    sources: dict[Name, EdgeSource] = Field(min_length=1)
    directed: bool = Field(False, description="edges lead from source to target alone")
    self_loops: Literal["drop", "keep"] = Field("drop", description="edges of a node to itself")
    duplicate_edges: Literal["auto", "once", "sum"] = Field(
        "auto",
        description="an edge given again: ignored (once) or its weights added (sum); auto: sum "
        "where a source has weights",
    )
    held_out: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the edges that no model sees, for benchmarks of type link_prediction",
    )
    walks: WalksConfig = WalksConfig()
    accept: AcceptGraphConfig = AcceptGraphConfig()


class AcceptEventsConfig(Section):
    """When a night's events are good enough to compare with and to promote from."""

    max_events_lost: float = Field(
        0.2, ge=0, le=1, description="share of the events of the last accepted night"
    )
    max_items_lost: float = Field(
        0.2, ge=0, le=1, description="share of the items of the last accepted night"
    )


class SessionsConfig(Section):
    """How the events of a user become sessions, which models read as sentences."""

    by: Literal["user", "gap", "column"] = Field(
        "user", description="a session is all of a user, ends with a pause, or is named by a column"
    )
    gap_minutes: float = Field(30.0, gt=0, description="with by: gap, a longer pause ends it")
    repeats: Literal["keep", "collapse", "once"] = Field(
        "collapse", description="an item again: in a row (collapse) or at all (once) counts once"
    )
    max_events: int = Field(
        10_000, ge=2, le=1_000_000, description="a longer session is cut into several"
    )


class BotsConfig(Section):
    """Which users are no people: their events are left out and counted."""

    events: int = Field(ge=1, description="more events of one user than this ...")
    minutes: float = Field(60.0, gt=0, description="... in any so many minutes")


class HoldOutConfig(Section):
    """The last events of a session (of a user, with ``by: user``), which no model sees.

    Benchmarks of type ``next_item`` ask for the last one; blends are fitted on those before it.
    """

    share: float = Field(0.1, ge=0, le=1, description="of the sessions, chosen by their names")
    test: int = Field(1, ge=0, le=1, description="last events, for benchmarks")
    validation: int = Field(1, ge=0, le=1, description="events before those, for fitting blends")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone, as in Europe/Berlin or UTC") from error
    return name


class EventsCorpusConfig(ReadingConfig):
    """What users did with items and when, as sessions of items."""

    kind: Literal["events"]
    sources: dict[Name, EventSource] = Field(min_length=1)
    items: dict[Name, ItemSource] = Field(
        {}, description="facts about items: titles, and attributes that place new ones"
    )
    time_zone: Annotated[Text, AfterValidator(_known_zone)] | None = Field(
        None, description="of times that name none, as in Europe/Berlin; null: they are refused"
    )
    sessions: SessionsConfig = SessionsConfig()
    bots: BotsConfig | None = Field(None, description="{events: 500, minutes: 60}; null: none")
    min_item_events: int = Field(1, ge=1, description="rarer items are left out and counted")
    held_out: HoldOutConfig = HoldOutConfig()
    accept: AcceptEventsConfig = AcceptEventsConfig()

    @model_validator(mode="after")
    def _columns_name_sessions(self) -> Self:
        for name, source in self.sources.items():
            has_column = source.session_column is not None
            if has_column != (self.sessions.by == "column"):
                raise ValueError(
                    f"sources.{name}.session_column and sessions: {{by: column}} go together; give "
                    f"both or neither"
                )
        return self


CorpusConfig = Annotated[
    TextCorpusConfig | GraphCorpusConfig | EventsCorpusConfig, Field(discriminator="kind")
]
