"""How the words of a model changed between two embeddings: which came and went, and which moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.drift import Pairs, align, displacements
from nightjar.formats.item_titles import Titles, titles_in
from nightjar.store import Artifact, schemas
from nightjar.wording import counted

DRIFT = "drift"
"""The stage, if there is one, that measures how far words moved beyond what another seed does."""
N_LISTED = 100
N_VOCABULARY = 1_000
_MOST_ALIGNED = 20_000
"""The map between two trainings is estimated from so many of the most frequent shared words: it has
a few thousand values."""
_MOST_MEASURED = 100_000
_BATCH = 65_536


@dataclass(frozen=True)
class MovedToken:
    """A word that both have. What was not measured is None."""

    token: str
    count: int
    displacement: float
    """Cosine distance after the alignment, 0 to 2."""
    floor: float | None = None
    """The displacement that another seed gives it."""
    is_beyond: bool | None = None
    """Whether it moved farther than chance moves words of its frequency."""
    neighbors_before: tuple[str, ...] = ()
    neighbors_after: tuple[str, ...] = ()


@dataclass(frozen=True)
class WordChanges:
    """The differences of two vocabularies with their vectors."""

    n_before: int
    n_after: int
    n_come: int
    n_gone: int
    come: tuple[tuple[str, int], ...]
    """The most frequent words, with their counts."""
    gone: tuple[tuple[str, int], ...]
    moved: tuple[MovedToken, ...] = ()
    """Those that moved most, the farthest first."""
    n_measured: int = 0
    median: float | None = None
    """Displacement that half of the measured words do not reach."""
    n_beyond: int | None = None
    """How many moved beyond chance; None where chance is not measured."""
    note: str = ""
    """Why nothing is known of moves, or what they were compared with."""
    titles: Titles = field(default_factory=Titles)
    """Of the items that are listed."""

    @property
    def listed(self) -> Iterator[str]:
        """Every token that a page or a table shows."""
        for token, _ in (*self.come, *self.gone):
            yield token
        for moved in self.moved:
            yield from (moved.token, *moved.neighbors_before, *moved.neighbors_after)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, with the first hundred words of each kind."""
        return {
            **asdict(self),
            "come": self.come[:N_LISTED],
            "gone": self.gone[:N_LISTED],
            "titles": dict(self.titles.by_token),
        }


def compare_words(before: Artifact, after: Artifact, drift: Artifact | None) -> WordChanges:
    """Compare two embeddings artifacts.

    ``drift`` is what measured exactly these two, if that is kept: then the floor is known.
    Otherwise the moves of the most frequent words are measured here. Memory: both vocabularies,
    and the vectors of 100,000 words.
    """
    changes = _compared(before, after, drift)
    listed = list(changes.listed)
    known = {**titles_in(before, listed).by_token, **titles_in(after, listed).by_token}
    return replace(changes, titles=Titles(known))


def _compared(before: Artifact, after: Artifact, drift: Artifact | None) -> WordChanges:
    columns = ["token", "count"]
    then, now = before.read("vectors", columns), after.read("vectors", columns)
    come = _only_in(now, then)
    gone = _only_in(then, now)
    changes = WordChanges(
        n_before=len(then),
        n_after=len(now),
        n_come=len(come),
        n_gone=len(gone),
        come=_listed(come),
        gone=_listed(gone),
    )
    if before.manifest.digest == after.manifest.digest:
        return replace(changes, note="these are the same vectors")
    if drift is not None:
        return replace(changes, **_of_artifact(drift))
    return replace(changes, **_measured(before, after))


def drift_of_pair(drift: Artifact, before: str, after: str) -> bool:
    """Whether a drift artifact compares exactly these versions of embeddings."""
    identity = drift.manifest.identity
    then = identity["config"].get("before", {}).get("version")
    return (then, identity["parents"].get(schemas.EMBEDDINGS)) == (before, after)


def _only_in(one: pa.Table, other: pa.Table) -> pa.Table:
    known = other.column("token").combine_chunks()
    return one.filter(pc.invert(pc.is_in(one.column("token"), value_set=known)))


def _listed(words: pa.Table) -> tuple[tuple[str, int], ...]:
    first = words.slice(0, N_VOCABULARY)
    return tuple(zip(*(column.to_pylist() for column in first.columns), strict=True))


def _of_artifact(drift: Artifact) -> Mapping[str, Any]:
    """The moves that the stage measured; columns that it does not have are None."""
    table, counts = drift.read("words"), drift.manifest.counts
    beyond = table.column("is_beyond")
    is_known = beyond.null_count < len(beyond)
    return {
        "moved": tuple(
            MovedToken(
                token=row["token"],
                count=int(row["count_after"]),
                displacement=float(row["displacement"]),
                floor=row["floor_displacement"],
                is_beyond=row["is_beyond"],
                neighbors_before=tuple(row["neighbors_before"] or ()),
                neighbors_after=tuple(row["neighbors_after"] or ()),
            )
            for row in table.slice(0, N_LISTED).to_pylist()
        ),
        "n_measured": int(counts.get("shared", len(table))),
        "n_beyond": int(counts.get("beyond", pc.sum(beyond).as_py() or 0)) if is_known else None,
        "note": f"measured in {drift.ref}"
        + ("" if is_known else "; what another seed does is not known ('nightjar noise')"),
    }


def _measured(before: Artifact, after: Artifact) -> Mapping[str, Any]:
    """The moves of the most frequent shared words, measured now."""
    (left_tokens, left, left_counts), (right_tokens, right, right_counts) = (
        _first_rows(artifact) for artifact in (before, after)
    )
    if left.shape[1] != right.shape[1]:
        sizes = f"{left.shape[1]} and of {counted(right.shape[1], 'value')}"
        return {"note": f"vectors of {sizes} cannot be compared"}
    places = pc.index_in(left_tokens, value_set=right_tokens)
    left_rows = np.flatnonzero(np.asarray(pc.is_valid(places)))
    right_rows = np.asarray(pc.drop_null(places)).astype(np.int64)
    are_there = left[left_rows].any(axis=1) & right[right_rows].any(axis=1)
    left_rows, right_rows = left_rows[are_there], right_rows[are_there]
    if len(left_rows) <= left.shape[1]:
        return {"note": "too few words are in both to align them"}
    counts = np.minimum(left_counts[left_rows], right_counts[right_rows])
    first = slice(0, _MOST_ALIGNED)
    pairs = Pairs(left, right, left_rows[first], right_rows[first])
    rotation = align(pairs, counts[first]).rotation
    found = displacements(Pairs(left, right, left_rows, right_rows), rotation)
    order = np.argsort(-found, kind="stable")[:N_LISTED]
    tokens = left_tokens.take(pa.array(left_rows[order])).to_pylist()
    return {
        "moved": tuple(
            MovedToken(token, int(counts[place]), float(found[place]))
            for token, place in zip(tokens, order.tolist(), strict=True)
        ),
        "n_measured": len(found),
        "median": float(np.median(found)),
        "note": "measured now, without what another seed does: rare words move anyway",
    }


def _first_rows(
    artifact: Artifact,
) -> tuple[pa.Array, NDArray[np.float32], NDArray[np.int64]]:
    """Tokens, vectors and counts of the most frequent words."""
    table = read_first(artifact, _MOST_MEASURED)
    return (
        table.column("token").combine_chunks(),
        matrix_of(table),
        table.column("count").to_numpy().astype(np.int64),
    )


def matrix_of(table: pa.Table) -> NDArray[np.float32]:
    """The column ``vector`` (n, vector_size), without copying if it is one chunk."""
    column = table.column("vector").combine_chunks()
    size = column.type.list_size
    values: NDArray[np.float32] = column.flatten().to_numpy().reshape(-1, size)
    return values


def read_first(artifact: Artifact, n_rows: int) -> pa.Table:
    """The most frequent words of embeddings: token, count and vector."""
    parts, n_missing = [], n_rows
    for batch in artifact.batches("vectors", ["token", "count", "vector"], min(n_rows, _BATCH)):
        parts.append(batch.slice(0, n_missing))
        n_missing -= len(parts[-1])
        if not n_missing:
            break
    if not parts:
        return artifact.schema("vectors").empty_table()
    return pa.Table.from_batches(parts).combine_chunks()
