"""Erasing nodes from graphs, their rows and the tokens of walks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.core.stage import Erased, Fate, Rewriting
from nightjar.sources.tables.erasing_rows import (
    has_column,
    holds_ids,
    ids_among,
    is_quoting,
    unquoted,
)
from nightjar.store import Artifact, FileEntry, Staging, Store, part_name, schemas, write_part

ENDS = ("source", "target")
"""The columns of a row of edges that name nodes."""
ERASED_NODES = "erased_nodes"
"""Key in the report of a graph artifact: digests of the nodes that were erased."""
_GROUP_ROWS = 1 << 24
"""More than any row group has, so that each is read completely."""
_MOST_FREQUENT = 20


def nodes_of(artifact: Artifact, digests: frozenset[bytes]) -> frozenset[str]:
    """The ids of the nodes with these digests in a graph artifact."""
    return frozenset(
        name
        for batch in artifact.batches(schemas.NODES, ["node"])
        for name in ids_among(batch.column("node").to_pylist(), digests)
    )


def erase_from_edge_shard(store: Store, artifact: Artifact, erased: Erased) -> Fate:
    """Delete a shard with an edge of theirs, or with quoted rows, which may be theirs."""
    del store
    digests = frozenset().union(*erased.nodes.values())
    if not digests or not has_column(artifact, ENDS[0]):
        return Fate.UNTOUCHED
    is_theirs = is_quoting(artifact) or holds_ids(artifact, ENDS, digests)
    return Fate.DELETED if is_theirs else Fate.UNTOUCHED


def erase_from_graph(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Remove the nodes with their edges, held-out ones too; the quarantine quotes nobody any more.

    A neighbour without another edge stays as a node without edges. Deleted when no edge would be
    left.
    """
    del store
    digests = erased.nodes.get(artifact.manifest.name)
    names = erased.node_names.get(artifact.ref.version, frozenset())
    if not digests or not (names or is_quoting(artifact)):
        return Fate.UNTOUCHED
    rewriting = _GraphRewriting(artifact, names, digests)
    if not rewriting.n_edges:
        return Fate.DELETED
    return rewriting.write


class _GraphRewriting:
    """A graph without some of its nodes. Memory: 30 bytes for each node, and every id once."""

    def __init__(
        self, artifact: Artifact, names: frozenset[str], digests: frozenset[bytes]
    ) -> None:
        self._artifact = artifact
        self._digests = digests
        nodes = artifact.read(schemas.NODES, ["node"]).column("node").combine_chunks()
        gone = pc.is_in(nodes, value_set=pa.array(sorted(names), pa.string()))
        is_kept = ~gone.to_numpy(zero_copy_only=False)
        self._nodes = nodes.filter(pa.array(is_kept))
        self._number_of = np.where(is_kept, np.cumsum(is_kept) - 1, -1).astype(np.int32)
        n_nodes = len(self._nodes)
        self._n_out, self._n_in = np.zeros(n_nodes, np.int64), np.zeros(n_nodes, np.int64)
        self._strength = np.zeros(n_nodes)
        n_rows = n_loops = 0
        for batch in self._kept(schemas.EDGES):
            source, target = (batch.column(name).to_numpy() for name in ENDS)
            weight = batch.column("weight").to_numpy().astype(np.float64)
            self._n_out += np.bincount(source, minlength=n_nodes)
            self._n_in += np.bincount(target, minlength=n_nodes)
            self._strength += np.bincount(source, weight, n_nodes)
            n_rows += len(source)
            n_loops += int((source == target).sum())
        is_directed = bool(artifact.manifest.report["is_directed"])
        self.n_edges = n_rows if is_directed else (n_rows + n_loops) // 2
        """Edges that are left; an undirected one counts once."""

    def _kept(self, table: str) -> Iterator[pa.RecordBatch]:
        """The rows between nodes that stay, with their new numbers; blocks as they were written."""
        schema = self._artifact.schema(table)
        for batch in self._artifact.batches(table, batch_rows=_GROUP_ROWS):
            ends = [self._number_of[batch.column(name).to_numpy()] for name in ENDS]
            is_kept = (ends[0] >= 0) & (ends[1] >= 0)
            others = [
                batch.column(name).filter(pa.array(is_kept))
                for name in schema.names
                if name not in ENDS
            ]
            columns = [*(pa.array(end[is_kept]) for end in ends), *others]
            yield pa.record_batch(columns, schema=schema)

    def write(self, staging: Staging) -> None:
        """Write every table, counts and report."""
        columns = [self._nodes, *map(pa.array, (self._n_out, self._n_in, self._strength))]
        staging.write(schemas.NODES, pa.table(columns, schema=schemas.NODES_SCHEMA))
        with staging.writer(schemas.EDGES, schemas.EDGES_SCHEMA) as writer:
            for batch in self._kept(schemas.EDGES):
                if batch.num_rows:
                    writer.write_batch(batch)
        schema = schemas.HELD_OUT_EDGES_SCHEMA
        held_out = pa.Table.from_batches(self._kept(schemas.HELD_OUT), schema)
        staging.write(schemas.HELD_OUT, held_out)
        with staging.writer("quarantine", schemas.QUARANTINE_SCHEMA) as writer:
            for batch in self._artifact.batches("quarantine"):
                writer.write_batch(unquoted(batch))
        counts = staging.counts
        n_gone = counts["edges"] + counts["held_out"] - self.n_edges - len(held_out)
        counts["nodes"] = len(self._nodes)
        counts["edges"], counts["held_out"] = self.n_edges, len(held_out)
        counts["edges_purged"] += n_gone
        counts["isolated_nodes"] = int(np.sum((self._n_out == 0) & (self._n_in == 0)))
        counts["nodes_no_edge_leaves"] = int(np.sum(self._n_out == 0))
        staging.report["most_edges"] = int(self._n_out.max())
        known = set(staging.report.get(ERASED_NODES, ()))
        staging.report[ERASED_NODES] = sorted(known | {digest.hex() for digest in self._digests})


def erase_from_walks(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Remove every walk that visits the nodes; ids become ranks again.

    Deleted when the walks that are left visit fewer than two nodes.
    """
    del store
    digests = erased.nodes.get(artifact.manifest.name)
    if schemas.GRAPH not in artifact.manifest.parents or not digests:
        return Fate.UNTOUCHED
    vocabulary = artifact.read("vocabulary")
    wanted = pa.array(ids_among(vocabulary.column("token").to_pylist(), digests), pa.string())
    if not len(wanted):
        return Fate.UNTOUCHED
    is_theirs = pc.is_in(vocabulary.column("token").combine_chunks(), value_set=wanted)
    rewriting = _WalksRewriting(artifact, vocabulary, is_theirs.to_numpy(zero_copy_only=False))
    if len(rewriting.vocabulary) < 2:
        return Fate.DELETED
    return rewriting.write


class _WalksRewriting:
    """Walks without those that visit some nodes; ``is_theirs`` says by token id which."""

    def __init__(
        self, artifact: Artifact, vocabulary: pa.Table, is_theirs: NDArray[np.bool_]
    ) -> None:
        self._artifact = artifact
        self._is_theirs = is_theirs
        n_visits, n_walks = np.zeros(len(vocabulary), np.int64), np.zeros(len(vocabulary), np.int64)
        longest = int(artifact.manifest.identity["config"]["length"])
        self._counts = {"sentences": 0, "tokens": 0, "walks_cut_short": 0}
        for entry in artifact.parts("sentences"):
            for rows in self._kept(entry):
                ids, walk_of, lengths = _visits(rows)
                n_visits += np.bincount(ids, minlength=len(vocabulary))
                each = np.unique(walk_of * len(vocabulary) + ids) % len(vocabulary)
                n_walks += np.bincount(each, minlength=len(vocabulary))
                self._counts["sentences"] += len(lengths)
                self._counts["tokens"] += len(ids)
                self._counts["walks_cut_short"] += int(np.count_nonzero(lengths < longest))
        table = pa.table(
            {
                "old_id": vocabulary.column("token_id"),
                "token": vocabulary.column("token"),
                "count": pa.array(n_visits),
                "n_documents": pa.array(n_walks),
            }
        )
        kept = table.filter(pa.array(n_visits > 0)).sort_by(
            [("count", "descending"), ("token", "ascending")]
        )
        self._rank_of = np.full(len(vocabulary), -1, np.int32)
        self._rank_of[kept.column("old_id").to_numpy()] = np.arange(len(kept), dtype=np.int32)
        columns = [kept.column(name) for name in ("token", "count", "n_documents")]
        ids = pa.array(np.arange(len(kept), dtype=np.int32))
        self.vocabulary = pa.table([ids, *columns], schema=schemas.VOCABULARY_SCHEMA)
        """What the walks that are left visit."""

    def _kept(self, entry: FileEntry) -> Iterator[pa.RecordBatch]:
        """The walks of a part that stay, a row group at a time."""
        for batch in self._artifact.part_batches(entry, batch_rows=_GROUP_ROWS):
            ids, walk_of, lengths = _visits(batch)
            meets = np.bincount(walk_of[self._is_theirs[ids]], minlength=len(lengths)) > 0
            yield batch.filter(pa.array(~meets))

    def _ranked(self, entry: FileEntry) -> Iterator[pa.RecordBatch]:
        kind = schemas.SENTENCES_SCHEMA.field("token_ids").type
        for rows in self._kept(entry):
            if not rows.num_rows:
                continue
            ids, _, lengths = _visits(rows)
            ends = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
            walks = pa.ListArray.from_arrays(
                pa.array(ends), pa.array(self._rank_of[ids]), type=kind
            )
            columns = [rows.column("doc_id"), rows.column("sentence"), walks]
            yield pa.record_batch(columns, schema=schemas.SENTENCES_SCHEMA)

    def write(self, staging: Staging) -> None:
        """Write both tables, counts and report."""
        staging.write("vocabulary", self.vocabulary)
        parts: list[FileEntry] = []
        for entry in self._artifact.parts("sentences"):
            name, schema = part_name("sentences", len(parts)), schemas.SENTENCES_SCHEMA
            rows = self._ranked(entry)
            parts.append(write_part(staging.root, staging.directory, name, schema, rows))
        staging.add_parts("sentences", parts)
        n_lost = len(self._is_theirs) - len(self.vocabulary) - int(self._is_theirs.sum())
        staging.counts["nodes_not_visited"] += n_lost
        staging.counts["vocabulary"] = len(self.vocabulary)
        for name, n_left in self._counts.items():
            if name == "sentences":
                staging.counts["walks_purged"] += staging.counts[name] - n_left
            staging.counts[name] = n_left
        most_frequent = self.vocabulary.column("token")[:_MOST_FREQUENT].to_pylist()
        staging.report["most_frequent"] = most_frequent


def _visits(
    rows: pa.RecordBatch,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """The visited token ids, end to end, the row that each is of, and the length of each row."""
    lengths = pc.list_value_length(rows.column("token_ids")).to_numpy().astype(np.int64)
    ids = rows.column("token_ids").flatten().to_numpy()
    return ids, np.repeat(np.arange(len(lengths)), lengths), lengths
