"""Node classification: how well a logistic regression on the vectors finds the labels of nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nightjar.config import NodeClassificationBenchmark
from nightjar.errors import BenchmarkError
from nightjar.scoring.metrics import MACRO_F1, MICRO_F1
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_files import BenchmarkTable, read_table
from nightjar.stages.evaluate.benchmark_items import Answered, Examinee, FileItems
from nightjar.stages.evaluate.label_learning import label_scores
from nightjar.wording import counted

_SEED = 1
"""Of the splits: they are the same for every model and in every night."""

_MOST_VALUES = 200_000_000
"""Nodes times labels: the values of all labels are in memory at once."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelledNodes(FileItems):
    """Node i has the labels for which ``has_label[i]`` is true: (n_nodes, n_labels).

    An item is a label of a node in a split in which the node is not learned from. As many labels
    are predicted for the node as it has (Perozzi et al. 2014, section 5), so each of its items gets
    one: its own label if that is among those predicted, otherwise another of them. The items do not
    depend on the model. Precision and recall over all of them are both the share of items that are
    right, and so is micro F1; macro F1 is the mean over all labels of all splits, whose labels are
    numbered separately. A node is drawn for the bootstrap with all its items.
    """

    metrics = (MICRO_F1, MACRO_F1)
    nodes: tuple[str, ...]
    labels: tuple[str, ...]
    has_label: NDArray[np.bool_]
    train_share: float = 0.5
    splits: int = 5

    def __len__(self) -> int:
        return len(self._items)

    @cached_property
    def _orders(self) -> list[NDArray[np.int64]]:
        """The nodes of each split in random order; the first ones are learned from."""
        drawn = (np.random.default_rng([_SEED, split]) for split in range(self.splits))
        return [generator.permutation(len(self.nodes)) for generator in drawn]

    @property
    def _n_learned(self) -> int:
        return n_learned(len(self.nodes), self.train_share)

    @cached_property
    def _items(self) -> NDArray[np.int64]:
        """Split, node and label of each item, (n_items, 3)."""
        found = []
        for split, order in enumerate(self._orders):
            asked = order[self._n_learned :]
            places, labels = np.nonzero(self.has_label[asked])
            found.append(np.stack([np.full(len(places), split), asked[places], labels], axis=1))
        return np.concatenate(found)

    @property
    def item_names(self) -> Sequence[str]:
        """Node, label and split of each."""
        return [
            f"{self.nodes[node]}: {self.labels[label]} (split {split + 1})"
            for split, node, label in self._items.tolist()
        ]

    @classmethod
    def read(cls, path: Path, config: NodeClassificationBenchmark) -> Self:
        """Read ``node`` and ``label``, tab-separated below a header in UTF-8, or as Parquet.

        A node with several labels has several rows. Of more than ``max_nodes`` those are kept whose
        ids have the smallest hashes: the same ones while the file grows, whatever its order. Raises
        BenchmarkError for a label that a node has twice, for a single label, for too few nodes to
        split, and for more values (nodes times labels) than memory should hold.
        """
        table = read_table(path, texts=("node", "label"), of="node with its label")
        nodes, labels = table.texts("node"), table.texts("label")
        _check_once(path, table, nodes, labels)
        nodes, labels = _sample(nodes, labels, config.max_nodes)
        names = tuple(sorted(set(labels)))
        if len(names) < 2:
            raise BenchmarkError(
                f"{path}: all nodes have the label {labels[0]!r}, so there is nothing to tell apart"
            )
        distinct = tuple(dict.fromkeys(nodes))
        if len(distinct) < 2:
            raise BenchmarkError(
                f"{path}: the only node is {nodes[0]!r}; some nodes are learned from and others "
                f"asked for, so give more of them"
            )
        if len(distinct) * len(names) > _MOST_VALUES:
            raise BenchmarkError(
                f"{path}: {counted(len(distinct), 'node')} with {counted(len(names), 'label')} are "
                f"more than {_MOST_VALUES:,} values; lower max_nodes, or leave rare labels out"
            )
        row_of = {node: row for row, node in enumerate(distinct)}
        column_of = {name: column for column, name in enumerate(names)}
        has_label = np.zeros((len(distinct), len(names)), np.bool_)
        has_label[[row_of[node] for node in nodes], [column_of[name] for name in labels]] = True
        return cls(distinct, names, has_label, config.train_share, config.splits)

    def answer(self, asked: Examinee) -> Answered:
        """The label that is predicted for each item, numbered with its split.

        One logistic regression for each label against the rest (L2, C = 1, on the vectors as they
        are), learned from the part of the nodes that the split gives it. The labels with the
        largest values are predicted. Nodes that the model does not know are not covered, and not
        learned from. Neither ``max_vocabulary`` nor ``case_insensitive`` apply: a node is its id.
        In memory: the vectors of the labelled nodes as float64, five times, and 9 bytes for each of
        them and each label.
        """
        vectors = asked.model.vectors(self.nodes, unknown="nan").astype(np.float64)
        is_known = ~np.isnan(vectors[:, 0])
        items = self._items
        found = np.full(len(items), np.nan)
        for split, order in enumerate(self._orders):
            learned, others = order[: self._n_learned], order[self._n_learned :]
            learned, others = learned[is_known[learned]], others[is_known[others]]
            rows = np.flatnonzero((items[:, 0] == split) & is_known[items[:, 1]])
            if len(learned) and len(others):
                scores = label_scores(vectors[learned], self.has_label[learned], vectors[others])
                chosen = assigned(scores, self.has_label[others])
                found[rows] = chosen + split * len(self.labels)
            asked.advance(int((items[:, 0] == split).sum()))
        gold = items[:, 2] + items[:, 0] * len(self.labels)
        missing = [node for node, known in zip(self.nodes, is_known, strict=True) if not known]
        return Answered(Answers(found, gold.astype(np.float64), items[:, 1:2]), missing)


def _sample(
    nodes: tuple[str, ...], labels: tuple[str, ...], most: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rows of at most ``most`` nodes: those whose ids have the smallest hashes."""
    distinct = set(nodes)
    if len(distinct) <= most:
        return nodes, labels
    by_hash = sorted(distinct, key=lambda node: hashlib.blake2b(node.encode()).digest())
    kept = set(by_hash[:most])
    rows = [row for row, node in enumerate(nodes) if node in kept]
    return tuple(nodes[row] for row in rows), tuple(labels[row] for row in rows)


def _check_once(
    path: Path, table: BenchmarkTable, nodes: Sequence[str], labels: Sequence[str]
) -> None:
    seen: dict[tuple[str, str], int] = {}
    for number, pair in enumerate(zip(nodes, labels, strict=True), start=1):
        if pair in seen:
            raise BenchmarkError(
                f"{path}, {table.place(number)}: the node {pair[0]!r} has the label {pair[1]!r} "
                f"already in {table.place(seen[pair])}; delete one of them"
            )
        seen[pair] = number


def n_learned(n_nodes: int, share: float) -> int:
    """How many of the nodes are learned from: rounded down, but some on both sides."""
    return min(max(int(share * n_nodes), 1), n_nodes - 1)


def assigned(scores: Floats, has_label: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A predicted label for each label of each row, in the order of ``np.nonzero(has_label)``.

    A row with k labels has the k labels of the largest ``scores`` predicted, the first of equal
    ones; a label that is predicted rightly is given to itself.
    """
    n_labels = has_label.sum(axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(scores.shape[1])[np.newaxis], axis=1)
    is_predicted = ranks < n_labels[:, np.newaxis]
    found = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    is_wrong, is_free = has_label & ~is_predicted, is_predicted & ~has_label
    # As many labels are missed in a row as are predicted wrongly, both in rising order.
    found[is_wrong] = np.nonzero(is_free)[1]
    return found[has_label]
