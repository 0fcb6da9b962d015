"""The kinds of corpora: what their tokens are made from, and what is counted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nightjar.store.opening import Artifact
from nightjar.store.schemas import DOCUMENTS, EVENTS, GRAPH


@dataclass(frozen=True)
class CorpusKind:
    """A kind of corpus."""

    source: str
    """The stage whose artifact its tokens are made from."""
    unit: str
    """What its sources give, in the singular."""
    amounts: tuple[str, str]
    """What an accepted night has amounts of, the main one first."""
    embeds: str = "word"
    """What its models have vectors of, in the singular."""
    sentence: str = "sentence"
    """What a sentence of tokens is, in the singular."""

    @property
    def kept(self) -> str:
        """Key of a source's counts in ``report["sources"]``: how many of its units were kept."""
        return "documents_kept" if self.source == DOCUMENTS else "rows_kept"


KINDS: Mapping[str, CorpusKind] = MappingProxyType(
    {
        "text": CorpusKind(DOCUMENTS, "document", ("documents", "tokens")),
        "graph": CorpusKind(GRAPH, "edge", ("nodes", "edges"), "node", "walk"),
        "events": CorpusKind(EVENTS, "event", ("events", "items"), "item", "session"),
    }
)
"""By the key ``kind`` of the config."""
CORPUS_SOURCES = tuple(kind.source for kind in KINDS.values())
"""Every stage that tokens are made from."""
AMOUNTS = tuple(name for kind in KINDS.values() for name in kind.amounts)
"""Everything that a corpus of some kind has amounts of."""
NO_DROPS = frozenset(
    (
        *(kind.kept for kind in KINDS.values()),
        "files_read",
        "characters_kept",
        "quarantined",
        "documents",
        "rows_read",
    )
)
"""Keys of a source's counts that are no reasons why something was left out or changed."""


def kind_of(stage: str) -> CorpusKind:
    """The kind of corpus whose source is ``stage``. Raises KeyError."""
    return {kind.source: kind for kind in KINDS.values()}[stage]


def kept_by_source(artifact: Artifact | None) -> dict[str, int]:
    """How many documents, edges or events each source gave; empty without an artifact."""
    if artifact is None:
        return {}
    key = kind_of(artifact.ref.stage).kept
    found = artifact.manifest.report.get("sources", {})
    return {source: int(counts.get(key, 0)) for source, counts in found.items()}
