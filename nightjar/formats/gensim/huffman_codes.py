"""Whether the Huffman tree of a gensim model is the one that our word order gives.

A tree follows from the counts in order; gensim lets the order of equally frequent words
decide which of two subtrees goes where. Words that change places then change paths, and the
rows of the inner nodes belong to paths. They can be moved along when the new tree has the
same paths up to the nodes' numbers and the side of each branch: a branch the other way round
is a row of opposite sign, since the sigmoid of -x is one minus that of x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gensim.models import KeyedVectors, Word2Vec
from numpy.typing import NDArray

from nightjar.errors import InputError


@dataclass(frozen=True, eq=False)
class Paths:
    """The way of each word from the root, end to end: inner nodes and codes (0 or 1)."""

    lengths: NDArray[np.int64]
    nodes: NDArray[np.int64]
    codes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NodeRows:
    """Row i of our inner nodes is ``signs[i]`` times the row ``order[i]`` of the model's."""

    order: NDArray[np.int64]
    signs: NDArray[np.float32]


def sorted_tree(counts: NDArray[np.int64]) -> Paths:
    """The tree that gensim, and our native trainer, make of ``counts`` in descending order."""
    model = Word2Vec(hs=1, negative=0, min_count=1, sorted_vocab=0, sample=0, vector_size=1)
    descending = -np.sort(-counts)
    model.raw_vocab = {str(row): count for row, count in enumerate(descending.tolist())}
    model.prepare_vocab()
    return _paths(model.wv, np.arange(len(counts)))


def node_rows(wv: KeyedVectors, ours: Paths, order: NDArray[np.int64]) -> NodeRows | None:
    """How the rows of the model's tree go into ``ours``, the words of ``wv`` in ``order``.

    None when no renumbering fits. Raises InputError when the model has no tree.
    """
    if not {"code", "point"} <= wv.expandos.keys():
        raise InputError(
            "the gensim model has hs on but no Huffman tree; call model.create_binary_tree(), or "
            "pass model.wv to import the vectors alone"
        )
    theirs = _paths(wv, order)
    if not np.array_equal(theirs.lengths, ours.lengths):
        return None
    rows = np.zeros(len(order) - 1, np.int64)
    rows[ours.nodes] = theirs.nodes
    flips = np.zeros(len(order) - 1, np.int64)
    flips[ours.nodes] = theirs.codes ^ ours.codes
    fits = np.array_equal(rows[ours.nodes], theirs.nodes) and np.array_equal(
        flips[ours.nodes], theirs.codes ^ ours.codes
    )
    if not fits or len(np.unique(rows)) < len(rows):
        return None
    return NodeRows(rows, (1 - 2 * flips).astype(np.float32))


def _paths(wv: KeyedVectors, order: NDArray[np.int64]) -> Paths:
    nodes = [np.asarray(path, np.int64) for path in wv.expandos["point"][order]]
    codes = [np.asarray(code, np.int64) for code in wv.expandos["code"][order]]
    lengths = np.array([len(path) for path in nodes], np.int64)
    return Paths(lengths, np.concatenate(nodes), np.concatenate(codes))
