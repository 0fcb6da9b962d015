"""From a graph to the tokens artifact: walks are its sentences, visits the counts of its words."""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.corpora import GraphCorpusConfig, WalksConfig
from nightjar.core.executors import Advance
from nightjar.core.stage import StageContext
from nightjar.errors import VocabularyError
from nightjar.kernels.visit_counts import VISITS, WALKS, pack_walks, tally_visits
from nightjar.stages.graph.graph_loading import WalkableGraph
from nightjar.store import (
    Artifact,
    FileEntry,
    Staging,
    only_writes,
    part_name,
    release_free_memory,
    schemas,
    write_part,
)

logger = logging.getLogger(__name__)

Shared = TypeVar("Shared")
Result = TypeVar("Result")

_BATCH_VISITS = 1 << 20
"""A row group of ``sentences`` has at most so many tokens (or one walk)."""
_PART_BATCHES = 4
"""Row groups of a part."""
_PIECES_PER_WORKER = 4
"""On a cluster: each piece loads the graph, so there are few, and the last ones end together."""
_WALKING_DIR = "walking"
_RANKS_FILE = "ranks.npy"
_MOST_FREQUENT = 20
_COUNTED = ("sentences", "tokens", "walks_of_one_node", "walks_cut_short")
_DROPPED = {
    "walks_of_one_node": "walks from nodes that no edge leaves: there is nothing to learn from",
    "nodes_not_visited": "nodes of the graph that no walk of two nodes or more visits; they get no "
    "vector",
}


def write_walks(config: GraphCorpusConfig, graph: Artifact, context: StageContext) -> None:
    """Write ``sentences`` and ``vocabulary`` of the tokens artifact of a graph.

    A sentence is a walk; ``doc_id`` is the id of the node where it starts and ``sentence`` the
    number of its round. Each round starts once at every node, in a random order of its own, as
    gradient descent needs (DeepWalk, arXiv:1403.6652, algorithm 1). In ``vocabulary``, ``count`` is
    the number of visits and ``n_documents`` the number of walks that visit the node at least once.

    Token ids are ranks by visits, which are known when the last walk has ended. So walks are first
    written as numbers of nodes, 4 bytes a visit, next to the artifact, then read again as ranks.
    Walking twice needs no such room, but a step of second order takes ten times as long as reading
    it. Walks and ranks are computed in threads of this process, which share the graph, or in pieces
    on a cluster; the bytes are the same either way.

    Memory: the graph (:class:`.graph_loading.WalkableGraph`), 24 bytes for each node, and about
    20 MB for each thread; afterwards the ids of the nodes instead of the graph.

    Raises VocabularyError when walks visit fewer than two nodes.
    """
    staging = context.staging
    work = _Work(config.walks, graph, staging.directory)
    directory = staging.directory / _WALKING_DIR
    with only_writes(staging.root):
        directory.mkdir()
    n_nodes = graph.rows(schemas.NODES)
    n_parts = work.n_parts(n_nodes)
    logger.info("walking over %s: %d parts", graph.ref, n_parts)
    tallies = _walk(work, n_nodes, n_parts, context)
    order = _ranked(tallies)
    if len(order) < 2:
        raise VocabularyError(
            f"walks visit {len(order)} of {n_nodes} nodes and a model needs at least 2; add edges "
            f"to sources"
        )
    rank_of = np.full(n_nodes, -1, np.int32)
    rank_of[order] = np.arange(len(order), dtype=np.int32)
    _write_vocabulary(graph, order, tallies, staging)
    del tallies
    with only_writes(staging.root):
        np.save(directory / _RANKS_FILE, rank_of)
    _rank(work, n_parts, context)
    with only_writes(staging.root):
        shutil.rmtree(directory)
    staging.counts["nodes_not_visited"] = n_nodes - len(order)
    staging.report["dropped"] = _DROPPED


@dataclass(frozen=True)
class _Work:
    """Some parts of the walks, with everything needed to make them."""

    walks: WalksConfig
    graph: Artifact
    directory: Path
    """The staging directory of the tokens."""
    first: int = 0
    end: int = 0
    """The parts to make, from ``first`` to before ``end``."""

    @property
    def walks_of_batch(self) -> int:
        return max(1, _BATCH_VISITS // self.walks.length)

    def n_parts(self, n_nodes: int) -> int:
        """How many parts all walks have."""
        return -(-n_nodes * self.walks.per_node // (self.walks_of_batch * _PART_BATCHES))

    def batches(self, part: int, n_nodes: int) -> Iterator[tuple[int, int]]:
        """The first walk and the number of walks of each batch of a part."""
        n_walks = n_nodes * self.walks.per_node
        for batch in range(part * _PART_BATCHES, (part + 1) * _PART_BATCHES):
            first = batch * self.walks_of_batch
            if first < n_walks:
                yield first, min(self.walks_of_batch, n_walks - first)

    def path(self, part: int, what: str) -> Path:
        """The unfinished walks of a part: their ``nodes`` end to end, or their ``lengths``."""
        return self.directory / _WALKING_DIR / f"{part:06d}.{what}"

    @property
    def root(self) -> Path:
        return self.directory.parents[1]

    def pieces(self, n_parts: int, n_pieces: int) -> list[_Work]:
        bounds = np.linspace(0, n_parts, min(n_pieces, n_parts) + 1).astype(int).tolist()
        return [replace(self, first=first, end=end) for first, end in pairwise(bounds)]


def walk_piece(piece: _Work, advance: Advance) -> list[int]:
    """Walk the parts of a piece; returns their numbers."""
    graph = WalkableGraph.load(piece.graph, piece.walks)
    return [_walk_part(graph, piece, part, advance) for part in range(piece.first, piece.end)]


def _walk_part(graph: WalkableGraph, work: _Work, part: int, advance: Advance) -> int:
    nodes_path, lengths_path = work.path(part, "nodes"), work.path(part, "lengths")
    with only_writes(work.root), nodes_path.open("wb") as nodes, lengths_path.open("wb") as lengths:
        for first, n_walks in work.batches(part, graph.n_nodes):
            walks = graph.walk(first, n_walks)
            packed, length_of = np.empty(walks.size, np.int32), np.empty(n_walks, np.int32)
            n_packed = pack_walks(walks, packed, length_of)
            nodes.write(packed[:n_packed].data)
            lengths.write(length_of.data)
            advance(n_walks)
    return part


def rank_piece(piece: _Work, advance: Advance) -> list[FileEntry]:
    """Write the parts of ``sentences`` of a piece, from its walks."""
    names = _Names.load(piece)
    return [_rank_part(names, piece, part, advance) for part in range(piece.first, piece.end)]


@dataclass(frozen=True, eq=False)
class _Names:
    """The id of each node, and its rank or -1."""

    ids: pa.ChunkedArray
    rank_of: NDArray[np.int32]

    @classmethod
    def load(cls, work: _Work) -> _Names:
        ids = work.graph.read(schemas.NODES, ["node"]).column("node")
        return cls(ids, np.load(work.directory / _WALKING_DIR / _RANKS_FILE))


def _rank_part(names: _Names, work: _Work, part: int, advance: Advance) -> FileEntry:
    nodes, lengths = _packed(work, part)

    def batches() -> Iterator[pa.RecordBatch]:
        begin = n_before = 0
        for first, n_walks in work.batches(part, len(names.ids)):
            length_of = lengths[n_before : n_before + n_walks]
            rows = np.flatnonzero(length_of)
            offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(length_of[rows])])
            visited = nodes[begin : begin + offsets[-1]]
            lists = pa.ListArray.from_arrays(
                pa.array(offsets, pa.int32()),
                pa.array(names.rank_of[visited]),
                type=schemas.SENTENCES_SCHEMA.field("token_ids").type,
            )
            ids = names.ids.take(pa.array(visited[offsets[:-1]])).combine_chunks()
            rounds = ((first + rows) // len(names.ids)).astype(np.int32)
            columns = [ids, pa.array(rounds), lists]
            yield pa.record_batch(columns, schema=schemas.SENTENCES_SCHEMA)
            begin += int(offsets[-1])
            n_before += n_walks
            advance(n_walks)

    name = part_name("sentences", part)
    return write_part(work.root, work.directory, name, schemas.SENTENCES_SCHEMA, batches())


def _packed(work: _Work, part: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The nodes of a part's walks, end to end, and the length of each walk."""
    return np.fromfile(work.path(part, "nodes"), np.int32), np.fromfile(
        work.path(part, "lengths"), np.int32
    )


def _walk(work: _Work, n_nodes: int, n_parts: int, context: StageContext) -> NDArray[np.int64]:
    """Write the walks of all parts, and tally the visits of each node meanwhile."""
    staging, progress = context.staging, context.progress
    progress.start("walk", n_nodes * work.walks.per_node, "walks")
    tallies = np.zeros((n_nodes, 3), np.int64)
    n_before = 0
    staging.counts.update(dict.fromkeys(_COUNTED, 0))

    def tally(part: int) -> None:
        nonlocal n_before
        nodes, lengths = _packed(work, part)
        tally_visits(nodes, lengths, n_before, tallies)
        n_before += len(lengths)
        n_kept = int(np.count_nonzero(lengths))
        staging.counts["sentences"] += n_kept
        staging.counts["tokens"] += len(nodes)
        staging.counts["walks_of_one_node"] += len(lengths) - n_kept
        staging.counts["walks_cut_short"] += int(
            np.count_nonzero((lengths > 0) & (lengths < work.walks.length))
        )

    if context.executor.is_cluster:
        pieces = work.pieces(n_parts, _PIECES_PER_WORKER * context.executor.n_workers)
        for parts in context.executor.map(walk_piece, pieces, progress.advance):
            for part in parts:
                tally(part)
    else:
        graph = WalkableGraph.load(work.graph, work.walks)
        for part in _in_threads(_walk_part, graph, work, n_parts, context):
            tally(part)
        del graph
        release_free_memory()
    return tallies


def _rank(work: _Work, n_parts: int, context: StageContext) -> None:
    """Write ``sentences``; a part's walks are removed once they are written."""
    staging, progress = context.staging, context.progress
    progress.start("write walks", staging.counts["sentences"], "walks")
    entries: list[FileEntry] = []

    def keep(entry: FileEntry) -> None:
        with only_writes(staging.root):
            for what in ("nodes", "lengths"):
                work.path(len(entries), what).unlink(missing_ok=True)
        entries.append(entry)

    if context.executor.is_cluster:
        pieces = work.pieces(n_parts, _PIECES_PER_WORKER * context.executor.n_workers)
        for written in context.executor.map(rank_piece, pieces, progress.advance):
            for entry in written:
                keep(entry)
    else:
        for entry in _in_threads(_rank_part, _Names.load(work), work, n_parts, context):
            keep(entry)
    staging.add_parts("sentences", entries)


def _in_threads(
    function: Callable[[Shared, _Work, int, Advance], Result],
    shared: Shared,
    work: _Work,
    n_parts: int,
    context: StageContext,
) -> Iterator[Result]:
    """The result of ``function`` for each part, in their order; few are ahead of the reader."""
    advance = context.progress.advance
    # waits: for computing in threads of our own, which ends with the parts that were begun
    with ThreadPoolExecutor(context.n_workers, thread_name_prefix="walk") as threads:
        running: deque[Future[Result]] = deque()
        for part in range(n_parts):
            running.append(threads.submit(function, shared, work, part, advance))
            if len(running) > 2 * context.n_workers:
                # waits: for computing in threads of our own, whose progress is shown
                yield running.popleft().result()
        while running:
            # waits: for computing in threads of our own, whose progress is shown
            yield running.popleft().result()


def _ranked(tallies: NDArray[np.int64]) -> NDArray[np.int64]:
    """The visited nodes by visits, falling; nodes are in the order of their ids, and ties stay."""
    order = np.argsort(-tallies[:, VISITS], kind="stable")
    return order[: np.count_nonzero(tallies[:, VISITS])]


def _write_vocabulary(
    graph: Artifact, order: NDArray[np.int64], tallies: NDArray[np.int64], staging: Staging
) -> None:
    ids = graph.read(schemas.NODES, ["node"]).column("node")
    columns = [
        pa.array(np.arange(len(order), dtype=np.int32)),
        ids.take(pa.array(order)).combine_chunks(),
        pa.array(tallies[order, VISITS]),
        pa.array(tallies[order, WALKS]),
    ]
    vocabulary = pa.table(columns, schema=schemas.VOCABULARY_SCHEMA)
    staging.write("vocabulary", vocabulary)
    staging.counts["vocabulary"] = len(vocabulary)
    staging.report["most_frequent"] = vocabulary.column("token")[:_MOST_FREQUENT].to_pylist()
