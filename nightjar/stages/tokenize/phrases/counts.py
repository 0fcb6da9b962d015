"""Counting the candidate phrases of a shard, and merging the counts of a corpus."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.phrase_counting import count_equal, find_candidates, group_by_run, merge_runs

Run = tuple[int, ...]
"""Ids of the connector words between the two words of a candidate, in order."""

ROW_BYTES = 16
"""Bytes of a candidate and its count."""


@dataclass(frozen=True, eq=False)
class PhraseCounts:
    """Distinct candidates in order, and how often each occurs.

    A candidate is two words, neither of them a connector word, with only connector words (mostly
    none) between them. Those with run ``runs[r]`` are rows ``starts[r]`` to ``starts[r + 1]``;
    ``pairs`` (uint64) is the first word's id << 32 | the last one's. Runs ascend, and so do the
    pairs of a run: the same candidates give the same arrays, however they were counted.
    """

    runs: tuple[Run, ...]
    starts: NDArray[np.int64]
    pairs: NDArray[np.uint64]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pairs)

    def words_of(self, rows: NDArray[np.int64]) -> Iterator[Run]:
        """The ids of the words of the candidates ``rows``, connector words included."""
        pairs = self.pairs[rows]
        firsts, lasts = pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)
        runs = np.searchsorted(self.starts, rows, side="right") - 1
        for first, run, last in zip(firsts.tolist(), runs.tolist(), lasts.tolist(), strict=True):
            yield (first, *self.runs[run], last)


def count_shard(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], is_connector: NDArray[np.bool_]
) -> PhraseCounts:
    """Count the candidates of a shard.

    Sentence i is ``ids[offsets[i]:offsets[i + 1]]``; ``is_connector`` says for each id whether the
    word is a connector word. A word ends one candidate and starts the next, so candidates overlap;
    none crosses a sentence end. Memory: 28 bytes per token.
    """
    pairs = np.empty(len(ids), np.uint64)
    nodes = np.empty(len(ids), np.int32)
    n, parents, words = find_candidates(ids, offsets, is_connector, pairs, nodes)
    runs = _runs(parents, words)
    order = sorted(range(len(runs)), key=runs.__getitem__)
    rank_of_node = np.empty(len(runs), np.int64)
    rank_of_node[order] = np.arange(len(order))
    bounds = np.zeros(len(runs) + 1, np.int64)
    grouped = np.empty(n, np.uint64)
    group_by_run(pairs[:n], nodes[:n], rank_of_node, bounds, grouped)
    del pairs, nodes
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if end - start > 1:
            grouped[start:end].sort()
    counts = np.empty(n, np.int64)
    n = count_equal(grouped, bounds, counts)
    return _without_empty_runs(
        [runs[node] for node in order], bounds, grouped[:n].copy(), counts[:n].copy()
    )


def _runs(parents: NDArray[np.int32], words: NDArray[np.int32]) -> list[Run]:
    """The run of each node of the tree; parents come before their children."""
    runs: list[Run] = [()]
    for parent, word in zip(parents[1:].tolist(), words[1:].tolist(), strict=True):
        runs.append((*runs[parent], word))
    return runs


def _without_empty_runs(
    runs: list[Run],
    bounds: NDArray[np.int64],
    pairs: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> PhraseCounts:
    is_used = np.diff(bounds) > 0
    kept = tuple(run for run, keep in zip(runs, is_used.tolist(), strict=True) if keep)
    starts = np.append(bounds[:-1][is_used], bounds[-1])
    return PhraseCounts(kept, starts, pairs, counts)


def merge_counts(
    many: Iterable[PhraseCounts], spill_dir: Path | None = None, max_bytes: int = 1 << 30
) -> PhraseCounts:
    """Merge the counts of several shards; their order does not matter.

    Two sorted tables are merged in one pass. Each of ``many`` is read when its turn comes, and
    tables of similar size are merged, so a row is copied once per doubling. Memory: the tables that
    wait to be merged (together at most as many rows as counted so far) and, during a merge, its
    result. With ``spill_dir``, results larger than ``max_bytes`` are in unnamed files there, mapped
    into memory: the system can reclaim their pages, and the files disappear with the arrays.
    """
    waiting: list[PhraseCounts] = []
    for counts in many:
        waiting.append(counts)
        while len(waiting) > 1 and len(waiting[-2]) <= 2 * len(waiting[-1]):
            waiting.append(_merged(waiting.pop(), waiting.pop(), spill_dir, max_bytes))
    while len(waiting) > 1:
        waiting.append(_merged(waiting.pop(), waiting.pop(), spill_dir, max_bytes))
    if not waiting:
        nothing = np.zeros(0, np.int64)
        return PhraseCounts((), np.zeros(1, np.int64), nothing.astype(np.uint64), nothing)
    return waiting[0]


def _merged(
    one: PhraseCounts, other: PhraseCounts, spill_dir: Path | None, max_bytes: int
) -> PhraseCounts:
    runs = sorted({*one.runs, *other.runs})
    spans = np.hstack([_spans(one, runs), _spans(other, runs)])
    starts = np.empty(len(runs) + 1, np.int64)
    n_rows = len(one) + len(other)
    is_spilled = spill_dir is not None and n_rows * ROW_BYTES > max_bytes
    pairs, counts = (
        _mapped_rows(spill_dir, n_rows)
        if spill_dir is not None and is_spilled
        else (np.empty(n_rows, np.uint64), np.empty(n_rows, np.int64))
    )
    merge_runs(
        *(spans, one.pairs, one.counts, other.pairs, other.counts),
        *(starts, pairs, counts),
    )
    if is_spilled:
        pairs, counts = pairs[: starts[-1]], counts[: starts[-1]]
    else:
        # In place, so that unused memory is returned. Nothing else refers to the arrays.
        pairs.resize(starts[-1], refcheck=False)
        counts.resize(starts[-1], refcheck=False)
    return PhraseCounts(tuple(runs), starts, pairs, counts)


def _spans(table: PhraseCounts, runs: list[Run]) -> NDArray[np.int64]:
    """Start and end (n, 2) in ``table`` of each of ``runs``; equal for a run that it lacks."""
    row_of = {run: row for row, run in enumerate(table.runs)}
    rows = np.array([row_of.get(run, -1) for run in runs], np.int64)
    starts, ends = table.starts[rows], np.append(table.starts, 0)[rows + 1]
    return np.stack([starts, np.where(rows < 0, starts, ends)], axis=1)


def _mapped_rows(directory: Path, n_rows: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory) as stream:
        rows = np.memmap(stream, np.uint64, "w+", shape=(2, n_rows))
    plain = np.asarray(rows)  # numba rejects subclasses
    return plain[0], plain[1].view(np.int64)
