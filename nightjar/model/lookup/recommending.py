"""Which items come next: from the items so far, by vectors, by co-occurrence, or by a blend.

Three ways give each item a probability of being the next one, from the last ``k`` items of a
history, of which an earlier one counts ``decay`` times as much as the one after it:

- ``output``: the softmax of the products of the mean input vector of the history with the output
  vectors, as skip-gram and CBOW predict a word (Mikolov et al. 2013, arXiv:1301.3781);
- ``input``: the softmax of the cosines of that mean (of unit vectors) with the input vectors,
  divided by :data:`TEMPERATURE`;
- ``cooccurrence``: the mean of the shares with which items stood near each item of the history.

``blend`` is their mean with the weights that fitted the validation events best. An item that is
new to the model has the mean vector, and the mean shares, of the known items most like it
(``placed``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .lookup_errors import QueryError, TableDamaged, UnknownWords, counted
from .lookup_files import map_array
from .nearest import row_lengths, unit_rows

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

BLEND = "blend"
WAYS = ("output", "input", "cooccurrence")
"""The ways that a blend is made of, in the order of its weights."""
TEMPERATURE = 0.1
"""Of the softmax of cosines, which are at most 1 apart from 0."""

RECOMMENDING = "recommending.json"
OUTPUT_VECTORS = "output_vectors.npy"
NEAR_BOUNDS = "near_bounds.npy"
NEAR_ITEMS = "near_items.npy"
NEAR_SHARES = "near_shares.npy"
TITLES = "titles.arrow"
NEW_ITEMS = "new_items.arrow"

NEW_ITEMS_SCHEMA = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("placed", pa.list_(pa.field("element", pa.int32(), nullable=False))),
    ]
)
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class Memory:
    """How much of a history counts."""

    k: int = 5
    """The last so many items."""
    decay: float = 0.7
    """Weight of an item relative to the one after it."""


@dataclass(frozen=True)
class RecommenderSettings:
    """What was fitted: a memory for each way, and the blend."""

    output: Memory | None = None
    """None for a model without output vectors."""
    input: Memory = Memory()
    cooccurrence: Memory = Memory()
    blend: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Weights of :data:`WAYS`; their sum is 1."""

    def memory(self, way: str) -> Memory | None:
        """The memory of one of :data:`WAYS`."""
        found: Memory | None = getattr(self, way)
        return found

    @property
    def weights(self) -> dict[str, float]:
        """The ways that are blended, with their weights."""
        return {way: share for way, share in zip(WAYS, self.blend, strict=True) if share > 0}

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> RecommenderSettings:
        """From :meth:`as_json`."""
        memories = {way: None if found[way] is None else Memory(**found[way]) for way in WAYS}
        return cls(blend=tuple(found["blend"]), **memories)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class NearItems:
    """What stood near each item, sparse: ``items[bounds[i]:bounds[i + 1]]`` for item i."""

    bounds: NDArray[np.int64]
    """(n_items + 1,)"""
    items: NDArray[np.int32]
    shares: Floats
    """Of each item's neighbours; they sum to at most 1, less where rare neighbours were cut off."""


@dataclass(frozen=True, eq=False)
class Recommender:
    """Scores of every item; rows are those of the model's table."""

    settings: RecommenderSettings
    inputs: Floats
    """(n_items, d)"""
    outputs: Floats | None
    """(n_items, d); None for a model without output vectors."""
    near: NearItems
    placed: dict[int, Rows] = field(default_factory=dict)
    """The known rows that stand for a new item, whose row is beyond those of ``inputs``."""

    @property
    def n_items(self) -> int:
        """Known items: those that can be recommended."""
        return len(self.inputs)

    @cached_property
    def _units(self) -> Floats:
        return unit_rows(np.asarray(self.inputs), row_lengths(self.inputs))

    def probabilities(self, histories: Sequence[Rows], by: str) -> Floats:
        """The probability of every item to be next, shape (n_histories, n_items).

        A history has rows, oldest first, one at least. Raises QueryError for output vectors that
        the model does not have.
        """
        if by != BLEND:
            return self.part(histories, by)
        total = np.zeros((len(histories), self.n_items), np.float32)
        for way, share in self.settings.weights.items():
            total += np.float32(share) * self.part(histories, way)
        return total

    def part(self, histories: Sequence[Rows], way: str, memory: Memory | None = None) -> Floats:
        """Probabilities by one of :data:`WAYS`, with its own memory or another one."""
        memory = memory or self.settings.memory(way)
        if (way == "output" and self.outputs is None) or memory is None:
            raise QueryError(
                "the model has no output vectors (trainers word2vec and fasttext with negative "
                "sampling have them); recommend by input, cooccurrence or blend"
            )
        rows, weights, bounds = self._remembered(histories, memory)
        if way == "cooccurrence":
            return self._near_shares(rows, weights, bounds)
        if way == "input":
            means = _sums(self._units, rows, weights, bounds)
            cosines = unit_rows(means, row_lengths(means)) @ self._units.T
            return _softmax(cosines / np.float32(TEMPERATURE))
        means = _sums(self.inputs, rows, weights, bounds)
        return _softmax(means @ np.asarray(self.outputs).T)

    def _remembered(self, histories: Sequence[Rows], memory: Memory) -> tuple[Rows, Floats, Rows]:
        """The rows that count, their weights, and the bounds of each history among them."""
        last = [history[-memory.k :] for history in histories]
        lengths = np.array([len(rows) for rows in last], np.int64)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        rows = np.concatenate([np.zeros(0, np.int64), *last])
        ages = np.repeat(bounds[1:], lengths) - 1 - np.arange(len(rows))
        weights = memory.decay ** ages.astype(np.float64)
        of = np.repeat(np.arange(len(last)), lengths)
        weights /= np.bincount(of, weights, minlength=len(last))[of]
        if (rows >= self.n_items).any():
            known = [self.placed.get(row, [row]) for row in rows.tolist()]
            counts = np.array([len(several) for several in known], np.int64)
            rows = np.concatenate([np.asarray(several, np.int64) for several in known])
            weights = np.repeat(weights / counts, counts)
            bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])[bounds]
        return rows, weights.astype(np.float32), bounds

    def _near_shares(self, rows: Rows, weights: Floats, bounds: Rows) -> Floats:
        near = self.near
        first = np.asarray(near.bounds)[rows]
        lengths = np.asarray(near.bounds)[rows + 1] - first
        # The places of every neighbour of every row, end to end.
        places = np.arange(int(lengths.sum())) + np.repeat(first - _before(lengths), lengths)
        query = np.repeat(np.repeat(np.arange(len(bounds) - 1), np.diff(bounds)), lengths)
        found = np.zeros((len(bounds) - 1, self.n_items), np.float32)
        added = np.repeat(weights, lengths) * near.shares[places]
        np.add.at(found, (query, near.items[places]), added)
        return found


def _before(lengths: Rows) -> Rows:
    """The sum of the lengths before each."""
    found: Rows = np.cumsum(lengths) - lengths
    return found


def _sums(matrix: Floats, rows: Rows, weights: Floats, bounds: Rows) -> Floats:
    """The weighted sum of each history's rows."""
    found = np.zeros((len(bounds) - 1, matrix.shape[1]), np.float32)
    of = np.repeat(np.arange(len(found)), np.diff(bounds))
    np.add.at(found, of, matrix[rows] * weights[:, np.newaxis])
    return found


def _softmax(scores: Floats) -> Floats:
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


@dataclass(frozen=True)
class Recommendation:
    """An item, how likely it is next (among all items), and its title if it has one."""

    item: str
    score: float
    title: str | None = None


def best_rows(scores: Floats, topn: int) -> Rows:
    """The rows with the highest positive scores, best first; equal ones in row order."""
    n_positive = int((scores > 0).sum())
    topn = min(topn, n_positive)
    if topn == 0:
        return np.zeros(0, np.int64)
    least = np.partition(scores, -topn)[-topn]
    rows = np.flatnonzero(scores >= least)
    found: Rows = rows[np.argsort(-scores[rows], kind="stable")][:topn]
    return found


def recommended(
    recommender: Recommender,
    histories: Sequence[Rows],
    topn: int,
    by: str = BLEND,
    may_repeat: bool = False,
) -> list[tuple[Rows, Floats]]:
    """For each history the rows of the best items and their probabilities, best first.

    Items of the history are left out unless ``may_repeat``. An item without any probability is
    not recommended, so there may be fewer than ``topn``.
    """
    answers: list[tuple[Rows, Floats]] = []
    for first in range(0, len(histories), _QUERIES_AT_ONCE):
        some = histories[first : first + _QUERIES_AT_ONCE]
        scores = recommender.probabilities(some, by)
        for place, history in enumerate(some):
            if not may_repeat:
                scores[place, history[history < recommender.n_items]] = 0
            rows = best_rows(scores[place], topn)
            answers.append((rows, scores[place, rows]))
    return answers


# -- the files of a model ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RecommenderContent:
    """What is written beside the vectors of a model of items."""

    settings: RecommenderSettings
    output_vectors: Floats | None
    near: NearItems
    titles: pa.Array
    """Of each known item, null where there is none."""
    new_items: pa.Table
    """:data:`NEW_ITEMS_SCHEMA`: described items that the model does not know."""


def write_recommender(directory: Path, content: RecommenderContent) -> None:
    """Write the files that :meth:`ItemRecommender.open` opens."""
    if content.output_vectors is not None:
        np.save(directory / OUTPUT_VECTORS, content.output_vectors, allow_pickle=False)
    for name, array in (
        (NEAR_BOUNDS, content.near.bounds),
        (NEAR_ITEMS, content.near.items),
        (NEAR_SHARES, content.near.shares),
    ):
        np.save(directory / name, array, allow_pickle=False)
    titles = pa.table({"title": pa.array(content.titles, pa.large_string())})
    for name, table in ((TITLES, titles), (NEW_ITEMS, content.new_items)):
        with (
            pa.OSFile(str(directory / name), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
    text = json.dumps(content.settings.as_json(), indent=1) + "\n"
    (directory / RECOMMENDING).write_text(text, encoding="utf-8")


class ItemRecommender:
    """A recommender by the ids of items, with their titles."""

    def __init__(
        self, name: str, recommender: Recommender, titles: pa.Array, new_items: pa.Table
    ) -> None:
        self.name = name
        self.titles = titles
        self.new_items = new_items
        first = recommender.n_items
        self.recommender = Recommender(
            recommender.settings,
            recommender.inputs,
            recommender.outputs,
            recommender.near,
            {
                first + place: np.array(rows, np.int64)
                for place, rows in enumerate(new_items.column("placed").to_pylist())
                if rows
            },
        )

    @classmethod
    def open(cls, name: str, directory: Path, inputs: Floats) -> ItemRecommender | None:
        """Open what :func:`write_recommender` wrote; None for a model that is not one of items.

        Raises TableDamaged.
        """
        path = directory / RECOMMENDING
        if not path.exists():
            return None
        try:
            settings = RecommenderSettings.of_json(json.loads(path.read_text(encoding="utf-8")))
            tables = [
                pa.ipc.open_file(pa.memory_map(str(directory / file))).read_all()
                for file in (TITLES, NEW_ITEMS)
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TableDamaged(f"{path} cannot be read ({error}); fetch the model again") from error
        outputs = directory / OUTPUT_VECTORS
        near = NearItems(
            *(map_array(directory / n) for n in (NEAR_BOUNDS, NEAR_ITEMS, NEAR_SHARES))
        )
        recommender = Recommender(
            settings, inputs, map_array(outputs) if outputs.exists() else None, near
        )
        return cls(name, recommender, tables[0].column("title").combine_chunks(), tables[1])

    @cached_property
    def _new_rows(self) -> dict[str, int]:
        first = self.recommender.n_items
        names = self.new_items.column("item").to_pylist()
        rows = {name: first + place for place, name in enumerate(names)}
        return {name: row for name, row in rows.items() if row in self.recommender.placed}

    def rows_of(self, items: Sequence[str], known: Iterable[int]) -> Rows:
        """The row of each item, of which ``known`` are those of the table; -1 if it has none."""
        rows = [
            row if row >= 0 else self._new_rows.get(item, -1)
            for item, row in zip(items, known, strict=True)
        ]
        return np.array(rows, np.int64)

    def title(self, row: int) -> str | None:
        """The title of an item by its row."""
        n_known = self.recommender.n_items
        if row < n_known:
            found: str | None = self.titles[row].as_py()
        else:
            found = self.new_items.column("title")[row - n_known].as_py()
        return found

    def history(self, items: Sequence[str], known: Iterable[int]) -> Rows:
        """The rows of a history; items that are unknown are left out of it.

        Raises QueryError without items, UnknownWords when none is known.
        """
        if not items:
            raise QueryError("no item is given: give one at least, the latest last")
        rows = self.rows_of(items, known)
        if (rows < 0).all():
            shown = ", ".join(items[:5])
            raise UnknownWords(
                f"{self.name} knows none of {counted(len(items), 'item')} ({shown}): neither from "
                f"events nor by attributes. Ids are looked up as they are written in the events",
                list(dict.fromkeys(items)),
            )
        return rows[rows >= 0]
