"""Fitting what recommends items: memories and blend on the validation events, new items placed.

Nothing here sees the test events. Each choice is the one with the highest NDCG among the items that
a session does not have yet; the first, which is the simplest, of equal ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.formats.embeddings import matrix_of
from nightjar.formats.event_sessions import EventSessions, read_sessions
from nightjar.formats.model_files import RECOMMENDING
from nightjar.model.lookup import Memory, NearItems, Recommender, RecommenderSettings
from nightjar.model.lookup.recommending import BLEND, WAYS
from nightjar.progress import Progress
from nightjar.scoring.item_ranks import discounted_gains, hide_seen, ranks_of_targets
from nightjar.stages.train.item_cooccurrence import count_near, near_variants
from nightjar.store import Artifact, Staging, schemas

logger = logging.getLogger(__name__)

TOPN = 10

_MEMORIES = (
    Memory(1, 1.0),
    *(Memory(k, decay) for k in (3, 5, 8, 12) for decay in (1.0, 0.85, 0.7)),
)
_WINDOWS = (3, 5, 10)
"""Within which items are near each other: on both sides, or only after an item."""
_STEPS = 10
"""Weights of a blend are multiples of a tenth."""
_MIN_SESSIONS = 30
"""With fewer validation events nothing is fitted."""
_MOST_SCORES = 12_000_000
"""Scores of one candidate: sessions times items; more sessions are sampled."""
_QUERIES_AT_ONCE = 256
_N_PLACED = 3
"""Known items that stand for a new one."""
_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class ValidationSessions:
    """Sessions and the row of the item that came next, -1 for one that the model does not know."""

    histories: Sequence[NDArray[np.int64]]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    def blocks(self) -> Iterator[slice]:
        """Consecutive sessions that are scored at once."""
        for first in range(0, len(self), _QUERIES_AT_ONCE):
            yield slice(first, first + _QUERIES_AT_ONCE)


def fit_recommender(name: str, events: Artifact, staging: Staging, progress: Progress) -> None:
    """Write ``near_items`` and ``described_items`` beside the vectors that ``staging`` has.

    ``staging.report["recommending"]`` has the settings, and the NDCG of each way on the validation
    events. Memory: both matrices, 16 bytes an event, pairs of items that stood near each other (12
    bytes each, five windows' worth at once), and :data:`_MOST_SCORES` scores thrice.
    """
    names, inputs, outputs = _vectors(staging)
    sessions = read_sessions(events, progress).known_as(names)
    asked = _validation(sessions, events, names)
    progress.start(f"fit recommendations of {name}", 2 * len(_WINDOWS) + 3, "steps")
    settings = RecommenderSettings(output=None if outputs is None else Memory(), blend=(0, 0, 1))
    empty = NearItems(np.zeros(len(names) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, "f4"))
    recommender = Recommender(settings, inputs, outputs, empty)
    ways = [way for way in WAYS if way != "output" or outputs is not None]
    scores: dict[str, float | None] = dict.fromkeys(ways)
    window, only_after = _WINDOWS[1], False
    if len(asked) < _MIN_SESSIONS:
        recommender = replace(
            recommender,
            settings=_defaults(outputs is not None),
            near=count_near(sessions, len(names), window, only_after),
        )
        logger.warning(
            "%s: %d validation events are too few to fit how items are recommended (%d are "
            "needed): defaults are used. Raise held_out.share",
            *(name, len(asked), _MIN_SESSIONS),
        )
    else:
        best: tuple[float, Memory, NearItems] | None = None
        for wide, is_after, near in near_variants(sessions, len(names), _WINDOWS):
            value, memory = _best_memory(replace(recommender, near=near), asked, WAYS[2])
            if best is None or value > best[0]:
                best, window, only_after = (value, memory, near), wide, is_after
            progress.advance(1)
        if best is None:
            raise TypeError("there is no candidate")
        found = {WAYS[2]: best[1]}
        scores[WAYS[2]] = best[0]
        recommender = replace(recommender, near=best[2])
        for way in ways[:-1]:
            scores[way], found[way] = _best_memory(recommender, asked, way)
            progress.advance(1)
        recommender = replace(recommender, settings=replace(settings, **found))  # type: ignore[arg-type]
        scores[BLEND], blend = _best_blend(recommender, asked, ways)
        recommender = replace(recommender, settings=replace(recommender.settings, blend=blend))
        progress.advance(1)
    _write_near(recommender.near, staging)
    placed = _write_described(events, names, staging)
    staging.counts["items_placed"] = placed
    staging.report[RECOMMENDING] = {
        "settings": recommender.settings.as_json(),
        "window": window,
        "only_after": only_after,
        "validation_sessions": len(asked),
        "validation_ndcg": scores,
    }


def _defaults(has_outputs: bool) -> RecommenderSettings:
    """What was chosen on MovieLens 100K (docs/items.md)."""
    memory = Memory(8, 0.7)
    if not has_outputs:
        return RecommenderSettings(None, memory, memory, (0.0, 0.0, 1.0))
    return RecommenderSettings(memory, memory, memory, (0.5, 0.0, 0.5))


def _vectors(
    staging: Staging,
) -> tuple[pa.Array, NDArray[np.float32], NDArray[np.float32] | None]:
    """Names, input vectors, and output vectors of negative sampling if there are any."""
    table = pq.read_table(staging.directory / "vectors.parquet").combine_chunks()
    (batch,) = table.to_batches()
    path = staging.directory / "output_vectors.parquet"
    outputs = None
    if path.exists():
        rows = pq.read_table(path, filters=[("kind", "=", "negative")]).combine_chunks()
        if len(rows) == len(table):
            outputs = matrix_of(rows.to_batches()[0])
    return batch.column("token"), matrix_of(batch), outputs


def _validation(sessions: EventSessions, events: Artifact, names: pa.Array) -> ValidationSessions:
    """The sessions with a validation event, or as many of them as are quick to score."""
    held_out = events.read(schemas.HELD_OUT, ["session", "item", "part"])
    chosen = held_out.filter(pc.equal(held_out.column("part"), pa.scalar("validation")))
    rows = pc.fill_null(pc.index_in(chosen.column("item"), value_set=names), -1).to_numpy()
    histories = sessions.of_names(chosen.column("session").combine_chunks())
    is_usable = np.array([len(history) > 0 for history in histories], np.bool_)
    usable = np.flatnonzero(is_usable)
    most = max(_MIN_SESSIONS, _MOST_SCORES // max(1, len(names)))
    if len(usable) > most:
        usable = usable[np.linspace(0, len(usable) - 1, most).astype(np.int64)]
    return ValidationSessions(
        [histories[place] for place in usable.tolist()], rows[usable].astype(np.int64)
    )


def _best_memory(
    recommender: Recommender, asked: ValidationSessions, way: str
) -> tuple[float, Memory]:
    values = np.zeros(len(_MEMORIES))
    for some in asked.blocks():
        histories, targets = asked.histories[some], asked.targets[some]
        for place, memory in enumerate(_MEMORIES):
            scores = recommender.part(histories, way, memory)
            hide_seen(scores, histories)
            ranks = ranks_of_targets(scores, targets)
            values[place] += discounted_gains(ranks, TOPN).sum()
    best = int(np.argmax(values))
    return float(values[best] / len(asked)), _MEMORIES[best]


def _best_blend(
    recommender: Recommender, asked: ValidationSessions, ways: Sequence[str]
) -> tuple[float, tuple[float, float, float]]:
    """The weights of the ways; with fewer ways first, then with more of the later ones."""
    blends = [
        (a, b, _STEPS - a - b)
        for a in range(_STEPS + 1)
        for b in range(_STEPS + 1 - a)
        if a == 0 or "output" in ways
    ]
    blends.sort(key=lambda blend: sum(map(bool, blend)))
    values = np.zeros(len(blends))
    for some in asked.blocks():
        histories, targets = asked.histories[some], asked.targets[some]
        parts = {way: recommender.part(histories, way) for way in ways}
        for part in parts.values():
            hide_seen(part, histories)
        for place, blend in enumerate(blends):
            scores = np.zeros((len(histories), recommender.n_items), np.float32)
            for way, share in zip(WAYS, blend, strict=True):
                if share:
                    scores += np.float32(share / _STEPS) * parts[way]
            ranks = ranks_of_targets(scores, targets)
            values[place] += discounted_gains(ranks, TOPN).sum()
    best = int(np.argmax(values))
    a, b, c = blends[best]
    return float(values[best] / len(asked)), (a / _STEPS, b / _STEPS, c / _STEPS)


def _write_near(near: NearItems, staging: Staging) -> None:
    lengths = np.diff(near.bounds)
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    with staging.writer(schemas.NEAR_ITEMS, schemas.NEAR_ITEMS_SCHEMA) as writer:
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            columns = [pa.array(column[some]) for column in (rows, near.items, near.shares)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schemas.NEAR_ITEMS_SCHEMA))


def _write_described(events: Artifact, names: pa.Array, staging: Staging) -> int:
    """Write titles of all described items, and where new ones are placed; how many are."""
    facts = events.read(schemas.ITEMS)
    described = facts.column("item").combine_chunks()
    found = pc.index_in(names, value_set=described)
    titles = facts.column("title").combine_chunks().take(found)
    is_known = pc.is_in(described, value_set=names)
    attributes = facts.column("attributes").to_pylist()
    known_rows = pc.index_in(described, value_set=names)
    new_places = np.flatnonzero(~is_known.to_numpy(zero_copy_only=False))
    known = {
        row: attributes[place]
        for place, row in enumerate(known_rows.to_pylist())
        if row is not None and attributes[place]
    }
    placed = place_new(known, [attributes[place] for place in new_places.tolist()])
    new = facts.take(pa.array(new_places))
    table = pa.table(
        {
            "item": pa.concat_arrays([names, new.column("item").combine_chunks()]),
            "title": pa.concat_arrays([titles, new.column("title").combine_chunks()]),
            "placed": pa.array(
                [[] for _ in range(len(names))] + placed,
                schemas.DESCRIBED_ITEMS_SCHEMA.field("placed").type,
            ),
        },
        schema=schemas.DESCRIBED_ITEMS_SCHEMA,
    )
    staging.write(schemas.DESCRIBED_ITEMS, table)
    return sum(map(bool, placed))


def place_new(known: dict[int, list[str]], new: Sequence[list[str]]) -> list[list[int]]:
    """For each new item the rows of the three known ones with the most alike attributes.

    Alike: the share of the attributes of both that they have in common (Jaccard), one at least. The
    more frequent of equally alike items comes first.
    """
    having: dict[str, list[int]] = {}
    for row, attributes in known.items():
        for attribute in attributes:
            having.setdefault(attribute, []).append(row)
    n_known = max(known, default=-1) + 1
    sizes = np.zeros(n_known)
    sizes[list(known)] = [len(attributes) for attributes in known.values()]
    rows_having = {attribute: np.array(rows, np.int64) for attribute, rows in having.items()}
    found = []
    for attributes in new:
        shared = np.zeros(n_known)
        for attribute in attributes:
            if attribute in rows_having:
                shared[rows_having[attribute]] += 1
        alike = shared / np.maximum(sizes + len(attributes) - shared, 1)
        n_placed = min(_N_PLACED, int((alike > 0).sum()))
        order = np.lexsort((np.arange(n_known), -alike))[:n_placed]
        found.append(order.tolist())
    return found
