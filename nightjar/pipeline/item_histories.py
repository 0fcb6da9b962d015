"""What a user did with items, in the events that readers use."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.errors import InputError
from nightjar.pipeline.answerers import Answerers
from nightjar.store import Artifact, schemas

LONGEST = 1_000
"""Items of a history: the last ones."""


def history_of_user(
    answerers: Answerers, model: str, user: str, night: int | None = None
) -> list[str]:
    """The items of ``user``, the latest last, in the accepted events of the model's corpus.

    With ``night`` in those of that night. Streams the events. Raises InputError for a user without
    events, and for a model of another kind of corpus.
    """
    config = answerers.loaded.config
    name = model.partition("@")[0]
    if name not in config.models:
        raise InputError(f"{name} is not configured, so its users are unknown: name items instead")
    corpus = config.corpus_of(name)
    if config.corpora[corpus].kind != "events":
        raise InputError(f"{name} learns from {corpus}, which has no users: name items instead")
    asked = answerers.corpus(corpus, night)
    found = items_of_user(answerers.corpus_stage(asked, schemas.EVENTS), user)
    if not found:
        raise InputError(
            f"{corpus} has no event of the user {user!r}: ids are written as in the events; users "
            f"without events that are kept (bots, rare items) are not there"
        )
    return found


def items_of_user(events: Artifact, user: str) -> list[str]:
    """The last items of ``user`` with those that were held out, by time."""
    mine = [
        batch.filter(pc.equal(batch.column("user"), pa.scalar(user)))
        for batch in events.batches(schemas.EVENTS)
    ]
    rows = pa.Table.from_batches(mine, schemas.EVENTS_SCHEMA) if mine else None
    if rows is None or not len(rows):
        return []
    held_out = events.read(schemas.HELD_OUT)
    names = rows.column("session").unique()
    held_out = held_out.filter(pc.is_in(held_out.column("session"), value_set=names))
    columns = ["item", "time"]
    everything = pa.concat_tables([rows.select(columns), held_out.select(columns)])
    order = pc.sort_indices(everything, [("time", "ascending")])
    items: list[str] = everything.column("item").take(order).to_pylist()
    return items[-LONGEST:]
