"""Titles of items, to be read beside their ids.

Titles are data from outside: who prints them makes them harmless (:mod:`nightjar.files`), as ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.model.lookup import VectorModel
from nightjar.store import Artifact, schemas

_TABLES = (schemas.DESCRIBED_ITEMS, schemas.ITEMS)
"""Of embeddings, and of events: both have ``item`` and ``title``."""


@dataclass(frozen=True)
class Titles:
    """Titles by token; of words, nodes and items without a title there are none."""

    by_token: Mapping[str, str] = field(default_factory=dict)

    def get(self, token: str) -> str:
        """The title of ``token``; "" if it has none, or one that repeats the token."""
        title = self.by_token.get(token, "")
        return "" if title == token else title

    def named(self, token: str) -> str:
        """``token (title)``, or the token alone."""
        title = self.get(token)
        return f"{token} ({title})" if title else token

    def named_all(self, tokens: Iterable[str]) -> list[str]:
        """:meth:`named` for each."""
        return [self.named(token) for token in tokens]


def titles_in(artifact: Artifact | None, tokens: Iterable[str]) -> Titles:
    """The titles of ``tokens`` in an artifact of embeddings or events; none without artifact.

    Streams the table: memory holds one batch and what is found.
    """
    table = None if artifact is None else next(filter(artifact.has_table, _TABLES), None)
    wanted = list(dict.fromkeys(tokens)) if table else []
    if artifact is None or table is None or not wanted:
        return Titles()
    values = pa.array(wanted, pa.string())
    found: dict[str, str] = {}
    for batch in artifact.batches(table, ["item", "title"]):
        kept = batch.filter(pc.is_in(batch.column("item"), value_set=values))
        pairs = zip(kept.column("item").to_pylist(), kept.column("title").to_pylist(), strict=True)
        found.update((item, title) for item, title in pairs if title)
    return Titles(found)


def titles_of(model: VectorModel, tokens: Sequence[str]) -> Titles:
    """The titles of ``tokens`` in an open model; none of a model that is not one of items."""
    if model.item_recommender is None or not tokens:
        return Titles()
    pairs = zip(tokens, model.titles_of(tokens), strict=True)
    return Titles({token: title for token, title in pairs if title})
